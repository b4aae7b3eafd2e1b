// What visual tokens "say" inside the language model: one token through three lenses, all tokens at every layer, or where in the picture a word is said.
const { store, element: make, heading, stageView, GridMap, cividis, rgb, ink, percent, visible, pick, point } = window.VTE;
const find = selector => element.querySelector(selector), buttons = [...element.querySelectorAll('.part')];
const ROW = 18, NUMBER = 44, CELL = 62;  // pixels: a row, its head, a cell
const BLOCK = 12, AT_ONCE = 3;  // tokens whose rows are asked for at a time, as in `app/handlers/views.py`; how many blocks are on their way at most
const SHOWN = 3;  // words of the logit lens a layer; the others are in the cell's title
const WORDS = {
  token: 'Three ways to ask what one token “says” on its way through the language model. Look for the layer where the words begin to name what is there.',
  table: 'The most probable word of every token (rows) after every layer (columns), by the logit lens. Look for the column where words begin to name what is there.',
  word: 'The probability of a word at every token, by the logit lens, layer by layer. Small pictures: click one for its layer.',
};
const map = new GridMap(find('.chosen'), 'where the word is said');
map.host.style.width = '200px';
let part = 'token', layers = 0, every = [], run = null, rows = [], asked = new Set(), failed = '', pointed = null, drawnFor = '', fresh = false, tall = 20 * ROW;

const layerName = layer => (layer ? 'layer ' + layer : 'going in');
function choose(name) {
  part = name;
  for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.part === part));
  for (const each of ['token', 'table', 'word']) find('.part-' + each).hidden = each !== part;
  for (const control of element.querySelectorAll('.for-word')) control.hidden = part !== 'word';
  draw(store.state, new Set(['record', 'open']));
}
for (const button of buttons) button.addEventListener('click', () => choose(button.dataset.part));

// A word, everywhere.
function seek() {
  const word = find('.sought').value.trim();
  store.set({ sought: word ? { word, layer: +find('.of').value } : null });
}
find('.sought').addEventListener('keydown', event => { if (event.key === 'Enter') seek(); });
find('.sought').addEventListener('change', seek);
find('.of').addEventListener('input', () => { store.set({ sought: store.state.sought && { ...store.state.sought, layer: +find('.of').value } }); name(); });
find('.over').addEventListener('change', () => show(store.state));
function name() { const layer = +find('.of').value; find('.which').textContent = layers ? (layer ? layer + ' of ' + layers : 'going in') : '–'; }
const at = (found, layer) => found.values.subarray(layer * found.values.shape[1], (layer + 1) * found.values.shape[1]);
function show({ found, sought }) {
  const there = part === 'word' && sought && found && found.values ? { values: at(found, sought.layer), of: 'token', label: 'probability of “' + visible(found.word) + '” after ' + layerName(sought.layer) } : null;
  map.show(there);
  every.forEach((small, layer) => small.host.classList.toggle('here', Boolean(sought) && layer === sought.layer));
  if (there && find('.over').checked) store.set({ overlay: { ...there, from: 'lens' } });
  else if (store.state.overlay && store.state.overlay.from === 'lens') store.set({ overlay: null });
}
function showEvery({ found }) {
  const there = part === 'word' && found && found.values;
  if (every.length !== layers + 1) {
    find('.every').replaceChildren();
    every = Array.from({ length: layers + 1 }, (_, layer) => {
      const small = new GridMap(find('.every'), layerName(layer));
      small.host.addEventListener('click', event => { if (!small.frame.contains(event.target)) { find('.of').value = layer; find('.of').dispatchEvent(new Event('input')); } });
      return small;
    });
    find('.every').append(...every.map(small => small.host).reverse());  // the last layers say most
  }
  const most = there ? Math.max(...found.values) : 1;  // one scale for all layers: the small pictures can be compared
  every.forEach((small, layer) => small.show(there ? { values: at(found, layer), of: 'token', low: 0, high: most, label: layerName(layer) } : null));
}

