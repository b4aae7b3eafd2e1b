// What a word of the answer looked at: by layer and head, rolled out, without sinks; what it hangs on; and whether that mattered.
const { store, heading, stageView, GridMap, element: make, cividis, rgb, ink, percent, visible, extremes } = window.VTE;
const find = selector => element.querySelector(selector), SHARE = 0.1;  // of the tokens count as lit, as in `vlm.inspect.ablation`
const LABELS = { mean: 'mean of the heads', clean: 'without sinks', relative: 'less the mean of all words', rollout: 'rollout through all layers', relevancy: 'relevancy: gradient × attention' };
const maps = Object.fromEntries(Object.keys(LABELS).map(name => [name, new GridMap(find('.main'), LABELS[name])]));
let heads = [], shown = null, asked = '', options = '';
const known = new Map();

const layerOf = (array, row) => { const width = array.length / array.shape[0]; return array.subarray(row * width, (row + 1) * width); };
const word = () => visible((store.state.answer.steps[step()] || { string: '' }).string);
const step = () => (store.state.step >= 0 && store.state.answer && store.state.step < store.state.answer.steps.length ? store.state.step : 0);
// Asked once for each answer, word and layer; what came back is drawn if it is still wanted.
function fetch_(name, ...about) {
  const key = [name, ...about].join(' ');
  if (known.has(key)) return known.get(key);
  if (asked.includes(key + ';')) return null;
  asked += key + ';';
  store.call(name, about).then(reply => { known.set(key, reply); while (known.size > 200) known.delete(known.keys().next().value); }, error => known.set(key, { error: String(error) })).finally(() => { asked = asked.replace(key + ';', ''); draw(store.state, new Set(['word'])); });
  return null;
}
find('.of').addEventListener('input', () => draw(store.state, new Set(['layer'])));
find('.over').addEventListener('change', () => draw(store.state, new Set(['layer'])));
find('.of-word').addEventListener('change', event => store.set({ step: +event.target.value }));
find('.check').addEventListener('click', () => {
  const { answer } = store.state, name = find('.which-map').value, values = shown && shown[name];
  if (!values) return;
  const order = Array.from(values.keys()).sort((a, b) => values[b] - values[a]).slice(0, Math.max(1, Math.round(SHARE * values.length))), key = [answer.key, step(), name, find('.of').value].join(' ');
  find('.verdict').textContent = 'Asking the model again, with and without them …';
  store.call('ablation', [answer.key, step(), order]).then(reply => {
    if (key !== [store.state.answer && store.state.answer.key, step(), find('.which-map').value, find('.of').value].join(' ')) return;
    const times = change => (change <= 0 ? Math.exp(-change).toPrecision(3) + ' times less' : Math.exp(change).toPrecision(3) + ' times more') + ' probable';
    find('.verdict').textContent = reply.error || 'Without the ' + reply.count + ' brightest tokens (the mean token in their place) “' + word() + '” is ' + times(reply.lit) + '; without as many drawn by chance ' + times(reply.mean) + ' (spread ' + reply.spread.toFixed(2) + ' nats, ' + reply.random.length + ' draws). ' + (reply.mattered ? 'They mattered more than any that were drawn.' : 'That is no more than chance: what is lit was read, but the word does not hang on it.');
  }, error => { find('.verdict').textContent = String(error); });
});
function words(values, strings) {
  const [, most] = extremes(values);
  find('.words').replaceChildren(...strings.map((string, i) => {
    const node = make('span', '', visible(string)), colour = cividis(values[i] / (most || 1));
    node.style.background = rgb(colour); node.style.color = ink(colour); node.title = percent(values[i]);
    return node;
  }));
}
function draw(state, changed) {
  const { record, answer } = state;
  if ([...changed].every(name => ['hovered', 'under', 'patch', 'selected'].includes(name))) { for (const map of [...Object.values(maps), ...heads]) map.mark(); return; }
  heading(find('.head'), 'What a word looked at', 'g_φ', null, 'Look for a word whose map lights its thing, and for tokens that are lit whatever the word is: sinks. What lights up was read; that alone does not prove that it mattered, so ask.');
  const ready = record && answer && answer.key, beside = record && !record.positions, now = step(), layer = +find('.of').value;
  const seen = ready && state.open.includes('looked') ? fetch_('looked', answer.key, now, layer) : null;
  const hangs = seen && !seen.error ? fetch_('relevancy', answer.key, now) : null;
  find('.hint').textContent = !record ? 'Run a question first.' : !ready ? 'Comes with the end of the answer.' : seen && seen.error ? seen.error : seen ? (hangs && hangs.error) || (beside ? 'This model reads the picture by cross-attention, beside the sequence: these are the layers that do. Rollout and relevancy go through all layers.' : '') : store.late(answer.key) || 'Reading what “' + word() + '” looked at …';
  if (ready && options !== answer.key) {
    options = answer.key;
    find('.of-word').replaceChildren(...answer.steps.map((each, i) => { const option = make('option', '', visible(each.string)); option.value = i; return option; }));
  }
  if (ready) find('.of-word').value = now;
  if (changed.has('step') || changed.has('answer') || changed.has('layer')) find('.verdict').textContent = '';
  const there = seen && !seen.error ? seen : null;
  if (there) { find('.of').max = there.numbers.length; find('.which').textContent = layer ? there.numbers[layer - 1] + ' of ' + record.language_layers : 'all'; }
  shown = there && { mean: there.mean, clean: there.clean, relative: there.relative, rollout: there.rollout, relevancy: hangs && !hangs.error ? hangs.values : null };
  const unit = name => (name === 'relevancy' ? '' : '%'), scaled = (name, values) => (unit(name) ? values.map(value => 100 * value) : values);
  const flagged = there ? there.sinks.flatMap(([token]) => window.VTE.patchesOf(token).slice(0, 1)) : [];
  for (const name of Object.keys(maps)) maps[name].show(shown && shown[name] ? { values: scaled(name, shown[name]), of: 'token', unit: unit(name), signed: name === 'relative', flags: name === 'mean' ? flagged : [], label: LABELS[name] + (name === 'mean' && flagged.length ? ' (× sink)' : '') } : null);
  while (heads.length < (there ? there.heads.shape[0] : 0)) {
    const map = new GridMap(find('.heads'), 'head'), option = make('option', '', 'head ' + heads.length);
    map.host.classList.add('small'); option.value = 'head ' + heads.length;
    find('.which-map').append(option); heads.push(map);
  }
  if (shown) for (let head = 0; head < there.heads.shape[0]; head++) shown['head ' + head] = layerOf(there.heads, head);
  heads.forEach((map, head) => map.show(there && head < there.heads.shape[0] ? { values: scaled('mean', layerOf(there.heads, head)), of: 'token', unit: '%', label: 'head ' + head } : null));
  find('.check-row').hidden = !there;
  find('.text-row').hidden = !there || beside;
  // heads with a sink of their own read less than all
  const unread = shares => { const rest = 1 - shares.reduce((sum, each) => sum + each, 0); return rest > .005 ? '; ' + percent(rest) + ' went nowhere, into sinks that the heads have of their own' : ''; };
  const share = hangs && !hangs.error ? ' By relevancy the picture’s share is ' + percent(hangs.share) + '.' : '';
  find('.shares').textContent = !there ? '' : beside ? share.trim() : 'Of what “' + word() + '” was read from, ' + percent(there.shares[0]) + ' was the picture, ' + percent(there.shares[1]) + ' the prompt' + (there.first === null ? '' : ' (' + percent(there.first) + ' its first token alone)') + ', ' + percent(there.shares[2]) + ' earlier words' + unread(there.shares) + '.' + share;
  find('.sinks').replaceChildren(...(there ? there.sinks.slice(0, 5).map(([, why]) => make('li', '', why)) : []), ...(there && !there.sinks.length ? [make('li', '', 'No visual token of this picture is a sink: none has the dimensions of the first token, and none stands out in the encoder.')] : []));
  if (there && there.text) words(there.text, record.text.strings);
  const over = find('.over').value, chosen = over && shown && shown[over] ? { values: shown[over], of: 'token', signed: over === 'relative', from: 'looked', label: '“' + word() + '”: ' + LABELS[over] + (layer ? ', layer ' + there.numbers[layer - 1] : '') } : null;
  if (chosen || (store.state.overlay && store.state.overlay.from === 'looked')) store.set({ overlay: chosen });
  element.dataset.word = there ? String(now) : '';
}
stageView(element, 'looked', ['record', 'answer', 'step', 'selected', 'hovered', 'patch', 'under'], draw);
