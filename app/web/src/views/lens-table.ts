// The table of the lens view: every token (rows) at every layer (columns). The rows in sight are
// asked for beside what is on its way, the others afterwards, one block at a time; only rows in
// sight are in the document.
import { cividis, paintGround } from '../core/colour';
import { find, findAll, make } from '../core/dom';
import { percent, visible } from '../core/numbers';
import type { LensRows, RunRecord } from '../core/payloads';
import { call } from '../core/requests';
import { pick, point } from '../core/selection';
import { focus, state } from '../core/store';

const ROW = 18; // pixels of a row
const NUMBER = 44; // of its head
const CELL = 62; // of a cell
const BLOCK = 12; // tokens whose rows are asked for at a time, as in `app/handlers/views.py`
const AT_ONCE = 3; // blocks that are on their way at most
const AHEAD = 3; // rows that stay in sight below the one in focus

/** What a token says, layer by layer: which words, and how probable. */
interface Said {
  words: string[];
  /** Words a layer. */
  best: number;
  ids: Int32Array;
  chances: Float32Array;
}

interface Host {
  /** Whether the table is in sight. */
  isOpen: () => boolean;
  /** Be told that something failed. */
  changed: () => void;
}

export const layerName = (layer: number): string => (layer ? `layer ${layer}` : 'going in');

/** The rows that a window shows: the first, and the one after the last. */
export function rowsInSight(scrolled: number, tall: number, count: number): [number, number] {
  const first = Math.floor(scrolled / ROW);
  return [Math.max(0, first), Math.min(count, first + Math.ceil(tall / ROW) + 1)];
}

function spacer(height: number, columns: number): HTMLElement {
  const row = make('tr', 'space');
  const cell = make('td');
  cell.colSpan = columns;
  cell.style.height = `${height}px`;
  row.append(cell);
  return row;
}

export class LensTable {
  /** What went wrong, or ''. */
  failed = '';
  private readonly box: HTMLElement;
  private readonly grid: HTMLElement;
  private run = '';
  private layers = 0;
  private rows: (Said | null)[] = [];
  /** Blocks that are on their way; those of another run's rows are in another set. */
  private asked = new Set<number>();
  /** The token and the layer under the pointer. */
  private pointed: [number, number] | null = null;
  private headFor = '';
  /** A new run's table begins at the selected token, once it is seen. */
  private fresh = false;
  private tall = 20 * ROW;

  constructor(
    private readonly element: HTMLElement,
    private readonly host: Host,
  ) {
    this.box = find(element, '.window');
    this.grid = find(element, '.grid');
    this.listen();
  }

  /** Begin anew, for another run. */
  begin({ run, boxes, language_layers }: RunRecord): void {
    this.run = run;
    this.layers = language_layers;
    this.rows = new Array<Said | null>(boxes.length / 4).fill(null);
    this.asked = new Set();
    this.failed = '';
    this.pointed = null;
    this.fresh = true;
    this.element.dataset.rows = '0';
  }

  show(): void {
    this.draw();
    this.fill();
    if (this.fresh) requestAnimationFrame(() => this.settle());
  }

  // --- what is asked for ---

  private fill(): void {
    if (this.failed || !this.rows.length || !this.host.isOpen()) return;
    const [first, last] = this.inSight();
    for (let token = first; token < last && this.asked.size < AT_ONCE; token++) {
      if (!this.rows[token]) this.ask(token);
    }
    const next = this.rows.indexOf(null);
    if (next >= 0 && !this.asked.size) this.ask(next);
  }

  private ask(token: number): void {
    const { run, asked } = this;
    const block = token - (token % BLOCK);
    if (asked.has(block)) return;
    asked.add(block);
    call<LensRows & { error?: string }>('lens_rows', [run, token]).then(
      (reply) => {
        asked.delete(block);
        if (run === this.run) this.take(reply);
      },
      () => asked.delete(block),
    );
  }

  private take(reply: LensRows & { error?: string }): void {
    if (reply.error) {
      this.failed = reply.error;
      this.host.changed();
      return;
    }
    const [count, across, best] = reply.ids.shape;
    const size = across * best;
    for (let i = 0; i < count; i++) {
      this.rows[reply.first + i] = {
        words: reply.words,
        best,
        ids: reply.ids.subarray(i * size, (i + 1) * size),
        chances: reply.chances.subarray(i * size, (i + 1) * size),
      };
    }
    this.element.dataset.rows = String(this.rows.filter(Boolean).length);
    this.draw();
    this.fill();
  }

  // --- what is drawn ---

  /** Where a new run's table begins: at the selected token, or at its top. */
  private begins(): number {
    return Math.max(0, focus() * ROW - this.tall / 2);
  }

  private inSight(): [number, number] {
    this.tall = this.box.clientHeight || this.tall; // about to open, it has no height yet
    const scrolled = this.fresh ? this.begins() : this.box.scrollTop;
    return rowsInSight(scrolled, this.tall, this.rows.length);
  }

