// m_gamma: lengths and main directions before and after, and how long visual tokens are beside text tokens.
const { store, heading, stageView, GridMap, extremes, number } = window.VTE;
const find = selector => element.querySelector(selector);
const maps = ['before', 'after', 'lengths before', 'lengths after'].map(name => new GridMap(find('.maps'), name));
const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;
const shares = explained => explained.map(share => (100 * share).toFixed(0) + ' %').join(', ');
function histogram(canvas, groups) {
  const pen = canvas.getContext('2d'), [low, high] = extremes(groups.flatMap(group => Array.from(group.values))), bins = 48, width = canvas.width / bins;
  const ink = getComputedStyle(element).getPropertyValue('--body-text-color').trim() || '#333';
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (const { values, colour, place } of groups) {
    const counts = new Array(bins).fill(0);
    for (const value of values) counts[Math.min(bins - 1, Math.floor((value - low) / (high - low || 1) * bins))]++;
    const most = Math.max(...counts);
    pen.fillStyle = colour;
    counts.forEach((count, i) => { if (count) pen.fillRect(i * width, place - Math.max(2, 30 * count / most), width - 1, Math.max(2, 30 * count / most)); });
  }
  pen.fillStyle = ink; pen.font = '12px system-ui, sans-serif';
  pen.fillText(number(low), 2, canvas.height - 3);
  pen.textAlign = 'right'; pen.fillText(number(high), canvas.width - 2, canvas.height - 3); pen.textAlign = 'left';
  for (const { name, place } of groups) { pen.textAlign = 'right'; pen.fillText(name, canvas.width - 2, place - 22); pen.textAlign = 'left'; }
}
stageView(element, 'connector', ['record', 'hovered', 'selected'], ({ record }, changed) => {
  if (!changed.has('record')) { for (const map of maps) map.mark(); return; }
  heading(find('.head'), 'Connector', 'm_γ', record && record.numbers['VT'].shape, 'It turns each patch’s features into a vector the language model can read as if it were a word. Look for what it keeps apart and what it makes alike.');
  if (!record) { for (const map of maps) map.show(null); return; }
  const { before, after } = record.connector, given = record.numbers["X'"], made = record.numbers['VT'];
  maps[0].show({ rgb: before.rgb, label: "X': main directions, " + shares(before.explained) });
  maps[1].show({ rgb: after.rgb, label: 'VT: main directions, ' + shares(after.explained) });
  maps[2].show({ values: given.norms, label: "X': length of each row" });
  maps[3].show({ values: made.norms, label: 'VT: length of each token' });
  find('.merge').textContent = given.shape[0] === made.shape[0]
    ? 'One patch becomes one visual token: ' + made.shape[0] + ' of ' + given.shape[1] + ' numbers become ' + made.shape[0] + ' of ' + made.shape[1] + '.'
    : given.shape[0] + ' patches are merged into ' + made.shape[0] + ' visual tokens.';
  const visual = made.norms, text = record.text.norms;
  find('.lengths figcaption').textContent = 'Lengths on one axis: visual tokens ' + number(mean(visual)) + ' on average, text tokens ' + number(mean(text)) + ': ' + (mean(visual) / mean(text)).toFixed(1) + ' times.';
  find('.lengths canvas').setAttribute('aria-label', find('.lengths figcaption').textContent);
  histogram(find('.lengths canvas'), [{ name: 'visual tokens', values: visual, colour: '#d55e00', place: 44 }, { name: 'text tokens', values: text, colour: '#0072b2', place: 88 }]);
});
