// The link to what is seen: written into the address as the visitor works, read when the page opens. Only example photos can be in one.
Object.assign(window.VTE, (() => {
  const { store } = window.VTE, MOST = 200, WAIT = 400;  // tokens that are selected; milliseconds: browsers count how often an address changes
  const came = location.hash;  // what the visitor came with; soon it is what is seen
  let pending = null, waiting = 0;

  function address() {
    const { record, selected, open, layer, plane, lesson } = store.state;
    if (!record || !record.asked || !record.asked.example) return '';
    const parts = new URLSearchParams({ example: record.asked.example, question: record.question, model: record.asked.model, ...record.asked.settings });
    if (plane && plane.asked) for (const [name, value] of Object.entries(plane.asked)) parts.set(name, value);
    parts.set('open', open.join(' ')); parts.set('layer', layer);
    if (lesson >= 0) parts.set('lesson', lesson + 1);
    if (selected.length && selected.length <= MOST) parts.set('selected', selected.join(' '));
    return location.origin + location.pathname + location.search + '#' + parts;
  }
  function write() {
    if (!store.state.record || pending) return;
    history.replaceState(history.state, '', address() || location.pathname + location.search);
  }
  store.subscribe(['record', 'plane', 'selected', 'open', 'layer', 'lesson'], ({ record }) => {
    if (record && pending) {  // the run that the link asked for is there: the rest of the link follows
      const { selected, open, layer, lesson } = pending, tokens = record.token_kinds.length, layers = record.layers.norms.shape[0];
      pending = null;
      const rest = { selected: selected.filter(token => token < tokens), patch: -1, ...(open.length ? { open } : {}), ...(layer >= 0 && layer < layers ? { layer } : {}) };
      if (lesson >= 0 && lesson < window.VTE.LESSON.length) {  // its step opens what it is about; then comes what the visitor made of it
        store.set({ lesson });
        requestAnimationFrame(() => requestAnimationFrame(() => store.set(rest)));
      } else store.set(rest);
    }
    clearTimeout(waiting); waiting = setTimeout(write, WAIT);
  });
  // What Python read in the link; the controls hold it already.
  store.subscribe(['link'], ({ link }) => {
    if (!link) return;
    pending = link;
    if (link.instant) store.set({ instant: link.instant }); else requestAnimationFrame(() => document.querySelector('#run').click());
  });
  addEventListener('hashchange', () => location.reload());
  return { link: { address, came } };
})());
