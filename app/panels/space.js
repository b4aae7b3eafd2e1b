// Visual and text tokens of the language model's input space in one plot. Plotly draws the axes and reads zoom, lasso and clicks;
// the points are drawn on a canvas over it, because a whole redraw takes 2 ms there and fifty in Plotly. They are there before Plotly is,
// which takes a browser a second to read: until then they are hovered and clicked on the canvas itself.
let P = null;  // a copy of our own: a gr.Plot on the page would put another version into window.Plotly
const { store, element: make, heading, stageView, cividis, GROUPS, rgb, gradient, visible, number, extremes, steer, point, pick, patchesOf, rectangles, boxOf, boardImage, saveLayers, saveButton } = window.VTE;
const find = selector => element.querySelector(selector);
const plot = find('.plot'), dots = find('.dots'), pen = dots.getContext('2d'), colour = find('.colour');
let listening = false, coming = null, place = null, fill = null, picture = null, turn = { a: 0.6, b: 0.4, zoom: 1 };

// Reads Plotly, once; the plot is then drawn again, with axes.
function plotly() {
  return coming = coming || new Promise((go, fail) => {
    const script = make('script');
    script.src = props.plotly; script.onerror = fail;
    script.onload = () => { P = window.Plotly; go(); };
    requestAnimationFrame(() => setTimeout(() => document.head.append(script)));  // once what is drawn is in sight
  }).then(() => { if (store.state.plane && store.state.open.includes('space')) rebuild(store.state); }, () => {});  // without Plotly there are no axes
}
// Axes and points, one on the other; in space there are no axes.
async function save() {
  const { plane } = store.state;
  if (!plane || !place) return;
  await plotly();
  const [w, h] = [dots.clientWidth, dots.clientHeight], axes = new Image();
  if (P && flat(store.state)) {  // on white, whatever the theme
    const { layout } = plot, dark = axis => ({ ...axis, color: '#333', title: { ...axis.title, font: { size: 11, color: '#333' } } });
    axes.src = await P.toImage({ data: plot.data, layout: { ...layout, xaxis: dark(layout.xaxis), yaxis: dark(layout.yaxis) } }, { format: 'png', width: w, height: h, scale: 2 });
    await axes.decode();
  }
  saveLayers('Token space, VT + TT: ' + find('.caption').textContent, [axes.src ? axes : null, dots], w, h);
}
find('.saving').append(saveButton('Save the plot as a picture: PNG', save, '⤓ PNG'));
const MARGIN = { l: 44, r: 8, t: 4, b: 36 };
const flat = ({ plane }) => plane.points.shape[1] === 2;
const counts = ({ record }) => [record.token_kinds.length, record.text.strings.length];
const of = token => [token, patchesOf(token).length ? patchesOf(token)[0] : -1];
function axes({ plane }) {
  const ink = getComputedStyle(element).getPropertyValue('--body-text-color').trim() || '#333', name = { pca: 'PCA', umap: 'UMAP', tsne: 't-SNE' }[plane.method];
  const share = i => (plane.explained.length ? ' (' + (100 * plane.explained[i]).toFixed(1) + ' % of the variance)' : '');
  const axis = i => ({ title: { text: name + ' ' + (i + 1) + share(i), font: { size: 11 } }, zeroline: false, gridcolor: 'rgba(128,128,128,.2)', color: ink, tickfont: { size: 10 } });
  return { margin: MARGIN, hovermode: 'closest', paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', font: { color: ink }, showlegend: false, dragmode: 'zoom',
    xaxis: axis(0), yaxis: axis(1), uirevision: plane.method + plane.settings };
}
// Where the axes are: Plotly's, or where they will be, with as much room around the points.
function frame({ plane: { points } }) {
  if (plot._fullLayout) { const { xaxis, yaxis, _size } = plot._fullLayout; return { ..._size, x: value => xaxis._offset + xaxis.d2p(value), y: value => yaxis._offset + yaxis.d2p(value) }; }
  const { l, t } = MARGIN, w = plot.clientWidth - l - MARGIN.r, h = plot.clientHeight - t - MARGIN.b;
  const share = axis => {
    let low = Infinity, high = -Infinity;
    for (let i = axis; i < points.length; i += 2) { low = Math.min(low, points[i]); high = Math.max(high, points[i]); }
    const room = 0.07 * (high - low) || 1;
    return value => (value - low + room) / (high - low + 2 * room);
  };
  const [across, up] = [share(0), share(1)];
  return { l, t, w, h, x: value => l + w * across(value), y: value => t + h * (1 - up(value)) };
}
// Where every point stands, as x, y on the canvas: in the plane by the axes, in space by the angle it is turned to.
function locate(state) {
  const { points } = state.plane, count = points.shape[0], at = new Float32Array(2 * count);
  if (flat(state)) {
    const { x, y } = frame(state);
    for (let i = 0; i < count; i++) { at[2 * i] = x(points[2 * i]); at[2 * i + 1] = y(points[2 * i + 1]); }
    return at;
  }
  const middle = [0, 1, 2].map(axis => { let sum = 0; for (let i = 0; i < count; i++) sum += points[3 * i + axis]; return sum / count; });
  let reach = 1e-9;
  for (let i = 0; i < count; i++) reach = Math.max(reach, Math.hypot(points[3 * i] - middle[0], points[3 * i + 1] - middle[1], points[3 * i + 2] - middle[2]));
  const w = plot.clientWidth, h = plot.clientHeight, unit = turn.zoom * Math.min(w, h) / 2.1 / reach, [ca, sa, cb, sb] = [Math.cos(turn.a), Math.sin(turn.a), Math.cos(turn.b), Math.sin(turn.b)];
  for (let i = 0; i < count; i++) {
    const [x, y, z] = [0, 1, 2].map(axis => points[3 * i + axis] - middle[axis]), u = ca * x + sa * z, v = ca * z - sa * x;
    at[2 * i] = w / 2 + unit * u; at[2 * i + 1] = h / 2 - unit * (cb * y - sb * v);
  }
  return at;
}
function colours(state) {
  const { record, words } = state, [count] = counts(state), key = find('.key'), [low, high] = extremes(record.numbers.VT.norms);
  const groups = words && words.groups, nearest = words && words.words.map(([[word]]) => word);
  const common = nearest && [...nearest.reduce((all, word) => all.set(word, (all.get(word) || 0) + 1), new Map())].sort((a, b) => b[1] - a[1]).slice(0, 7).map(([word]) => word);
  const by = {
    thumbnail: i => by.patch(i),
    patch: i => [record.colours[3 * i], record.colours[3 * i + 1], record.colours[3 * i + 2]],
    position: i => {
      const box = boxOf(i);
      if (!box) return '#999999';
      const [x, y] = [(box[1] + box[3]) / 2 / record.photo_size[1], (box[0] + box[2]) / 2 / record.photo_size[0]].map(share => Math.min(Math.max(share, 0), 1));
      return [230 * x + 20, 110 + 60 * (1 - y), 230 * y + 20].map(Math.round);
    },
    norm: i => cividis((record.numbers.VT.norms[i] - low) / (high - low || 1)),
    rgb: i => [record.connector.after.rgb[3 * i], record.connector.after.rgb[3 * i + 1], record.connector.after.rgb[3 * i + 2]],
    group: i => (groups ? GROUPS[groups[i] % GROUPS.length] : '#999'),
    word: i => (common && common.includes(nearest[i]) ? GROUPS[common.indexOf(nearest[i])] : '#999999'),
  };
  key.replaceChildren();
  const swatch = (shade, text) => { const dot = make('span', '', '●'); dot.style.color = shade; key.append(dot, make('span', '', text)); };
  if (colour.value === 'norm') { const bar = make('span', 'bar'); bar.style.background = gradient(cividis); key.append(make('span', '', number(low)), bar, make('span', '', number(high))); }
  if (colour.value === 'word') { if (common) { common.forEach((word, i) => swatch(GROUPS[i], visible(word))); swatch('#999999', 'others'); } else key.append('comes with the end of the answer'); }
  if (colour.value === 'group') { if (groups) [...new Set(groups)].sort().forEach(group => swatch(GROUPS[group % GROUPS.length], String(group))); else key.append('comes with the end of the answer'); }
  if (colour.value === 'position') key.append('redder to the right, bluer downwards' + (record.kinds.every(each => each === 'patch') ? '' : ', grey without a place'));
  return Array.from({ length: count }, (_, i) => { const shade = by[colour.value](i); return typeof shade === 'string' ? shade : rgb(shade); });
}
function paint(state) {
  if (!place || !state.plane || !state.record) return;
  const { record, selected, hovered, text } = state, [count, words] = counts(state), scale = window.devicePixelRatio || 1;
  const w = Math.round(dots.clientWidth * scale), h = Math.round(dots.clientHeight * scale);
  if (dots.width !== w || dots.height !== h) { dots.width = w; dots.height = h; }
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, w, h);
  const area = flat(state) && frame(state);
  pen.save();
  if (area) { pen.beginPath(); pen.rect(area.l - 6, area.t - 6, area.w + 12, area.h + 12); pen.clip(); }
  const chosen = new Set(selected), inside = i => place[2 * i] > 0 && place[2 * i] < dots.clientWidth && place[2 * i + 1] > 0 && place[2 * i + 1] < dots.clientHeight;
  let near = 0;
  for (let i = 0; i < count; i++) near += inside(i);
  const always = colour.value === 'thumbnail', close = near <= 64 && near > 0, pictures = picture && picture.complete && (always || (find('.thumbnails').checked && close)), side = always && !close ? 14 : 26;
  const cell = picture ? picture.naturalWidth / record.columns : 0;
  const dot = (i, radius) => { pen.beginPath(); pen.arc(place[2 * i], place[2 * i + 1], radius, 0, 6.2832); };
  const token = i => {
    pen.globalAlpha = chosen.size && !chosen.has(i) ? 0.18 : 1;
    if (pictures && patchesOf(i).length) {
      const [[row, column, rows, columns]] = rectangles(i);
      if (inside(i)) pen.drawImage(picture, column * cell, row * cell, columns * cell, rows * cell, place[2 * i] - side / 2, place[2 * i + 1] - side / 2, side, side);
      return;
    }
    pen.fillStyle = chosen.size && !chosen.has(i) ? '#888' : fill[i];
    dot(i, 4.2); pen.fill();
    pen.lineWidth = 0.8; pen.strokeStyle = 'rgba(90,90,90,.9)'; pen.stroke();
  };
  for (let i = 0; i < count; i++) if (!chosen.has(i)) token(i);
  pen.globalAlpha = chosen.size ? 0.35 : 1;
  for (let i = 0; i < words; i++) {
    const [x, y] = [place[2 * (count + i)], place[2 * (count + i) + 1]];
    pen.fillStyle = '#0072b2'; pen.strokeStyle = '#fff'; pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(x, y - 6); pen.lineTo(x + 6, y); pen.lineTo(x, y + 6); pen.lineTo(x - 6, y); pen.closePath(); pen.fill(); pen.stroke();
  }
  for (const i of selected) token(i);
  pen.globalAlpha = 1;
  const ring = (i, shade, radius) => { pen.lineWidth = 4.5; pen.strokeStyle = '#fff'; dot(i, radius); pen.stroke(); pen.lineWidth = 2.5; pen.strokeStyle = shade; dot(i, radius); pen.stroke(); };
  const radius = pictures ? side * 0.73 : 8;
  if (selected.length <= 120) for (const i of selected) ring(i, '#e8590c', radius);
  if (hovered >= 0 && hovered < count) ring(hovered, '#111', radius);
  if (text >= 0 && text < words) ring(count + text, '#111', 9);
  pen.restore();
}
// What lies under the pointer: Plotly tells in the plane, in space we look ourselves.
const hover = i => { const [count] = counts(store.state); store.set({ text: i < count ? -1 : i - count }); point(i < 0 || i >= count ? [-1, -1] : of(i)); };
function nearest(event) {
  const size = dots.getBoundingClientRect(), x = event.clientX - size.left, y = event.clientY - size.top;
  let best = -1, distance = 12;
  for (let i = 0; i < place.length / 2; i++) { const d = Math.hypot(place[2 * i] - x, place[2 * i + 1] - y); if (d < distance) { best = i; distance = d; } }
  return best;
}
let drag = null;
dots.addEventListener('pointerdown', event => { drag = { x: event.clientX, y: event.clientY, ...turn, moved: false }; dots.setPointerCapture(event.pointerId); });
dots.addEventListener('pointermove', event => {
  if (!drag || !dots.classList.contains('turning')) { if (place) hover(nearest(event)); return; }
  drag.moved = drag.moved || Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 4;
  turn = { ...turn, a: drag.a + (event.clientX - drag.x) / 150, b: drag.b + (event.clientY - drag.y) / 150 };
  place = locate(store.state); paint(store.state);
});
dots.addEventListener('pointerup', event => {
  const was = drag; drag = null;
  if (was && !was.moved && place) { const i = nearest(event), [count] = counts(store.state); if (i >= 0 && i < count) pick(of(i), event); }
});
dots.addEventListener('pointerleave', () => { if (!drag) hover(-1); });
dots.addEventListener('wheel', event => { if (dots.classList.contains('turning')) { event.preventDefault(); turn = { ...turn, zoom: turn.zoom * (event.deltaY < 0 ? 1.12 : 0.89) }; place = locate(store.state); paint(store.state); } }, { passive: false });
dots.addEventListener('keydown', steer);
colour.addEventListener('change', () => { if (store.state.record && store.state.plane) { fill = colours(store.state); paint(store.state); } });
find('.thumbnails').addEventListener('change', () => paint(store.state));
function listen() {
  if (listening) return;
  listening = true;
  const index = met => met.curveNumber === 0 ? met.pointNumber : counts(store.state)[0] + met.pointNumber;
  plot.on('plotly_click', event => { const met = event.points[0]; if (met.curveNumber === 0) pick(of(met.pointNumber), event.event); });
  plot.on('plotly_selected', event => { if (event) store.set({ selected: event.points.filter(met => met.curveNumber === 0).map(met => met.pointNumber), patch: -1 }); });
  plot.on('plotly_hover', event => hover(index(event.points[0])));
  plot.on('plotly_unhover', () => hover(-1));
  for (const name of ['plotly_afterplot', 'plotly_relayouting']) plot.on(name, () => { if (store.state.plane && flat(store.state)) { place = locate(store.state); paint(store.state); } });
}
function rebuild(state) {
  const { plane, record } = state, [count] = counts(state), turning = !flat(state);
  dots.classList.toggle('turning', turning); plot.style.visibility = turning ? 'hidden' : '';
  const coordinate = (axis, from, to) => Array.from({ length: to - from }, (_, i) => plane.points[plane.points.shape[1] * (from + i) + axis]);
  // invisible, but there to be met by the pointer and the lasso
  const trace = (from, to) => ({ x: coordinate(0, from, to), y: coordinate(1, from, to), type: 'scatter', mode: 'markers', marker: { size: 11, opacity: 0 }, selected: { marker: { opacity: 0 } }, unselected: { marker: { opacity: 0 } }, hoverinfo: 'none' });
  const names = { pca: 'PCA', umap: 'UMAP keeps neighbours together; distances between groups mean little', tsne: 't-SNE keeps neighbours together; distances and sizes of groups mean little' };
  find('.caption').textContent = (plane.method === 'pca' ? (turning ? 'PCA in space, the three directions carry ' + plane.explained.map(share => (100 * share).toFixed(1) + ' %').join(', ') + '; drag to turn, wheel to zoom. ' : '') : names[plane.method] + ' (' + plane.settings + '). ') +
    'Dots are visual tokens, blue diamonds the prompt’s text tokens.';
  picture = boardImage(record, () => paint(store.state));
  fill = colours(state);
  const traces = [trace(0, count), trace(count, plane.points.shape[0])];
  const there = () => { if (store.state.plane !== plane) return; place = locate(store.state); paint(store.state); element.dataset.ready = record.run + ' ' + plane.method + ' ' + plane.settings; };
  dots.classList.toggle('alone', !P);
  if (!P) { requestAnimationFrame(there); plotly(); return; }  // in a frame of its own: while the page is built every look at its sizes costs a layout
  P.react(plot, traces, axes(state), { responsive: true, displaylogo: false, modeBarButtonsToRemove: ['autoScale2d'] }).then(() => {
    listen();
    there();
    element.dataset.axes = 'true';
  });
}
new ResizeObserver(() => {
  if (!place || !store.state.plane || !plot.clientWidth) return;
  if (plot._fullLayout) P.Plots.resize(plot);  // Plotly itself follows the window only: not a view that was hidden when it was drawn
  place = locate(store.state); paint(store.state);
}).observe(dots);
new MutationObserver(() => { if (store.state.plane && store.state.open.includes('space')) rebuild(store.state); }).observe(document.body, { attributes: true, attributeFilter: ['class'] });  // light and dark
stageView(element, 'space', ['record', 'plane', 'words', 'selected', 'hovered', 'text'], (state, changed) => {
  element.dataset.selected = state.selected.join(',');
  if (changed.has('record')) heading(find('.head'), 'Token space', 'VT + TT', state.record && state.record.numbers['VT + TT'].shape,
    'Visual and text tokens lie in one space, the language model’s own. Look for how far apart the two kinds are, and which patches lie together. Drag zooms, the lasso selects.');
  if (!state.plane || !state.record) { place = null; pen.clearRect(0, 0, dots.width, dots.height); return; }
  if (changed.has('plane') || changed.has('record') || !place || (P && !plot._fullLayout)) rebuild(state);
  else { if (changed.has('words')) fill = colours(state); paint(state); }
});