// One token.
function showToken({ lens }, token) {
  const there = lens && lens.layers && lens.about[0] === token;
  find('.entering').replaceChildren(...(there ? lens.entering : []).map(([word, cosine]) => { const line = make('li'); line.append(make('span', '', visible(word)), make('span', '', cosine.toFixed(2))); return line; }));
  find('.says tbody').replaceChildren(...(there ? lens.layers : []).map((words, layer) => {
    const row = make('tr'), head = make('th', '', layerName(layer)), near = lens.near[layer];
    head.scope = 'row'; row.append(head);
    words.slice(0, SHOWN).forEach(([word, probability]) => { const cell = make('td', '', visible(word) + ' ' + percent(probability)), colour = cividis(probability); cell.style.background = rgb(colour); cell.style.color = ink(colour); cell.title = words.map(([each, p]) => visible(each) + ' ' + percent(p)).join('\n'); row.append(cell); });
    if (near) {
      for (const [phrase, cosine] of near.slice(0, 2)) { const cell = make('td', 'phrase'); cell.append(make('i', '', cosine.toFixed(2)), ' ' + phrase); cell.title = near.map(([each, c, of]) => each + ' (' + c.toFixed(2) + ', at layer ' + of + ')').join('\n'); row.append(cell); }
    }
    return row;
  }).reverse());
  find('.says thead .logit').colSpan = SHOWN;
  find('.says thead .near').colSpan = 2;
  find('.says').hidden = !there || !lens.layers.length;
  find('.near').lastChild.textContent = there && lens.without ? lens.without : 'phrases whose last word is in a like state';
}

// All tokens. The rows in sight are asked for beside what is on its way, the others afterwards, one block at a time; only rows in sight are in the document.
const begins = () => Math.max(0, store.focus() * ROW - tall / 2);  // a new run's table: at the selected token, or at its top
const inSight = () => {
  const box = find('.window');
  tall = box.clientHeight || tall;  // a view that is about to open has no height yet
  const first = Math.floor((fresh ? begins() : box.scrollTop) / ROW);
  return [Math.max(0, first), Math.min(rows.length, first + Math.ceil(tall / ROW) + 1)];
};
function fill() {
  if (failed || !rows.length || part !== 'table' || !store.state.open.includes('lens')) return;
  const [first, last] = inSight();
  for (let token = first; token < last && asked.size < AT_ONCE; token++) if (!rows[token]) ask(token);
  const next = rows.indexOf(null);
  if (next >= 0 && !asked.size) ask(next);
}
function ask(token) {
  const block = token - token % BLOCK, of = run, mine = asked;  // those of another run's rows are in another set
  if (mine.has(block)) return;
  mine.add(block);
  store.call('lens_rows', [of, token]).then(reply => {
    mine.delete(block);
    if (of !== run) return;
    if (reply.error) { failed = reply.error; hint(store.state); return; }
    const [count, across, best] = reply.ids.shape, size = across * best;
    for (let i = 0; i < count; i++) rows[reply.first + i] = { words: reply.words, best, ids: reply.ids.subarray(i * size, (i + 1) * size), chances: reply.chances.subarray(i * size, (i + 1) * size) };
    element.dataset.rows = rows.filter(Boolean).length;
    drawTable();
    fill();
  }, () => mine.delete(block));
}
function tableRow(token) {
  const row = make('tr'), head = make('th', '', String(token)), said = rows[token];
  row.dataset.token = token; head.scope = 'row'; head.style.width = NUMBER + 'px';
  row.append(head);
  for (let layer = 0; layer <= layers; layer++) {
    const cell = make('td', said ? '' : 'blank'), from = said ? layer * said.best : 0;
    cell.dataset.layer = layer;
    if (said) { const colour = cividis(said.chances[from]); cell.textContent = visible(said.words[said.ids[from]]); cell.style.background = rgb(colour); cell.style.color = ink(colour); }
    row.append(cell);
  }
  return row;
}
function spacer(height) { const row = make('tr', 'space'), cell = make('td'); cell.colSpan = layers + 2; cell.style.height = height + 'px'; row.append(cell); return row; }
function drawTable() {
  const [first, last] = inSight(), grid = find('.grid');
  if (drawnFor !== run + ' ' + layers) {
    drawnFor = run + ' ' + layers;
    grid.style.width = NUMBER + CELL * (layers + 1) + 'px';
    const line = make('tr');
    for (let layer = -1; layer <= layers; layer++) { const head = make('th', '', layer < 0 ? 'token' : layerName(layer)); head.scope = 'col'; head.style.width = (layer < 0 ? NUMBER : CELL) + 'px'; line.append(head); }
    grid.querySelector('thead').replaceChildren(line);
  }
  grid.querySelector('tbody').replaceChildren(spacer(first * ROW), ...Array.from({ length: last - first }, (_, i) => tableRow(first + i)), spacer((rows.length - last) * ROW));
  markTable();
}
function markTable() {
  const { selected, hovered } = store.state;
  for (const row of find('.grid').querySelectorAll('tbody tr[data-token]')) {
    const token = +row.dataset.token;
    row.classList.toggle('on', selected.includes(token)); row.classList.toggle('under', token === hovered);
    for (const cell of row.querySelectorAll('.at')) cell.classList.remove('at');
    if (pointed && pointed[0] === token) row.children[pointed[1] + 1].classList.add('at');
  }
}
// A window that was out of sight has the place of an earlier run back until it is seen.
function settle() {
  const box = find('.window');
  if (!fresh || !box.clientHeight) return;
  box.scrollTop = begins(); fresh = false;
  drawTable(); fill();
}
function come(token) {  // the row of a token that is pointed at elsewhere comes into sight
  if (fresh) return;
  const box = find('.window'), top = token * ROW;
  if (token >= 0 && !box.matches(':hover') && (top < box.scrollTop || top > box.scrollTop + box.clientHeight - 3 * ROW)) box.scrollTop = Math.max(0, top - box.clientHeight / 2);
}
function cellAt(event) {
  const cell = event.target.closest('td[data-layer]'), row = event.target.closest('tr[data-token]');
  return row ? [+row.dataset.token, cell ? +cell.dataset.layer : 0] : null;
}
find('.window').addEventListener('scroll', () => requestAnimationFrame(() => { drawTable(); fill(); }));
find('.window').addEventListener('pointermove', event => {
  pointed = cellAt(event);
  if (!pointed) return;
  const [token, layer] = pointed, said = rows[token];
  if (said) find('.five').textContent = 'Token ' + token + ', ' + layerName(layer) + ': ' + Array.from({ length: said.best }, (_, i) => visible(said.words[said.ids[layer * said.best + i]]) + ' ' + percent(said.chances[layer * said.best + i])).join(' · ');
  point([token, -1]);
  markTable();
});
find('.window').addEventListener('pointerleave', () => { pointed = null; point([-1, -1]); markTable(); });
find('.window').addEventListener('click', event => { const hit = cellAt(event); if (hit) pick([hit[0], -1], event); });
find('.window').addEventListener('keydown', event => {
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key], from = store.focus();
  if (!move || !rows.length) return;
  event.preventDefault();
  const token = Math.max(0, Math.min(rows.length - 1, from + move));
  pick([token, -1], event);
  const box = find('.window');
  if (token * ROW < box.scrollTop || (token + 3) * ROW > box.scrollTop + box.clientHeight) box.scrollTop = Math.max(0, token * ROW - box.clientHeight / 2);
});

