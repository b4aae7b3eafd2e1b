// Two models on one photo and question. What is selected is a part of the photo: each model's
// tokens that lie in it are lit.
import { MARKS } from '../core/colour';
import { find, penOf, tokenChip } from '../core/dom';
import { shape } from '../core/numbers';
import type { Panel } from '../core/panel';
import type { Answer, Beside, Box, RunRecord, Size, Stage } from '../core/payloads';
import { set, subscribe } from '../core/store';
import { unpack } from '../core/wire';

/** What a model made of the photo. */
interface Seen {
  run: string;
  model: string;
  photo: string;
  photo_size: Size;
  /** Four numbers a token, NaN where it has no place. */
  boxes: Float32Array;
  facts: string;
}
type Area = [number, number, number, number];
interface Drag {
  side: Side;
  y: number;
  x: number;
  area: Box;
}

const OUTLINED = 1500; // tokens from which on none is outlined
const RINGED = 200; // selected ones, likewise
const DRAG = 'Drag a box over a thing: its tokens are lit in both.';
const HINT = 'Run a question above, then choose a second model and press “Run beside”.';

export const holds = ([top, left, bottom, right]: Box, y: number, x: number): boolean =>
  y >= top && y < bottom && x >= left && x < right;
export const middleOf = ([top, left, bottom, right]: Box): [number, number] => [
  (top + bottom) / 2,
  (left + right) / 2,
];
const boxOf = ({ boxes }: Pick<Seen, 'boxes'>, token: number): Box =>
  Array.from(boxes.subarray(4 * token, 4 * token + 4)) as Box;

/** The tokens that have a place. */
export function placed({ boxes }: Pick<Seen, 'boxes'>): number[] {
  const all = Array.from({ length: boxes.length / 4 }, (_, token) => token);
  return all.filter((token) => !Number.isNaN(boxes[4 * token]));
}

/** The tokens that lie in one of these parts of the photo, or that one of them lies in. */
export function tokensWithin(seen: Pick<Seen, 'boxes'>, areas: Box[]): number[] {
  return placed(seen).filter((token) => {
    const mine = boxOf(seen, token);
    return areas.some((area) => holds(area, ...middleOf(mine)) || holds(mine, ...middleOf(area)));
  });
}

function countWords(stages: Stage[], patches: number): string {
  const tokens = stages.find((stage) => stage.symbol === 'VT');
  return `${shape(tokens?.shape ?? [])} visual tokens of ${patches} patches.`;
}

function seenBy(record: RunRecord): Seen {
  const { run, model, photo, photo_size, boxes, stages, numbers } = record;
  return {
    run,
    model: model || 'this page’s model',
    photo,
    photo_size,
    boxes,
    facts: countWords(stages, numbers.x_p.shape[0]),
  };
}

/** One of the two models. */
class Side {
  seen: Seen | null = null;
  answer: Answer | null = null;
  chosen: number[] = [];
  readonly canvas: HTMLCanvasElement;
  private readonly image: HTMLImageElement;

  constructor(private readonly host: HTMLElement) {
    this.canvas = find(host, 'canvas');
    this.image = find(host, 'img');
    new ResizeObserver(() => this.draw(null)).observe(this.canvas);
  }

  show(): void {
    const { seen } = this;
    if (!seen) return;
    find(this.host, 'figcaption').textContent = seen.model;
    this.image.alt = `The photo, with the visual tokens of ${seen.model}`;
    this.image.onload = () => this.draw(null);
    this.image.src = seen.photo;
  }

  write(): void {
    const { answer } = this;
    const silent = answer?.finished ? '(ended at once)' : '…';
    find(this.host, '.said').textContent = answer ? answer.answer || silent : '';
    const tokens = (answer?.steps ?? []).map(({ string, probability }) =>
      tokenChip(string, probability),
    );
    find(this.host, '.tokens').replaceChildren(...tokens);
    this.host.dataset.finished = String(Boolean(answer?.finished));
  }

  /** Where an event is in the photo, in pixels of it. */
  place(event: PointerEvent): [number, number] {
    const size = this.canvas.getBoundingClientRect();
    const [height, width] = this.seen!.photo_size;
    return [
      ((event.clientY - size.top) / size.height) * height,
      ((event.clientX - size.left) / size.width) * width,
    ];
  }

  draw(drag: Drag | null): void {
    const { seen, canvas, chosen } = this;
    const { width, height } = canvas.getBoundingClientRect();
    if (!seen || !width) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = penOf(canvas);
    const areaOf = this.scaler(seen);
    pen.strokeStyle = 'rgba(255,255,255,.45)';
    pen.lineWidth = 0.5 * scale;
    const all = placed(seen);
    if (all.length < OUTLINED) {
      for (const token of all) pen.strokeRect(...areaOf(boxOf(seen, token)));
    }
    const areas = chosen.map((token) => areaOf(boxOf(seen, token)));
    if (areas.length) lightUp(pen, areas, scale);
    if (drag) drawDrag(pen, areaOf(drag.area), scale);
    this.tell(seen);
  }

  private scaler({ photo_size: [tall, wide] }: Seen): (box: Box) => Area {
    const [width, height] = [this.canvas.width / wide, this.canvas.height / tall];
    return ([top, left, bottom, right]) => [
      left * width,
      top * height,
      (right - left) * width,
      (bottom - top) * height,
    ];
  }

