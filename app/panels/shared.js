// What the views draw with: colour scales, small elements, the head of a view, a row of numbers.
Object.assign(window.VTE, (() => {
  const { store } = window.VTE;

  // Cividis (Nuñez, Anderton, Renslow 2018): even steps of lightness, the same for colour-blind eyes.
  const CIVIDIS = [[0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [254, 232, 56]];
  // Blue over white to orange, for numbers with a sign.
  const SIGNED = [[0, 68, 136], [102, 153, 204], [221, 231, 241], [247, 247, 247], [250, 227, 200], [238, 153, 68], [166, 76, 0]];
  // Okabe and Ito (2008): eight colours that colour-blind eyes tell apart.
  const GROUPS = ['#e69f00', '#56b4e9', '#009e73', '#f0e442', '#0072b2', '#d55e00', '#cc79a7', '#999999'];
  function scale(stops, share) {
    const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1), low = Math.floor(place), rest = place - low;
    const from = stops[low], to = stops[Math.min(low + 1, stops.length - 1)];
    return from.map((channel, i) => Math.round(channel + (to[i] - channel) * rest));
  }
  const cividis = share => scale(CIVIDIS, share), signed = share => scale(SIGNED, (share + 1) / 2);
  const rgb = ([r, g, b]) => 'rgb(' + r + ',' + g + ',' + b + ')';
  const ink = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? '#111' : '#fff');
  const gradient = colour => 'linear-gradient(to right, ' + [0, 1, 2, 3, 4, 5, 6, 7, 8].map(i => rgb(colour(i / 8))).join(', ') + ')';

  function element(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }
  // x_p, X', VT, TT, L_X as a mathematician writes them; `reachable`: by the keyboard too, for the glossary (not within a button).
  function term(name, reachable) {
    const node = element(reachable ? 'button' : 'span', 'term vte-symbol'), [base, sub] = /^[VT]T$/.test(name) ? [name[0], name[1]] : name.split('_');
    if (reachable) node.type = 'button';
    node.dataset.term = name;
    node.append(element('i', '', base));
    if (sub) node.append(element('sub', '', sub));
    return node;
  }
  function symbol(name, reachable) {
    const node = element('span', 'vte-symbol');
    name.split(' + ').forEach((part, i) => node.append(...(i ? [' + '] : []), term(part, reachable)));
    return node;
  }
  const percent = p => (p >= 0.9995 ? '100' : p >= 0.1 ? (100 * p).toFixed(0) : p >= 0.001 ? (100 * p).toFixed(1) : '<0.1') + '\u202f%';
  const visible = text => text.replace(/\n/g, '↵').replace(/\t/g, '⇥').replace(/^ | $/g, '·');
  const number = value => (Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 1 ? value.toFixed(2) : Math.abs(value) >= 0.001 || !value ? value.toFixed(3) : value.toPrecision(2));
  const shape = sizes => sizes.map(size => size.toLocaleString('en')).join(' × ');
  function extremes(values) {
    let low = Infinity, high = -Infinity;
    for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
    return [low, high];
  }

  // Words, symbol, shape and "what to look for" at the head of a view.
  const said = new WeakMap();  // what stands there already stays, with the focus that may be on it
  function heading(host, title, sign, sizes, words) {
    const says = JSON.stringify([title, sign, sizes, words]);
    if (said.get(host) === says) return;
    said.set(host, says);
    const line = element('h3', 'view-title', title + ' ');
    if (sign) line.append(symbol(sign, true));
    if (sizes) line.append(element('span', 'view-shape', shape(sizes)));
    host.replaceChildren(line, element('p', 'view-words', words));
  }

  // A stage view: drawn only while it is open, and then with all that changed while it was not.
  function stageView(root, name, names, draw) {
    let missed = new Set(names);
    store.subscribe([...names, 'open'], (state, changed) => {
      for (const each of changed) missed.add(each);
      if (!state.open.includes(name)) return;
      const now = missed;
      missed = new Set();
      draw(state, now);
      root.dataset.drawn = state.record ? state.record.run : '';
    });
  }
  // A row of numbers as a strip of colours, zero white, with its bounds.
  function strip(label, values) {
    const host = element('div', 'strip-row'), canvas = element('canvas'), [low, high] = extremes(values), bound = Math.max(Math.abs(low), Math.abs(high)) || 1;
    canvas.width = values.length; canvas.height = 1; canvas.setAttribute('role', 'img'); canvas.setAttribute('aria-label', label + ': ' + values.length + ' numbers');
    const bytes = new Uint8ClampedArray(4 * values.length);
    values.forEach((value, i) => bytes.set([...signed(value / bound), 255], 4 * i));
    canvas.getContext('2d').putImageData(new ImageData(bytes, values.length, 1), 0, 0);
    host.append(element('span', 'strip-label', label), canvas, element('span', 'strip-bound', '±' + number(bound)));
    return host;
  }
  return { cividis, signed, GROUPS, rgb, ink, gradient, element, term, symbol, percent, visible, number, shape, extremes, heading, stageView, strip };
})());
