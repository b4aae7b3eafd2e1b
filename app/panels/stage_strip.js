// The strip X -> x_p -> + position -> X' -> VT -> VT + TT -> answer: what each stage gave, its shape and its time; a click opens its view.
const CARDS = [
  { symbol: 'X', name: 'image', view: 'photo' },
  { symbol: 'x_p', arrow: '', name: 'patches', view: 'patches' },
  { symbol: "X'", arrow: 'f_v', name: 'patch features', view: 'encoder' },
  { symbol: 'VT', arrow: 'm_γ', name: 'visual tokens', view: 'connector' },
  { symbol: 'VT + TT', arrow: '', name: 'sequence', view: 'sequence' },
  { symbol: 'answer', arrow: 'g_φ, D_d', name: 'answer', view: null },
];
const { store, element: make, symbol, term, shape } = window.VTE;
const strip = element.querySelector('.strip');

for (const card of CARDS) {
  if ('arrow' in card) {
    const arrow = make('li', 'arrow'), label = make('span', 'label');
    card.arrow.split(', ').filter(Boolean).forEach((name, i) => { if (i) label.append(', '); label.append(symbol(name, true)); });
    arrow.append(label);
    const change = make('span', 'change');
    arrow.append(change); card.change = change;
    if (!card.arrow) arrow.setAttribute('aria-hidden', 'true');
    strip.append(arrow);
  }
  const item = make('li', 'card empty'), button = make('button', 'open');
  button.type = 'button'; item.dataset.symbol = card.symbol;
  const sign = card.symbol === 'answer' ? make('span', 'vte-symbol', '“…”') : symbol(card.symbol);
  const name = make('span', 'name'), bar = make('progress');
  name.append(sign, ' ' + card.name); bar.max = 1; bar.hidden = true; bar.setAttribute('aria-label', card.name + ' under way');
  button.append(name, make('span', 'shape', '–'), make('span', 'axes', '\u00a0'), bar);
  if (card.view) button.addEventListener('click', event => store.set({ open: event.shiftKey ? [...new Set([store.state.open[0], card.view])] : [card.view] }));
  else button.addEventListener('click', () => document.querySelector('#answer').scrollIntoView({ block: 'nearest' }));
  item.append(button); strip.append(item);
  Object.assign(card, { item, button, shape: button.querySelector('.shape'), axes: button.querySelector('.axes'), bar });
}
store.subscribe(['record', 'answer', 'open', 'busy', 'awaited'], ({ record, answer, open, busy, awaited }) => {
  for (const card of CARDS) {
    const stages = (answer && answer.stages) || (record && record.stages) || [], stage = stages.find(each => each.symbol === card.symbol);
    const steps = card.symbol === 'answer' && answer ? answer.steps.length : 0;
    card.item.classList.toggle('empty', !stage && !steps);
    card.button.setAttribute('aria-pressed', String(open.includes(card.view)));
    if (card.symbol === 'VT') {  // how many patches become how many tokens, where that is not the same
      const [n, v] = record ? [record.cells.length, record.token_kinds.length] : [0, 0];
      card.change.textContent = n === v ? '' : 'N ' + n.toLocaleString('en') + ' → V ' + v.toLocaleString('en');
      card.change.title = record ? record.merge : '';
    }
    card.shape.textContent = stage ? shape(stage.shape) : steps ? steps + ' tokens' : '–';
    const axes = stage ? stage.axes.flatMap((name, i) => [i ? ' × ' : '', ...name.split('·').flatMap((part, j) => [j ? '·' : '', /^[NFVDTSP]$/.test(part) ? term(part) : part])]) : [];
    card.axes.replaceChildren(...axes, stage ? ' · ' + stage.ms.toLocaleString('en', { maximumFractionDigits: 1 }) + ' ms' : '\u00a0');
    card.bar.hidden = !(busy && (awaited || !stage));
    if (steps && answer.longest) card.bar.value = steps / answer.longest; else card.bar.removeAttribute('value');
  }
  element.dataset.busy = String(busy);
});
