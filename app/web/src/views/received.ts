// What the encoder received, or the photo itself, with the patches over it, always in sight: hover
// says which and where; click, Shift, dragging a box and the keyboard select.
import {
  at,
  boxOf,
  cellRectangle,
  kindOf,
  patchBox,
  patchesOf,
  rectanglesOf,
  shownBoard,
  shownPair,
  shownRecord,
} from '../core/board';
import { MARKS } from '../core/colour';
import { SIGNS } from '../core/cuts';
import { find, findAll, heading, make, penOf, pressOnly } from '../core/dom';
import { paint, valueAt } from '../core/maps';
import type { Panel } from '../core/panel';
import type { Box, Picture, Rectangle, RunRecord } from '../core/payloads';
import { pictureName, where } from '../core/places';
import { pick, point, steer } from '../core/selection';
import type { BoardMap, State } from '../core/state';
import { set, state, subscribe } from '../core/store';

/** [x, y, width, height] in pixels of the canvas. */
type Area = [number, number, number, number];
interface Drag {
  /** Where it began and where it is, as shares of the picture. */
  x: number;
  y: number;
  toX: number;
  toY: number;
  moved: boolean;
}

const FAR = 6; // pixels from which on a press is a drag
const MANY = 80; // tokens from which on none is outlined
const FINE = 3; // pixels of a cell below which lines would hide the picture

function purpose(record: RunRecord | null): string {
  if (record && !record.kinds.includes('patch')) {
    return 'Learned queries read all squares; each gives one visual token.';
  }
  return record && record.token_patches.shape[1] > 1
    ? 'Each outlined square is one visual token, made of several patches.'
    : 'Each square becomes one visual token.';
}

class ReceivedView {
  private readonly frame: HTMLElement;
  private readonly picture: HTMLImageElement;
  private readonly overlay: HTMLCanvasElement;
  private readonly pen: CanvasRenderingContext2D;
  private readonly shelf: HTMLElement;
  private readonly told: HTMLElement;
  private view: 'received' | 'photo' = 'received';
  private drag: Drag | null = null;
  private grid = true;
  /** What changes seldom; and where there is no picture, one pixel a cell. */
  private layer: HTMLCanvasElement | null = null;
  private gaps = make('canvas');

  constructor(private readonly element: HTMLElement) {
    this.frame = find(element, '.frame');
    this.picture = find(element, '.picture');
    this.overlay = find(element, '.overlay');
    this.pen = penOf(this.overlay);
    this.shelf = find(element, '.shelf');
    this.told = find(element, '.where');
    this.listen();
    this.listenToControls();
    new ResizeObserver(() => this.redraw()).observe(this.overlay);
    const seen = ['record', 'overlay', 'selected', 'hovered', 'patch', 'under'];
    subscribe(seen, (now, changed) => this.draw(now, changed));
    const earlier = find(element, '.earlier');
    subscribe(['earlier'], (now) => {
      earlier.hidden = !now.earlier;
      earlier.textContent = now.earlier;
    });
  }

  // --- where things are ---

  private onBoard([row, column, rows, columns]: Rectangle): Area {
    const record = shownRecord();
    const width = this.overlay.width / record.columns;
    const height = this.overlay.height / record.rows;
    return [column * width, row * height, columns * width, rows * height];
  }

  private onPhoto([top, left, bottom, right]: Box): Area {
    const [tall, wide] = shownRecord().photo_size;
    const [width, height] = [this.overlay.width / wide, this.overlay.height / tall];
    return [left * width, top * height, (right - left) * width, (bottom - top) * height];
  }

  private areasOf(token: number): Area[] {
    if (this.view === 'received') return rectanglesOf(token).map((each) => this.onBoard(each));
    const box = boxOf(token);
    return box ? [this.onPhoto(box)] : [];
  }

  private patchArea(patch: number): Area {
    return this.view === 'received'
      ? this.onBoard(cellRectangle(patch))
      : this.onPhoto(patchBox(patch));
  }

  /** The pictures that the photo shows: its tiles, or else the whole. */
  private closest(): Picture[] {
    return shownRecord().pictures.filter((_, picture) => shownBoard().closest[picture]);
  }

  /** Where an event is, as shares of the picture. */
  private place(event: MouseEvent): [number, number] {
    const size = this.overlay.getBoundingClientRect();
    return [(event.clientX - size.left) / size.width, (event.clientY - size.top) / size.height];
  }

