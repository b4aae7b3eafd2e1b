// What is seen as a file: a map or a plot as a PNG with its title, a text as it is.
import { MARKS } from './colour';
import { find, findAll, make, makeButton, penOf } from './dom';
import type { GridMap } from './maps';
import { state } from './store';

const SIDE = 640; // pixels of a picture's content
const EDGE = 16; // around it
const LINE = 20; // a line of text
const FONT = '14px system-ui, sans-serif';

/** Letters and digits of a text, joined by hyphens, for the name of a file. */
export function slug(text: string): string {
  const words = text.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  return words.replace(/^-|-$/g, '').slice(0, 40);
}

/** The name of a file begins with the question. */
export function fileName(question: string | undefined, ending: string): string {
  const [rest, kind] = ending.split(/\.(?=[a-z]+$)/);
  return `${[question && slug(question), slug(rest)].filter(Boolean).join('-')}.${kind}`;
}

export function saveFile(ending: string, blob: Blob): void {
  const link = make('a');
  const address = URL.createObjectURL(blob);
  link.href = address;
  link.download = fileName(state.record?.question, ending);
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Words in lines that are no wider than `width`, by what `measure` says of a line. */
export function wrap(text: string, width: number, measure: (line: string) => number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.length - 1;
    const longer = `${lines[last]} ${word}`.trim();
    if (lines[last] && measure(longer) > width) lines.push(word);
    else lines[last] = longer;
  }
  return lines;
}

type Drawing = (pen: CanvasRenderingContext2D) => void;

/** A white sheet with a title, as wide as its content, whose corner is at 0, 0 of the pen. */
function saveSheet(title: string, width: number, height: number, draw: Drawing, below = 0): void {
  const canvas = make('canvas');
  const pen = penOf(canvas);
  pen.font = FONT;
  const lines = wrap(title, width, (line) => pen.measureText(line).width);
  canvas.width = width + 2 * EDGE;
  canvas.height = height + 2 * EDGE + LINE * lines.length + below;
  pen.fillStyle = '#fff';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = '#111';
  pen.font = FONT;
  pen.textBaseline = 'top';
  lines.forEach((line, i) => pen.fillText(line, EDGE, EDGE + LINE * i));
  pen.translate(EDGE, EDGE + LINE * lines.length);
  draw(pen);
  canvas.toBlob((blob) => blob && saveFile(`${title}.png`, blob), 'image/png');
}

/** A map, enlarged by whole pixels, with what is selected in it and its scale. */
export function saveMap({ canvas, marks, bar, map }: GridMap): void {
  const times = Math.max(1, Math.floor(SIDE / Math.max(canvas.width, canvas.height)));
  const [width, height] = [canvas.width * times, canvas.height * times];
  const draw: Drawing = (pen) => {
    pen.imageSmoothingEnabled = false;
    pen.drawImage(canvas, 0, 0, width, height);
    drawMarks(pen, marks, width, height);
    if (!bar.hidden) drawScale(pen, bar, width, height);
  };
  saveSheet(map?.label ?? '', width, height, draw, bar.hidden ? 0 : LINE + 8);
}

function drawMarks(
  pen: CanvasRenderingContext2D,
  marks: HTMLElement,
  width: number,
  height: number,
): void {
  for (const { style } of findAll(marks, '.mark:not(.hover)')) {
    const share = (side: string) => parseFloat(side) / 100;
    const x = share(style.left) * width;
    const y = share(style.top) * height;
    const across = share(style.width) * width;
    const down = share(style.height) * height;
    for (const [colour, wide] of [['#fff', 5] as const, [MARKS.selected, 2.5] as const]) {
      pen.strokeStyle = colour;
      pen.lineWidth = wide;
      pen.strokeRect(x, y, across, down);
    }
  }
}

function drawScale(
  pen: CanvasRenderingContext2D,
  bar: HTMLElement,
  width: number,
  height: number,
): void {
  const low = find(bar, '.low').textContent ?? '';
  const high = find(bar, '.high').textContent ?? '';
  const before = pen.measureText(low).width + 8;
  const after = pen.measureText(high).width + 8;
  pen.fillStyle = '#111';
  pen.fillText(low, 0, height + 8);
  pen.textAlign = 'right';
  pen.fillText(high, width, height + 8);
  const across = Math.max(0, width - before - after);
  const { backgroundImage } = getComputedStyle(find(bar, '.colours'));
  const shades = backgroundImage.match(/rgb\([^)]*\)/g) ?? ['#888', '#888'];
  const blend = pen.createLinearGradient(before, 0, before + across, 0);
  shades.forEach((shade, i) => blend.addColorStop(i / Math.max(1, shades.length - 1), shade));
  pen.fillStyle = blend;
  pen.fillRect(before, height + 10, across, 12);
}

/** Pictures that lie on each other, the lowest first, all of one size. */
export function saveLayers(
  title: string,
  layers: (CanvasImageSource | null)[],
  width: number,
  height: number,
): void {
  saveSheet(title, width, height, (pen) => {
    for (const layer of layers) if (layer) pen.drawImage(layer, 0, 0, width, height);
  });
}

export function saveButton(label: string, save: () => void, text = '⤓'): HTMLButtonElement {
  const button = makeButton('save-picture', text, label);
  button.title = 'Save this picture (PNG)';
  button.addEventListener('click', save);
  return button;
}
