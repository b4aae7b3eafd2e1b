// The answer as it comes, each token with its probability and what could have come instead; the prompt in grey above it.
const { store, element: make, cividis, rgb, ink, percent, visible, heading } = window.VTE;
const find = selector => element.querySelector(selector);
const text = find('.text'), tokens = find('.tokens'), box = find('.alternatives'), prompt = find('.prompt');
let steps = [];

heading(find('.head'), 'Answer', 'D_d', null, 'Brighter is surer. Hover or press an arrow key: what else could have come, what was seen.');
function alternatives(index) {
  for (const token of tokens.children) token.classList.toggle('on', +token.dataset.index === index);
  box.hidden = index < 0 || !steps[index];
  if (box.hidden) return;
  const step = steps[index];
  find('.title').textContent = '“' + visible(step.string) + '” ' + percent(step.probability) + (step.end ? ', the end of the answer' : '') + '; entropy ' + step.entropy.toFixed(2) + ' bits, as open as ' + (2 ** step.entropy).toFixed(1) + ' equal choices';
  const bar = share => { const node = make('span', 'share'); node.style.width = 52 * share + 'px'; return node; };
  // a setting, or chance, may have chosen one that is not among the most probable
  const among = step.alternatives.some(([string]) => string === step.string), rows = among ? step.alternatives : [...step.alternatives, [step.string, step.probability, step.decoding]];
  box.querySelector('tbody').replaceChildren(...rows.map(([string, probability, decoding]) => {
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
// What a word looked at: its attention to the picture over the photo. The mean of all layers came with the answer and is there at once,
// for the word under the pointer too; a single layer is asked for.
let pointed = -1, under = null;  // the word under the pointer; what lay over the photo before it came
function looked({ record, answer, step, word }) {
  const told = find('.looked-at'), hovering = pointed >= 0 && pointed !== step, index = hovering ? pointed : step, slider = find('.of'), glances = answer && answer.key && answer.looked;
  find('.looked').hidden = !(answer && answer.key && step >= 0 && record);
  const asked = word && !word.error && word.about[0] === index ? word : null, layers = asked ? asked.visual.shape[0] : record ? record.language_layers : 1, layer = hovering ? 0 : Math.min(+slider.value, layers), crossed = record && !record.positions;
  slider.max = layers;
  find('.which').textContent = layer ? layer + ' of ' + slider.max : 'all';
  told.textContent = '';
  if (!record || index < 0 || !(layer ? asked : glances)) { if (answer && answer.key && index >= 0 && word && word.error) told.textContent = word.error; clear(); return; }
  const relative = find('.relative').checked, count = record.token_kinds.length, values = new Float32Array(count), rows = layer ? null : glances.visual;
  for (let i = 0; i < count; i++) values[i] = layer ? asked.visual[(layer - 1) * count + i] : rows[index * count + i];
  if (relative && layer) for (let i = 0; i < count; i++) values[i] -= asked.mean[(layer - 1) * count + i];
  else if (relative) for (let j = 0; j < answer.steps.length; j++) for (let i = 0; i < count; i++) values[i] -= rows[j * count + i] / answer.steps.length;
  const share = kind => (layer && !crossed ? asked.shares[kind * asked.visual.shape[0] + layer - 1] : glances.shares[3 * index + kind]), said = '“' + visible(answer.steps[index].string) + '”';
  const where = (layer ? (crossed ? 'cross-attention layer ' : 'layer ') + layer : crossed ? 'mean of the cross-attention layers' : 'mean of all layers') + (relative ? ', less the mean of all words' : '');
  const read = crossed ? '. Layers of cross-attention read the picture; all others read the prompt (' + percent(share(1)) + ') and earlier words (' + percent(share(2)) + ')' : '. It was read from the picture (' + percent(share(0)) + '), the prompt (' + percent(share(1)) + ') and earlier words (' + percent(share(2)) + ')';
  told.textContent = crossed ? said + ' looked at the picture in layers of their own; in the others ' + percent(share(1)) + ' of what it was read from was the prompt, ' + percent(share(2)) + ' earlier words. What lights up was read; that alone does not prove that it mattered.' : 'Of what ' + said + ' was read from, ' + percent(share(0)) + ' was the picture, ' + percent(share(1)) + ' the prompt, ' + percent(share(2)) + ' earlier words. What lights up was read; that alone does not prove that it mattered.';
  if (hovering || find('.look').checked) store.set({ overlay: { values, of: 'token', signed: relative, from: 'answer', label: 'what ' + said + ' looked at, ' + where + read } });
  else clear();
}
function clear() { if (store.state.overlay && store.state.overlay.from === 'answer') store.set({ overlay: null }); }
function point(index) {
  if (index === pointed) return;
  const { overlay, answer } = store.state;
  if (pointed < 0 && overlay && overlay.from !== 'answer') under = { of: answer, overlay };
  pointed = index;
  looked(store.state);
  if (index < 0 && under && under.of === answer && !store.state.overlay) store.set({ overlay: under.overlay });
  if (index < 0) under = null;
}
for (const control of ['.look', '.of', '.relative']) find(control).addEventListener('input', () => looked(store.state));
const indexOf = event => { const node = event.target.closest('.token'); return node ? +node.dataset.index : -1; };
tokens.addEventListener('mouseover', event => { const index = indexOf(event); if (index >= 0) { alternatives(index); point(index); } });
tokens.addEventListener('mouseleave', () => { point(-1); alternatives(store.state.step >= 0 ? store.state.step : steps.length && !store.state.busy ? 0 : -1); });
tokens.addEventListener('focusin', event => store.set({ step: indexOf(event) }));
tokens.addEventListener('click', event => { const index = indexOf(event); if (index >= 0) store.set({ step: index }); });
tokens.addEventListener('keydown', event => {
  const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key], next = move && tokens.children[indexOf(event) + move];
  if (next) { event.preventDefault(); next.tabIndex = 0; next.focus(); }
});
store.subscribe(['record', 'answer', 'busy', 'step'], write);
store.subscribe(['record', 'answer', 'step', 'word'], looked);
store.subscribe(['earlier'], ({ earlier }) => { find('.earlier').hidden = !earlier; find('.earlier').textContent = earlier; });
