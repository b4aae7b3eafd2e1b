// Small elements that views are made of. Text is always text, never parsed as HTML.
import { cividis, paintGround, signed } from './colour';
import { extremes, number, percent, shape, visible } from './numbers';

/** Make an element. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className = '',
  text?: string,
): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Make a button, named by what it does where its text does not say it. */
export function makeButton(className: string, text: string, label?: string): HTMLButtonElement {
  const button = make('button', className, text);
  button.type = 'button';
  if (label) button.setAttribute('aria-label', label);
  return button;
}

/** Find the one element that a panel's own HTML holds. */
export function find<Found extends Element = HTMLElement>(root: ParentNode, selector: string) {
  const found = root.querySelector<Found>(selector);
  if (!found) throw new Error(`There is no ${selector} in this panel.`);
  return found;
}

export function findAll<Found extends Element = HTMLElement>(root: ParentNode, selector: string) {
  return [...root.querySelectorAll<Found>(selector)];
}

/** The pen of a canvas. */
export function penOf(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  return canvas.getContext('2d')!;
}

export function attributes(node: Element, values: Record<string, string>): void {
  for (const [name, value] of Object.entries(values)) node.setAttribute(name, value);
}

/** Press one of several buttons that exclude each other. */
export function pressOnly(buttons: Element[], chosen: Element): void {
  for (const button of buttons) button.setAttribute('aria-pressed', String(button === chosen));
}

/** An option of a list. */
export function makeOption(value: string, text: string): HTMLOptionElement {
  const option = make('option', '', text);
  option.value = value;
  return option;
}

/**
 * x_p, X', VT, TT, L_X as a mathematician writes them; `reachable`: by the keyboard too, for the
 * glossary (not within a button).
 */
export function term(name: string, reachable = false): HTMLElement {
  const node = make(reachable ? 'button' : 'span', 'term vte-symbol');
  if (node instanceof HTMLButtonElement) node.type = 'button';
  const [base, below] = /^[VT]T$/.test(name) ? [name[0], name[1]] : name.split('_');
  node.dataset.term = name;
  node.append(make('i', '', base));
  if (below) node.append(make('sub', '', below));
  return node;
}

/** Several terms, joined by plus signs. */
export function symbol(name: string, reachable = false): HTMLElement {
  const node = make('span', 'vte-symbol');
  name.split(' + ').forEach((part, i) => {
    node.append(...(i ? [' + '] : []), term(part, reachable));
  });
  return node;
}

/** A token with its probability, as bright as it is probable. */
export function tokenChip(text: string, probability: number): HTMLElement {
  const node = make('span', 'token');
  paintGround(node, cividis(probability));
  node.append(make('span', '', visible(text)), make('span', 'p', percent(probability)));
  return node;
}

/** What stands in a heading already stays, with the focus that may be on it. */
const told = new WeakMap<Element, string>();

/** Title, symbol, shape and "what to look for" at the head of a view. */
export function heading(
  host: Element,
  title: string,
  sign: string,
  sizes: number[] | null | undefined,
  words: string,
): void {
  const says = JSON.stringify([title, sign, sizes, words]);
  if (told.get(host) === says) return;
  told.set(host, says);
  const line = make('h3', 'view-title', `${title} `);
  if (sign) line.append(symbol(sign, true));
  if (sizes) line.append(make('span', 'view-shape', shape(sizes)));
  host.replaceChildren(line, make('p', 'view-words', words));
}

/** A row of numbers as a strip of colours, zero white, with its bounds. */
export function strip(label: string, values: ArrayLike<number>): HTMLElement {
  const host = make('div', 'strip-row');
  const canvas = make('canvas');
  const [low, high] = extremes(values);
  const bound = Math.max(Math.abs(low), Math.abs(high)) || 1;
  canvas.width = values.length;
  canvas.height = 1;
  attributes(canvas, { role: 'img', 'aria-label': `${label}: ${values.length} numbers` });
  penOf(canvas).putImageData(signedImage(values, bound, values.length, 1), 0, 0);
  host.append(
    make('span', 'strip-label', label),
    canvas,
    make('span', 'strip-bound', `±${number(bound)}`),
  );
  return host;
}

/** Numbers with a sign as an image, one pixel each. */
export function signedImage(
  values: ArrayLike<number>,
  bound: number,
  width: number,
  height: number,
): ImageData {
  const bytes = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i++) bytes.set([...signed(values[i] / bound), 255], 4 * i);
  return new ImageData(bytes, width, height);
}
