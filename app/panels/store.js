// The state of the page. Every view reads it, subscribes to what it shows, and writes what the visitor does; no view knows another.
//
//   record    the run that is shown: photo, patches, norms, colours, prompt (see `payloads.record`), or null
//   plane     the tokens' points (see `payloads.plane`)       words     nearest words and groups of the visual tokens
//   answer    {answer, finished, steps} so far                busy      whether a run is under way, awaited: and nothing of it is there
//   selected  visual tokens, the last one is in focus         hovered   the visual token under the pointer, -1: none
//   patch     the patch that was clicked last, -1: none         under     the patch under the pointer, -1: none
//   text      the text token under the pointer, -1: none      step      the word of the answer that is looked at, -1: none
//   word      what the server says that word looked at (see `payloads.word`), or null while it is on its way
//   layer     of the encoder                                  open      the stage views in sight, one or two
//   rows      what the server says of the patch in focus at this layer (see `payloads.rows`), or null while it is on its way
//   lens      what the token in focus says at every layer of the language model (see `handlers.lens`), sought {word, layer}: the word that
//             is looked for in the picture, found: where it is said at every layer (see `handlers.word_maps`); null while they are on their way
//   colours   PCA-RGB of this layer (see `payloads.layer`), or null while they are on their way
//   overlay   {values or rgb, low, high, label} drawn over the photo, or null
//   history   earlier runs, the newest first              link      what the address asks for (see `handlers.restore`)
//   failure   what went wrong {place, sentence}, or null  earlier   why the run that is shown is not that of the photo in sight, or '' (see `failures.js`)
//   waiting   the visitor's place in the line for the model (see `waiting.js`), or null
//   model     {state, message}: how far the vision-language model is      instant   the example that is to be shown at once (see `shipped.js`)
//   lesson    the step of the lesson that is open, -1: none               lab     photos against texts, as the lab shows them (see `payloads.similarity`), or null
window.VTE = window.VTE || {};
window.VTE.store = (() => {
  const state = {
    record: null, plane: null, words: null, answer: null, busy: false, awaited: false, selected: [], hovered: -1, patch: -1, under: -1, text: -1, step: -1,
    layer: 0, open: ['space'], rows: null, colours: null, word: null, overlay: null, history: [],
    model: { state: 'loading', message: '' }, waiting: null, instant: null, lesson: -1, lab: null, failure: null, earlier: '', chosen: null,
  };
  const views = [], LOST = 'The server did not answer this; try it again, and reload the page if that does not help.';
  let changed = new Set(), waiting = false, server = null;

  // All that changes within one frame is drawn in that frame, each view once.
  function set(change) {
    for (const name of Object.keys(change)) if (state[name] !== change[name]) { state[name] = change[name]; changed.add(name); }
    if (changed.size && !waiting) { waiting = true; requestAnimationFrame(draw); }
  }
  function draw() {
    const now = changed;
    waiting = false; changed = new Set();
    if (['selected', 'patch', 'layer', 'record', 'open', 'step', 'answer', 'sought', 'model'].some(name => now.has(name))) ask();
    if (now.has('model') && state.model.state === 'ready') queue.splice(0).forEach(go => go());
    for (const view of views) if (view.names.some(name => now.has(name))) view.draw(state, now);
    if (now.has('selected')) document.documentElement.dataset.selected = state.selected.join(',');
    if (now.has('open')) document.documentElement.dataset.open = state.open.join(' ');
  }
  function subscribe(names, callback) { views.push({ names, draw: callback }); callback(state, new Set(names)); }

  // An array arrives as {type, shape, data}: its bytes, little-endian, in base64.
  const TYPES = { u1: Uint8Array, u2: Uint16Array, i4: Int32Array, f2: Uint16Array, f4: Float32Array };
  // The number that 16 bits stand for (IEEE 754 half precision): a sign, five bits of exponent, ten of fraction.
  const half = bits => (bits & 0x8000 ? -1 : 1) * (bits & 0x7C00 ? 2 ** ((bits >> 10 & 31) - 25) * (1024 + (bits & 1023)) : 2 ** -24 * (bits & 1023));
  function unpack(value) {
    if (!value || typeof value !== 'object' || ArrayBuffer.isView(value)) return value;
    if (Array.isArray(value)) return value.map(unpack);
    if (value.data === undefined || !TYPES[value.type]) return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, unpack(part)]));
    const numbers = new TYPES[value.type](Uint8Array.from(atob(value.data), letter => letter.charCodeAt(0)).buffer), array = value.type === 'f2' ? Float32Array.from(numbers, half) : numbers;
    array.shape = value.shape;
    return array;
  }

  // Whether two runs saw the same photos in the same way: then what is selected stays selected.
  const alike = (one, other) => one.photo === other.photo && one.received === other.received && one.positions_kind === other.positions_kind && one.boxes.length === other.boxes.length;

  // What Python sent: one slice of the state. A new record begins a new run; the others belong to the record of the same run.
  // Several may come at once, and in any order, when the browser was busy: the record is taken first, because it begins anew.
  const ORDER = ['record', 'plane', 'answer', 'words'];
  let inbox = [];
  const early = {};
  function receive(name, value) {
    if (!value) return;
    inbox.push([name, unpack(value)]);
    if (inbox.length === 1) queueMicrotask(() => { const come = inbox; inbox = []; come.sort(([one], [other]) => ORDER.indexOf(one) - ORDER.indexOf(other)).forEach(([name, value]) => take(name, value)); });
  }
  function take(name, value) {
    if (name !== 'record' && ORDER.includes(name) && !(state.record && value.run === state.record.run)) { early[name] = value; return; }  // of a run that another one has followed, or whose record is still on its way
    if (name === 'record') {
      const layers = value.layers.norms.shape[0] - 1, kept = state.record && state.record.layers.norms.shape[0] - 1 === layers;
      const same = state.record && alike(state.record, value);
      set({
        record: value, plane: null, words: null, answer: null, busy: true, awaited: false, hovered: -1, under: -1, text: -1, step: -1, overlay: null, rows: null, colours: null, word: null, lens: null, sought: null, found: null,
        layer: kept ? state.layer : Math.min(value.layers.read.length ? value.layers.read[value.layers.read.length - 1] : layers, layers),
        selected: same ? state.selected : [], patch: same ? state.patch : -1, history: [{ record: value }, ...state.history].slice(0, 8),
      });
      for (const [other, come] of Object.entries(early)) { delete early[other]; if (come.run === value.run) take(other, come); }
    } else {
      set({ [name]: value });
      if (name === 'answer' && value.finished) set({ busy: false });
      const [latest, ...earlier] = state.history;
      if (latest && state.record === latest.record) state.history = [{ ...latest, [name]: value }, ...earlier];
    }
  }
  function recall(run) {
    set({
      record: run.record, plane: run.plane || null, words: run.words || null, answer: run.answer || null, hovered: -1, under: -1, text: -1, step: -1,
      ...(state.record && alike(state.record, run.record) ? {} : { selected: [], patch: -1 }), overlay: null, rows: null, colours: null, word: null, layer: Math.min(state.layer, run.record.layers.norms.shape[0] - 1),
    });
  }

  // What is too large to send for every token and layer is asked for when it is looked at, once.
  const known = new Map(), pending = new Set();
  function ask() {
    const { record, answer, layer, open, step } = state, token = focus(), patch = window.VTE.focusPatch();
    const encoder = open.includes('encoder'), of = encoder || open.includes('positions') || open.includes('patches');
    fetch_('colours', encoder && record && [record.run, layer], 'layer');
    fetch_('rows', of && record && patch >= 0 && [record.run, patch, layer], 'rows');
    fetch_('lens', open.includes('lens') && record && token >= 0 && [record.run, token], 'lens');
    fetch_('found', open.includes('lens') && record && state.sought && [record.run, state.sought.word], 'word_maps');
    fetch_('word', answer && answer.key && step >= 0 && [answer.key, step], 'word');
  }
  function fetch_(name, asked, call) {
    latest[name] = asked ? [call, ...asked].join(' ') : null;
    const key = latest[name], here = asked && said(key);
    if (here) { set({ [name]: here }); return; }
    if (!asked || !server) { set({ [name]: null }); return; }
    if (late(asked[0])) { set({ [name]: { error: late(asked[0]), about: asked.slice(1) } }); return; }
    if (known.has(key)) { set({ [name]: known.get(key) }); return; }
    if (pending.has(key)) return;
    pending.add(key);
    answered(server[call](asked)).finally(() => pending.delete(key)).then(reply => {
      const value = { ...unpack(reply), about: asked.slice(1) };
      if (!value.error) known.set(key, value);
      while (known.size > 300) known.delete(known.keys().next().value);
      if (latest[name] === key) set({ [name]: value });
    });
  }
  const latest = {};
  // Gradio's client gives nothing at all where the server could not be asked, or broke: that too is a sentence.
  const answered = reply => reply.then(value => (value === undefined ? { error: LOST } : value), () => ({ error: LOST }));
  // For a view that asks for itself, part by part. Of an instant example it is asked as soon as the model is there.
  const call = (name, asked) => {
    const here = said([name, ...asked].join(' '));
    if (here) return Promise.resolve(here);
    return (late(asked[0]) ? new Promise(go => queue.push(go)) : Promise.resolve()).then(() => answered(server[name](asked))).then(unpack);
  };
  // What came with a run that was computed beforehand: replies to what would be asked of the server, as [name, arguments, reply].
  const shipped = new Map(), instants = new Set(), queue = [];
  function ship(keys, replies) {
    keys.forEach(key => instants.add(key));
    for (const [name, asked, reply] of replies) shipped.set([name, ...asked].join(' '), { reply, about: asked.slice(1) });
  }
  function said(key) {
    const kept = shipped.get(key);
    if (kept && !kept.value) kept.value = { ...unpack(kept.reply), about: kept.about };
    return kept && kept.value;
  }
  // Why the server is not asked yet about a run that came before its model; '' where it can be asked.
  const late = key => (!instants.has(key) || state.model.state === 'ready' ? '' : state.model.state === 'failed' ? state.model.message : 'This needs the model, which is still loading; it comes as soon as that is there.');
  document.documentElement.dataset.open = state.open.join(' ');
  const connect = functions => { server = functions; ask(); };
  const focus = () => (state.selected.length ? state.selected[state.selected.length - 1] : -1);
  const shown = () => (state.hovered >= 0 || state.under >= 0 ? state.hovered : focus());  // what an inspector tells about
  return { state, set, subscribe, receive, recall, connect, call, ship, late, unpack, focus, shown };
})();
