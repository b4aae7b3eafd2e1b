// What the encoder received, or the photo itself, with the patches over it, always in sight: hover says which and where; click, Shift,
// dragging a box and the keyboard select.
const { store, heading, point, pick, steer, paint, valueAt, board, at, rectangles, cellRectangle, patchesOf, boxOf, patchBox, shown, where, kind, pictureName, SIGNS } = window.VTE;
const find = selector => element.querySelector(selector);
const frame = find('.frame'), picture = find('.picture'), overlay = find('.overlay'), context = overlay.getContext('2d');
let view = 'received', drag = null, grid = true, layer = null, gaps = null;

// Rectangles of the board, or boxes of the photo, as areas (x, y, width, height) of the picture that is shown.
function onBoard([row, column, rows, columns]) {
  const { record } = store.state, w = overlay.width / record.columns, h = overlay.height / record.rows;
  return [column * w, row * h, columns * w, rows * h];
}
function onPhoto([top, left, bottom, right]) {
  const [height, width] = store.state.record.photo_size, w = overlay.width / width, h = overlay.height / height;
  return [left * w, top * h, (right - left) * w, (bottom - top) * h];
}
function areas(token) {
  if (view === 'received') return rectangles(token).map(onBoard);
  const box = boxOf(token);
  return box ? [onPhoto(box)] : [];
}
const patchArea = patch => (view === 'received' ? onBoard(cellRectangle(patch)) : onPhoto(patchBox(patch)));
// The pictures that the photo shows: its tiles, or else the whole; a small copy beside tiles would only cover them.
const closest = () => store.state.record.pictures.filter((_, picture) => board(store.state.record).closest(picture));
// Where an event is, as shares of the picture; and the token and the patch that are there.
const place = event => { const size = overlay.getBoundingClientRect(); return [(event.clientX - size.left) / size.width, (event.clientY - size.top) / size.height]; };
function under(event) {
  const { record } = store.state, [x, y] = place(event);
  if (view === 'received') return at(y * record.rows, x * record.columns);
  const down = y * record.photo_size[0], across = x * record.photo_size[1];
  for (const { box: [top, left, bottom, right], rectangle: [row, column, rows, columns] } of closest())
    if (down >= top && down < bottom && across >= left && across < right) return at(row + (down - top) / (bottom - top) * rows, column + (across - left) / (right - left) * columns);
  return [-1, -1];
}