  /** The token and the patch where an event is. */
  private under(event: MouseEvent): [number, number] {
    const record = shownRecord();
    const [x, y] = this.place(event);
    if (this.view === 'received') return at(y * record.rows, x * record.columns);
    const [down, across] = [y * record.photo_size[0], x * record.photo_size[1]];
    const met = this.closest().find(
      ({ box: [top, left, bottom, right] }) =>
        down >= top && down < bottom && across >= left && across < right,
    );
    if (!met) return [-1, -1];
    const [top, left, bottom, right] = met.box;
    const [row, column, rows, columns] = met.rectangle;
    return at(
      row + ((down - top) / (bottom - top)) * rows,
      column + ((across - left) / (right - left)) * columns,
    );
  }

  // --- what changes seldom: grid, colours, names, the shade over what was lost ---

  private drawBackground(): void {
    const record = shownRecord();
    const size = this.overlay.getBoundingClientRect();
    const scale = window.devicePixelRatio || 1;
    this.overlay.width = Math.max(1, Math.round(size.width * scale));
    this.overlay.height = Math.max(1, Math.round(size.height * scale));
    this.layer = make('canvas');
    this.layer.width = this.overlay.width;
    this.layer.height = this.overlay.height;
    const pen = penOf(this.layer);
    pen.imageSmoothingEnabled = false;
    if (this.view === 'photo') this.shadeLost(pen, record);
    else this.drawSigns(pen, record, scale);
    if (state.overlay) this.drawMap(pen, record, state.overlay);
    if (!this.grid) return;
    this.drawGrid(pen, record, scale);
    if (this.view === 'received' && record.pictures.length > 1) this.drawNames(pen, scale);
  }

  private drawGrid(pen: CanvasRenderingContext2D, record: RunRecord, scale: number): void {
    const { patches, closest, pictureOf } = shownBoard();
    const { width, height } = this.overlay;
    const cell = Math.min(width / record.columns, height / record.rows);
    pen.lineWidth = Math.max(1, scale * 0.5);
    pen.strokeStyle = 'rgba(255,255,255,.35)';
    if (cell < FINE * scale && record.token_cells.shape[1] === 1) return;
    patches.forEach((mine, token) => {
      const inPhoto = mine.length > 0 && closest[pictureOf[mine[0]]];
      if (this.view === 'photo' && !inPhoto) return;
      for (const area of this.areasOf(token)) pen.strokeRect(...area);
    });
  }

  /** Tokens without a patch are squares with a sign; what is left free is not of any picture. */
  private drawSigns(pen: CanvasRenderingContext2D, record: RunRecord, scale: number): void {
    const { patches, patchAt, tokenAt } = shownBoard();
    pen.textAlign = 'center';
    pen.textBaseline = 'middle';
    patches.forEach((mine, token) => {
      if (mine.length) return;
      const [[x, y, width, height]] = this.areasOf(token);
      pen.fillStyle = '#6b7280';
      pen.fillRect(x + 0.06 * width, y + 0.06 * height, 0.88 * width, 0.88 * height);
      if (height < 7 * scale) return;
      pen.fillStyle = '#fff';
      pen.font = `${0.6 * height}px system-ui, sans-serif`;
      pen.fillText(SIGNS[kindOf(record, token)] || '·', x + width / 2, y + height / 2);
    });
    pen.textAlign = 'left';
    const { rows, columns } = record;
    this.gaps = make('canvas');
    this.gaps.width = columns;
    this.gaps.height = rows;
    const free = penOf(this.gaps);
    patchAt.forEach((patch, cell) => {
      if (patch >= 0 || tokenAt[cell] >= 0) return;
      free.fillRect(cell % columns, Math.floor(cell / columns), 1, 1);
    });
  }

  private shadeLost(pen: CanvasRenderingContext2D, { photos, pictures }: RunRecord): void {
    pen.fillStyle = 'rgba(0,0,0,.62)';
    for (const { left, size } of photos) {
      pen.fillRect(...this.onPhoto([0, left, size[0], left + size[1]]));
    }
    // what patches of any picture cover
    for (const { photo, box } of pictures) {
      const { left, size } = photos[photo];
      const top = Math.max(box[0], 0);
      const bottom = Math.min(box[2], size[0]);
      const right = Math.min(box[3], left + size[1]);
      pen.clearRect(...this.onPhoto([top, Math.max(box[1], left), bottom, right]));
    }
  }

