// Colour scales, for values between 0 and 1 or between -1 and 1.

export type Colour = [number, number, number];

// Cividis (Nuñez, Anderton, Renslow 2018): even steps of lightness, alike for colour-blind eyes.
const CIVIDIS: Colour[] = [
  [0, 34, 78],
  [18, 53, 112],
  [59, 73, 108],
  [87, 93, 109],
  [112, 113, 115],
  [138, 134, 120],
  [165, 156, 116],
  [195, 179, 105],
  [225, 204, 85],
  [254, 232, 56],
];
// Blue over white to orange, for numbers with a sign.
const SIGNED: Colour[] = [
  [0, 68, 136],
  [102, 153, 204],
  [221, 231, 241],
  [247, 247, 247],
  [250, 227, 200],
  [238, 153, 68],
  [166, 76, 0],
];
/** Okabe and Ito (2008): eight colours that colour-blind eyes tell apart. */
export const GROUPS = [
  '#e69f00',
  '#56b4e9',
  '#009e73',
  '#f0e442',
  '#0072b2',
  '#d55e00',
  '#cc79a7',
  '#999999',
];
/** What is selected, what lies under the pointer, the very patch. */
export const MARKS = { selected: '#e8590c', hovered: '#111', patch: '#0072b2' };

function blend(stops: Colour[], share: number): Colour {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.floor(place);
  const from = stops[low];
  const to = stops[Math.min(low + 1, stops.length - 1)];
  const mixed = from.map((channel, i) => Math.round(channel + (to[i] - channel) * (place - low)));
  return mixed as Colour;
}

/** The colour of a share between 0 and 1. */
export const cividis = (share: number): Colour => blend(CIVIDIS, share);
/** The colour of a share between -1 and 1. */
export const signed = (share: number): Colour => blend(SIGNED, (share + 1) / 2);

export const rgb = ([red, green, blue]: Colour): string => `rgb(${red},${green},${blue})`;

/** Black or white, whichever is read on the colour. */
export function ink([red, green, blue]: Colour): string {
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? '#111' : '#fff';
}

/** A scale as the background of a bar. */
export function gradient(colour: (share: number) => Colour): string {
  const stops = Array.from({ length: 9 }, (_, i) => rgb(colour(i / 8)));
  return `linear-gradient(to right, ${stops.join(', ')})`;
}

/** Give an element the colour as its ground, and text that is read on it. */
export function paintGround(node: HTMLElement, colour: Colour): void {
  node.style.background = rgb(colour);
  node.style.color = ink(colour);
}

/** The colour of text on the page now, light or dark. */
export function textColour(element: Element): string {
  return getComputedStyle(element).getPropertyValue('--body-text-color').trim() || '#333';
}