  private tell({ model, boxes, facts }: Seen): void {
    const { chosen } = this;
    const count = `${chosen.length} of ${boxes.length / 4} tokens selected`;
    const words = chosen.length ? count : DRAG;
    this.canvas.setAttribute('aria-label', `${model}: ${words}`);
    this.host.dataset.selected = chosen.join(',');
    find(this.host, '.facts').textContent = `${facts} ${words}.`;
  }
}

/** The rest of the photo is dark. */
function lightUp(pen: CanvasRenderingContext2D, areas: Area[], scale: number): void {
  pen.fillStyle = 'rgba(60,60,60,.55)';
  pen.fillRect(0, 0, pen.canvas.width, pen.canvas.height);
  pen.globalCompositeOperation = 'destination-out';
  for (const area of areas) pen.fillRect(...area);
  pen.globalCompositeOperation = 'source-over';
  pen.strokeStyle = MARKS.selected;
  pen.lineWidth = 1.5 * scale;
  if (areas.length <= RINGED) for (const area of areas) pen.strokeRect(...area);
}

function drawDrag(pen: CanvasRenderingContext2D, area: Area, scale: number): void {
  pen.setLineDash([6, 4]);
  pen.strokeStyle = MARKS.selected;
  pen.lineWidth = 2 * scale;
  pen.strokeRect(...area);
  pen.setLineDash([]);
}

class BesideView {
  private readonly first: Side;
  private readonly second: Side;
  private drag: Drag | null = null;

  constructor(private readonly panel: Panel) {
    const { element } = panel;
    this.first = new Side(find(element, '.first'));
    this.second = new Side(find(element, '.second'));
    subscribe(['record', 'answer', 'selected'], ({ record, answer, selected }, changed) => {
      if (changed.has('record')) this.takeRecord(record);
      if (changed.has('answer')) {
        this.first.answer = answer;
        this.first.write();
      }
      this.choose(selected);
    });
    for (const side of [this.first, this.second]) this.listen(side);
    panel.watch('value', () => this.takeValue());
    this.show(this.first);
    this.takeValue();
  }

  private show(side: Side): void {
    const { element } = this.panel;
    const waiting = !this.first.seen || !this.second.seen;
    find(element, '.sides').hidden = waiting;
    find(element, '.hint').textContent = waiting ? HINT : '';
    side.show();
  }

  private draw(): void {
    if (find(this.panel.element, '.sides').hidden) return;
    for (const side of [this.first, this.second]) {
      side.draw(this.drag?.side === side ? this.drag : null);
    }
  }

  private takeRecord(record: RunRecord | null): void {
    const { first, second } = this;
    first.seen = record && seenBy(record);
    if (record && second.seen && second.seen.photo !== record.photo) {
      second.seen = second.answer = null;
    }
    this.show(first);
    this.show(second);
  }

  /** Every message of a run tells all; a run on another photo than the page's is over. */
  private takeValue(): void {
    const { first, second } = this;
    const value = unpack<(Beside & { answer: Answer }) | null>(this.panel.props.value);
    if (!value) return;
    const known = second.seen?.run === value.run;
    const other = first.seen !== null && first.seen.photo !== value.photo;
    if (!known && !other) {
      second.seen = { ...value, facts: countWords(value.stages, value.patches) };
      this.show(second);
    }
    second.answer = other ? null : value.answer;
    second.write();
    this.chooseSecond();
    this.draw();
  }

  private choose(selected: number[]): void {
    const { seen } = this.first;
    if (!seen) return;
    this.first.chosen = selected.filter((token) => !Number.isNaN(seen.boxes[4 * token]));
    this.chooseSecond();
    this.draw();
  }

  private chooseSecond(): void {
    const { first, second } = this;
    if (!first.seen || !second.seen) return;
    const areas = first.chosen.map((token) => boxOf(first.seen!, token));
    second.chosen = tokensWithin(second.seen, areas);
  }

  private listen(side: Side): void {
    const { canvas } = side;
    canvas.addEventListener('pointerdown', (event) => {
      if (!side.seen || event.button) return;
      const [y, x] = side.place(event);
      this.drag = { side, y, x, area: [y, x, y, x] };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener('pointermove', (event) => {
      const { drag } = this;
      if (drag?.side !== side) return;
      const [y, x] = side.place(event);
      const [top, bottom] = [Math.min(y, drag.y), Math.max(y, drag.y)];
      drag.area = [top, Math.min(x, drag.x), bottom, Math.max(x, drag.x)];
      side.draw(drag);
    });
    canvas.addEventListener('pointerup', () => {
      const { drag } = this;
      if (drag?.side !== side) return;
      this.drag = null;
      this.select(side, drag.area);
    });
    canvas.addEventListener('pointercancel', () => {
      this.drag = null;
    });
  }

  /**
   * A click takes the token under it, a box those whose middle it holds; either way the first
   * model's tokens are what the page selects.
   */
  private select(side: Side, area: Box): void {
    const seen = side.seen!;
    const clicked = area[2] - area[0] < 1 && area[3] - area[1] < 1;
    const mine = placed(seen).filter((token) => {
      const box = boxOf(seen, token);
      return clicked ? holds(box, area[0], area[1]) : holds(area, ...middleOf(box));
    });
    if (side === this.first) {
      set({ selected: mine, patch: -1 });
      return;
    }
    const areas = mine.map((token) => boxOf(seen, token));
    set({ selected: tokensWithin(this.first.seen!, areas), patch: -1 });
  }
}

export function mount(panel: Panel): void {
  new BesideView(panel);
}