  private drawMap(pen: CanvasRenderingContext2D, record: RunRecord, map: BoardMap): void {
    const small = make('canvas');
    small.width = record.columns;
    small.height = record.rows;
    penOf(small).putImageData(paint(map), 0, 0);
    pen.globalAlpha = 0.74;
    if (this.view === 'received') {
      pen.drawImage(small, 0, 0, this.overlay.width, this.overlay.height);
    } else {
      for (const { box, rectangle } of this.closest()) {
        const [row, column, rows, columns] = rectangle;
        pen.drawImage(small, column, row, columns, rows, ...this.onPhoto(box));
      }
    }
    pen.globalAlpha = 1;
  }

  private drawNames(pen: CanvasRenderingContext2D, scale: number): void {
    pen.font = `600 ${10 * scale}px system-ui, sans-serif`;
    pen.textBaseline = 'top';
    shownRecord().pictures.forEach(({ rectangle }, picture) => {
      const [x, y, width] = this.onBoard(rectangle);
      const name = pictureName(picture);
      const wide = pen.measureText(name).width + 6 * scale;
      if (wide > width) return;
      pen.fillStyle = 'rgba(0,0,0,.6)';
      pen.fillRect(x, y, wide, 14 * scale);
      pen.fillStyle = '#fff';
      pen.fillText(name, x + 3 * scale, y + 2 * scale);
    });
  }

  // --- what changes with every move of the pointer ---

  private drawMarks(layer: HTMLCanvasElement): void {
    const { selected, hovered } = state;
    const { pen, overlay } = this;
    pen.clearRect(0, 0, overlay.width, overlay.height);
    pen.drawImage(layer, 0, 0);
    if (selected.length) this.greyTheRest(layer, selected);
    if (this.view === 'received') this.clearGaps();
    if (selected.length <= MANY) {
      for (const token of selected) this.outlineToken(token, MARKS.selected, 2);
    }
    if (hovered >= 0) this.outlineToken(hovered, MARKS.hovered, 1.5);
    const [token, patch] = shownPair();
    if (patch >= 0 && (token < 0 || patchesOf(token).length > 1)) {
      this.outline(this.patchArea(patch), MARKS.patch, 1);
    }
    if (this.drag?.moved) this.drawDrag(this.drag);
  }

  private greyTheRest(layer: HTMLCanvasElement, selected: number[]): void {
    const { pen, overlay } = this;
    pen.fillStyle = 'rgba(120,120,120,.38)';
    pen.fillRect(0, 0, overlay.width, overlay.height);
    pen.save();
    pen.beginPath();
    for (const token of selected) for (const area of this.areasOf(token)) pen.rect(...area);
    pen.clip();
    pen.clearRect(0, 0, overlay.width, overlay.height);
    pen.drawImage(layer, 0, 0);
    pen.restore();
  }

  /** Nothing is drawn where there is no picture. */
  private clearGaps(): void {
    const { pen, overlay } = this;
    pen.imageSmoothingEnabled = false;
    pen.globalCompositeOperation = 'destination-out';
    pen.drawImage(this.gaps, 0, 0, overlay.width, overlay.height);
    pen.globalCompositeOperation = 'source-over';
  }

  private outlineToken(token: number, shade: string, width: number): void {
    for (const area of this.areasOf(token)) this.outline(area, shade, width);
  }

  private outline(area: Area, shade: string, width: number): void {
    const scale = window.devicePixelRatio || 1;
    this.pen.lineWidth = (width + 2) * scale;
    this.pen.strokeStyle = '#fff';
    this.pen.strokeRect(...area);
    this.pen.lineWidth = width * scale;
    this.pen.strokeStyle = shade;
    this.pen.strokeRect(...area);
  }

  private drawDrag({ x, y, toX, toY }: Drag): void {
    const { width, height } = this.overlay;
    this.pen.setLineDash([6, 4]);
    this.pen.lineWidth = 2 * (window.devicePixelRatio || 1);
    this.pen.strokeStyle = MARKS.selected;
    this.pen.strokeRect(x * width, y * height, (toX - x) * width, (toY - y) * height);
    this.pen.setLineDash([]);
  }

  private redraw(): void {
    if (!state.record) return;
    this.drawBackground();
    if (this.layer) this.drawMarks(this.layer);
  }

  private draw(now: State, changed: Set<string>): void {
    const { record } = now;
    if (changed.has('record')) {
      const words = `${purpose(record)} Click, Shift-click or drag a box.`;
      heading(find(this.element, '.head'), 'What the model received', 'X', null, words);
    }
    if (!record) return;
    if (changed.has('record')) this.showPicture(record);
    if (this.layer && changed.has('overlay')) this.drawBackground();
    if (this.layer) this.drawMarks(this.layer); // without, the picture is on its way
    this.describe(record);
    this.element.dataset.selected = now.selected.join(',');
  }

