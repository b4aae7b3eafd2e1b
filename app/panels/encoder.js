// X': the patches inside the encoder, layer by layer: main directions as colours, lengths, who is alike, who looks at whom.
const { store, heading, stageView, GridMap, number, board, focusPatch, patchSteps, patchHint } = window.VTE;
const find = selector => element.querySelector(selector);
const slider = find('.layer'), background = find('.background'), over = find('.over');
const maps = Object.fromEntries(['rgb', 'norms', 'cosine', 'attention', 'rollout'].map(name => [name, new GridMap(find('.main'), name)]));
let heads = [];
slider.addEventListener('input', () => store.set({ layer: +slider.value }));
background.addEventListener('change', () => draw(store.state));
over.addEventListener('change', () => draw(store.state));

const layerOf = (array, layer) => { const width = array.length / array.shape[0]; return array.subarray(layer * width, (layer + 1) * width); };
const shares = explained => explained.map(share => (100 * share).toFixed(0)).join(' + ') + ' %';
function mean(attention) {
  const [count, width] = attention.shape, values = new Float32Array(width);
  for (let head = 0; head < count; head++) for (let i = 0; i < width; i++) values[i] += attention[head * width + i] / count;
  return values;
}
function draw({ record, rows, colours: all, layer }) {
  const patch = focusPatch();
  heading(find('.head'), 'Vision encoder', "X'", record && record.numbers["X'"].shape,
    'Look for things and their parts in one colour (PCA-RGB), and for single patches that are far longer than the rest: the encoder uses them as notepads, not as pictures of their place.');
  find('.hint').textContent = patchHint(rows, 'Select a patch to see which others are like it and which it looks at.') || (rows && rows.without_attention) || (all && all.error) || '';
  patchSteps(find('.steps'));
  if (!record) { for (const map of Object.values(maps)) map.show(null); return; }
  const { layers } = record, last = layers.norms.shape[0] - 1;
  slider.max = last; slider.value = layer;
  slider.disabled = !last;
  slider.setAttribute('aria-valuetext', layer ? 'layer ' + layer : 'before layer 1');
  find('.which').textContent = !last ? 'its output' : layer ? layer + ' of ' + last : 'before layer 1';
  const norms = layerOf(layers.norms, layer), limit = layers.limit[layer], outliers = norms.reduce((found, norm, i) => (norm > limit ? [...found, i] : found), []);
  const tint = all && !all.error && all.about[0] === layer && all[background.checked ? 'foreground' : 'rgb'];
  const there = rows && !rows.error && rows.about[0] === patch && rows.about[1] === layer, looks = there && rows.attention;
  // attention stays within its picture: with several only that one is shown
  const within = looks && record.pictures.length > 1 ? record.pictures[board(record).pictureOf[patch]].rectangle : undefined, looked = looks && { first: rows.among[0], within };
  const before = maps.rgb.map && maps.rgb.map.rgb.length === 3 * norms.length && maps.rgb.map;  // until the new one is there
  const mask = tint && background.checked && Uint8Array.from({ length: norms.length }, (_, i) => tint.rgb[3 * i] || tint.rgb[3 * i + 1] || tint.rgb[3 * i + 2]);
  const shown = {
    rgb: tint ? { rgb: tint.rgb, mask, label: 'PCA-RGB: ' + shares(tint.explained) + ' of the variance' } : before || null,
    norms: { values: norms, flags: outliers, label: 'length of each vector' + (outliers.length ? ' (× outlier)' : '') },
    cosine: there ? { values: rows.cosine, signed: true, low: -1, high: 1, label: 'cosine with patch ' + patch } : null,
    attention: looks ? { ...looked, values: mean(looks), label: 'patch ' + patch + ' looks at (mean of heads' + (rows.prefix ? '; ' + (100 * rows.elsewhere).toFixed(0) + ' % to ' + (rows.prefix > 1 ? 'CLS and registers)' : 'CLS)') : ')') } : null,
    rollout: looks ? { ...looked, values: rows.rollout, label: 'rollout of layers 1 to ' + layer } : null,
  };
  for (const [name, map] of Object.entries(maps)) map.show(shown[name]);
  const read = !last || !layers.read.length ? '' : layers.read.length > 1 ? 'X\u2032 is layers ' + layers.read.join(', ') + ' side by side. ' : 'X\u2032 is layer ' + layers.read[0] + '. ';
  find('.registers').textContent = read + (outliers.length
    ? outliers.length + ' of ' + norms.length + ' patches are outliers (“registers”), longer than three times the median, ' + number(limit) + ': ' + outliers.slice(0, 8).join(', ') + (outliers.length > 8 ? ' …' : '')
    : 'No patch is longer than three times the median (' + number(limit) + '): no outlier (“register”) tokens in this layer.');
  while (heads.length < (looks ? looks.shape[0] : 0)) { const map = new GridMap(find('.heads'), 'head'); map.host.classList.add('small'); heads.push(map); }
  heads.forEach((map, head) => map.show(looks && head < looks.shape[0] ? { ...looked, values: layerOf(looks, head), label: 'head ' + head } : null));
  const chosen = over.value ? shown[over.value] || null : null;
  if (over.value || (store.state.overlay && store.state.overlay.from === 'encoder')) store.set({ overlay: chosen && { ...chosen, from: 'encoder', label: 'layer ' + layer + ': ' + chosen.label } });
}
stageView(element, 'encoder', ['record', 'rows', 'colours', 'layer', 'selected', 'patch', 'hovered', 'under'], (state, changed) => {
  if (![...changed].some(name => name !== 'hovered' && name !== 'under')) { for (const map of [...Object.values(maps), ...heads]) map.mark(); return; }
  draw(state);
});
