// The glossary: what a symbol means, in one sentence and with its shape in this run, under the pointer and at the focus (of the symbol, or of a control
// that has symbols in it). Escape puts it away; the pointer can be moved onto it. What is said lies in `glossary.json`.
Object.assign(window.VTE, (() => {
  const { element, term, live, GLOSSARY } = window.VTE, meanings = new Map(GLOSSARY.map(each => [each.symbol, each]));
  const box = element('div', 'glossary'), ID = 'glossary';
  box.id = ID; box.setAttribute('role', 'tooltip'); box.hidden = true;
  let shown = null;

  // Text in which `x_p` is a symbol and {N} a number of this run.
  function telling(text, values) {
    return text.split(/(`[^`]+`|\{\w+\})/).filter(Boolean).map(part =>
      part[0] === '`' ? term(part.slice(1, -1), true) : part[0] === '{' ? element('b', 'live', values[part.slice(1, -1)] || '…') : part);
  }
  function meaning(symbol, values) {
    const { name, meaning: words, shape } = meanings.get(symbol), line = element('p');
    line.append(term(symbol), ' ', element('b', '', name), ': ' + words);
    if ((shape.match(/\{\w+\}/g) || []).every(each => values[each.slice(1, -1)] !== undefined)) line.append(' Here: ', ...telling(shape, values), '.');
    return line;
  }
  function show(target, symbols) {
    const known = [...new Set(symbols)].filter(symbol => meanings.has(symbol));
    if (!known.length) return;
    hide();
    const values = live();
    box.replaceChildren(...known.map(symbol => meaning(symbol, values)));
    box.hidden = false;
    shown = target; target.setAttribute('aria-describedby', ID);
    const { left, top, bottom } = target.getBoundingClientRect(), { width, height } = box.getBoundingClientRect(), below = bottom + height <= innerHeight;
    box.style.left = Math.max(6, Math.min(left, document.documentElement.clientWidth - width - 6)) + 'px'; box.style.top = (below ? bottom : Math.max(0, top - height)) + 'px';
  }
  function hide() {
    if (shown) shown.removeAttribute('aria-describedby');
    shown = null; box.hidden = true;
  }
  const within = node => [...node.querySelectorAll('.term')].map(each => each.dataset.term);
  document.addEventListener('pointerover', event => {
    if (box.contains(event.target)) return;
    const at = event.target.closest && event.target.closest('.term');
    if (at) { if (at !== shown) show(at, [at.dataset.term]); } else if (shown && shown !== document.activeElement) hide();
  });
  document.addEventListener('focusin', ({ target }) => {
    if (!target.matches(':focus-visible')) return;
    if (target.matches('.term')) show(target, [target.dataset.term]); else if (target.matches('button')) show(target, within(target));
  });
  document.addEventListener('focusout', ({ target }) => { if (target === shown) hide(); });
  document.addEventListener('keydown', event => { if (event.key === 'Escape' && shown) { hide(); event.stopPropagation(); event.preventDefault(); } }, true);
  for (const moved of ['scroll', 'resize']) addEventListener(moved, () => { if (shown) hide(); }, { capture: true, passive: true });
  document.addEventListener('DOMContentLoaded', () => document.body.append(box));
  if (document.body) document.body.append(box);
  return { telling };
})());