  private describe(record: RunRecord): void {
    const { overlay, selected } = state;
    const [token, patch] = shownPair();
    if (token < 0 && patch < 0) {
      this.told.textContent = overlay ? overlay.label : record.transform;
      return;
    }
    const value = valueAt(overlay, token, patch);
    const parts = [where(token, patch)];
    if (selected.length > 1) parts.push(`${selected.length} selected`);
    if (value) parts.push(value);
    this.told.textContent = parts.join(' · ');
  }

  private showPicture(record: RunRecord): void {
    const received = this.view === 'received';
    const [height, width] = received ? record.received_size : record.photo_size;
    this.frame.style.setProperty('--ratio', `${width} / ${height}`);
    this.frame.style.setProperty('--ratio-number', String(width / height));
    this.picture.onload = () => {
      this.redraw();
      this.element.dataset.ready = record.run;
    };
    this.picture.alt = received
      ? 'The photo as the model received it'
      : 'Your photo, what was lost is dark';
    this.picture.hidden = false;
    this.picture.src = record[this.view];
    this.tellShelf(record);
  }

  /** What stands below the pictures, in one line. */
  private tellShelf({ shelf }: RunRecord): void {
    const below = ([[row]]: Rectangle[]): boolean => shelf !== null && row >= shelf;
    const count = shownBoard().rectangles.filter(below).length;
    this.shelf.hidden = !count || this.view !== 'received';
    const which = count > 1 ? 'tokens that have' : 'token that has';
    this.shelf.textContent = `Below: ${count} ${which} no place in the photo.`;
  }

  // --- what the visitor does ---

  private listen(): void {
    const { overlay } = this;
    overlay.addEventListener('pointerdown', (event) => {
      if (!state.record || event.button) return;
      const [x, y] = this.place(event);
      this.drag = { x, y, toX: x, toY: y, moved: false };
      if (event.pointerType === 'mouse') overlay.setPointerCapture(event.pointerId);
    });
    overlay.addEventListener('pointermove', (event) => {
      if (!state.record) return;
      if (this.drag && event.pointerType === 'mouse' && this.dragTo(this.drag, event)) return;
      point(this.under(event));
    });
    overlay.addEventListener('pointerup', (event) => {
      const { drag } = this;
      this.drag = null;
      if (!drag) return;
      if (drag.moved) this.selectWithin(drag, event.shiftKey);
      else pick(this.under(event), event);
    });
    overlay.addEventListener('pointercancel', () => {
      this.drag = null;
    });
    overlay.addEventListener('pointerleave', () => {
      if (!this.drag) point([-1, -1]);
    });
    overlay.addEventListener('keydown', steer);
  }

  /** Whether it is a drag by now. */
  private dragTo(drag: Drag, event: PointerEvent): boolean {
    [drag.toX, drag.toY] = this.place(event);
    const size = this.overlay.getBoundingClientRect();
    const across = (drag.toX - drag.x) * size.width;
    const down = (drag.toY - drag.y) * size.height;
    drag.moved ||= Math.hypot(across, down) > FAR;
    if (drag.moved && this.layer) this.drawMarks(this.layer);
    return drag.moved;
  }

  private selectWithin({ x, y, toX, toY }: Drag, adds: boolean): void {
    const { record, selected } = state;
    const { width, height } = this.overlay;
    const [left, right] = [Math.min(x, toX) * width, Math.max(x, toX) * width];
    const [top, bottom] = [Math.min(y, toY) * height, Math.max(y, toY) * height];
    const holds = ([a, b, w, h]: Area): boolean => {
      const [middleX, middleY] = [a + w / 2, b + h / 2];
      return middleX >= left && middleX <= right && middleY >= top && middleY <= bottom;
    };
    const inside: number[] = [];
    for (let token = 0; token < record!.token_kinds.length; token++) {
      if (this.areasOf(token).some(holds)) inside.push(token);
    }
    set({ selected: adds ? [...new Set([...selected, ...inside])] : inside, patch: -1 });
    if (this.layer) this.drawMarks(this.layer);
  }

  private listenToControls(): void {
    const choices = findAll(this.element, '.choice');
    for (const button of choices) {
      button.addEventListener('click', () => {
        this.view = button.dataset.view as typeof this.view;
        pressOnly(choices, button);
        if (state.record) this.showPicture(state.record);
      });
    }
    const grid = find<HTMLInputElement>(this.element, '.grid-switch input');
    grid.addEventListener('change', () => {
      this.grid = grid.checked;
      this.redraw();
    });
  }
}

export function mount({ element }: Panel): void {
  new ReceivedView(element);
}
