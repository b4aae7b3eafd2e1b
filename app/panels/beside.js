// Two models on one photo and question. What is selected is a part of the photo: each model's tokens that lie in it are lit.
const { store, element: make, cividis, rgb, ink, percent, visible, shape } = window.VTE;
const find = selector => element.querySelector(selector);
const sides = ['first', 'second'].map(name => {
  const host = find('.' + name), canvas = host.querySelector('canvas');
  return { name, host, canvas, image: host.querySelector('img'), caption: host.querySelector('figcaption'), facts: host.querySelector('.facts'), said: host.querySelector('.said'), tokens: host.querySelector('.tokens'), seen: null, answer: null, chosen: [] };
});
const [first, second] = sides;
let drag = null;

const box = (seen, token) => Array.from(seen.boxes.subarray(4 * token, 4 * token + 4));
const placed = seen => Array.from({ length: seen.boxes.length / 4 }, (_, token) => token).filter(token => !Number.isNaN(seen.boxes[4 * token]));
const holds = ([top, left, bottom, right], y, x) => y >= top && y < bottom && x >= left && x < right;
const middle = ([top, left, bottom, right]) => [(top + bottom) / 2, (left + right) / 2];
// The tokens that lie in one of these parts of the photo, or that one of them lies in.
const within = (seen, areas) => placed(seen).filter(token => { const mine = box(seen, token); return areas.some(area => holds(area, ...middle(mine)) || holds(mine, ...middle(area))); });

function draw(side) {
  const { seen, canvas, chosen } = side, scale = window.devicePixelRatio || 1;
  if (!seen || find('.sides').hidden) return;
  const size = canvas.getBoundingClientRect();
  if (!size.width) return;
  canvas.width = Math.round(size.width * scale); canvas.height = Math.round(size.height * scale);
  const pen = canvas.getContext('2d'), [height, width] = seen.photo_size, w = canvas.width / width, h = canvas.height / height;
  const area = ([top, left, bottom, right]) => [left * w, top * h, (right - left) * w, (bottom - top) * h];
  pen.strokeStyle = 'rgba(255,255,255,.45)'; pen.lineWidth = 0.5 * scale;
  const all = placed(seen);
  if (all.length < 1500) for (const token of all) pen.strokeRect(...area(box(seen, token)));
  if (chosen.length) {
    pen.beginPath(); pen.rect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = 'rgba(60,60,60,.55)'; pen.fill();
    pen.globalCompositeOperation = 'destination-out';
    for (const token of chosen) pen.fillRect(...area(box(seen, token)));
    pen.globalCompositeOperation = 'source-over'; pen.strokeStyle = '#e8590c'; pen.lineWidth = 1.5 * scale;
    if (chosen.length <= 200) for (const token of chosen) pen.strokeRect(...area(box(seen, token)));
  }
  if (drag && drag.side === side) { pen.setLineDash([6, 4]); pen.strokeStyle = '#e8590c'; pen.lineWidth = 2 * scale; pen.strokeRect(...area(drag.area)); pen.setLineDash([]); }
  const words = chosen.length ? chosen.length + ' of ' + seen.boxes.length / 4 + ' tokens selected' : 'Drag a box over a thing: its tokens are lit in both.';
  canvas.setAttribute('aria-label', seen.model + ': ' + words);
  side.host.dataset.selected = chosen.join(',');
  side.facts.textContent = seen.facts + ' ' + words + '.';
}
function write(side) {
  const { answer, said, tokens } = side;
  said.textContent = answer ? answer.answer || (answer.finished ? '(ended at once)' : '…') : '';
  tokens.replaceChildren(...(answer ? answer.steps : []).map(step => {
    const node = make('span', 'token'), colour = cividis(step.probability);
    node.style.background = rgb(colour); node.style.color = ink(colour);
    node.append(make('span', '', visible(step.string)), make('span', 'p', percent(step.probability)));
    return node;
  }));
  side.host.dataset.finished = String(Boolean(answer && answer.finished));
}
function show(side) {
  const { seen } = side;
  find('.sides').hidden = !first.seen || !second.seen;
  find('.hint').textContent = find('.sides').hidden ? 'Run a question above, then choose a second model and press “Run beside”.' : '';
  if (!seen) return;
  side.caption.textContent = seen.model;
  side.image.alt = 'The photo, with the visual tokens of ' + seen.model;
  side.image.onload = () => draw(side);
  side.image.src = seen.photo;
}
const words = record => shape(record.stages.find(stage => stage.symbol === 'VT').shape) + ' visual tokens of ' + record.numbers_x_p + ' patches.';
store.subscribe(['record', 'answer', 'selected'], ({ record, answer, selected }, changed) => {
  if (changed.has('record')) {
    first.seen = record && { model: record.model || 'this page’s model', photo: record.photo, photo_size: record.photo_size, boxes: record.boxes, facts: words({ stages: record.stages, numbers_x_p: record.numbers['x_p'].shape[0] }) };
    if (record && second.seen && second.seen.photo !== record.photo) second.seen = second.answer = null;
    sides.forEach(show);
  }
  if (changed.has('answer')) { first.answer = answer; write(first); }
  if (!first.seen) return;
  first.chosen = selected.filter(token => !Number.isNaN(first.seen.boxes[4 * token]));
  if (second.seen) second.chosen = within(second.seen, first.chosen.map(token => box(first.seen, token)));
  sides.forEach(draw);
});
for (const side of sides) {
  const place = event => { const size = side.canvas.getBoundingClientRect(), [height, width] = side.seen.photo_size; return [(event.clientY - size.top) / size.height * height, (event.clientX - size.left) / size.width * width]; };
  side.canvas.addEventListener('pointerdown', event => { if (side.seen && !event.button) { const [y, x] = place(event); drag = { side, y, x, area: [y, x, y, x] }; side.canvas.setPointerCapture(event.pointerId); } });
  side.canvas.addEventListener('pointermove', event => {
    if (!drag || drag.side !== side) return;
    const [y, x] = place(event);
    drag.area = [Math.min(y, drag.y), Math.min(x, drag.x), Math.max(y, drag.y), Math.max(x, drag.x)];
    draw(side);
  });
  side.canvas.addEventListener('pointerup', () => {
    if (!drag || drag.side !== side) return;
    const { area } = drag, point = area[2] - area[0] < 1 && area[3] - area[1] < 1;
    drag = null;
    // a click takes the token under it, a box those whose middle it holds; either way the first model's tokens are what the page selects
    const mine = placed(side.seen).filter(token => (point ? holds(box(side.seen, token), area[0], area[1]) : holds(area, ...middle(box(side.seen, token)))));
    store.set({ selected: side === first ? mine : within(first.seen, mine.map(token => box(second.seen, token))), patch: -1 });
  });
  side.canvas.addEventListener('pointercancel', () => { drag = null; });
  new ResizeObserver(() => draw(side)).observe(side.canvas);
}
watch('value', () => {
  const value = store.unpack(props.value);
  if (!value) return;
  // every message of a run tells what was received; a run on another photo than the page's is over
  const known = second.seen && second.seen.run === value.run, other = first.seen && first.seen.photo !== value.photo;
  if (!known && !other) { second.seen = { ...value, facts: words({ stages: value.stages, numbers_x_p: value.patches }) }; show(second); }
  second.answer = other ? null : value.answer; write(second);
  if (first.seen && second.seen) { second.chosen = within(second.seen, first.chosen.map(token => box(first.seen, token))); sides.forEach(draw); }
});
show(first);
