// Change VT, or who may look at it, and answer again: the old answer's words tell what became of their probability, the new answer stands beside it.
// The sweep cuts every way from the picture to a word, window by window of layers.
const { store, element: make, cividis, signed, rgb, ink, percent, visible, gradient } = window.VTE;
const find = selector => element.querySelector(selector), kinds = [...element.querySelectorAll('.kind')];
let kind = 'remove';

// The earlier runs of the same model with other photos, the newest of each.
const [photoOf, modelOf] = [run => run.split('-')[0], run => run.split('-')[0].split('.')[1]];
let photos = [];
function offer({ history, record }) {
  const seen = new Set(record ? [photoOf(record.run)] : []), select = find('.other'), chosen = select.value;
  photos = history.map(run => run.record).filter(each => record && modelOf(each.run) === modelOf(record.run) && !seen.has(photoOf(each.run)) && seen.add(photoOf(each.run)));
  select.replaceChildren(...photos.map(each => { const option = make('option', '', each.question.slice(0, 40)); option.value = each.run; return option; }));
  if (photos.some(each => each.run === chosen)) select.value = chosen;
}
let layers = 0;
function limit({ record }) {
  if (!record || layers === record.language_layers) return;
  layers = record.language_layers;
  for (const name of ['.first-layer', '.last-layer', '.layer']) find(name).max = layers;
  find('.last-layer').value = layers; find('.layer').value = Math.min(2, layers);
}
const focused = () => { const { answer, step } = store.state, steps = answer ? answer.steps : []; return steps.length ? (step >= 0 && step < steps.length ? step : 0) : -1; };

