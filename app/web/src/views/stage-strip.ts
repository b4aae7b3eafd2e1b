// The strip X -> x_p -> X' -> VT -> VT + TT -> answer: what each stage gave, its shape and its
// time; a click opens its view.
import { find, make, makeButton, symbol, term } from '../core/dom';
import { shape, whole } from '../core/numbers';
import type { Panel } from '../core/panel';
import type { Stage } from '../core/payloads';
import type { State } from '../core/state';
import { set, state, subscribe } from '../core/store';

interface Stop {
  symbol: string;
  name: string;
  /** The view that a click opens; null: the answer, which is always in sight. */
  view: string | null;
  /** What leads there; '' where nothing is computed. */
  arrow?: string;
}

const STOPS: Stop[] = [
  { symbol: 'X', name: 'image', view: 'photo' },
  { symbol: 'x_p', arrow: '', name: 'patches', view: 'patches' },
  { symbol: "X'", arrow: 'f_v', name: 'patch features', view: 'encoder' },
  { symbol: 'VT', arrow: 'm_γ', name: 'visual tokens', view: 'connector' },
  { symbol: 'VT + TT', arrow: '', name: 'sequence', view: 'sequence' },
  { symbol: 'answer', arrow: 'g_φ, D_d', name: 'answer', view: null },
];

class Card {
  private readonly item = make('li', 'card empty');
  private readonly button = makeButton('open', '');
  private readonly shape = make('span', 'shape', '–');
  private readonly axes = make('span', 'axes', '\u00a0');
  private readonly bar = make('progress');
  private readonly change = make('span', 'change');

  constructor(
    private readonly stop: Stop,
    strip: Element,
  ) {
    if (stop.arrow !== undefined) strip.append(this.makeArrow(stop.arrow));
    this.item.dataset.symbol = stop.symbol;
    const name = make('span', 'name');
    name.append(
      stop.view ? symbol(stop.symbol) : make('span', 'vte-symbol', '“…”'),
      ` ${stop.name}`,
    );
    this.bar.max = 1;
    this.bar.hidden = true;
    this.bar.setAttribute('aria-label', `${stop.name} under way`);
    this.button.append(name, this.shape, this.axes, this.bar);
    this.button.addEventListener('click', (event) => this.open(event));
    this.item.append(this.button);
    strip.append(this.item);
  }

  private makeArrow(names: string): HTMLElement {
    const arrow = make('li', 'arrow');
    const label = make('span', 'label');
    names
      .split(', ')
      .filter(Boolean)
      .forEach((name, i) => label.append(...(i ? [', '] : []), symbol(name, true)));
    arrow.append(label, this.change);
    if (!names) arrow.setAttribute('aria-hidden', 'true');
    return arrow;
  }

  private open(event: MouseEvent): void {
    const { view } = this.stop;
    if (!view) document.querySelector('#answer')?.scrollIntoView({ block: 'nearest' });
    else set({ open: event.shiftKey ? [...new Set([state.open[0], view])] : [view] });
  }

  draw({ record, answer, open, busy, awaited }: State): void {
    const stages = answer?.stages ?? record?.stages ?? [];
    const stage = stages.find((each) => each.symbol === this.stop.symbol);
    const said = this.stop.view === null ? answer : null;
    this.button.setAttribute('aria-pressed', String(open.includes(this.stop.view ?? '')));
    if (this.stop.symbol === 'VT') this.drawMerging(record);
    this.drawStage(stage, said?.steps.length ?? 0);
    this.bar.hidden = !(busy && (awaited || !stage));
    if (said?.steps.length && said.longest) this.bar.value = said.steps.length / said.longest;
    else this.bar.removeAttribute('value');
  }

  /** Its shape and axes; of an answer that is not complete, how many tokens there are. */
  private drawStage(stage: Stage | undefined, steps: number): void {
    this.item.classList.toggle('empty', !stage && !steps);
    const counted = steps ? `${steps} tokens` : '–';
    this.shape.textContent = stage ? shape(stage.shape) : counted;
    this.axes.replaceChildren(...(stage ? axesOf(stage) : ['\u00a0']));
  }

  /** How many patches become how many tokens, where that is not the same. */
  private drawMerging(record: State['record']): void {
    const [before, after] = record ? [record.cells.length, record.token_kinds.length] : [0, 0];
    const words = `N ${whole(before)} → V ${whole(after)}`;
    this.change.textContent = before === after ? '' : words;
    this.change.title = record?.merge ?? '';
  }
}

/** The axes of a stage, their symbols as such, and its time. */
function axesOf({ axes, ms }: Stage): (string | HTMLElement)[] {
  const named = axes.flatMap((name, i) => [
    i ? ' × ' : '',
    ...name
      .split('·')
      .flatMap((part, j) => [j ? '·' : '', /^[NFVDTSP]$/.test(part) ? term(part) : part]),
  ]);
  return [...named, ` · ${ms.toLocaleString('en', { maximumFractionDigits: 1 })} ms`];
}

export function mount({ element }: Panel): void {
  const cards = STOPS.map((stop) => new Card(stop, find(element, '.strip')));
  subscribe(['record', 'answer', 'open', 'busy', 'awaited'], (state) => {
    for (const card of cards) card.draw(state);
    element.dataset.busy = String(state.busy);
  });
}
