// Drawing helpers that the views share: colour scales, small elements, and a map of one value a patch.
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
  // x_p, X', VT, TT, L_X as a mathematician writes them.
  function symbol(name) {
    const node = element('span', 'vte-symbol');
    name.split(' + ').forEach((part, i) => {
      if (i) node.append(' + ');
      const [base, sub] = /^[VT]T$/.test(part) ? [part[0], part[1]] : part.split('_');
      node.append(element('i', '', base));
      if (sub) node.append(element('sub', '', sub));
    });
    return node;
  }
  const percent = p => (p >= 0.9995 ? '100' : p >= 0.1 ? (100 * p).toFixed(0) : p >= 0.001 ? (100 * p).toFixed(1) : '<0.1') + '\u202f%';
  const visible = text => text.replace(/\n/g, '↵').replace(/\t/g, '⇥').replace(/^ | $/g, '·');
  const number = value => (Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 1 ? value.toFixed(2) : value.toFixed(3));
  const shape = sizes => sizes.map(size => size.toLocaleString('en')).join(' × ');
  function extremes(values) {
    let low = Infinity, high = -Infinity;
    for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
    return [low, high];
  }

  // Words, symbol, shape and "what to look for" at the head of a view.
  function heading(host, title, sign, sizes, words) {
    const line = element('h3', 'view-title', title + ' ');
    if (sign) line.append(symbol(sign));
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
  // The patch of a token cut out of the received picture, enlarged.
  const pictures = new Map();
  function drawPatch(canvas, token) {
    const { record } = store.state, pen = canvas.getContext('2d');
    let picture = pictures.get(record.received);
    if (!picture) {
      pictures.clear();
      picture = new Image(); picture.src = record.received;
      pictures.set(record.received, picture);
    }
    const cut = () => {
      const w = picture.naturalWidth / record.columns, h = picture.naturalHeight / record.rows;
      pen.imageSmoothingEnabled = false;
      pen.drawImage(picture, (token % record.columns) * w, Math.floor(token / record.columns) * h, w, h, 0, 0, canvas.width, canvas.height);
    };
    if (picture.complete && picture.naturalWidth) cut(); else picture.addEventListener('load', cut, { once: true });
    return picture;
  }

  // Which tokens a click leaves selected: with Shift, Ctrl or Cmd it adds or takes away.
  function pick(token, event) {
    const { selected } = store.state;
    if (!(event.shiftKey || event.ctrlKey || event.metaKey)) store.set({ selected: [token] });
    else store.set({ selected: selected.includes(token) ? selected.filter(each => each !== token) : [...selected, token] });
  }
  // Arrow keys move the selection over the grid, with Shift they add; Escape clears.
  function steer(event) {
    const { record, selected } = store.state;
    if (!record) return;
    const count = record.rows * record.columns, from = store.focus();
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -record.columns, ArrowDown: record.columns }[event.key];
    if (event.key === 'Escape') store.set({ selected: [] });
    if (move === undefined) return;
    event.preventDefault();
    const next = from < 0 ? 0 : from + move;
    if (next >= 0 && next < count) store.set({ selected: event.shiftKey ? [...selected.filter(each => each !== next), next] : [next] });
  }

  // One value (or colour) a patch as a small picture of rows x columns; the pointer hovers and selects in it as on the photo.
  class GridMap {
    constructor(host, label) {
      this.host = element('figure', 'map');
      this.caption = element('figcaption', '', label);
      this.frame = element('div', 'map-frame');
      this.canvas = element('canvas');
      this.canvas.setAttribute('role', 'img');
      this.canvas.setAttribute('aria-label', label);
      this.marks = element('div', 'map-marks');
      this.frame.append(this.canvas, this.marks);
      this.bar = element('div', 'map-bar');
      this.bar.append(element('span', 'low'), element('span', 'colours'), element('span', 'high'));
      this.host.append(this.caption, this.frame, this.bar);
      host.append(this.host);
      this.frame.addEventListener('pointermove', event => { const token = this.tokenAt(event); if (token !== store.state.hovered) store.set({ hovered: token }); });
      this.frame.addEventListener('pointerleave', () => store.set({ hovered: -1 }));
      this.frame.addEventListener('click', event => { const token = this.tokenAt(event); if (token >= 0) pick(token, event); });
    }
    tokenAt(event) {
      const { record } = store.state, size = this.canvas.getBoundingClientRect();
      if (!record) return -1;
      const row = Math.floor((event.clientY - size.top) / size.height * record.rows), column = Math.floor((event.clientX - size.left) / size.width * record.columns);
      return row >= 0 && column >= 0 && row < record.rows && column < record.columns ? row * record.columns + column : -1;
    }
    // {values, low, high, signed, label, unit, flags: tokens that get a cross} or {rgb, label, mask}; null: nothing to show
    show(map) {
      const { record } = store.state;
      this.map = map;
      this.host.hidden = !map || !record;
      if (this.host.hidden) return;
      const { rows, columns } = record, context = this.canvas.getContext('2d');
      this.canvas.width = columns; this.canvas.height = rows;
      context.putImageData(new ImageData(paint(map, rows * columns), columns, rows), 0, 0);
      this.caption.textContent = map.label;
      this.canvas.setAttribute('aria-label', map.label);
      this.bar.hidden = !map.values;
      if (map.values) {
        const [low, high] = limits(map);
        this.bar.children[0].textContent = number(low); this.bar.children[2].textContent = number(high) + (map.unit ? ' ' + map.unit : '');
        this.bar.children[1].style.background = gradient(map.signed ? share => signed(2 * share - 1) : cividis);
      }
      this.mark();
    }
    mark() {
      const { record, selected, hovered } = store.state;
      if (!this.map || !record) return;
      const marks = [...(this.map.flags || []).map(token => [token, 'flag']), ...selected.map(token => [token, 'mark'])];
      if (hovered >= 0) marks.push([hovered, 'mark hover']);
      this.marks.replaceChildren(...marks.map(([token, name]) => {
        const mark = element('span', name, name === 'flag' ? '×' : undefined);
        mark.style.left = 100 * (token % record.columns) / record.columns + '%'; mark.style.top = 100 * Math.floor(token / record.columns) / record.rows + '%';
        mark.style.width = 100 / record.columns + '%'; mark.style.height = 100 / record.rows + '%';
        return mark;
      }));
    }
  }
  function limits(map) {
    const [least, most] = extremes(map.values), low = map.low === undefined ? least : map.low, high = map.high === undefined ? most : map.high;
    if (!map.signed) return [low, high];
    const bound = Math.max(Math.abs(low), Math.abs(high));
    return [-bound, bound];
  }
  // RGBA bytes of a map
  function paint(map, count, alpha = 255) {
    const bytes = new Uint8ClampedArray(4 * count);
    const [low, high] = map.values ? limits(map) : [0, 1];
    for (let i = 0; i < count; i++) {
      const share = map.values ? (map.values[i] - low) / (high - low || 1) : 0;
      const colour = map.values ? (map.signed ? signed(2 * share - 1) : cividis(share)) : [map.rgb[3 * i], map.rgb[3 * i + 1], map.rgb[3 * i + 2]];
      bytes.set([...colour, map.mask && !map.mask[i] ? 0 : alpha], 4 * i);
    }
    return bytes;
  }
  return { cividis, signed, GROUPS, rgb, ink, gradient, element, symbol, percent, visible, number, shape, extremes, heading, stageView, strip, drawPatch, pick, steer, GridMap, limits, paint };
})());
