// m_gamma: which patches become which token, lengths and main directions before and after, and how long visual tokens are beside text tokens.
const { store, heading, stageView, GridMap, extremes, number, shape, patchesOf, kind, shown } = window.VTE;
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
// Which patches the token that is looked at is made of.
function merged({ record }) {
  const [token] = shown(), list = token < 0 ? [] : patchesOf(token);
  find('.made-of').textContent = token < 0 ? (record.token_patches.shape[1] > 1 ? 'Hover over a token: the patches it is made of are outlined.' : '')
    : list.length ? 'Visual token ' + token + ' is made of patch' + (list.length > 1 ? 'es ' : ' ') + (list.length > 12 ? list.slice(0, 12).join(', ') + ' … (' + list.length + ')' : list.join(', ')) + '.'
    : 'Visual token ' + token + ' is a ' + kind(record, token) + ' token: it is made of no patch of its own.';
}
stageView(element, 'connector', ['record', 'hovered', 'under', 'selected', 'patch'], (state, changed) => {
  const { record } = state;
  if (!changed.has('record')) { for (const map of maps) map.mark(); if (record) merged(state); return; }
  heading(find('.head'), 'Connector', 'm_γ', record && record.numbers['VT'].shape, 'It turns the patches’ features into vectors the language model can read as if they were words. Look for what it keeps apart and what it makes alike.');
  if (!record) { for (const map of maps) map.show(null); return; }
  const { before, after } = record.connector, given = record.numbers["X'"], made = record.numbers['VT'];
  maps[0].show({ rgb: before.rgb, label: "X': main directions, " + shares(before.explained) });
  maps[1].show({ rgb: after.rgb, of: 'token', label: 'VT: main directions, ' + shares(after.explained) });
  maps[2].show({ values: given.norms, label: "X': length of each row" });
  maps[3].show({ values: made.norms, of: 'token', label: 'VT: length of each token' });
  find('.merge').textContent = record.merge + ' X\u2032, ' + shape(given.shape) + ' numbers, becomes VT, ' + shape(made.shape) + '.';
  merged(state);
  const visual = made.norms, text = record.text.norms;
  find('.lengths figcaption').textContent = 'Lengths on one axis: visual tokens ' + number(mean(visual)) + ' on average, text tokens ' + number(mean(text)) + ': ' + (mean(visual) / mean(text)).toFixed(1) + ' times.';
  find('.lengths canvas').setAttribute('aria-label', find('.lengths figcaption').textContent);
  histogram(find('.lengths canvas'), [{ name: 'visual tokens', values: visual, colour: '#d55e00', place: 44 }, { name: 'text tokens', values: text, colour: '#0072b2', place: 88 }]);
});
