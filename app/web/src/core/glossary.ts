// The glossary: what a symbol means, in one sentence and with its shape in this run, under the
// pointer and at the focus (of the symbol, or of a control that has symbols in it). Escape puts it
// away; the pointer can be moved onto it. What is said lies in `glossary.json`.
import GLOSSARY from '../../../panels/glossary.json';
import { findAll, make, term } from './dom';
import { live, type LiveValues } from './live';

const ID = 'glossary';
const EDGE = 6; // pixels that stay free beside the box
const meanings = new Map(GLOSSARY.map((each) => [each.symbol, each]));

/** The names of the numbers that a text asks for in braces. */
export function namesIn(text: string): string[] {
  return (text.match(/\{\w+\}/g) ?? []).map((name) => name.slice(1, -1));
}

/** Text in which `x_p` is a symbol and {N} a number of this run, in pieces. */
export function piecesOf(text: string): { kind: 'text' | 'symbol' | 'number'; text: string }[] {
  return text
    .split(/(`[^`]+`|\{\w+\})/)
    .filter(Boolean)
    .map((part) => {
      if (part[0] === '`') return { kind: 'symbol', text: part.slice(1, -1) };
      if (part[0] === '{') return { kind: 'number', text: part.slice(1, -1) };
      return { kind: 'text', text: part };
    });
}

/** The same pieces as elements. */
export function telling(text: string, values: LiveValues): (string | HTMLElement)[] {
  return piecesOf(text).map((piece) => {
    if (piece.kind === 'symbol') return term(piece.text, true);
    if (piece.kind === 'number') return make('b', 'live', values[piece.text] || '…');
    return piece.text;
  });
}

function meaningOf(symbol: string, values: LiveValues): HTMLElement {
  const { name, meaning, shape } = meanings.get(symbol)!;
  const line = make('p');
  line.append(term(symbol), ' ', make('b', '', name), `: ${meaning}`);
  if (namesIn(shape).every((each) => values[each] !== undefined)) {
    line.append(' Here: ', ...telling(shape, values), '.');
  }
  return line;
}

class GlossaryBox {
  private readonly box = make('div', 'glossary');
  private shown: Element | null = null;

  constructor() {
    this.box.id = ID;
    this.box.setAttribute('role', 'tooltip');
    this.box.hidden = true;
    document.addEventListener('pointerover', (event) => this.pointAt(event.target as Element));
    document.addEventListener('focusin', (event) => this.focusOn(event.target as HTMLElement));
    document.addEventListener('focusout', ({ target }) => {
      if (target === this.shown) this.hide();
    });
    document.addEventListener('keydown', (event) => this.escape(event), true);
    for (const moved of ['scroll', 'resize']) {
      const options = { capture: true, passive: true };
      addEventListener(moved, () => this.hide(), options);
    }
    document.addEventListener('DOMContentLoaded', () => document.body.append(this.box));
    if (document.body) document.body.append(this.box);
  }

  private pointAt(target: Element): void {
    if (this.box.contains(target)) return;
    const pointed = target.closest?.<HTMLElement>('.term');
    if (pointed && pointed !== this.shown) this.show(pointed, [pointed.dataset.term!]);
    if (!pointed && this.shown && this.shown !== document.activeElement) this.hide();
  }

  private focusOn(target: HTMLElement): void {
    if (!target.matches(':focus-visible')) return;
    if (target.matches('.term')) this.show(target, [target.dataset.term!]);
    else if (target.matches('button')) {
      const within = findAll(target, '.term').map((each) => each.dataset.term!);
      this.show(target, within);
    }
  }

  private escape(event: KeyboardEvent): void {
    if (event.key !== 'Escape' || !this.shown) return;
    this.hide();
    event.stopPropagation();
    event.preventDefault();
  }

  private show(target: Element, symbols: string[]): void {
    const known = [...new Set(symbols)].filter((symbol) => meanings.has(symbol));
    if (!known.length) return;
    this.hide();
    const values = live();
    this.box.replaceChildren(...known.map((symbol) => meaningOf(symbol, values)));
    this.box.hidden = false;
    this.shown = target;
    target.setAttribute('aria-describedby', ID);
    this.place(target);
  }

  /** Below what it is about where there is room, else above. */
  private place(target: Element): void {
    const { left, top, bottom } = target.getBoundingClientRect();
    const { width, height } = this.box.getBoundingClientRect();
    const most = document.documentElement.clientWidth - width - EDGE;
    const below = bottom + height <= innerHeight;
    this.box.style.left = `${Math.max(EDGE, Math.min(left, most))}px`;
    this.box.style.top = `${below ? bottom : Math.max(0, top - height)}px`;
  }

  private hide(): void {
    if (!this.shown) return;
    this.shown.removeAttribute('aria-describedby');
    this.shown = null;
    this.box.hidden = true;
  }
}

export function openGlossary(): void {
  new GlossaryBox();
}
