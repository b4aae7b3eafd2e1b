// The answer as it comes, each token with its probability and what could have come instead; the prompt in grey above it.
const { store, element: make, cividis, rgb, ink, percent, visible, heading } = window.VTE;
const find = selector => element.querySelector(selector);
const text = find('.text'), tokens = find('.tokens'), box = find('.alternatives'), prompt = find('.prompt');
let steps = [];

heading(find('.head'), 'Answer', 'D_d', null, 'Brighter is surer. Hover, click or press an arrow key: what could have come instead?');
function alternatives(index) {
  for (const token of tokens.children) token.classList.toggle('on', +token.dataset.index === index);
  box.hidden = index < 0 || !steps[index];
  if (box.hidden) return;
  const step = steps[index];
  find('.title').textContent = '“' + visible(step.string) + '” ' + percent(step.probability) + (step.end ? ', the end of the answer' : '') + '; entropy ' + step.entropy.toFixed(2) + ' bits, as open as ' + (2 ** step.entropy).toFixed(1) + ' equal choices';
  const bar = share => { const node = make('span', 'share'); node.style.width = 52 * share + 'px'; return node; };
  box.querySelector('tbody').replaceChildren(...step.alternatives.map(([string, probability, decoding]) => {
    const row = make('tr', (string === step.string ? 'chosen' : '') + (decoding ? '' : ' ruled-out')), before = make('td'), after = make('td');
    before.append(bar(probability), percent(probability));
    if (decoding) after.append(bar(decoding));
    after.append(decoding ? percent(decoding) : 'ruled out');
    row.append(make('td', 'word', visible(string)), before, after);
    return row;
  }));
}
function token(step, index) {
  const node = make('span', 'token'), colour = cividis(step.probability);
  node.dataset.index = index; node.setAttribute('role', 'option'); node.setAttribute('aria-selected', 'false'); node.tabIndex = index ? -1 : 0;
  node.setAttribute('aria-label', visible(step.string) + ', ' + percent(step.probability));
  node.style.background = rgb(colour); node.style.color = ink(colour);
  node.append(make('span', '', visible(step.string)), make('span', 'p', percent(step.probability)));
  return node;
}
function write({ record, answer, busy, step }, changed) {
  if (changed.has('record')) {
    prompt.replaceChildren();
    if (record) {
      // a number is the place of so many visual tokens
      prompt.append(...record.prompt.map(part => (typeof part === 'number' ? make('span', 'picture', ' ' + part.toLocaleString('en') + ' visual tokens ') : visible(part))));
      if (!record.positions) prompt.append(' ', make('span', 'picture', ' ' + record.token_kinds.length.toLocaleString('en') + ' visual tokens, beside it '));
    }
  }
  const said = answer ? answer.steps : [];
  const same = said.length >= steps.length && steps.every((old, i) => old.string === said[i].string && old.probability === said[i].probability);
  if (!same || !said.length) tokens.replaceChildren();
  said.slice(tokens.children.length).forEach(each => tokens.append(token(each, tokens.children.length)));
  steps = said;
  const finished = Boolean(answer && (answer.finished || !busy));
  text.classList.toggle('waiting', Boolean(busy));
  text.textContent = answer ? answer.answer || (answer.finished ? '(the model ended its answer at once)' : '') : '';
  alternatives(step >= 0 ? step : finished && steps.length ? 0 : -1);
  element.dataset.finished = String(finished && steps.length > 0 && !busy);
}
// What the word in focus looked at: its attention to the picture, of one layer or of all, over the photo.
function looked({ record, answer, step, word }) {
  const host = find('.looked'), told = find('.looked-at'), there = answer && answer.key && step >= 0 && record;
  host.hidden = !there;
  if (!there || !word || word.error || word.about[0] !== step) { told.textContent = there && word && word.error ? word.error : ''; if (!there) clear(); return; }
  const [layers, count] = word.visual.shape, slider = find('.of'), layer = Math.min(+slider.value, layers), values = new Float32Array(count);
  slider.max = layers;
  find('.which').textContent = layer ? layer + ' of ' + layers : 'all';
  const chosen = layer ? [layer - 1] : Array.from({ length: layers }, (_, i) => i), relative = find('.relative').checked;
  for (const l of chosen) for (let i = 0; i < count; i++) values[i] += (word.visual[l * count + i] - (relative ? word.mean[l * count + i] : 0)) / chosen.length;
  const share = kind => chosen.reduce((sum, l) => sum + word.shares[kind * layers + l], 0) / chosen.length;
  told.textContent = 'Of what “' + visible(answer.steps[step].string) + '” was read from, ' + percent(share(0)) + ' was the picture, ' + percent(share(1)) + ' the prompt, ' + percent(share(2)) + ' earlier words. What lights up was read; that alone does not prove that it mattered.';
  if (find('.look').checked) store.set({ overlay: { values, of: 'token', signed: relative, from: 'answer', label: 'what “' + visible(answer.steps[step].string) + '” looked at, ' + (layer ? 'layer ' + layer : 'mean of all layers') + (relative ? ', less the mean of all words' : '') } });
  else clear();
}
function clear() { if (store.state.overlay && store.state.overlay.from === 'answer') store.set({ overlay: null }); }
for (const control of ['.look', '.of', '.relative']) find(control).addEventListener('input', () => looked(store.state));
const indexOf = event => { const node = event.target.closest('.token'); return node ? +node.dataset.index : -1; };
tokens.addEventListener('mouseover', event => { const index = indexOf(event); if (index >= 0) alternatives(index); });
tokens.addEventListener('mouseleave', () => alternatives(store.state.step >= 0 ? store.state.step : steps.length && !store.state.busy ? 0 : -1));
tokens.addEventListener('focusin', event => store.set({ step: indexOf(event) }));
tokens.addEventListener('click', event => { const index = indexOf(event); if (index >= 0) store.set({ step: index }); });
tokens.addEventListener('keydown', event => {
  const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key], next = move && tokens.children[indexOf(event) + move];
  if (next) { event.preventDefault(); next.tabIndex = 0; next.focus(); }
});
store.subscribe(['record', 'answer', 'busy', 'step'], write);
store.subscribe(['record', 'answer', 'step', 'word'], looked);
