// The token ledger: what each family spends on one size, and on photos of the same shape from small
// to large.
import { GROUPS, textColour } from '../core/colour';
import { find, make, penOf } from '../core/dom';
import { whole } from '../core/numbers';
import type { Panel } from '../core/panel';
import type { Ledger } from '../core/payloads';
import { unpack } from '../core/wire';

/** Eight colours for more lines: the dashes tell the rest apart. */
const DASHES = [[], [6, 3], [2, 3], [8, 2, 2, 2]];
const LEVELS = [10, 32, 100, 316, 1000, 3162, 10000];
const SIDES = [256, 512, 1024, 1536, 2048];
const LINE = 12; // pixels between two names
const ROOM = { left: 44, right: 122, top: 10, bottom: 30 };
const AXIS =
  'longest side of the photo in pixels; upwards visual tokens, about three times as many at each' +
  ' line';

/** Families that spend the same on every size share a line; it is named after the first. */
export function linesOf({ rows, curve, sides }: Ledger, compared: boolean): number[][] {
  const lines = new Map<string, number[]>();
  rows.forEach((row, family) => {
    if (compared && !row.compared) return;
    const key = curve.subarray(family * sides.length, (family + 1) * sides.length).join();
    lines.set(key, [...(lines.get(key) ?? []), family]);
  });
  return [...lines.values()];
}

/** Heights of names that lie at least a line apart, and above the bottom; `at` is ascending. */
export function spreadNames(at: number[], bottom: number): number[] {
  const places = [...at];
  for (let i = 1; i < places.length; i++) {
    places[i] = Math.max(places[i], places[i - 1] + LINE);
  }
  if (!places.length || places[places.length - 1] <= bottom) return places;
  let most = bottom;
  for (let i = places.length - 1; i >= 0; i--) {
    places[i] = Math.min(places[i], most);
    most = places[i] - LINE;
  }
  return places;
}

/** Where a side and a number of tokens are on the canvas. */
interface Scales {
  x: (side: number) => number;
  y: (tokens: number) => number;
  least: number;
  most: number;
  right: number;
  bottom: number;
}

class LedgerView {
  private readonly element: HTMLElement;
  private readonly canvas: HTMLCanvasElement;
  private readonly pen: CanvasRenderingContext2D;
  private readonly compared: HTMLInputElement;
  private data: Ledger | null = null;
  /** The family under the pointer, -1: none. */
  private lit = -1;

  constructor(private readonly panel: Panel) {
    this.element = panel.element;
    this.canvas = find(this.element, 'canvas');
    this.pen = penOf(this.canvas);
    this.compared = find(this.element, '.four');
    this.compared.addEventListener('change', () => this.plot());
    // light and dark
    const options = { attributes: true, attributeFilter: ['class'] };
    new MutationObserver(() => this.plot()).observe(document.body, options);
    panel.watch('value', () => this.load());
    this.load();
  }

  private load(): void {
    const value = this.panel.props.value as Ledger | null;
    find(this.element, '.ledger').hidden = !value?.rows;
    if (!value?.rows) return;
    const data = unpack<Ledger>(value);
    this.data = data;
    find(this.element, '.said').textContent =
      `A photo of ${whole(data.width)} × ${whole(data.height)} pixels. Some families spend the` +
      ' same on every photo, some the more the larger it is: look where the lines cross.';
    const rows = data.rows.map((row, family) => this.makeRow(row, family));
    find(this.element, 'tbody').replaceChildren(...rows);
    this.plot();
    this.element.dataset.ready = `${data.width} ${data.height}`;
  }

  private makeRow(row: Ledger['rows'][number], family: number): HTMLElement {
    const line = make('tr');
    const name = make('td', '', row.family);
    name.title = row.checkpoint;
    line.append(name, make('td', '', whole(row.tokens)), make('td', '', row.why));
    const light = (which: number) => () => {
      this.lit = which;
      this.plot();
    };
    line.addEventListener('pointerenter', light(family));
    line.addEventListener('pointerleave', light(-1));
    return line;
  }

  private tokensOf(family: number): number[] {
    const { curve, sides } = this.data!;
    return Array.from(curve.subarray(family * sides.length, (family + 1) * sides.length));
  }

