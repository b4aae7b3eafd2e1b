// Photos against texts: one matrix at a time, e^tau and the losses; a text under the pointer paints its patch shares over the photo.
// Value: {photos, texts, matrices, logit_scale, logit_bias, losses, shares}.
const { element: make, cividis, rgb, ink, percent, store, gradient } = window.VTE;
const table = element.querySelector('.matrix'), words = element.querySelector('.words'), facts = element.querySelector('.facts');
const WORDS = {
  cosine: 'How alike the two vectors point: 1 the same way, 0 unrelated, −1 opposite.',
  logits: 'The cosine times e^τ: learned, so that small differences in angle become decisive.',
  image_to_text: 'For each photo, which text fits it? Each photo’s column sums to 100 %.',
  text_to_image: 'For each text, which photo fits it? Each text’s row sums to 100 %.',
};
let which = 'cosine';

function draw() {
  const value = props.value;
  words.textContent = WORDS[which];
  if (!value || !value.texts) return;
  const matrix = value.matrices[which], all = matrix.flat(), probability = which.includes('_to_');
  const low = probability ? 0 : Math.min(...all), high = probability ? 1 : Math.max(...all);
  const number = share => (probability ? percent(share) : share.toFixed(which === 'logits' ? 2 : 3));
  const head = make('tr');
  head.append(make('th', '', ''));
  value.photos.forEach((photo, i) => {
    const cell = make('th'), image = make('img');
    cell.scope = 'col'; image.src = photo; image.alt = 'photo ' + (i + 1); cell.append(image); head.append(cell);
  });
  const rows = value.texts.map((text, t) => {
    const row = make('tr'), name = make('th', '', text);
    name.scope = 'row'; row.append(name); row.dataset.text = t;
    matrix.forEach((line, i) => {
      const cell = make('td', '', number(line[t])), colour = cividis((line[t] - low) / (high - low || 1));
      cell.style.background = rgb(colour); cell.style.color = ink(colour); cell.tabIndex = 0;
      cell.setAttribute('aria-label', 'photo ' + (i + 1) + ', ' + text + ': ' + cell.textContent);
      row.append(cell);
    });
    return row;
  });
  element.querySelector('.scale').hidden = false;
  element.querySelector('.low').textContent = number(low); element.querySelector('.high').textContent = number(high);
  element.querySelector('.colours').style.background = gradient(cividis);
  table.replaceChildren(head, ...rows);
  const bias = value.logit_bias ? ' + ' + value.logit_bias.toFixed(2) : '', n = value.photos.length;
  facts.textContent = 'e^τ = ' + value.logit_scale.toFixed(2) + ', so logits = cosine · ' + value.logit_scale.toFixed(2) + bias + '. ' + (value.losses
    ? 'Taking photo 1 with text 1 and so on: L_X = ' + value.losses.image.toFixed(3) + ', L_t = ' + value.losses.text.toFixed(3) + ', L = ' + value.losses.both.toFixed(3) +
      (n > 1 ? ' (guessing would give ' + Math.log(n).toFixed(3) + ').' : '. One pair alone has nothing to be confused with.')
    : 'The losses need pairs: as many photos as texts, and there are ' + n + ' and ' + value.texts.length + '.');
  element.dataset.ready = String(+(element.dataset.ready || 0) + 1);
}
function heat(event) {
  const row = event.target.closest('tr'), value = props.value;
  if (!value || !value.shares || !row || row.dataset.text === undefined) return;
  const t = +row.dataset.text;
  const { record } = store.state, values = value.shares.patches[t];
  if (!record || record.positions.length !== values.length) return;
  store.set({ overlay: { values, from: 'similarity', label: 'What each patch adds to “' + value.texts[t] + '”: CLS ' + value.shares.class[t].toFixed(3) + ' + mean of the patches = cosine ' + value.matrices.cosine[0][t].toFixed(3) } });
}
const cold = () => { if (store.state.overlay && store.state.overlay.from === 'similarity') store.set({ overlay: null }); };
table.addEventListener('mouseover', heat);
table.addEventListener('focusin', heat);
table.addEventListener('mouseleave', cold);
table.addEventListener('focusout', cold);
for (const button of element.querySelectorAll('.which')) button.addEventListener('click', () => {
  which = button.dataset.name;
  for (const other of element.querySelectorAll('.which')) other.setAttribute('aria-pressed', String(other === button));
  draw();
});
watch('value', draw);
draw();
