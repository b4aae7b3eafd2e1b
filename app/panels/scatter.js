// The token space of a page that was taken home: the same points as in the token space of the page, drawn without Plotly.
const { store, heading, visible, rgb, point, pick, steer, patchesOf, where, shown } = window.VTE;
const dots = element.querySelector('.dots'), told = element.querySelector('.told'), pen = dots.getContext('2d');
const NAMES = { pca: 'PCA', umap: 'UMAP', tsne: 't-SNE' }, MARGIN = 14;
let place = null;

const of = token => [token, patchesOf(token).length ? patchesOf(token)[0] : -1];
// Where every point stands on the canvas: its first two coordinates, the second one upwards.
function locate({ points }) {
  const [count, size] = points.shape, w = dots.clientWidth - 2 * MARGIN, h = dots.clientHeight - 2 * MARGIN, at = new Float32Array(2 * count);
  for (const axis of [0, 1]) {
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < count; i++) { low = Math.min(low, points[size * i + axis]); high = Math.max(high, points[size * i + axis]); }
    for (let i = 0; i < count; i++) { const share = (points[size * i + axis] - low) / (high - low || 1); at[2 * i + axis] = MARGIN + (axis ? 1 - share : share) * (axis ? h : w); }
  }
  return at;
}
function paint({ record, selected, hovered, text }) {
  const scale = window.devicePixelRatio || 1, count = record.token_kinds.length, chosen = new Set(selected);
  dots.width = Math.round(dots.clientWidth * scale); dots.height = Math.round(dots.clientHeight * scale);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  const circle = (i, radius) => { pen.beginPath(); pen.arc(place[2 * i], place[2 * i + 1], radius, 0, 6.2832); };
  for (let i = 0; i < count; i++) {
    pen.globalAlpha = chosen.size && !chosen.has(i) ? 0.25 : 1;
    pen.fillStyle = rgb([record.colours[3 * i], record.colours[3 * i + 1], record.colours[3 * i + 2]]); pen.strokeStyle = 'rgba(90,90,90,.9)'; pen.lineWidth = 0.8;
    circle(i, 4.2); pen.fill(); pen.stroke();
  }
  pen.globalAlpha = chosen.size ? 0.35 : 1;
  for (let i = count; i < place.length / 2; i++) {
    const [x, y] = [place[2 * i], place[2 * i + 1]];
    pen.fillStyle = '#0072b2'; pen.strokeStyle = '#fff'; pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(x, y - 6); pen.lineTo(x + 6, y); pen.lineTo(x, y + 6); pen.lineTo(x - 6, y); pen.closePath(); pen.fill(); pen.stroke();
  }
  pen.globalAlpha = 1;
  const ring = (i, shade) => { for (const [colour, width] of [['#fff', 4.5], [shade, 2.5]]) { pen.strokeStyle = colour; pen.lineWidth = width; circle(i, 8); pen.stroke(); } };
  for (const i of selected) ring(i, '#e8590c');
  if (hovered >= 0) ring(hovered, '#111');
  if (text >= 0) ring(count + text, '#111');
}
function nearest(event) {
  const size = dots.getBoundingClientRect(), x = event.clientX - size.left, y = event.clientY - size.top;
  let best = -1, distance = 12;
  for (let i = 0; place && i < place.length / 2; i++) { const d = Math.hypot(place[2 * i] - x, place[2 * i + 1] - y); if (d < distance) { best = i; distance = d; } }
  return best;
}
function hover(i) {
  const count = store.state.record.token_kinds.length;
  store.set({ text: i < count ? -1 : i - count });
  point(i < 0 || i >= count ? [-1, -1] : of(i));
}
dots.addEventListener('pointermove', event => hover(nearest(event)));
dots.addEventListener('pointerleave', () => hover(-1));
dots.addEventListener('click', event => { const i = nearest(event); if (i >= 0 && i < store.state.record.token_kinds.length) pick(of(i), event); });
dots.addEventListener('keydown', steer);
new ResizeObserver(() => { if (place) { place = locate(store.state.plane); paint(store.state); } }).observe(dots);
store.subscribe(['record', 'plane', 'selected', 'hovered', 'under', 'text'], (state, changed) => {
  const { record, plane, text } = state;
  if (!record || !plane) return;
  if (changed.has('plane')) {
    const share = i => (plane.explained.length ? ' (' + (100 * plane.explained[i]).toFixed(1) + ' %)' : '');
    heading(element.querySelector('.head'), 'Token space', 'VT + TT', record.numbers['VT + TT'].shape,
      'Visual tokens (dots in the colour of their patch) and text tokens (blue diamonds) in one space. To the right ' + NAMES[plane.method] + ' 1' + share(0) + ', upwards ' + NAMES[plane.method] + ' 2' + share(1) + (plane.settings ? '; ' + plane.settings : '') + '.');
    place = locate(plane);
  }
  paint(state);
  const [token, patch] = shown();
  told.textContent = text >= 0 ? 'text token “' + visible(record.text.strings[text]) + '”' : token >= 0 ? where(token, patch) : '';
  element.dataset.hovered = state.hovered;
});
