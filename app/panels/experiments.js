// Change VT and answer again. The old answer's words tell what became of their probability; the new answer stands beside it.
const { store, element: make, cividis, signed, rgb, ink, percent, visible } = window.VTE;
const find = selector => element.querySelector(selector), kinds = [...element.querySelectorAll('.kind')];
let kind = 'remove';

function describe() {
  const { selected, record } = store.state, count = record ? record.token_kinds.length : 0, n = selected.length;
  find('.for-how').hidden = kind !== 'remove' && kind !== 'keep';
  find('.for-factor').hidden = kind !== 'rescale';
  find('.for-seed').hidden = kind !== 'shuffle' && find('.how').value !== 'noise';
  find('.told').textContent = kind === 'shuffle' ? 'All ' + count + ' visual tokens in another order: what is left of the answer needs no places.'
    : kind === 'rescale' ? 'All ' + count + ' visual tokens longer or shorter, their directions kept.'
    : (n ? n + ' of ' + count + ' visual tokens are selected. ' : 'Nothing is selected yet: click patches in the picture, or drag a box. ') +
      (find('.how').value === 'zero' ? 'Zero is nothing the model has ever seen: it exaggerates.' : find('.how').value === 'mean' ? 'The mean token says nothing about its place.' : '');
}
function choose(button) {
  kind = button.dataset.kind;
  for (const other of kinds) { const on = other === button; other.setAttribute('aria-checked', String(on)); other.tabIndex = on ? 0 : -1; }
  describe();
}
for (const button of kinds) button.addEventListener('click', () => choose(button));
find('.kinds').addEventListener('keydown', event => {
  const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key], at = kinds.indexOf(event.target);
  if (move && at >= 0) { event.preventDefault(); const next = kinds[(at + move + kinds.length) % kinds.length]; next.focus(); choose(next); }
});
find('.how').addEventListener('input', describe);
find('.go').addEventListener('click', () => {
  const { answer, selected } = store.state;
  trigger('experiment', { answer: answer ? answer.key : null, kind, how: find('.how').value, factor: +find('.factor').value, seed: Math.round(+find('.seed').value), tokens: [...selected] });
});
function token(text, share, colour, title) {
  const node = make('span', 'token');
  node.style.background = rgb(colour); node.style.color = ink(colour); node.title = title || '';
  node.append(make('span', '', visible(text)), make('span', 'p', share));
  return node;
}
function draw() {
  const value = props.value;
  find('.results').hidden = !value || !value.before;
  if (find('.results').hidden) { find('.sum').textContent = ''; return; }
  find('.first').textContent = value.answer; find('.second').textContent = value.again;
  find('.old').replaceChildren(...value.before.map(([text, before, after]) => token(text, percent(before) + ' → ' + percent(after), signed(Math.max(-1, Math.min(1, Math.log(Math.max(before, 1e-6) / Math.max(after, 1e-6)) / 3))), 'orange: less probable now')));
  find('.new').replaceChildren(...value.steps.map(step => token(step.string, percent(step.probability), cividis(step.probability))));
  find('.sum').textContent = 'The whole old answer is now ' + (value.change <= 0 ? Math.exp(-value.change).toPrecision(3) + ' times less' : Math.exp(value.change).toPrecision(3) + ' times more') + ' probable. Orange words lost, blue words gained. The new answer is always greedy.';
  element.dataset.finished = String(value.finished);
}
store.subscribe(['selected', 'record', 'answer'], describe);
choose(kinds[0]);
watch('value', draw);
draw();
