// Pictures of the board: a map of one value (or colour) a patch or a token.
import {
  at,
  cellRectangle,
  patchesOf,
  rectanglesOf,
  shownBoard,
  shownPair,
  shownRecord,
} from './board';
import { cividis, gradient, signed, type Colour } from './colour';
import { find, make, penOf } from './dom';
import { extremes, number } from './numbers';
import type { Layout, Rectangle } from './payloads';
import { saveButton, saveMap } from './pictures';
import { pick, point } from './selection';
import type { BoardMap } from './state';
import { state } from './store';

const TALL = 190; // pixels of the tallest map
const LARGE = 48; // cells from which on a map is shown larger

/** Between which values the colours run. */
export function limitsOf(map: BoardMap): [number, number] {
  const [least, most] = extremes(map.values ?? []);
  const low = map.low ?? least;
  const high = map.high ?? most;
  if (!map.signed) return [low, high];
  const bound = Math.max(Math.abs(low), Math.abs(high));
  return [-bound, bound];
}

/** 256 shades of each scale, made once: a map of thousands of cells is painted at every click. */
function shades(colour: (share: number) => Colour): Uint8Array {
  return Uint8Array.from(Array.from({ length: 256 }, (_, i) => colour(i / 255)).flat());
}
const PLAIN = shades(cividis);
const SIGNED = shades((share) => signed(2 * share - 1));

const shadesOf = ({ signed }: BoardMap): Uint8Array => (signed ? SIGNED : PLAIN);

/** The whole board, four bytes a cell, clear where the map says nothing. */
export function paintCells(
  record: Pick<Layout, 'rows' | 'columns' | 'cells' | 'token_cells'>,
  map: BoardMap,
): Uint8ClampedArray<ArrayBuffer> {
  const bytes = new Uint8ClampedArray(4 * record.rows * record.columns);
  const { values, rgb, mask, first = 0 } = map;
  const [low, high] = values ? limitsOf(map) : [0, 1];
  const cells = map.of === 'token' ? record.token_cells : record.cells;
  const each = map.of === 'token' ? record.token_cells.shape[1] : 1;
  const table = values ? shadesOf(map) : rgb!;
  const unit = 255 / (high - low || 1);
  const count = values ? values.length : rgb!.length / 3;
  for (let i = 0; i < count; i++) {
    if (mask && !mask[i]) continue;
    const shade = values ? Math.round((values[i] - low) * unit) : i;
    const start = 3 * (values ? Math.min(255, Math.max(0, shade)) : i);
    for (let k = 0; k < each; k++) {
      const cell = cells[each * (first + i) + k];
      if (cell < 0) continue;
      bytes[4 * cell] = table[start];
      bytes[4 * cell + 1] = table[start + 1];
      bytes[4 * cell + 2] = table[start + 2];
      bytes[4 * cell + 3] = 255;
    }
  }
  return bytes;
}

/** The whole board as an image, one pixel a cell. */
export function paint(map: BoardMap): ImageData {
  const record = shownRecord();
  return new ImageData(paintCells(record, map), record.columns, record.rows);
}

/** What a map says of a token and a patch in words, or nothing. */
export function valueAt(map: BoardMap | null, token: number, patch: number): string {
  const index = map?.of === 'token' ? token : patch - (map?.first ?? 0);
  const value = map?.values?.[index];
  return value === undefined ? '' : number(value);
}

type Mark = [Rectangle, string];

/** A map in a view. The pointer hovers and selects in it as on the photo. */
export class GridMap {
  readonly host = make('figure', 'map');
  readonly canvas = make('canvas');
  readonly marks = make('div', 'map-marks');
  readonly bar = make('div', 'map-bar');
  map: BoardMap | null = null;
  private readonly caption: HTMLElement;
  private readonly frame = make('div', 'map-frame');

  constructor(host: Element, label: string) {
    this.caption = make('figcaption', '', label);
    this.canvas.setAttribute('role', 'img');
    this.canvas.setAttribute('aria-label', label);
    this.frame.append(this.canvas, this.marks);
    this.bar.append(make('span', 'low'), make('span', 'colours'), make('span', 'high'));
    const save = saveButton('Save this map as a picture', () => saveMap(this));
    this.host.append(this.caption, save, this.frame, this.bar);
    host.append(this.host);
    this.frame.addEventListener('pointermove', (event) => point(this.at(event)));
    this.frame.addEventListener('pointerleave', () => point([-1, -1]));
    this.frame.addEventListener('click', (event) => pick(this.at(event), event));
  }

  /** The part of the board that is shown. */
  private window(): Rectangle {
    const { pictured, spoken } = shownBoard();
    return this.map?.within ?? (this.map?.of === 'token' ? spoken : pictured);
  }

  private at(event: MouseEvent): [number, number] {
    const size = this.canvas.getBoundingClientRect();
    const [top, left, rows, columns] = this.window();
    const down = (event.clientY - size.top) / size.height;
    const across = (event.clientX - size.left) / size.width;
    if (down < 0 || across < 0 || down >= 1 || across >= 1) return [-1, -1];
    return at(top + down * rows, left + across * columns);
  }

  /** Whether an event's target lies in the picture itself. */
  holds(target: EventTarget | null): boolean {
    return target instanceof Node && this.frame.contains(target);
  }

  show(map: BoardMap | null): void {
    this.map = map;
    this.host.hidden = !map || !state.record;
    if (!map || !state.record) return;
    const [top, left, rows, columns] = this.window();
    this.canvas.width = columns;
    this.canvas.height = rows;
    penOf(this.canvas).putImageData(paint(map), -left, -top);
    this.frame.style.maxWidth = `${Math.round((TALL * columns) / rows)}px`;
    this.host.classList.toggle('large', Math.max(rows, columns) > LARGE);
    this.caption.textContent = map.label;
    this.canvas.setAttribute('aria-label', map.label);
    this.bar.hidden = !map.values;
    if (map.values) this.showScale(map);
    this.mark();
  }

  private showScale(map: BoardMap): void {
    const [low, high] = limitsOf(map);
    find(this.bar, '.low').textContent = number(low);
    find(this.bar, '.high').textContent = number(high) + (map.unit ? ` ${map.unit}` : '');
    find(this.bar, '.colours').style.background = gradient(
      map.signed ? (share) => signed(2 * share - 1) : cividis,
    );
  }

  private marked(map: BoardMap): Mark[] {
    const { selected, hovered } = state;
    const marks: Mark[] = (map.flags ?? []).map((patch) => [cellRectangle(patch), 'flag']);
    for (const token of selected) {
      for (const rectangle of rectanglesOf(token)) marks.push([rectangle, 'mark']);
    }
    if (hovered >= 0) {
      for (const rectangle of rectanglesOf(hovered)) marks.push([rectangle, 'mark hover']);
    }
    const [token, patch] = shownPair();
    if (patch >= 0 && (token < 0 || patchesOf(token).length > 1)) {
      marks.push([cellRectangle(patch), 'exact']);
    }
    return marks;
  }

  /** One outline a token, a thin one around the very patch. */
  mark(): void {
    if (!this.map || !state.record) return;
    const [top, left, rows, columns] = this.window();
    const marks = this.marked(this.map).map(([[row, column, down, across], name]) => {
      const mark = make('span', name, name === 'flag' ? '×' : undefined);
      mark.style.left = `${(100 * (column - left)) / columns}%`;
      mark.style.top = `${(100 * (row - top)) / rows}%`;
      mark.style.width = `${(100 * across) / columns}%`;
      mark.style.height = `${(100 * down) / rows}%`;
      return mark;
    });
    this.marks.replaceChildren(...marks);
  }
}
