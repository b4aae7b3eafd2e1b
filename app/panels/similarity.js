// The contrastive lab: photos against texts. The cosines come from Python; every other reading and the losses are computed here, so that
// tau and the pairing can be moved without asking again. Value: see `payloads.similarity`.
const { store, element: make, term, cividis, signed, rgb, ink, percent, gradient, number, extremes } = window.VTE;
const find = selector => element.querySelector(selector);
const table = find('.matrix'), slider = find('.tau');
find('.base').append(term('τ', true));
const WORDS = {
  cosine: 'How alike the two vectors point: 1 the same way, 0 unrelated, −1 opposite. A perfect match is often only 0.2 to 0.4: photos and texts lie in two cones of their own.',
  logits: 'The cosine times e^τ: learned, so that small differences in angle become decisive.',
  image_to_text: 'For each photo, which text fits it? Each photo’s column sums to 100 %.',
  text_to_image: 'For each text, which photo fits it? Each text’s row sums to 100 %.',
  sigmoid: 'Each pair alone: does it belong together? What SigLIP is trained for; without its bias the numbers say little.',
};
let data = null, which = 'cosine', tau = 0, pairs = null, chosen = null, about = null;

const softmax = values => { const most = Math.max(...values), powers = values.map(value => Math.exp(value - most)), sum = powers.reduce((a, b) => a + b, 0); return powers.map(power => power / sum); };
const at = (i, t) => data.cosine[i * data.texts.length + t];
// Rows are photos, columns texts, as in the article.
function readings() {
  const photos = data.photos.map((_, i) => i), texts = data.texts.map((_, t) => t), scale = Math.exp(tau);
  const cosine = photos.map(i => texts.map(t => at(i, t))), logits = cosine.map(row => row.map(value => value * scale + (data.logit_bias || 0)));
  const columns = texts.map(t => softmax(photos.map(i => logits[i][t])));
  return { cosine, logits, image_to_text: logits.map(softmax), text_to_image: photos.map(i => texts.map(t => columns[t][i])), sigmoid: logits.map(row => row.map(value => 1 / (1 + Math.exp(-value)))) };
}
function losses(all) {
  if (data.photos.length !== data.texts.length) return null;
  const n = data.photos.length, mean = values => values.reduce((sum, value) => sum + value, 0) / n, of = (matrix, i) => -Math.log(Math.max(matrix[i][pairs[i]], 1e-300));
  const image = pairs.map((_, i) => of(all.image_to_text, i)), text = pairs.map((_, i) => of(all.text_to_image, i));
  const sigmoid = mean(all.logits.map((row, i) => row.reduce((sum, value, t) => sum + Math.log1p(Math.exp((pairs[i] === t ? -1 : 1) * value)), 0)));
  return { each: { image, text }, image: mean(image), text: mean(text), both: (mean(image) + mean(text)) / 2, sigmoid };
}
function draw() {
  const all = readings(), matrix = all[which], flat = matrix.flat(), probability = which.includes('_to_') || which === 'sigmoid';
  const [least, most] = extremes(flat), low = probability ? 0 : least, high = probability ? 1 : most, many = data.photos.length > 10;
  const show = value => (probability ? percent(value) : value.toFixed(which === 'logits' ? 2 : 3)), square = data.photos.length === data.texts.length;
  find('.words').textContent = WORDS[which];
  table.classList.toggle('many', many);
  const head = make('tr');
  head.append(make('th', '', ''));
  data.photos.forEach((photo, i) => { const cell = make('th'), image = make('img'); cell.scope = 'col'; image.src = photo; image.alt = 'photo ' + (i + 1); cell.append(image); head.append(cell); });
  table.replaceChildren(head, ...data.texts.map((text, t) => {
    const row = make('tr'), name = make('th', '', text);
    name.scope = 'row'; row.append(name);
    matrix.forEach((line, i) => {
      const cell = make('td', '', many ? (probability ? (100 * line[t]).toFixed(0) : line[t].toFixed(2).replace(/^(-?)0/, '$1')) : show(line[t])), colour = cividis((line[t] - low) / (high - low || 1));
      cell.style.background = rgb(colour); cell.style.color = ink(colour); cell.tabIndex = 0;
      cell.dataset.photo = i; cell.dataset.text = t; cell.setAttribute('role', 'button');
      cell.setAttribute('aria-label', 'photo ' + (i + 1) + ', ' + text + ': ' + show(line[t])); cell.title = show(line[t]);
      cell.classList.toggle('pair', square && pairs[i] === t); cell.classList.toggle('on', Boolean(chosen) && chosen[0] === i && chosen[1] === t);
      row.append(cell);
    });
    return row;
  }));
  const scale = find('.main > .scale');
  scale.children[0].textContent = show(low); scale.children[2].textContent = show(high); scale.children[1].style.background = gradient(cividis);
  const e = Math.exp(tau), bias = data.logit_bias === null ? '' : ' + bias ' + data.logit_bias.toFixed(2), learned = Math.abs(e - data.logit_scale) < 1e-6 * e;
  find('.tau-value').textContent = e.toFixed(2) + (learned ? ' (learned)' : '');
  find('.facts').textContent = 'logits = cosine · ' + e.toFixed(2) + bias + '.' + (square ? '' : ' The losses need pairs: as many photos as texts, and there are ' + data.photos.length + ' and ' + data.texts.length + '.');
  drawLosses(losses(all));
  drawRanked(all);
  element.dataset.ready = data.key;
}
function drawLosses(loss) {
  const host = find('.losses'), n = data.photos.length, chance = Math.log(n);
  find('.shuffle').hidden = !loss || n < 2; find('.given').hidden = !loss || pairs.every((t, i) => t === i);
  element.dataset.losses = loss ? [loss.image, loss.text, loss.both, loss.sigmoid].join(' ') : '';
  if (!loss) { host.replaceChildren(); return; }
  const top = Math.max(chance, loss.image, loss.text, ...loss.each.image, ...loss.each.text, 1e-9);
  const bar = (label, value, small) => {
    const row = make('div', 'loss'), track = make('div', 'track'), fill = make('div', 'fill'), mark = make('div', 'chance');
    fill.style.width = 100 * value / top + '%'; mark.style.left = 100 * chance / top + '%'; mark.title = 'guessing: ln ' + n + ' = ' + chance.toFixed(3);
    if (small) fill.style.opacity = 0.6;
    const name = make('span');
    name.append(...label);
    track.append(fill, mark); row.append(name, track, make('span', '', value.toFixed(3)));
    return row;
  };
  const rows = [bar([term('L_X', true), ' photo → text'], loss.image), bar([term('L_t', true), ' text → photo'], loss.text), bar([term('L', true), ', their mean'], loss.both)];
  if (n <= 8 && n > 1) pairs.forEach((t, i) => rows.push(bar(['photo ' + (i + 1) + ' – text ' + (t + 1)], (loss.each.image[i] + loss.each.text[i]) / 2, true)));
  if (data.logit_bias !== null) rows.push(make('p', '', 'Sigmoid loss, what this model was trained with: ' + loss.sigmoid.toFixed(3) + '.'));
  host.replaceChildren(...rows, make('p', '', n > 1 ? 'The line marks guessing, ln ' + n + ' = ' + chance.toFixed(3) + '. Framed cells are the pairs' + (pairs.every((t, i) => t === i) ? '' : ', shuffled now') + '.' : 'One pair alone has nothing to be confused with.'));
}
// A label for every text makes a classifier: the labels of one photo, the likeliest first.
function drawRanked(all) {
  const host = find('.ranked');
  host.hidden = !data.templates.length;
  if (host.hidden) return;
  const photo = chosen ? chosen[0] : 0, ranked = all.image_to_text[photo].map((share, t) => [share, t]).sort((a, b) => b[0] - a[0]).slice(0, 10);
  host.replaceChildren(make('p', 'view-words', 'Zero-shot: photo ' + (photo + 1) + ' among ' + data.texts.length + ' labels, as “' + data.templates[0] + '”' + (data.templates.length > 1 ? ' and ' + (data.templates.length - 1) + ' more sentences' : '')), ...ranked.map(([share, t]) => {
    const row = make('div', 'loss'), track = make('div', 'track'), fill = make('div', 'fill');
    fill.style.width = 100 * share + '%'; track.append(fill); row.append(make('span', '', data.texts[t]), track, make('span', '', percent(share)));
    return row;
  }));
}
function drawSpace() {
  const { points, gap, spread, explained } = data.space, canvas = find('.space-view canvas'), pen = canvas.getContext('2d'), count = data.photos.length, all = points.length / 2;
  const xs = [], ys = [];
  for (let i = 0; i < all; i++) { xs.push(points[2 * i]); ys.push(points[2 * i + 1]); }
  const [left, right] = extremes(xs), [bottom, top] = extremes(ys), place = i => [20 + (xs[i] - left) / (right - left || 1) * (canvas.width - 40), canvas.height - 20 - (ys[i] - bottom) / (top - bottom || 1) * (canvas.height - 40)];
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const mean = (from, to) => { let x = 0, y = 0; for (let i = from; i < to; i++) { x += place(i)[0]; y += place(i)[1]; } return [x / (to - from), y / (to - from)]; };
  const a = mean(0, count), b = mean(count, all);
  pen.setLineDash([5, 4]); pen.strokeStyle = '#888'; pen.lineWidth = 2; pen.beginPath(); pen.moveTo(...a); pen.lineTo(...b); pen.stroke(); pen.setLineDash([]);
  for (let i = count; i < all; i++) { const [x, y] = place(i); pen.fillStyle = '#0072b2'; pen.beginPath(); pen.moveTo(x, y - 6); pen.lineTo(x + 6, y); pen.lineTo(x, y + 6); pen.lineTo(x - 6, y); pen.fill(); }
  data.photos.forEach((source, i) => { const image = new Image(), [x, y] = place(i); image.onload = () => pen.drawImage(image, x - 11, y - 9, 22, 18); image.src = source; });
  const text = 'The space itself: photos, and texts as blue diamonds (PCA' + (explained.length ? ', ' + explained.map(share => (100 * share).toFixed(0)).join(' + ') + ' % of the variance' : '') + '). The gap between the two means is ' + gap.toFixed(2) +
    '; photos lie ' + spread[0].toFixed(2) + ' from theirs, texts ' + spread[1].toFixed(2) + '.';
  find('.space-view figcaption').textContent = text; canvas.setAttribute('aria-label', text);
}
function drawCell() {
  const view = find('.cell-view'), [i, t] = chosen || [];
  view.hidden = !chosen || !about;
  if (view.hidden) return;
  const canvas = find('.cell-map'), pen = canvas.getContext('2d'), said = find('.cell-words'), label = '“' + data.texts[t] + '”', image = new Image();
  canvas.hidden = !about.patches; find('.cell-view .scale').hidden = !about.patches; find('.switch-row').hidden = !about.corrected;
  const list = find('.sentence'), most = Math.max(...about.words.map(([, change]) => Math.abs(change)), 1e-9);
  list.replaceChildren('Each word left out changes the cosine by: ');
  about.words.forEach(([word, change]) => { const node = make('span', 'word-change', word + ' ' + (change > 0 ? '+' : '') + change.toFixed(3) + ' '), colour = signed(-change / most); node.style.background = rgb(colour); node.style.color = ink(colour); list.append(node, ' '); });
  if (!about.patches) { said.textContent = about.error || 'This tower has no patches in the joint space, so there is no map of ' + label + '.'; return; }
  const corrected = about.corrected && find('.corrected').checked, values = corrected ? about.corrected : about.patches, [low, high] = extremes(values), boxes = about.boxes, [height, width] = data.sizes[i];
  said.textContent = about.exact
    ? 'What each patch of photo ' + (i + 1) + ' adds to ' + label + ': CLS ' + about.cls.toFixed(3) + ' + mean of the patches ' + (values.reduce((a, b) => a + b, 0) / values.length).toFixed(3) + ' = cosine ' + about.cosine.toFixed(3) + ', exactly.'
    : 'How near each patch of photo ' + (i + 1) + ' is to ' + label + '. ' + (corrected ? 'In the last layer each patch looks only at itself (Zhou et al., 2022).' : 'Such maps are known to invert: the background lights up (Li et al., CLIP Surgery, 2023). They do not add up to the score.');
  image.onload = () => {
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    pen.drawImage(image, 0, 0);
    const w = canvas.width / width, h = canvas.height / height;
    values.forEach((value, p) => { const [r, g, b] = cividis((value - low) / (high - low || 1)); pen.fillStyle = 'rgba(' + r + ',' + g + ',' + b + ',.72)'; pen.fillRect(boxes[4 * p + 1] * w, boxes[4 * p] * h, (boxes[4 * p + 3] - boxes[4 * p + 1]) * w + 0.3, (boxes[4 * p + 2] - boxes[4 * p]) * h + 0.3); });
    element.dataset.cell = chosen.join(',');
  };
  image.src = data.photos[i];
  const scale = find('.cell-view .scale');
  scale.children[0].textContent = number(low); scale.children[2].textContent = number(high); scale.children[1].style.background = gradient(cividis);
}
function choose(event) {
  const cell = event.target.closest('td');
  if (!cell) return;
  chosen = [+cell.dataset.photo, +cell.dataset.text]; about = null;
  const asked = data;
  draw();
  server.cell([data.key, ...chosen]).then(answer => { if (data === asked && chosen && cell.dataset.photo == chosen[0] && cell.dataset.text == chosen[1]) { about = { words: [], ...window.VTE.store.unpack(answer) }; drawCell(); } });
}
table.addEventListener('click', choose);
table.addEventListener('keydown', event => {
  if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); choose(event); }
  const move = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key], cell = event.target.closest('td');
  if (!move || !cell) return;
  event.preventDefault();
  const next = table.querySelector('td[data-photo="' + (+cell.dataset.photo + move[0]) + '"][data-text="' + (+cell.dataset.text + move[1]) + '"]');
  if (next) next.focus();
});
for (const button of element.querySelectorAll('.which')) button.addEventListener('click', () => {
  which = button.dataset.name;
  for (const other of element.querySelectorAll('.which')) other.setAttribute('aria-pressed', String(other === button));
  draw();
});
slider.addEventListener('input', () => { tau = +slider.value; draw(); });
find('.learned').addEventListener('click', () => { tau = Math.log(data.logit_scale); slider.value = tau; draw(); });
find('.shuffle').addEventListener('click', () => {
  const before = pairs.join();
  do for (let i = pairs.length - 1; i > 0; i--) { const j = Math.floor(Math.random() * (i + 1)); [pairs[i], pairs[j]] = [pairs[j], pairs[i]]; } while (pairs.join() === before || pairs.every((t, i) => t === i));
  draw();
});
find('.given').addEventListener('click', () => { pairs = data.photos.map((_, i) => i); draw(); });
find('.corrected').addEventListener('change', drawCell);
function load() {
  find('.lab').hidden = !props.value || !props.value.key;
  element.dataset.ready = '';
  const first = element.closest('#similarity');
  if (find('.lab').hidden) { data = null; if (first) store.set({ lab: null }); return; }
  data = window.VTE.store.unpack(props.value);
  chosen = null; about = null; pairs = data.photos.map((_, i) => i); tau = Math.log(data.logit_scale); slider.value = tau;
  find('.model').textContent = 'Model: ' + data.model;
  find('.notes').replaceChildren(...data.notes.map(note => make('li', '', note)));
  draw(); drawSpace(); drawCell();
  if (first) store.set({ lab: data });  // for the lesson and the glossary
}
watch('value', load);
load();
