// VT + TT: every position of the input in order. Words are words; a run of visual tokens is drawn as small squares, those without a place with a sign.
const { store, element: make, heading, stageView, visible, rgb, point, pick, patchesOf, kind, shown, where, SIGNS } = window.VTE;
const ribbon = element.querySelector('.ribbon'), told = element.querySelector('.told'), SIDE = 12, GAP = 1;
const ROLES = { question: 'the question', special: 'a control token', template: 'the chat template' };
let parts = [], words = [];

function build({ record }) {
  // without positions the language model reads the visual tokens by cross-attention: they stand after the words, beside the sequence
  const places = record.positions || Float32Array.from(record.token_kinds, () => Infinity);
  const all = [...Array.from(places, (position, token) => ({ position, token })), ...Array.from(record.text.positions, (position, text) => ({ position, text }))].sort((a, b) => (a.position < b.position ? -1 : a.position > b.position ? 1 : 0));
  parts = []; words = [];
  ribbon.replaceChildren();
  for (let i = 0; i < all.length;) {
    if (all[i].text !== undefined) {
      const index = all[i++].text, word = make('span', 'word ' + record.text.roles[index], visible(record.text.strings[index]));
      word.dataset.text = index; words[index] = word; ribbon.append(word);
      continue;
    }
    const run = [];
    if (!record.positions) ribbon.append(make('span', 'beside', 'beside it, read by cross-attention:'));
    while (i < all.length && all[i].token !== undefined) run.push(all[i++].token);
    const canvas = make('canvas', 'tokens'), across = Math.max(1, Math.min(run.length, Math.floor((ribbon.clientWidth || 600) / (SIDE + GAP)))), scale = window.devicePixelRatio || 1;
    canvas.width = across * (SIDE + GAP) * scale; canvas.height = Math.ceil(run.length / across) * (SIDE + GAP) * scale;
    canvas.style.width = canvas.width / scale + 'px';
    canvas.setAttribute('role', 'img'); canvas.setAttribute('aria-label', run.length + ' visual tokens');
    const part = { canvas, run, across, scale }, at = event => {
      const size = canvas.getBoundingClientRect(), column = Math.floor((event.clientX - size.left) / (SIDE + GAP)), row = Math.floor((event.clientY - size.top) / (SIDE + GAP));
      return column < across && run[row * across + column] !== undefined ? run[row * across + column] : -1;
    };
    canvas.addEventListener('pointermove', event => { store.set({ text: -1 }); point(of(at(event))); });
    canvas.addEventListener('pointerleave', () => point([-1, -1]));
    canvas.addEventListener('click', event => pick(of(at(event)), event));
    parts.push(part); ribbon.append(canvas);
  }
}
const of = token => [token, token >= 0 && patchesOf(token).length ? patchesOf(token)[0] : -1];
function paint({ record, selected, hovered }) {
  const chosen = new Set(selected);
  for (const { canvas, run, across, scale } of parts) {
    const pen = canvas.getContext('2d');
    pen.setTransform(scale, 0, 0, scale, 0, 0); pen.clearRect(0, 0, canvas.width, canvas.height);
    run.forEach((token, i) => {
      const x = (i % across) * (SIDE + GAP), y = Math.floor(i / across) * (SIDE + GAP);
      pen.globalAlpha = chosen.size && !chosen.has(token) ? 0.2 : 1;
      pen.fillStyle = rgb([record.colours[3 * token], record.colours[3 * token + 1], record.colours[3 * token + 2]]); pen.fillRect(x, y, SIDE, SIDE);
      if (!patchesOf(token).length) { pen.fillStyle = '#fff'; pen.font = 'bold 10px system-ui, sans-serif'; pen.textAlign = 'center'; pen.textBaseline = 'middle'; pen.fillText(SIGNS[kind(record, token)] || '·', x + SIDE / 2, y + SIDE / 2 + 1); }
      if (token === hovered || chosen.has(token)) { pen.globalAlpha = 1; pen.lineWidth = 2.5; pen.strokeStyle = token === hovered ? '#111' : '#e8590c'; pen.strokeRect(x + 1, y + 1, SIDE - 2, SIDE - 2); }
    });
  }
}
function tell({ record, text }) {
  const [token, patch] = shown(), { positions, numbers } = record, count = record.token_kinds.length, words = record.text.strings.length;
  if (text >= 0) return 'position ' + record.text.positions[text] + ' · text token “' + visible(record.text.strings[text]) + '”, part of ' + ROLES[record.text.roles[text]] + ' · length ' + record.text.norms[text].toFixed(2);
  if (token >= 0) return (positions ? 'position ' + positions[token] + ' · ' : '') + where(token, patch) + ' · length ' + numbers.VT.norms[token].toFixed(2);
  return count + ' visual tokens and ' + words + ' text tokens: ' + (positions ? (100 * count / (count + words)).toFixed(0) + ' % of the input is picture.' : 'the picture takes no position of the sequence.');
}
ribbon.addEventListener('pointerover', event => { const word = event.target.closest('.word'); if (word) store.set({ text: +word.dataset.text, hovered: -1, under: -1 }); });
ribbon.addEventListener('pointerleave', () => store.set({ text: -1 }));
stageView(element, 'sequence', ['record', 'selected', 'hovered', 'under', 'patch', 'text'], (state, changed) => {
  const { record, text } = state;
  if (changed.has('record')) {
    heading(element.querySelector('.head'), 'Sequence', 'VT + TT', record && record.numbers['VT + TT'].shape, record && !record.positions
      ? 'All that the language model reads, in order. Its visual tokens take no place in it: some of its layers look at them from beside, by cross-attention.'
      : 'All that the language model reads, in order. Look for how much of it is picture, and how little is question.');
    if (record) build(state);
  }
  if (!record) return;
  paint(state);
  words.forEach((word, index) => word.classList.toggle('on', index === text));
  told.textContent = tell(state);
});