  private scalesFor(lines: number[][]): Scales {
    const { sides } = this.data!;
    const drawn = lines.flatMap(([family]) => this.tokensOf(family));
    const most = Math.max(...drawn);
    const least = Math.max(1, Math.min(...drawn));
    const right = this.canvas.width - ROOM.right;
    const bottom = this.canvas.height - ROOM.bottom;
    const [first, last] = [sides[0], sides[sides.length - 1]];
    const up = (tokens: number): number =>
      Math.log(Math.max(tokens, least) / least) / Math.log(most / least);
    return {
      x: (side) => ROOM.left + ((side - first) / (last - first)) * (right - ROOM.left),
      y: (tokens) => bottom - up(tokens) * (bottom - ROOM.top),
      least,
      most,
      right,
      bottom,
    };
  }

  private plot(): void {
    const { data, pen, canvas } = this;
    if (!data) return;
    const lines = linesOf(data, this.compared.checked);
    const scales = this.scalesFor(lines);
    const ink = textColour(this.element);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    this.drawAxes(scales, ink);
    this.drawLines(lines, scales, ink);
    this.drawHere(data, scales, ink);
    const words =
      'Visual tokens of each family over the size of the photo; the table holds those of this size';
    canvas.setAttribute('aria-label', words);
  }

  private drawAxes({ x, y, least, most, right, bottom }: Scales, ink: string): void {
    const { pen, canvas } = this;
    pen.font = '11px system-ui, sans-serif';
    pen.fillStyle = ink;
    pen.strokeStyle = 'rgba(128,128,128,.3)';
    pen.lineWidth = 1;
    pen.setLineDash([]);
    pen.textAlign = 'right';
    for (const tokens of LEVELS.filter((level) => level >= least && level <= most)) {
      this.drawLine(ROOM.left, y(tokens), right, y(tokens));
      pen.fillText(whole(tokens), ROOM.left - 4, y(tokens) + 4);
    }
    pen.textAlign = 'center';
    for (const side of SIDES) pen.fillText(String(side), x(side), bottom + 13);
    pen.fillText(AXIS, canvas.width / 2, canvas.height - 4, canvas.width - 10);
  }

  private drawLine(fromX: number, fromY: number, toX: number, toY: number): void {
    this.pen.beginPath();
    this.pen.moveTo(fromX, fromY);
    this.pen.lineTo(toX, toY);
    this.pen.stroke();
  }

  private drawLines(lines: number[][], scales: Scales, ink: string): void {
    const { y, bottom } = scales;
    const ends = lines
      .map((families, i) => ({
        families,
        colour: GROUPS[i % GROUPS.length],
        dash: DASHES[Math.floor(i / GROUPS.length) % DASHES.length],
        at: y(this.tokensOf(families[0]).at(-1) ?? 0),
      }))
      .sort((one, other) => one.at - other.at);
    const names = spreadNames(
      ends.map(({ at }) => at),
      bottom,
    );
    ends.forEach(({ families, colour, dash }, i) => {
      this.drawFamily(families, scales, colour, dash);
      this.drawName(families, scales.right, names[i], colour, ink);
    });
    this.pen.globalAlpha = 1;
  }

  private drawFamily(families: number[], { x, y }: Scales, colour: string, dash: number[]): void {
    const { pen, lit } = this;
    const on = families.includes(lit);
    pen.strokeStyle = colour;
    pen.lineWidth = on ? 4 : 2;
    pen.globalAlpha = lit >= 0 && !on ? 0.3 : 1;
    pen.setLineDash(dash);
    pen.beginPath();
    const tokens = this.tokensOf(families[0]);
    this.data!.sides.forEach((side, i) => {
      if (i) pen.lineTo(x(side), y(tokens[i]));
      else pen.moveTo(x(side), y(tokens[i]));
    });
    pen.stroke();
    pen.setLineDash([]);
  }

  private drawName(
    families: number[],
    right: number,
    at: number,
    colour: string,
    ink: string,
  ): void {
    const { pen } = this;
    const more = families.length > 1 ? ` +${families.length - 1}` : '';
    pen.fillStyle = colour;
    pen.fillRect(right + 4, at - 3, 7, 7);
    pen.fillStyle = ink;
    pen.textAlign = 'left';
    pen.fillText(this.data!.rows[families[0]].family + more, right + 14, at + 4);
  }

  /** A dashed line at the size that the table is about. */
  private drawHere({ width, height, sides }: Ledger, { x, bottom }: Scales, ink: string): void {
    const here = Math.max(width, height);
    this.pen.strokeStyle = ink;
    this.pen.lineWidth = 1;
    this.pen.setLineDash([3, 3]);
    if (here >= sides[0] && here <= sides[sides.length - 1]) {
      this.drawLine(x(here), ROOM.top, x(here), bottom);
    }
    this.pen.setLineDash([]);
  }
}

export function mount(panel: Panel): void {
  new LedgerView(panel);
}
