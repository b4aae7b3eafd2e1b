// The patches over the photo: hover says which and where, click and the keyboard select, other panels' selections light up here.
// Value: {photo, received, photo_size, received_size, received_box, boxes, rows, columns, positions, vectors, norms}.
const { send, on, cividis, symbol, element: make } = window.VTE;
const find = selector => element.querySelector(selector);
const picture = find('.picture'), overlay = find('.overlay'), context = overlay.getContext('2d'), where = find('.where');
let data = null, view = 'received', selected = [], hovered = -1, cursor = 0, heat = null;

// Boxes arrive as (top, left, bottom, right) in pixels of the photo; here they become shares of the picture that is shown.
function box(token) {
  const [top, left, bottom, right] = data.boxes[token];
  const [t, l, b, r] = view === 'received' ? data.received_box : [0, 0, data.photo_size[0], data.photo_size[1]];
  return [(top - t) / (b - t), (left - l) / (r - l), (bottom - t) / (b - t), (right - l) / (r - l)];
}
function rectangle(token) {
  const [top, left, bottom, right] = box(token), w = overlay.width, h = overlay.height;
  return [left * w, top * h, (right - left) * w, (bottom - top) * h];
}
function paint() {
  if (!data) return;
  const scale = window.devicePixelRatio || 1, size = overlay.getBoundingClientRect();
  overlay.width = Math.round(size.width * scale); overlay.height = Math.round(size.height * scale);
  context.lineWidth = Math.max(1, scale * 0.6);
  for (let token = 0; token < data.boxes.length; token++) {
    const area = rectangle(token);
    if (heat) {
      const [r, g, b] = cividis((heat.values[token] - heat.low) / (heat.high - heat.low || 1));
      context.fillStyle = 'rgba(' + r + ',' + g + ',' + b + ',.72)';
      context.fillRect(...area);
    }
    context.strokeStyle = 'rgba(255,255,255,.35)';
    context.strokeRect(...area);
  }
  const outline = (token, colour, width) => {
    context.lineWidth = (width + 2) * scale; context.strokeStyle = '#fff'; context.strokeRect(...rectangle(token));
    context.lineWidth = width * scale; context.strokeStyle = colour; context.strokeRect(...rectangle(token));
  };
  for (const token of selected) outline(token, '#e8590c', 2.5);
  if (hovered >= 0 && !selected.includes(hovered)) outline(hovered, '#111', 1.5);
}
function describe() {
  const token = hovered >= 0 ? hovered : selected.length ? selected[selected.length - 1] : -1;
  if (!data) return;
  if (token < 0) { where.textContent = heat ? heat.label : data.boxes.length + ' patches. Hover for index and place, click to select.'; return; }
  const [top, left, bottom, right] = data.boxes[token].map(value => Math.round(value * 10) / 10);
  where.textContent = 'patch ' + token + ' · row ' + Math.floor(token / data.columns) + ', column ' + token % data.columns +
    ' · pixels ' + left + '–' + right + ' across, ' + top + '–' + bottom + ' down · position ' + data.positions[token] + ' in the sequence' +
    (heat ? ' · ' + heat.values[token].toFixed(4) : '');
}
function showDetail() {
  const detail = find('.detail');
  detail.hidden = !selected.length;
  element.dataset.selected = selected.join(',');
  if (!selected.length) return;
  const token = selected[selected.length - 1], canvas = find('.enlarged'), pen = canvas.getContext('2d');
  const row = Math.floor(token / data.columns), column = token % data.columns;
  const image = new Image();
  image.onload = () => {
    const w = image.naturalWidth / data.columns, h = image.naturalHeight / data.rows;
    pen.imageSmoothingEnabled = false;
    pen.drawImage(image, column * w, row * h, w, h, 0, 0, canvas.width, canvas.height);
  };
  image.src = data.received;
  const body = find('.numbers tbody');
  body.replaceChildren();
  for (const name of Object.keys(data.vectors)) {
    const line = make('tr'), head = make('th'), { width, first } = data.vectors[name];
    head.scope = 'row'; head.append(symbol(name)); line.append(head);
    line.append(make('td', '', 'length ' + data.norms[name][token].toFixed(1) + ':'));
    for (const value of first[token]) line.append(make('td', '', value.toFixed(2)));
    line.append(make('td', '', '… (' + width + ' numbers)'));
    body.append(line);
  }
}
function choose(tokens) { send('select', { tokens, source: 'grid' }); }
function tokenAt(event) {
  const size = overlay.getBoundingClientRect();
  const x = (event.clientX - size.left) / size.width, y = (event.clientY - size.top) / size.height;
  for (let token = 0; token < data.boxes.length; token++) {
    const [top, left, bottom, right] = box(token);
    if (x >= left && x < right && y >= top && y < bottom) return token;
  }
  return -1;
}
let dragging = false;
overlay.addEventListener('pointermove', event => {
  if (!data) return;
  const token = tokenAt(event);
  if (dragging && token >= 0 && !selected.includes(token)) choose([...selected, token]);
  if (token !== hovered) send('hover', { token });
});
overlay.addEventListener('pointerleave', () => { dragging = false; if (data) send('hover', { token: -1 }); });
overlay.addEventListener('pointerdown', event => {
  if (!data) return;
  const token = tokenAt(event), more = event.shiftKey || event.ctrlKey || event.metaKey;
  if (token < 0) return;
  dragging = event.pointerType === 'mouse'; cursor = token;
  if (more) choose(selected.includes(token) ? selected.filter(each => each !== token) : [...selected, token]);
  else choose([token]);
});
overlay.addEventListener('pointerup', () => { dragging = false; });
overlay.addEventListener('keydown', event => {
  if (!data) return;
  const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -data.columns, ArrowDown: data.columns }[event.key];
  if (move !== undefined) {
    event.preventDefault();
    const next = (selected.length ? cursor : -move) + move;
    if (next >= 0 && next < data.boxes.length) { cursor = next; choose(event.shiftKey ? [...new Set([...selected, next])] : [next]); }
  } else if (event.key === 'Escape') choose([]);
});
for (const button of element.querySelectorAll('.view')) button.addEventListener('click', () => {
  view = button.dataset.view;
  for (const other of element.querySelectorAll('.view')) other.setAttribute('aria-pressed', String(other === button));
  show();
});
on('hover', ({ token }) => { hovered = token; describe(); paint(); });
on('select', ({ tokens }) => { selected = tokens.slice(); if (tokens.length) cursor = tokens[tokens.length - 1]; describe(); if (data) showDetail(); paint(); });
on('heat', ({ values, label }) => {
  if (!data || (values && values.length !== data.boxes.length)) return;
  heat = values ? { values, label, low: Math.min(...values), high: Math.max(...values) } : null;
  describe(); paint();
});
function show() {
  picture.onload = () => { paint(); element.dataset.ready = String(+(element.dataset.ready || 0) + 1); };
  picture.alt = view === 'received' ? 'The photo as the model received it' : 'Your photo';
  picture.hidden = false;
  picture.src = data[view];
}
function load() {
  if (!props.value || !props.value.boxes) return;
  data = props.value; hovered = -1; heat = null; cursor = 0;
  send('select', { tokens: [], source: 'trace' });
  show(); describe();
}
new ResizeObserver(paint).observe(overlay);
watch('value', load);
load();
