// VT + TT: every position of the input in order. Words are words; a run of visual tokens is drawn as small squares.
const { store, element: make, symbol, heading, stageView, visible, rgb, pick } = window.VTE;
const ribbon = element.querySelector('.ribbon'), told = element.querySelector('.told'), SIDE = 12, GAP = 1;
const ROLES = { question: 'the question', special: 'a control token', template: 'the chat template' };
let parts = [], words = [];

function build({ record }) {
  const all = [...Array.from(record.positions, (position, token) => ({ position, token })), ...Array.from(record.text.positions, (position, text) => ({ position, text }))].sort((a, b) => a.position - b.position);
  parts = []; words = [];
  ribbon.replaceChildren();
  for (let i = 0; i < all.length;) {
    if (all[i].text !== undefined) {
      const index = all[i++].text, word = make('span', 'word ' + record.text.roles[index], visible(record.text.strings[index]));
      word.dataset.text = index; words[index] = word; ribbon.append(word);
      continue;
    }
    const run = [];
    while (i < all.length && all[i].token !== undefined) run.push(all[i++].token);
    const canvas = make('canvas', 'tokens'), across = Math.max(1, Math.min(run.length, Math.floor((ribbon.clientWidth || 600) / (SIDE + GAP)))), scale = window.devicePixelRatio || 1;
    canvas.width = across * (SIDE + GAP) * scale; canvas.height = Math.ceil(run.length / across) * (SIDE + GAP) * scale;
    canvas.style.width = canvas.width / scale + 'px';
    canvas.setAttribute('role', 'img'); canvas.setAttribute('aria-label', run.length + ' visual tokens');
    const part = { canvas, run, across, scale }, at = event => {
      const size = canvas.getBoundingClientRect(), column = Math.floor((event.clientX - size.left) / (SIDE + GAP)), row = Math.floor((event.clientY - size.top) / (SIDE + GAP));
      return column < across && run[row * across + column] !== undefined ? run[row * across + column] : -1;
    };
    canvas.addEventListener('pointermove', event => store.set({ hovered: at(event), text: -1 }));
    canvas.addEventListener('pointerleave', () => store.set({ hovered: -1 }));
    canvas.addEventListener('click', event => { const token = at(event); if (token >= 0) pick(token, event); });
    parts.push(part); ribbon.append(canvas);
  }
}
function paint({ record, selected, hovered }) {
  const chosen = new Set(selected);
  for (const { canvas, run, across, scale } of parts) {
    const pen = canvas.getContext('2d');
    pen.setTransform(scale, 0, 0, scale, 0, 0); pen.clearRect(0, 0, canvas.width, canvas.height);
    run.forEach((token, i) => {
      const x = (i % across) * (SIDE + GAP), y = Math.floor(i / across) * (SIDE + GAP);
      pen.globalAlpha = chosen.size && !chosen.has(token) ? 0.2 : 1;
      pen.fillStyle = rgb([record.colours[3 * token], record.colours[3 * token + 1], record.colours[3 * token + 2]]); pen.fillRect(x, y, SIDE, SIDE);
      if (token === hovered || chosen.has(token)) { pen.globalAlpha = 1; pen.lineWidth = 2.5; pen.strokeStyle = token === hovered ? '#111' : '#e8590c'; pen.strokeRect(x + 1, y + 1, SIDE - 2, SIDE - 2); }
    });
  }
}
function box(record, token) {
  const [top, left, bottom, right] = Array.from(record.boxes.subarray(4 * token, 4 * token + 4), value => value.toFixed(0));
  return left + '–' + right + ' across, ' + top + '–' + bottom + ' down';
}
ribbon.addEventListener('pointerover', event => { const word = event.target.closest('.word'); if (word) store.set({ text: +word.dataset.text, hovered: -1 }); });
ribbon.addEventListener('pointerleave', () => store.set({ text: -1 }));
stageView(element, 'sequence', ['record', 'selected', 'hovered', 'text'], (state, changed) => {
  const { record, text } = state, token = store.shown();
  if (changed.has('record')) {
    heading(element.querySelector('.head'), 'Sequence', 'VT + TT', record && record.numbers['VT + TT'].shape, 'All that the language model reads, in order. Look for how much of it is picture, and how little is question.');
    if (record) build(state);
  }
  if (!record) return;
  paint(state);
  words.forEach((word, index) => word.classList.toggle('on', index === text));
  told.textContent = text >= 0 ? 'position ' + record.text.positions[text] + ' · text token “' + visible(record.text.strings[text]) + '”, part of ' + ROLES[record.text.roles[text]] + ' · length ' + record.text.norms[text].toFixed(2)
    : token >= 0 ? 'position ' + record.positions[token] + ' · visual token ' + token + ' · pixels ' + box(record, token) + ' · length ' + record.numbers.VT.norms[token].toFixed(2)
    : record.positions.length + ' visual tokens and ' + record.text.strings.length + ' text tokens: ' + (100 * record.positions.length / (record.positions.length + record.text.strings.length)).toFixed(0) + ' % of the input is picture.';
});
