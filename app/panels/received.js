// The photo with the patches over it, always in sight: hover says which and where; click, Shift, dragging a box and the keyboard select.
const { store, cividis, heading, pick, steer, paint } = window.VTE;
const find = selector => element.querySelector(selector);
const frame = find('.frame'), picture = find('.picture'), overlay = find('.overlay'), context = overlay.getContext('2d'), where = find('.where');
let view = 'received', drag = null, grid = true, layer = null;

// Boxes are (top, left, bottom, right) in pixels of the photo; here they become shares of the picture that is shown.
function window_() {
  const { record } = store.state;
  return view === 'received' ? record.received_box : [0, 0, record.photo_size[0], record.photo_size[1]];
}
function rectangle(token) {
  const { boxes } = store.state.record, [t, l, b, r] = window_(), w = overlay.width / (r - l), h = overlay.height / (b - t), at = 4 * token;
  return [(boxes[at + 1] - l) * w, (boxes[at] - t) * h, (boxes[at + 3] - boxes[at + 1]) * w, (boxes[at + 2] - boxes[at]) * h];
}
function tokenAt(event) {
  const { boxes } = store.state.record, size = overlay.getBoundingClientRect(), [t, l, b, r] = window_();
  const x = l + (event.clientX - size.left) / size.width * (r - l), y = t + (event.clientY - size.top) / size.height * (b - t);
  for (let at = 0; at < boxes.length; at += 4) if (y >= boxes[at] && y < boxes[at + 2] && x >= boxes[at + 1] && x < boxes[at + 3]) return at / 4;
  return -1;
}