// Grid, colours, names and the shade over what was lost change seldom: they are drawn once and copied under the marks of every frame.
function background() {
  const { record, overlay: map } = store.state, size = overlay.getBoundingClientRect(), scale = window.devicePixelRatio || 1;
  overlay.width = Math.max(1, Math.round(size.width * scale)); overlay.height = Math.max(1, Math.round(size.height * scale));
  layer = document.createElement('canvas');
  layer.width = overlay.width; layer.height = overlay.height;
  const pen = layer.getContext('2d');
  pen.imageSmoothingEnabled = false;
  if (view === 'photo') shade(pen); else signs(pen, scale);
  if (map) colour(pen, map);
  if (!grid) return;
  pen.lineWidth = Math.max(1, scale * 0.5); pen.strokeStyle = 'rgba(255,255,255,.35)';
  const all = board(record), fine = Math.min(overlay.width / record.columns, overlay.height / record.rows) < 3 * scale;  // then lines would hide the picture
  if (!fine || record.token_cells.shape[1] > 1) {
    all.patches.forEach((mine, token) => {
      if (view === 'photo' && !(mine.length && all.closest(all.pictureOf[mine[0]]))) return;
      for (const area of areas(token)) pen.strokeRect(...area);
    });
  }
  if (view === 'received' && record.pictures.length > 1) names(pen, scale);
}
// Tokens without a patch are squares with a sign; what is left free of the board is not part of any picture.
function signs(pen, scale) {
  const { record } = store.state, { patches, patchAt, tokenAt } = board(record);
  pen.textAlign = 'center'; pen.textBaseline = 'middle';
  patches.forEach((mine, token) => {
    if (mine.length) return;
    const [[x, y, w, h]] = areas(token);
    pen.fillStyle = '#6b7280'; pen.fillRect(x + 0.06 * w, y + 0.06 * h, 0.88 * w, 0.88 * h);
    if (h < 7 * scale) return;
    pen.fillStyle = '#fff'; pen.font = 0.6 * h + 'px system-ui, sans-serif';
    pen.fillText(SIGNS[kind(record, token)] || '·', x + w / 2, y + h / 2);
  });
  pen.textAlign = 'left';
  gaps = document.createElement('canvas');
  gaps.width = record.columns; gaps.height = record.rows;
  const free = gaps.getContext('2d');
  patchAt.forEach((patch, cell) => { if (patch < 0 && tokenAt[cell] < 0) free.fillRect(cell % record.columns, Math.floor(cell / record.columns), 1, 1); });
}
function shade(pen) {
  const { photos, pictures } = store.state.record;
  pen.fillStyle = 'rgba(0,0,0,.62)';
  for (const { left, size: [height, width] } of photos) pen.fillRect(...onPhoto([0, left, height, left + width]));
  for (const { photo, box: [top, from, bottom, to] } of pictures) {  // what patches of any picture cover
    const { left, size: [height, width] } = photos[photo];
    pen.clearRect(...onPhoto([Math.max(top, 0), Math.max(from, left), Math.min(bottom, height), Math.min(to, left + width)]));
  }
}
function colour(pen, map) {
  const { record } = store.state, small = document.createElement('canvas');
  small.width = record.columns; small.height = record.rows;
  small.getContext('2d').putImageData(paint(map), 0, 0);
  pen.globalAlpha = 0.74;
  if (view === 'received') pen.drawImage(small, 0, 0, layer.width, layer.height);
  else for (const { box, rectangle: [row, column, rows, columns] } of closest()) pen.drawImage(small, column, row, columns, rows, ...onPhoto(box));
  pen.globalAlpha = 1;
}
function names(pen, scale) {
  pen.font = 600 + ' ' + 10 * scale + 'px system-ui, sans-serif'; pen.textBaseline = 'top';
  store.state.record.pictures.forEach(({ rectangle }, number) => {
    const [x, y, width] = onBoard(rectangle), name = pictureName(number), wide = pen.measureText(name).width + 6 * scale;
    if (wide > width) return;
    pen.fillStyle = 'rgba(0,0,0,.6)'; pen.fillRect(x, y, wide, 14 * scale);
    pen.fillStyle = '#fff'; pen.fillText(name, x + 3 * scale, y + 2 * scale);
  });
}
function marks() {
  const { selected, hovered } = store.state, scale = window.devicePixelRatio || 1;
  context.clearRect(0, 0, overlay.width, overlay.height);
  context.drawImage(layer, 0, 0);
  if (selected.length) {  // the rest is greyed
    context.fillStyle = 'rgba(120,120,120,.38)'; context.fillRect(0, 0, overlay.width, overlay.height);
    context.save(); context.beginPath();
    for (const token of selected) for (const area of areas(token)) context.rect(...area);
    context.clip(); context.clearRect(0, 0, overlay.width, overlay.height); context.drawImage(layer, 0, 0); context.restore();
  }
  if (view === 'received') {  // nothing is drawn where there is no picture
    context.imageSmoothingEnabled = false; context.globalCompositeOperation = 'destination-out';
    context.drawImage(gaps, 0, 0, overlay.width, overlay.height); context.globalCompositeOperation = 'source-over';
  }
  const outline = (area, shade, width) => {
    context.lineWidth = (width + 2) * scale; context.strokeStyle = '#fff'; context.strokeRect(...area);
    context.lineWidth = width * scale; context.strokeStyle = shade; context.strokeRect(...area);
  };
  if (selected.length <= 80) for (const token of selected) for (const area of areas(token)) outline(area, '#e8590c', 2);
  if (hovered >= 0) for (const area of areas(hovered)) outline(area, '#111', 1.5);
  const [token, patch] = shown();
  if (patch >= 0 && (token < 0 || patchesOf(token).length > 1)) outline(patchArea(patch), '#0072b2', 1);
  if (drag && drag.moved) {
    context.setLineDash([6, 4]); context.lineWidth = 2 * scale; context.strokeStyle = '#e8590c';
    context.strokeRect(drag.x * overlay.width, drag.y * overlay.height, (drag.u - drag.x) * overlay.width, (drag.v - drag.y) * overlay.height); context.setLineDash([]);
  }
}
function describe() {
  const { record, overlay: map, selected } = store.state, [token, patch] = shown();
  if (token < 0 && patch < 0) { find('.where').textContent = map ? map.label : record.transform; return; }
  const value = valueAt(map, token, patch);
  find('.where').textContent = where(token, patch) + (selected.length > 1 ? ' · ' + selected.length + ' selected' : '') + (value && ' · ' + value);
}
function purpose(record) {
  if (record && !record.kinds.includes('patch')) return 'Learned queries read all squares; each gives one visual token.';
  return record && record.token_patches.shape[1] > 1 ? 'Each outlined square is one visual token, made of several patches.' : 'Each square becomes one visual token.';
}
// What stands below the pictures, in one line.
function shelf({ record }) {
  const count = record.shelf === null ? 0 : board(record).rectangles.filter(([[row]]) => row >= record.shelf).length;
  find('.shelf').hidden = !count || view !== 'received';
  find('.shelf').textContent = 'Below: ' + count + (count > 1 ? ' tokens that have' : ' token that has') + ' no place in the photo.';
}
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
  point(under(event));
});
overlay.addEventListener('pointerup', event => {
  if (!drag) return;
  const { moved, x, y, u, v } = drag, { record, selected } = store.state;
  drag = null;
  if (!moved) { pick(under(event), event); return; }
  const inside = [], [left, right] = [Math.min(x, u), Math.max(x, u)], [top, bottom] = [Math.min(y, v), Math.max(y, v)];
  for (let token = 0; token < record.token_kinds.length; token++) {
    if (areas(token).some(([a, b, w, h]) => { const cx = (a + w / 2) / overlay.width, cy = (b + h / 2) / overlay.height; return cx >= left && cx <= right && cy >= top && cy <= bottom; })) inside.push(token);
  }
  store.set({ selected: event.shiftKey ? [...new Set([...selected, ...inside])] : inside, patch: -1 });
  marks();
});
overlay.addEventListener('pointercancel', () => { drag = null; });
overlay.addEventListener('pointerleave', () => { if (!drag) point([-1, -1]); });
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
  shelf(store.state);
}
new ResizeObserver(redraw).observe(overlay);
store.subscribe(['record', 'overlay', 'selected', 'hovered', 'patch', 'under'], (state, changed) => {
  const { record } = state;
  if (changed.has('record')) heading(find('.head'), 'What the model received', 'X', null, purpose(record) + ' Click, Shift-click or drag a box.');
  if (!record) return;
  if (changed.has('record')) show();
  if (layer) { if (changed.has('overlay')) background(); marks(); }  // without, the picture is on its way
  describe();
  element.dataset.selected = state.selected.join(',');
});
store.subscribe(['earlier'], ({ earlier }) => { find('.earlier').hidden = !earlier; find('.earlier').textContent = earlier; });
