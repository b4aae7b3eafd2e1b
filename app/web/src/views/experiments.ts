// Change VT, or who may look at it, and answer again: the old answer's words tell what became of
// their probability, the new answer stands beside it. The sweep cuts every way from the picture to
// a word, window by window of layers.
import { cividis, gradient, paintGround, signed, type Colour } from '../core/colour';
import { find, findAll, make, makeOption } from '../core/dom';
import { percent, timesProbable, visible } from '../core/numbers';
import type { Panel } from '../core/panel';
import type { RunRecord, Step } from '../core/payloads';
import type { State } from '../core/state';
import { state, subscribe } from '../core/store';

interface Sweep {
  of: string;
  word: string;
  probability: number;
  windows: [number, number][];
  rows: [string, number[]][];
  finished: boolean;
}
interface ChosenWord {
  word: string;
  pieces: string[];
  before: number;
  after: number;
}
interface Experiment {
  of: string;
  /** Each token of the old answer, its probability before and after. */
  before?: [string, number, number][];
  change: number;
  answer: string;
  again: string;
  steps: Step[];
  word?: ChosenWord | null;
  finished: boolean;
  sweep?: Sweep;
}

const ZERO = 'Zero is nothing the model has ever seen: it exaggerates.';
const MEAN = 'The mean token says nothing about its place.';
const NOTHING = 'Nothing is selected yet: click patches in the picture, or drag a box. ';
const MERELY_PASTED =
  'Ask this model about another photo first, then come back to this run: its tokens can be pasted' +
  ' here.';
const READ =
  'The numbers are changes of the word’s log-probability. Hover or focus one to read it in words.';

const photoOf = (run: string): string => run.split('-')[0];
const modelOf = (run: string): string | undefined => photoOf(run).split('.')[1];

/** How much more, or less, probable something is now. */
export function times(change: number): string {
  return Math.abs(change) < 0.005 ? 'as probable as before' : timesProbable(change);
}

/** A chosen word may be far from probable: then its powers of ten tell. */
export function chance(share: number): string {
  return share >= 0.001 ? percent(share) : `${(100 * share).toPrecision(2)}\u202f%`;
}

/** Between -1 and 1: how much of its probability a word lost (or, below 0, gained). */
export function lostShare(before: number, after: number): number {
  const ratio = Math.log(Math.max(before, 1e-6) / Math.max(after, 1e-6));
  return Math.max(-1, Math.min(1, ratio / 3));
}

/** The earlier runs of the same model with other photos, the newest of each. */
export function otherPhotos<Record extends { run: string }>(
  records: Record[],
  shown: Record | null,
): Record[] {
  if (!shown) return [];
  const seen = new Set([photoOf(shown.run)]);
  return records.filter(({ run }) => {
    const fits = modelOf(run) === modelOf(shown.run) && !seen.has(photoOf(run));
    if (fits) seen.add(photoOf(run));
    return fits;
  });
}

const spanOf = ([first, last]: [number, number]): string =>
  first === last ? String(first) : `${first}–${last}`;

function makeToken(text: string, share: string, colour: Colour, title = ''): HTMLElement {
  const node = make('span', 'token');
  paintGround(node, colour);
  node.title = title;
  node.append(make('span', '', visible(text)), make('span', 'p', share));
  return node;
}

function chosenWords({ word, pieces, before, after }: ChosenWord): string {
  const list = pieces.map((piece) => `“${piece}”`).join(', ');
  const known = pieces.length
    ? ` (in this vocabulary: ${list}, with which other words may begin)`
    : '';
  return (
    `That the answer begins with “${word}”${known} was ${chance(before)} probable, and is now` +
    ` ${chance(after)}.`
  );
}

/** The word of the answer that is asked about, -1 where there is none. */
function focusedWord(): number {
  const { answer, step } = state;
  if (!answer?.steps.length) return -1;
  return step >= 0 && step < answer.steps.length ? step : 0;
}

class ExperimentsView {
  private readonly element: HTMLElement;
  private readonly kinds: HTMLElement[];
  private readonly how: HTMLSelectElement;
  private readonly other: HTMLSelectElement;
  private kind = 'remove';
  private photos: RunRecord[] = [];
  private layers = 0;
  /** Which answer each part of the panel is about; it waits until that one is back. */
  private readonly about: { results?: string; swept?: string } = {};

  constructor(private readonly panel: Panel) {
    this.element = panel.element;
    this.kinds = findAll(this.element, '.kind');
    this.how = find(this.element, '.how');
    this.other = find(this.element, '.other');
    this.listen();
    const seen = ['selected', 'record', 'answer', 'history', 'step'];
    subscribe(seen, () => this.describe());
    subscribe(['answer'], () => this.showMine());
    this.choose(this.kinds[0]);
    panel.watch('value', () => this.draw());
    this.draw();
  }

