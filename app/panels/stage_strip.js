// The strip X -> x_p -> X' -> VT -> VT + TT -> answer. Value: {stages: [{symbol, shape, axes, ms}]}, as far as they have come.
const CARDS = [
  { symbol: 'X', name: 'image', words: 'your photo, scaled to what the model reads' },
  { symbol: 'x_p', arrow: '', name: 'patches', words: 'cut into small squares, each a row of numbers' },
  { symbol: "X'", arrow: 'f_v', arrowName: 'vision encoder', name: 'patch features', words: 'each patch, now aware of the others' },
  { symbol: 'VT', arrow: 'm_γ', arrowName: 'connector', name: 'visual tokens', words: 'the patches in the language model’s own space' },
  { symbol: 'VT + TT', arrow: '', name: 'fused sequence', words: 'visual tokens and the words of the prompt, in one row' },
  { symbol: 'answer', arrow: 'g_φ, D_d', arrowName: 'language model, decoding operator', name: 'answer', words: 'one token after the other' },
];
const { element: make, symbol } = window.VTE;
const strip = element.querySelector('.strip');

function draw() {
  const stages = (props.value && props.value.stages) || [];
  strip.replaceChildren();
  for (const card of CARDS) {
    if ('arrow' in card) {
      const arrow = make('li', 'arrow');
      const label = make('span', 'label');
      card.arrow.split(', ').filter(Boolean).forEach((name, i) => { if (i) label.append(', '); label.append(symbol(name)); });
      arrow.append(label);
      if (card.arrowName) arrow.title = card.arrowName; else arrow.setAttribute('aria-hidden', 'true');
      strip.append(arrow);
    }
    const stage = stages.find(each => each.symbol === card.symbol);
    const item = make('li', stage ? 'card' : 'card empty');
    item.dataset.symbol = card.symbol;
    if (card.symbol === 'answer') item.append(make('span', 'vte-symbol', '“…”')); else item.append(symbol(card.symbol));
    item.append(make('span', 'name', card.name), make('span', 'words', card.words));
    item.append(make('span', 'shape', stage ? stage.shape.map(size => size.toLocaleString('en')).join(' × ') : '–'));
    item.append(make('span', 'axes', stage ? stage.axes.join(' × ') : ''));
    item.append(make('span', 'time', stage ? stage.ms.toLocaleString('en', { maximumFractionDigits: 1 }) + ' ms' : ''));
    strip.append(item);
  }
}
watch('value', draw);
draw();
