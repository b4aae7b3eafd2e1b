// The answer as it comes, each token with its probability and what could have come instead.
// Value: {answer, finished, steps: [{string, probability, decoding, end, alternatives: [[string, probability, decoding]]}]}.
const { element: make, cividis, rgb, ink, percent, visible } = window.VTE;
const text = element.querySelector('.text'), tokens = element.querySelector('.tokens'), box = element.querySelector('.alternatives');
let steps = [], pinned = -1;

function alternatives(index) {
  for (const token of tokens.children) token.classList.toggle('on', +token.dataset.index === index);
  box.hidden = index < 0;
  if (index < 0) return;
  const step = steps[index];
  box.querySelector('.title').textContent = 'Token ' + (index + 1) + ': “' + visible(step.string) + '”, probability ' + percent(step.probability) + (step.end ? '. It ends the answer.' : '');
  box.querySelector('tbody').replaceChildren(...step.alternatives.map(([string, probability, decoding]) => {
    const row = make('tr', (string === step.string ? 'chosen' : '') + (decoding ? '' : ' ruled-out')), share = make('span', 'share'), cell = make('td');
    share.style.width = 120 * probability + 'px';
    cell.append(share, percent(probability));
    row.append(make('td', 'word', visible(string)), cell, make('td', '', decoding ? percent(decoding) : 'ruled out'));
    return row;
  }));
}
function token(step, index) {
  const node = make('span', 'token'), colour = cividis(step.probability);
  node.dataset.index = index; node.setAttribute('role', 'option'); node.tabIndex = index ? -1 : 0;
  node.style.background = rgb(colour); node.style.color = ink(colour);
  node.append(make('span', '', visible(step.string)), make('span', 'p', percent(step.probability)));
  return node;
}
function draw() {
  const value = props.value;
  if (!value || !value.steps) return;
  text.classList.toggle('waiting', !value.finished);
  text.textContent = value.answer || (value.finished ? '(the model ended its answer at once)' : '');
  const same = value.steps.length >= steps.length && steps.every((step, i) => step.string === value.steps[i].string && step.probability === value.steps[i].probability);
  if (!same || !value.steps.length) { tokens.replaceChildren(); pinned = -1; alternatives(-1); steps = []; }
  value.steps.slice(tokens.children.length).forEach((step, i) => tokens.append(token(step, tokens.children.length)));
  steps = value.steps;
  if (value.finished && pinned < 0 && steps.length) { pinned = 0; alternatives(0); }
  element.dataset.finished = String(value.finished);
}
const indexOf = event => { const node = event.target.closest('.token'); return node ? +node.dataset.index : -1; };
tokens.addEventListener('mouseover', event => { const index = indexOf(event); if (index >= 0) alternatives(index); });
tokens.addEventListener('mouseleave', () => alternatives(pinned));
tokens.addEventListener('focusin', event => { pinned = indexOf(event); alternatives(pinned); });
tokens.addEventListener('click', event => { const index = indexOf(event); if (index >= 0) { pinned = index; alternatives(index); } });
tokens.addEventListener('keydown', event => {
  const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key], next = move && tokens.children[indexOf(event) + move];
  if (next) { event.preventDefault(); next.tabIndex = 0; next.focus(); }
});
window.VTE.on('stop', () => { text.classList.remove('waiting'); if (steps.length) element.dataset.finished = 'true'; });
watch('value', draw);
draw();