function hint({ record, lens, found, sought }) {
  const token = store.focus();
  find('.hint').textContent = !record ? 'Run a question first.'
    : part === 'token' ? (token < 0 ? 'Select a token in the picture.' : (lens && lens.error) || (lens ? (lens.layers && !lens.layers.length ? lens.without : '') : 'Reading …'))
    : part === 'table' ? failed
    : (found && found.error) || (!sought ? 'Type a word and press Enter.' : found ? '' : 'Reading every token at every layer; the next word takes no time.');
}
function draw(state, changed) {
  if (![...changed].some(name => !['hovered', 'under', 'patch'].includes(name))) {
    if (part === 'table') { come(state.hovered); markTable(); } else if (part === 'word') [map, ...every].forEach(each => each.mark());
    return;
  }
  const { record } = state, token = store.focus();
  heading(find('.head'), 'What tokens say', 'g_φ', record && record.numbers['VT + TT'].shape, WORDS[part]);
  if (record && record.run !== run) { run = record.run; rows = Array(record.boxes.length / 4).fill(null); asked = new Set(); failed = ''; element.dataset.rows = 0; pointed = null; fresh = true; }
  if (record && layers !== record.language_layers) { layers = record.language_layers; find('.of').max = layers; find('.of').value = layers; }
  hint(state); name();
  if (part === 'token') showToken(state, record ? token : -1);
  if (part === 'table' && record) { if (changed.has('selected')) come(token); drawTable(); fill(); if (fresh) requestAnimationFrame(settle); }
  if (record && ['found', 'record', 'open'].some(each => changed.has(each))) showEvery(state);
  if (part === 'word' && changed.has('selected')) every.forEach(each => each.mark());
  show(state);
}
stageView(element, 'lens', ['record', 'lens', 'found', 'sought', 'selected', 'hovered', 'under', 'patch'], draw);