// Grid, colours and the shade over what was lost change seldom: they are drawn once and copied under the marks of every frame.
function background() {
  const { record, overlay: map } = store.state, size = overlay.getBoundingClientRect(), scale = window.devicePixelRatio || 1;
  overlay.width = Math.max(1, Math.round(size.width * scale)); overlay.height = Math.max(1, Math.round(size.height * scale));
  layer = document.createElement('canvas');
  layer.width = overlay.width; layer.height = overlay.height;
  const pen = layer.getContext('2d'), count = record.boxes.length / 4;
  if (view === 'photo') {
    const [t, l, b, r] = record.received_box, w = overlay.width / record.photo_size[1], h = overlay.height / record.photo_size[0];
    pen.fillStyle = 'rgba(0,0,0,.62)';
    pen.beginPath(); pen.rect(0, 0, layer.width, layer.height); pen.rect(l * w, t * h, (r - l) * w, (b - t) * h); pen.fill('evenodd');
  }
  const colours = map && paint(map, count);
  pen.lineWidth = Math.max(1, scale * 0.5); pen.strokeStyle = 'rgba(255,255,255,.35)';
  for (let token = 0; token < count; token++) {
    const area = rectangle(token);
    if (colours && colours[4 * token + 3]) { pen.fillStyle = 'rgba(' + colours[4 * token] + ',' + colours[4 * token + 1] + ',' + colours[4 * token + 2] + ',.74)'; pen.fillRect(...area); }
    if (grid) pen.strokeRect(...area);
  }
}
function marks() {
  const { selected, hovered } = store.state, scale = window.devicePixelRatio || 1;
  context.clearRect(0, 0, overlay.width, overlay.height);
  context.drawImage(layer, 0, 0);
  if (selected.length) {  // the rest is greyed
    context.save();
    context.beginPath(); context.rect(0, 0, overlay.width, overlay.height);
    for (const token of selected) context.rect(...rectangle(token));
    context.fillStyle = 'rgba(120,120,120,.38)'; context.fill('evenodd'); context.restore();
  }
  const outline = (token, colour, width) => {
    context.lineWidth = (width + 2) * scale; context.strokeStyle = '#fff'; context.strokeRect(...rectangle(token));
    context.lineWidth = width * scale; context.strokeStyle = colour; context.strokeRect(...rectangle(token));
  };
  if (selected.length <= 80) for (const token of selected) outline(token, '#e8590c', 2);
  if (hovered >= 0) outline(hovered, '#111', 1.5);
  if (drag && drag.moved) {
    context.setLineDash([6, 4]); context.lineWidth = 2 * scale; context.strokeStyle = '#e8590c';
    context.strokeRect(drag.x * overlay.width, drag.y * overlay.height, (drag.u - drag.x) * overlay.width, (drag.v - drag.y) * overlay.height); context.setLineDash([]);
  }
}
function describe() {
  const { record, overlay: map, selected } = store.state, token = store.shown();
  if (!record) return;
  if (token < 0) { where.textContent = map ? map.label : record.transform; return; }
  const [top, left, bottom, right] = Array.from(record.boxes.subarray(4 * token, 4 * token + 4), value => Math.round(value * 10) / 10);
  where.textContent = 'patch ' + token + ' · row ' + Math.floor(token / record.columns) + ', column ' + token % record.columns + ' · pixels ' + left + '–' + right + ' across, ' + top + '–' + bottom + ' down' +
    (selected.length > 1 ? ' · ' + selected.length + ' selected' : '') + (map && map.values ? ' · ' + map.values[token].toFixed(3) : '');
}
const place = event => { const size = overlay.getBoundingClientRect(); return [(event.clientX - size.left) / size.width, (event.clientY - size.top) / size.height]; };
overlay.addEventListener('pointerdown', event => {
  if (!store.state.record || event.button) return;
  const [x, y] = place(event);
  drag = { x, y, u: x, v: y, moved: false };
  if (event.pointerType === 'mouse') overlay.setPointerCapture(event.pointerId);
});
overlay.addEventListener('pointermove', event => {
  if (!store.state.record) return;
  if (drag && event.pointerType === 'mouse') {
    [drag.u, drag.v] = place(event);
    const size = overlay.getBoundingClientRect();
    drag.moved = drag.moved || Math.hypot((drag.u - drag.x) * size.width, (drag.v - drag.y) * size.height) > 6;
    if (drag.moved) { marks(); return; }
  }
  const token = tokenAt(event);
  if (token !== store.state.hovered) store.set({ hovered: token });
});
overlay.addEventListener('pointerup', event => {
  if (!drag) return;
  const { moved, x, y, u, v } = drag, { record, selected } = store.state;
  drag = null;
  if (!moved) { const token = tokenAt(event); if (token >= 0) pick(token, event); return; }
  const inside = [], [left, right] = [Math.min(x, u), Math.max(x, u)], [top, bottom] = [Math.min(y, v), Math.max(y, v)];
  for (let token = 0; token < record.boxes.length / 4; token++) {
    const [a, b, w, h] = rectangle(token), cx = (a + w / 2) / overlay.width, cy = (b + h / 2) / overlay.height;
    if (cx >= left && cx <= right && cy >= top && cy <= bottom) inside.push(token);
  }
  store.set({ selected: event.shiftKey ? [...new Set([...selected, ...inside])] : inside });
  marks();
});
overlay.addEventListener('pointercancel', () => { drag = null; });
overlay.addEventListener('pointerleave', () => { if (!drag) store.set({ hovered: -1 }); });
overlay.addEventListener('keydown', steer);
for (const button of element.querySelectorAll('.choice')) button.addEventListener('click', () => {
  view = button.dataset.view;
  for (const other of element.querySelectorAll('.choice')) other.setAttribute('aria-pressed', String(other === button));
  show();
});
find('.grid-switch input').addEventListener('change', event => { grid = event.target.checked; redraw(); });
function redraw() { if (store.state.record) { background(); marks(); } }
function show() {
  const { record } = store.state;
  if (!record) return;
  const [height, width] = view === 'received' ? record.received_size : record.photo_size;
  frame.style.setProperty('--ratio', width + ' / ' + height); frame.style.setProperty('--ratio-number', width / height);
  picture.onload = () => { redraw(); element.dataset.ready = record.run; };
  picture.alt = view === 'received' ? 'The photo as the model received it' : 'Your photo, what was lost is dark';
  picture.hidden = false;
  picture.src = record[view];
}
heading(find('.head'), 'What the model received', 'X', null, 'Each square becomes one visual token. Click, Shift-click or drag a box.');
new ResizeObserver(redraw).observe(overlay);
store.subscribe(['record', 'overlay', 'selected', 'hovered'], (state, changed) => {
  if (!state.record) return;
  if (changed.has('record')) show();
  if (changed.has('overlay')) background();
  if (layer) marks();
  describe();
  element.dataset.selected = state.selected.join(',');
});