  // --- what can be asked ---

  private field(selector: string): HTMLInputElement {
    return find<HTMLInputElement>(this.element, selector);
  }

  private tell(selector: string, text: string): void {
    find(this.element, selector).textContent = text;
  }

  private offerPhotos({ history, record }: State): void {
    const chosen = this.other.value;
    const records = history.map((run) => run.record);
    this.photos = otherPhotos(records, record);
    const options = this.photos.map(({ run, question }) => makeOption(run, question.slice(0, 40)));
    this.other.replaceChildren(...options);
    if (this.photos.some(({ run }) => run === chosen)) this.other.value = chosen;
  }

  private limitLayers({ record }: State): void {
    if (!record || this.layers === record.language_layers) return;
    this.layers = record.language_layers;
    for (const name of ['.first-layer', '.last-layer', '.layer']) {
      this.field(name).max = String(this.layers);
    }
    this.field('.last-layer').value = String(this.layers);
    this.field('.layer').value = String(Math.min(2, this.layers));
  }

  private showControls(): void {
    const noise = ['remove', 'keep'].includes(this.kind) && this.how.value === 'noise';
    for (const label of findAll(this.element, '[data-for]')) {
      const kinds = label.dataset.for?.split(' ') ?? [];
      label.hidden = !kinds.includes(this.kind) && !(noise && kinds.includes('noise'));
    }
    const from = this.photos.find(({ run }) => run === this.other.value);
    const image = find<HTMLImageElement>(this.element, '.other-photo');
    image.hidden = !from;
    if (!from) return;
    image.src = from.received;
    image.alt = 'The photo the tokens are taken from';
  }

  private describe(): void {
    this.offerPhotos(state);
    this.limitLayers(state);
    this.showControls();
    this.tell('.told', this.kindWords());
    const word = focusedWord();
    const string = word < 0 ? '' : visible(state.answer!.steps[word].string);
    const asks =
      `By which way does “${string}” come from the picture? Every way is cut, window by window of` +
      ' layers. Click another word of the answer to ask about that one.';
    const none = 'By which way does a word come from the picture? Run a question first.';
    this.tell('.sweep-of', word < 0 ? none : asks);
  }

  private kindWords(): string {
    const { selected, record } = state;
    const count = record ? record.token_kinds.length : 0;
    const { length } = selected;
    const chosen = length ? `${length} of ${count} visual tokens are selected. ` : NOTHING;
    const how = { zero: ZERO, mean: MEAN }[this.how.value] ?? '';
    switch (this.kind) {
      case 'shuffle':
        return (
          `All ${count} visual tokens in another order: what is left of the answer needs no` +
          ' places.'
        );
      case 'rescale':
        return `All ${count} visual tokens longer or shorter, their directions kept.`;
      case 'paste':
        return this.photos.length
          ? `${chosen}In their places come the other photo’s tokens that lie nearest, both photos` +
              ' stretched over each other.'
          : MERELY_PASTED;
      case 'knockout':
        return (
          `In these layers (of ${this.layers}) the one can no longer be read by the other;` +
          ' nothing is set to zero. “Answer” is the last position of the prompt and every word' +
          ' after it.'
        );
      case 'fastv':
        return (
          `After this layer (of ${this.layers}) nobody reads that share of the ${count} visual` +
          ' tokens: those that the last position of the prompt looked at least.'
        );
      default:
        return chosen + how;
    }
  }

  private choose(button: HTMLElement): void {
    this.kind = button.dataset.kind ?? '';
    for (const other of this.kinds) {
      other.setAttribute('aria-checked', String(other === button));
      other.tabIndex = other === button ? 0 : -1;
    }
    this.describe();
  }

  private listen(): void {
    const { kinds } = this;
    for (const button of kinds) button.addEventListener('click', () => this.choose(button));
    find(this.element, '.kinds').addEventListener('keydown', (event) => {
      const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const index = kinds.findIndex((kind) => kind === event.target);
      if (!move || index < 0) return;
      event.preventDefault();
      const next = kinds[(index + move + kinds.length) % kinds.length];
      next.focus();
      this.choose(next);
    });
    for (const select of [this.how, this.other]) {
      select.addEventListener('input', () => this.describe());
    }
    find(this.element, '.go').addEventListener('click', () => this.ask());
    find(this.element, '.sweep').addEventListener('click', () => {
      const answer = state.answer?.key ?? null;
      this.panel.trigger('experiment', { answer, kind: 'sweep', step: focusedWord() });
    });
  }

