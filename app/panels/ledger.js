// The token ledger: what each family spends on one size, and on photos of the same shape from small to large. Value: see `payloads.ledger`.
const { store, element: make, GROUPS } = window.VTE;
const find = selector => element.querySelector(selector), canvas = find('canvas'), pen = canvas.getContext('2d');
const DASHES = [[], [6, 3], [2, 3], [8, 2, 2, 2]];  // eight colours for more lines: the dashes tell the rest apart
const four = find('.four');
let data = null, lit = -1;
four.addEventListener('change', () => plot());

// Families that spend the same on every size share a line; it is named after the first.
function lines(rows, curve, across) {
  const by = new Map();
  rows.forEach((row, f) => {
    if (four.checked && !row.compared) return;
    const key = curve.subarray(f * across, (f + 1) * across).join();
    by.set(key, [...(by.get(key) || []), f]);
  });
  return [...by.values()].map(families => ({ f: families[0], families }));
}
function plot() {
  const { rows, sides, curve } = data, across = sides.length, ink = getComputedStyle(element).getPropertyValue('--body-text-color').trim() || '#333';
  const shown = lines(rows, curve, across);
  const drawn = shown.flatMap(({ f }) => Array.from(curve.subarray(f * across, (f + 1) * across))), most = Math.max(...drawn), least = Math.max(1, Math.min(...drawn)), left = 44, bottom = canvas.height - 30, right = canvas.width - 122, top = 10;
  const x = side => left + (side - sides[0]) / (sides[across - 1] - sides[0]) * (right - left), y = tokens => bottom - Math.log(Math.max(tokens, least) / least) / Math.log(most / least) * (bottom - top);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.font = '11px system-ui, sans-serif'; pen.fillStyle = ink; pen.strokeStyle = 'rgba(128,128,128,.3)'; pen.lineWidth = 1; pen.setLineDash([]);
  for (const tokens of [10, 32, 100, 316, 1000, 3162, 10000]) if (tokens >= least && tokens <= most) { pen.beginPath(); pen.moveTo(left, y(tokens)); pen.lineTo(right, y(tokens)); pen.stroke(); pen.textAlign = 'right'; pen.fillText(tokens.toLocaleString('en'), left - 4, y(tokens) + 4); }
  pen.textAlign = 'center';
  for (const side of [256, 512, 1024, 1536, 2048]) pen.fillText(side, x(side), bottom + 13);
  pen.fillText('longest side of the photo in pixels; upwards visual tokens, about three times as many at each line', canvas.width / 2, canvas.height - 4, canvas.width - 10);
  const ends = shown.map((line, i) => ({ ...line, colour: GROUPS[i % 8], dash: DASHES[Math.floor(i / 8) % DASHES.length], at: y(curve[line.f * across + across - 1]) })).sort((a, b) => a.at - b.at);
  ends.forEach((end, i) => { if (i) end.at = Math.max(end.at, ends[i - 1].at + 12); });
  const over = Math.max(0, ends.length && ends[ends.length - 1].at - bottom);
  for (let i = ends.length - 1, most = bottom; over && i >= 0; i--) { ends[i].at = Math.min(ends[i].at, most); most = ends[i].at - 12; }
  for (const { f, families, colour, dash, at } of ends) {
    const on = families.includes(lit);
    pen.strokeStyle = colour; pen.lineWidth = on ? 4 : 2; pen.globalAlpha = lit >= 0 && !on ? 0.3 : 1; pen.setLineDash(dash);
    pen.beginPath(); sides.forEach((side, i) => pen[i ? 'lineTo' : 'moveTo'](x(side), y(curve[f * across + i]))); pen.stroke();
    pen.setLineDash([]); pen.fillStyle = colour; pen.fillRect(right + 4, at - 3, 7, 7); pen.fillStyle = ink; pen.textAlign = 'left'; pen.fillText(rows[f].family + (families.length > 1 ? ' +' + (families.length - 1) : ''), right + 14, at + 4);
  }
  pen.globalAlpha = 1; pen.strokeStyle = ink; pen.lineWidth = 1; pen.setLineDash([3, 3]);
  const here = Math.max(data.width, data.height);
  if (here >= sides[0] && here <= sides[across - 1]) { pen.beginPath(); pen.moveTo(x(here), top); pen.lineTo(x(here), bottom); pen.stroke(); }
  pen.setLineDash([]);
  canvas.setAttribute('aria-label', 'Visual tokens of each family over the size of the photo; the table holds those of this size');
}
function load() {
  find('.ledger').hidden = !props.value || !props.value.rows;
  if (find('.ledger').hidden) return;
  data = store.unpack(props.value);
  find('.said').textContent = 'A photo of ' + data.width.toLocaleString('en') + ' × ' + data.height.toLocaleString('en') + ' pixels. Some families spend the same on every photo, some the more the larger it is: look where the lines cross.';
  find('tbody').replaceChildren(...data.rows.map((row, f) => {
    const line = make('tr'), name = make('td', '', row.family);
    name.title = row.checkpoint;
    line.append(name, make('td', '', row.tokens.toLocaleString('en')), make('td', '', row.why));
    line.addEventListener('pointerenter', () => { lit = f; plot(); }); line.addEventListener('pointerleave', () => { lit = -1; plot(); });
    return line;
  }));
  plot();
  element.dataset.ready = data.width + ' ' + data.height;
}
new MutationObserver(() => { if (data) plot(); }).observe(document.body, { attributes: true, attributeFilter: ['class'] });
watch('value', load);
load();
