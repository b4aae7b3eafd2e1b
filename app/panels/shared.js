// What the panels share in the browser: the events they meet by, colour scales, and small drawing helpers.
//
// Events on `document`, each with a `detail`:
//   vte:hover  {token}            a visual token is under the pointer (-1: none)
//   vte:select {tokens, source}   the selected visual tokens, in raster order
//   vte:heat   {values, label}    one number a visual token, to be shown over the photo (values null: nothing)
//   vte:stop   {}                 the visitor stopped the answer
window.VTE = (() => {
  const send = (name, detail) => document.dispatchEvent(new CustomEvent('vte:' + name, { detail }));
  const on = (name, callback) => document.addEventListener('vte:' + name, event => callback(event.detail));

  // Cividis (Nuñez, Anderton, Renslow 2018): even steps of lightness, the same for colour-blind eyes.
  const STOPS = [[0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [254, 232, 56]];
  function cividis(share) {
    const place = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1), low = Math.floor(place), rest = place - low;
    const from = STOPS[low], to = STOPS[Math.min(low + 1, STOPS.length - 1)];
    return from.map((channel, i) => Math.round(channel + (to[i] - channel) * rest));
  }
  const rgb = ([r, g, b]) => 'rgb(' + r + ',' + g + ',' + b + ')';
  const ink = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? '#111' : '#fff');

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
  return { send, on, cividis, rgb, ink, element, symbol, percent, visible };
})();