function describe() {
  const { selected, record, answer } = store.state, count = record ? record.token_kinds.length : 0, n = selected.length, how = find('.how').value;
  offer(store.state); limit(store.state);
  const noise = (kind === 'remove' || kind === 'keep') && how === 'noise', from = photos.find(each => each.run === find('.other').value);
  for (const label of element.querySelectorAll('[data-for]')) { const kinds = label.dataset.for.split(' '); label.hidden = !kinds.includes(kind) && !(noise && kinds.includes('noise')); }
  find('.other-photo').hidden = !from;
  if (from) { find('.other-photo').src = from.received; find('.other-photo').alt = 'The photo the tokens are taken from'; }
  const chosen = n ? n + ' of ' + count + ' visual tokens are selected. ' : 'Nothing is selected yet: click patches in the picture, or drag a box. ';
  const words = {
    shuffle: 'All ' + count + ' visual tokens in another order: what is left of the answer needs no places.',
    rescale: 'All ' + count + ' visual tokens longer or shorter, their directions kept.',
    paste: photos.length ? chosen + 'In their places come the other photo’s tokens that lie nearest, both photos stretched over each other.' : 'Ask this model about another photo first, then come back to this run: its tokens can be pasted here.',
    knockout: 'In these layers (of ' + layers + ') the one can no longer be read by the other; nothing is set to zero. “Answer” is the last position of the prompt and every word after it.',
    fastv: 'After this layer (of ' + layers + ') nobody reads that share of the ' + count + ' visual tokens: those that the last position of the prompt looked at least.',
  };
  find('.told').textContent = words[kind] || chosen + (how === 'zero' ? 'Zero is nothing the model has ever seen: it exaggerates.' : how === 'mean' ? 'The mean token says nothing about its place.' : '');
  const word = focused();
  find('.sweep-of').textContent = word < 0 ? 'By which way does a word come from the picture? Run a question first.' : 'By which way does “' + visible(answer.steps[word].string) + '” come from the picture? Every way is cut, window by window of layers. Click another word of the answer to ask about that one.';
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
for (const name of ['.how', '.other']) find(name).addEventListener('input', describe);
const number = name => +find(name).value, whole = name => Math.round(number(name));
find('.go').addEventListener('click', () => {
  const { answer, selected } = store.state;
  trigger('experiment', {
    answer: answer ? answer.key : null, kind, tokens: [...selected], how: find('.how').value, other: find('.other').value, factor: number('.factor'), seed: whole('.seed'),
    way: find('.way').value, first: whole('.first-layer'), last: whole('.last-layer'), layer: whole('.layer'), share: number('.share'), word: find('.chosen').value,
  });
});
find('.sweep').addEventListener('click', () => { const { answer } = store.state; trigger('experiment', { answer: answer ? answer.key : null, kind: 'sweep', step: focused() }); });
const times = change => (Math.abs(change) < 0.005 ? 'as probable as before' : (change <= 0 ? Math.exp(-change).toPrecision(3) + ' times less' : Math.exp(change).toPrecision(3) + ' times more') + ' probable');
// A chosen word may be far from probable: then its powers of ten tell.
const chance = p => (p >= 0.001 ? percent(p) : (100 * p).toPrecision(2) + '\u202f%');
function token(text, share, colour, title) {
  const node = make('span', 'token');
  node.style.background = rgb(colour); node.style.color = ink(colour); node.title = title || '';
  node.append(make('span', '', visible(text)), make('span', 'p', share));
  return node;
}
// What was found about another answer waits until that one is back.
let found = { results: null, swept: null };
function mine({ answer }) { for (const name of ['results', 'swept']) find('.' + name).hidden = !(found[name] && answer && answer.key === found[name]); }
function draw() {
  const value = props.value;
  if (value && value.sweep) drawSweep(value.sweep);
  if (!value || !value.before) return;  // a sweep leaves the answers where they are
  found.results = value.of; mine(store.state);
  find('.first').textContent = value.answer; find('.second').textContent = value.again;
  find('.old').replaceChildren(...value.before.map(([text, before, after]) => token(text, percent(before) + ' → ' + percent(after), signed(Math.max(-1, Math.min(1, Math.log(Math.max(before, 1e-6) / Math.max(after, 1e-6)) / 3))), 'orange: less probable now')));
  find('.new').replaceChildren(...value.steps.map(step => token(step.string, percent(step.probability), cividis(step.probability))));
  find('.sum').textContent = 'The whole old answer is now ' + times(value.change) + '. Orange words lost, blue words gained. The new answer is always greedy.';
  find('.chosen-told').textContent = value.word ? 'That the answer begins with “' + value.word.word + '”' + (value.word.pieces.length ? ' (in this vocabulary: ' + value.word.pieces.map(piece => '“' + piece + '”').join(', ') + ', with which other words may begin)' : '') + ' was ' + chance(value.word.before) + ' probable, and is now ' + chance(value.word.after) + '.' : '';
  element.dataset.finished = String(value.finished);
}
// Rows are ways, columns windows of layers; orange is where the word needed the way.
function drawSweep({ of, word, probability, windows, rows, finished }) {
  const bound = Math.max(0.01, ...rows.flatMap(([, changes]) => changes.map(Math.abs))), span = ([first, last]) => (first === last ? String(first) : first + '–' + last), layer = window => (window[0] === window[1] ? 'layer ' : 'layers ') + span(window);
  found.swept = of; mine(store.state);
  find('.swept-told').textContent = 'How much less probable “' + visible(word) + '” (' + percent(probability) + ' with nothing cut) becomes when one way (rows) is cut in one window of layers (columns).' + (finished ? '' : ' Cutting …');
  const head = make('tr'), corner = make('th', '', 'layers');
  corner.scope = 'col';
  head.append(corner, ...windows.map(window => { const cell = make('th', '', span(window)); cell.scope = 'col'; return cell; }));
  find('.heat thead').replaceChildren(head);
  find('.heat tbody').replaceChildren(...rows.map(([path, changes]) => {
    const row = make('tr'), name = make('th', '', path);
    name.scope = 'row';
    row.append(name, ...changes.map((change, i) => {
      const colour = signed(-change / bound), says = path + ' cut in ' + layer(windows[i]) + ': “' + visible(word) + '” becomes ' + times(change) + ' (' + percent(probability) + ' → ' + percent(Math.min(1, probability * Math.exp(change))) + ')', cell = make('td', '', change.toFixed(2).replace('-0.00', '0.00'));
      cell.style.background = rgb(colour); cell.style.color = ink(colour); cell.title = says; cell.tabIndex = 0; cell.dataset.change = change;
      const tell = () => { find('.cell-told').textContent = says; };
      cell.addEventListener('mouseenter', tell); cell.addEventListener('focus', tell);
      return cell;
    }));
    return row;
  }));
  find('.swept .low').textContent = times(bound); find('.swept .high').textContent = times(-bound);
  find('.swept .colours').style.background = gradient(share => signed(2 * share - 1));
  find('.cell-told').textContent = 'The numbers are changes of the word’s log-probability. Hover or focus one to read it in words.';
  element.dataset.swept = String(finished);
}
store.subscribe(['selected', 'record', 'answer', 'history', 'step'], describe);
store.subscribe(['answer'], mine);
choose(kinds[0]);
watch('value', draw);
draw();
