// What went wrong, and what on the page is from an earlier run.
//
// Enters the store: `failure` {place, sentence, broken}, said at the place where the visitor asked (see `failure.js`), broken: the run that is shown
// broke off; and `earlier`, a sentence if the run that is shown is not one of the photo in sight, or ''.
Object.assign(window.VTE, (() => {
  const { store } = window.VTE, WITHOUT = 'This did not work, and the server did not say why; try it again.';
  const origins = new WeakMap();  // of each run: the photos that were chosen when it was asked for (or the example that it is of), and the model
  let chosen = null, model = '', asked = { photos: '', model: '' }, begun = null, sentence = '';

  // Gradio's inputs as the visitor sees them: the paths of the photos.
  const key = (image, also) => JSON.stringify([image, ...(also || [])].map(file => (file ? file.path || file.url : '')));
  const name = photo => decodeURIComponent(JSON.parse(photo)[0].split('/').pop());
  const isInSight = record => {
    const { example, photos } = origins.get(record);
    return chosen === null || (example ? name(chosen) === example && JSON.parse(chosen).length === 1 : photos === chosen);
  };
  function judge() {
    const { record, failure } = store.state, failed = failure && failure.place === 'run';
    const why = !record ? '' : failed && failure.broken ? 'This run broke off: the rest of it is missing.' : !isInSight(record) ? 'From an earlier run: its photo is not the one that is chosen now.'
      : failed ? 'From an earlier run: the last one failed.' : origins.get(record).model !== model ? 'From an earlier run, by the model that was in use before.' : '';
    store.set({ earlier: why && why + ' “' + record.question + '”' });
    document.documentElement.dataset.earlier = String(Boolean(why) && !(failed && failure.broken));
  }
  // The photos that are chosen now, and that a run begins with.
  function sight(image, also) {
    const { failure } = store.state, before = chosen;
    chosen = key(image, also);
    if (failure && failure.place === 'run' && before !== null && before !== chosen) store.set({ failure: null });  // it was about another photo
    store.set({ chosen });
    judge();
  }
  function begin(image, also) {
    sight(image, also);
    if (!store.state.busy) { asked = { photos: chosen, model }; begun = store.state.record; }
    sentence = '';
    store.set({ busy: true, awaited: true, failure: null });
    judge();
  }
  // The model in use from now on; '' is the one that the page began with.
  function bring(name) { model = name; judge(); }

  // An error's sentence is escaped for Gradio's notice, which is HTML; what is made of it here is text again.
  const text = html => new DOMParser().parseFromString(html, 'text/html').body.textContent;
  // The stream tells the sentence (see `waiting.js`), Gradio's event whose it is: which of them comes first is open.
  function hear(html) {
    sentence = html ? text(String(html)) : WITHOUT;
    const { failure } = store.state;
    if (failure && !failure.sentence) { store.set({ failure: { ...failure, sentence } }); sentence = ''; }
  }
  function fail(place) {
    const { record } = store.state;
    store.set({ failure: { place, sentence, broken: place === 'run' && Boolean(record) && record !== begun }, ...(place === 'run' ? { busy: false, awaited: false } : {}) });
    sentence = '';
    judge();
  }
  function succeed(place) { if (store.state.failure && store.state.failure.place === place) { store.set({ failure: null }); judge(); } }

  store.subscribe(['record'], ({ record, failure }) => {
    if (record && !origins.has(record)) origins.set(record, record.instant && record.asked ? { example: record.asked.example, model: '' } : asked);
    if (failure && failure.place === 'run' && !failure.broken) store.set({ failure: null });  // another run has followed, or an earlier one is looked at
    judge();
  });
  return { sight, begin, bring, hear, fail, succeed };
})());
