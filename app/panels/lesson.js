// The lesson: a walk through the page in the order of the article. Each step (a row of `lesson.json`) opens its view, sets layer and selection, says
// what is seen with the numbers of the run that is shown, and asks something before it tells. It lies at the foot of the window, below what it is about.
const { store, LESSON, live, telling, element: make } = window.VTE;
const find = selector => element.querySelector(selector), root = document.documentElement;
const dock = find('.dock'), start = find('.start'), previous = find('.previous'), next = find('.next');
let last = 0, revealed = false, opener = null;

// The words of a step for this run: some families of models do a thing in another way.
function told(step) {
  const { record } = store.state, kinds = [];
  if (record && record.positions_kind === 'rotary') kinds.push('rotary');
  if (record && record.positions_kind === 'none') kinds.push('convolutions');
  if (record && !record.positions) kinds.push('beside');
  return kinds.reduce((words, kind) => ({ ...words, ...((step.variants || {})[kind] || {}) }), step);
}
// A step's own example is worked out, not typed.
function numbers({ example }) {
  const side = example && example.side / example.patch;
  return { ...live(), ...(example ? { example_side: String(side), example_N: String(side * side) } : {}) };
}
function write() {
  const { lesson, record } = store.state;
  if (lesson < 0) return;
  const words = told(LESSON[lesson]), values = numbers(words), known = text => (text.match(/\{\w+\}/g) || []).every(name => values[name.slice(1, -1)] !== undefined);
  const count = make('span', 'count', 'Step\u00a0' + (lesson + 1) + '\u00a0of\u00a0' + LESSON.length), title = find('.title');
  if (title.dataset.says !== String(lesson)) { title.dataset.says = lesson; title.replaceChildren(count, words.title); }
  const wait = !record ? 'Click one of the photos, or give your own and press Run: the lesson then tells its numbers.' : known(words.answer) ? '' : words.missing || store.late(record.run) || 'The numbers of this answer are on their way.';
  say(find('.see'), words.see, values); say(find('.ask'), words.ask, values);
  say(find('.answer'), revealed ? wait || words.answer : '', values);
  find('.reveal').setAttribute('aria-expanded', String(revealed)); find('.reveal').textContent = revealed ? 'Hide the answer' : 'Reveal';
  previous.disabled = lesson === 0; next.disabled = lesson === LESSON.length - 1;
}
// Only what has changed is written: what was read out is not read out again, and the focus stays where it is.
function say(host, text, values) {
  const says = text.replace(/\{(\w+)\}/g, (_, name) => values[name] || '…');
  if (host.dataset.says === says) return;
  host.dataset.says = says; host.replaceChildren(...telling(text, values));
}
// What a step shows.
function apply({ view, layer, select, step: word }) {
  const { record, selected, answer } = store.state, change = {};
  if (view) change.open = [view];
  if (record) {
    const { read, norms } = record.layers, middle = record.token_cells && Math.floor((record.rows / 2 | 0) * record.columns + record.columns / 2);
    if (layer === 'read') change.layer = read.length ? read[read.length - 1] : norms.shape[0] - 1;
    if (select === 'none') Object.assign(change, { selected: [], patch: -1 });
    if (select === 'one' && !selected.length) Object.assign(change, { selected: [Math.max(0, window.VTE.at(Math.floor(middle / record.columns), middle % record.columns)[0])], patch: -1 });
  }
  if (word && answer && answer.steps.length) {
    const doubted = answer.steps.reduce((best, each, i) => (/\p{L}/u.test(each.string) && !each.end && each.probability < answer.steps[best].probability ? i : best), 0);
    change.step = word === 'first' ? 0 : doubted;  // the word it was least sure of tells most
  }
  store.set(change);
}
// The free part of the window is above the dock: what the step is about comes there.
function bring(step) {
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const target = document.querySelector(step.target || '#view-' + step.view);
    if (!target || store.state.lesson < 0) return;
    const { top } = (step.view ? document.querySelector('#view-tabs') : target).getBoundingClientRect(), { bottom } = target.getBoundingClientRect(), free = dock.getBoundingClientRect().top;
    if (top < 0 || bottom > free) window.scrollBy({ top: top - 10 });
  }));
}
function go(lesson) { if (lesson >= 0 && lesson < LESSON.length) store.set({ lesson }); }
function close() { store.set({ lesson: -1 }); (opener || start).focus(); }
store.subscribe(['lesson', 'record', 'answer', 'words', 'rows', 'layer', 'selected', 'patch', 'step', 'lab', 'model'], ({ lesson }, changed) => {
  const open = lesson >= 0;
  dock.hidden = !open; root.classList.toggle('in-lesson', open);
  start.setAttribute('aria-expanded', String(open)); start.textContent = open ? 'The lesson is open below' : last ? 'Go on with the lesson' : 'Take the lesson';
  if (!open) return;
  if (changed.has('lesson')) { revealed = false; last = lesson; dock.scrollTop = 0; element.dataset.step = lesson + 1; }
  if (changed.has('lesson') || changed.has('record') || (changed.has('answer') && store.state.answer && store.state.answer.finished)) apply(LESSON[lesson]);
  if (changed.has('lesson')) bring(LESSON[lesson]);
  write();
});
start.addEventListener('click', () => { opener = start; if (store.state.lesson < 0) go(last); requestAnimationFrame(() => next.disabled ? previous.focus() : next.focus()); });
previous.addEventListener('click', () => { go(store.state.lesson - 1); if (store.state.lesson === 0) next.focus(); });
next.addEventListener('click', () => { go(store.state.lesson + 1); if (store.state.lesson === LESSON.length - 1) previous.focus(); });
find('.close').addEventListener('click', close);
find('.reveal').addEventListener('click', () => { revealed = !revealed; write(); if (revealed) dock.scrollTop = dock.scrollHeight; });
dock.addEventListener('keydown', event => {
  if (event.key === 'Escape') { event.preventDefault(); close(); return; }
  const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (move) { event.preventDefault(); go(store.state.lesson + move); }
});