  /** A window that was out of sight has the place of an earlier run back until it is seen. */
  private settle(): void {
    if (!this.fresh || !this.box.clientHeight) return;
    this.box.scrollTop = this.begins();
    this.fresh = false;
    this.draw();
    this.fill();
  }

  private draw(): void {
    const [first, last] = this.inSight();
    this.drawHead();
    const rows = Array.from({ length: last - first }, (_, i) => this.makeRow(first + i));
    const across = this.layers + 2;
    const above = spacer(first * ROW, across);
    const below = spacer((this.rows.length - last) * ROW, across);
    find(this.grid, 'tbody').replaceChildren(above, ...rows, below);
    this.mark();
  }

  private drawHead(): void {
    const headFor = `${this.run} ${this.layers}`;
    if (this.headFor === headFor) return;
    this.headFor = headFor;
    this.grid.style.width = `${NUMBER + CELL * (this.layers + 1)}px`;
    const line = make('tr');
    for (let layer = -1; layer <= this.layers; layer++) {
      const head = make('th', '', layer < 0 ? 'token' : layerName(layer));
      head.scope = 'col';
      head.style.width = `${layer < 0 ? NUMBER : CELL}px`;
      line.append(head);
    }
    find(this.grid, 'thead').replaceChildren(line);
  }

  private makeRow(token: number): HTMLElement {
    const row = make('tr');
    const head = make('th', '', String(token));
    const said = this.rows[token];
    row.dataset.token = String(token);
    head.scope = 'row';
    head.style.width = `${NUMBER}px`;
    row.append(head);
    for (let layer = 0; layer <= this.layers; layer++) {
      const cell = make('td', said ? '' : 'blank');
      cell.dataset.layer = String(layer);
      if (said) {
        const from = layer * said.best;
        cell.textContent = visible(said.words[said.ids[from]]);
        paintGround(cell, cividis(said.chances[from]));
      }
      row.append(cell);
    }
    return row;
  }

  mark(): void {
    const { selected, hovered } = state;
    for (const row of findAll(this.grid, 'tbody tr[data-token]')) {
      const token = Number(row.dataset.token);
      row.classList.toggle('on', selected.includes(token));
      row.classList.toggle('under', token === hovered);
      for (const cell of findAll(row, '.at')) cell.classList.remove('at');
      if (this.pointed?.[0] === token) row.children[this.pointed[1] + 1].classList.add('at');
    }
  }

  /** The row of a token that is pointed at elsewhere comes into sight. */
  bringIntoSight(token: number): void {
    if (this.fresh || token < 0 || this.box.matches(':hover')) return;
    const { scrollTop, clientHeight } = this.box;
    const top = token * ROW;
    const inSight = top >= scrollTop && top <= scrollTop + clientHeight - AHEAD * ROW;
    if (!inSight) this.box.scrollTop = Math.max(0, top - clientHeight / 2);
  }

  // --- what the visitor does ---

  private listen(): void {
    const { box } = this;
    box.addEventListener('scroll', () => {
      requestAnimationFrame(() => {
        this.draw();
        this.fill();
      });
    });
    box.addEventListener('pointermove', (event) => {
      this.pointed = cellUnder(event);
      if (!this.pointed) return;
      this.tellWords(...this.pointed);
      point([this.pointed[0], -1]);
      this.mark();
    });
    box.addEventListener('pointerleave', () => {
      this.pointed = null;
      point([-1, -1]);
      this.mark();
    });
    box.addEventListener('click', (event) => {
      const hit = cellUnder(event);
      if (hit) pick([hit[0], -1], event);
    });
    box.addEventListener('keydown', (event) => this.steer(event));
  }

  private tellWords(token: number, layer: number): void {
    const said = this.rows[token];
    if (!said) return;
    const words = Array.from({ length: said.best }, (_, i) => {
      const at = layer * said.best + i;
      return `${visible(said.words[said.ids[at]])} ${percent(said.chances[at])}`;
    });
    find(this.element, '.five').textContent =
      `Token ${token}, ${layerName(layer)}: ${words.join(' · ')}`;
  }

  private steer(event: KeyboardEvent): void {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!move || !this.rows.length) return;
    event.preventDefault();
    const token = Math.max(0, Math.min(this.rows.length - 1, focus() + move));
    pick([token, -1], event);
    const { scrollTop, clientHeight } = this.box;
    const below = (token + AHEAD) * ROW > scrollTop + clientHeight;
    if (token * ROW < scrollTop || below) {
      this.box.scrollTop = Math.max(0, token * ROW - clientHeight / 2);
    }
  }
}

/** The token and the layer where an event is. */
function cellUnder(event: Event): [number, number] | null {
  const target = event.target as Element;
  const row = target.closest<HTMLElement>('tr[data-token]');
  const cell = target.closest<HTMLElement>('td[data-layer]');
  return row ? [Number(row.dataset.token), cell ? Number(cell.dataset.layer) : 0] : null;
}