  private ask(): void {
    const number = (name: string): number => Number(this.field(name).value);
    const whole = (name: string): number => Math.round(number(name));
    this.panel.trigger('experiment', {
      answer: state.answer ? state.answer.key : null,
      kind: this.kind,
      tokens: [...state.selected],
      how: this.how.value,
      other: this.other.value,
      factor: number('.factor'),
      seed: whole('.seed'),
      way: this.field('.way').value,
      first: whole('.first-layer'),
      last: whole('.last-layer'),
      layer: whole('.layer'),
      share: number('.share'),
      word: this.field('.chosen').value,
    });
  }

  // --- what came of it ---

  private showMine(): void {
    const key = state.answer?.key;
    for (const name of ['results', 'swept'] as const) {
      const about = this.about[name];
      find(this.element, `.${name}`).hidden = !about || about !== key;
    }
  }

  private draw(): void {
    const value = this.panel.props.value as Experiment | null;
    if (value?.sweep) this.drawSweep(value.sweep);
    if (!value?.before) return; // a sweep leaves the answers where they are
    this.about.results = value.of;
    this.showMine();
    this.tell('.first', value.answer);
    this.tell('.second', value.again);
    const old = value.before.map(([text, before, after]) => {
      const share = `${percent(before)} → ${percent(after)}`;
      const colour = signed(lostShare(before, after));
      return makeToken(text, share, colour, 'orange: less probable now');
    });
    find(this.element, '.old').replaceChildren(...old);
    const again = value.steps.map(({ string, probability }) =>
      makeToken(string, percent(probability), cividis(probability)),
    );
    find(this.element, '.new').replaceChildren(...again);
    this.tell(
      '.sum',
      `The whole old answer is now ${times(value.change)}. Orange words lost, blue words gained.` +
        ' The new answer is always greedy.',
    );
    this.tell('.chosen-told', value.word ? chosenWords(value.word) : '');
    this.element.dataset.finished = String(value.finished);
  }

  /** Rows are ways, columns windows of layers; orange is where the word needed the way. */
  private drawSweep(sweep: Sweep): void {
    const { of, word, probability, windows, rows, finished } = sweep;
    const bound = Math.max(0.01, ...rows.flatMap(([, changes]) => changes.map(Math.abs)));
    this.about.swept = of;
    this.showMine();
    this.tell(
      '.swept-told',
      `How much less probable “${visible(word)}” (${percent(probability)} with nothing cut)` +
        ' becomes when one way (rows) is cut in one window of layers (columns).' +
        (finished ? '' : ' Cutting …'),
    );
    const head = make('tr');
    head.append(headCell('layers'), ...windows.map((window) => headCell(spanOf(window))));
    find(this.element, '.heat thead').replaceChildren(head);
    const lines = rows.map(([path, changes]) => {
      const row = make('tr');
      const name = make('th', '', path);
      name.scope = 'row';
      const cells = changes.map((change, i) => this.sweepCell(sweep, path, i, change, bound));
      row.append(name, ...cells);
      return row;
    });
    find(this.element, '.heat tbody').replaceChildren(...lines);
    this.tell('.swept .low', times(bound));
    this.tell('.swept .high', times(-bound));
    const colours = gradient((share) => signed(2 * share - 1));
    find(this.element, '.swept .colours').style.background = colours;
    this.tell('.cell-told', READ);
    this.element.dataset.swept = String(finished);
  }

  private sweepCell(
    { word, probability, windows }: Sweep,
    path: string,
    i: number,
    change: number,
    bound: number,
  ): HTMLElement {
    const [first, last] = windows[i];
    const layers = `${first === last ? 'layer' : 'layers'} ${spanOf(windows[i])}`;
    const after = percent(Math.min(1, probability * Math.exp(change)));
    const words =
      `${path} cut in ${layers}: “${visible(word)}” becomes ${times(change)}` +
      ` (${percent(probability)} → ${after})`;
    const cell = make('td', '', change.toFixed(2).replace('-0.00', '0.00'));
    paintGround(cell, signed(-change / bound));
    cell.title = words;
    cell.tabIndex = 0;
    cell.dataset.change = String(change);
    for (const event of ['mouseenter', 'focus']) {
      cell.addEventListener(event, () => this.tell('.cell-told', words));
    }
    return cell;
  }
}

function headCell(text: string): HTMLElement {
  const cell = make('th', '', text);
  cell.scope = 'col';
  return cell;
}

export function mount(panel: Panel): void {
  new ExperimentsView(panel);
}
