// The lesson: a walk through the page in the order of the article. Each step (a row of
// `lesson.json`) opens its view, sets layer and selection, says what is seen with the numbers of
// the run that is shown, and asks something before it tells. It lies at the foot of the window,
// below what it is about.
import LESSON from '../../../panels/lesson.json';
import { at } from '../core/board';
import { find, make } from '../core/dom';
import { namesIn, telling } from '../core/glossary';
import { live, type LiveValues } from '../core/live';
import type { Panel } from '../core/panel';
import type { RunRecord, Step as Word } from '../core/payloads';
import { late } from '../core/requests';
import { lastLayer, type State } from '../core/state';
import { set, state, subscribe } from '../core/store';

interface Words {
  see: string;
  ask: string;
  answer: string;
  missing?: string;
}
interface Step extends Words {
  title: string;
  /** What it shows: a view, or another part of the page. */
  view?: string;
  target?: string;
  layer?: string;
  select?: string;
  /** A word of the answer: the first one, or the one that was doubted most. */
  step?: string;
  example?: { side: number; patch: number };
  /** Some families of models do a thing in another way. */
  variants?: Record<string, Partial<Words>>;
}

const STEPS = LESSON as Step[];
const WAITING =
  'Click one of the photos, or give your own and press Run: the lesson then tells its numbers.';

/** The words of a step for a run. */
function wordsFor(step: Step, record: RunRecord | null): Step {
  const kinds: string[] = [];
  if (record?.positions_kind === 'rotary') kinds.push('rotary');
  if (record?.positions_kind === 'none') kinds.push('convolutions');
  if (record && !record.positions) kinds.push('beside');
  return kinds.reduce((words, kind) => ({ ...words, ...step.variants?.[kind] }), step);
}

/** A step's own example is worked out, not typed. */
function valuesFor({ example }: Step): LiveValues {
  if (!example) return live();
  const side = example.side / example.patch;
  return { ...live(), example_side: String(side), example_N: String(side * side) };
}

/** The word of an answer that was least sure: it tells most. */
export function mostDoubted(words: Pick<Word, 'string' | 'end' | 'probability'>[]): number {
  return words.reduce((best, { string, end, probability }, i) => {
    const isWord = /\p{L}/u.test(string) && !end;
    return isWord && probability < words[best].probability ? i : best;
  }, 0);
}

/** What a step changes on the page. */
function changesOf({ view, layer, select, step: word }: Step): Partial<State> {
  const { record, selected, answer } = state;
  const change: Partial<State> = {};
  if (view) change.open = [view];
  if (record && layer === 'read') change.layer = record.layers.read.at(-1) ?? lastLayer(record);
  if (record && select === 'none') Object.assign(change, { selected: [], patch: -1 });
  if (record && select === 'one' && !selected.length) {
    const [token] = at(Math.floor(record.rows / 2), Math.floor(record.columns / 2));
    Object.assign(change, { selected: [Math.max(0, token)], patch: -1 });
  }
  if (word && answer?.steps.length) {
    change.step = word === 'first' ? 0 : mostDoubted(answer.steps);
  }
  return change;
}

/** Only what has changed is written: nothing is read out again, the focus stays where it is. */
function say(host: HTMLElement, text: string, values: LiveValues): void {
  const says = text.replace(/\{(\w+)\}/g, (_, name: string) => values[name] || '…');
  if (host.dataset.says === says) return;
  host.dataset.says = says;
  host.replaceChildren(...telling(text, values));
}

class LessonView {
  private readonly dock: HTMLElement;
  private readonly start: HTMLButtonElement;
  private readonly previous: HTMLButtonElement;
  private readonly next: HTMLButtonElement;
  private readonly reveal: HTMLButtonElement;
  private last = 0;
  private revealed = false;

  constructor(private readonly element: HTMLElement) {
    this.dock = find(element, '.dock');
    this.start = find(element, '.start');
    this.previous = find(element, '.previous');
    this.next = find(element, '.next');
    this.reveal = find(element, '.reveal');
    this.listen();
    const ofRun = ['record', 'answer', 'words', 'rows', 'layer', 'selected', 'patch', 'step'];
    const seen = ['lesson', ...ofRun, 'lab', 'model'];
    subscribe(seen, (now, changed) => this.draw(now, changed));
  }

  private draw({ lesson, answer }: State, changed: Set<string>): void {
    const open = lesson >= 0;
    this.dock.hidden = !open;
    document.documentElement.classList.toggle('in-lesson', open);
    this.start.setAttribute('aria-expanded', String(open));
    const again = this.last ? 'Go on with the lesson' : 'Take the lesson';
    this.start.textContent = open ? 'The lesson is open below' : again;
    if (!open) return;
    if (changed.has('lesson')) {
      this.revealed = false;
      this.last = lesson;
      this.dock.scrollTop = 0;
      this.element.dataset.step = String(lesson + 1);
    }
    const answered = changed.has('answer') && answer?.finished;
    if (changed.has('lesson') || changed.has('record') || answered) {
      set(changesOf(STEPS[lesson]));
    }
    if (changed.has('lesson')) this.bringIntoSight(STEPS[lesson]);
    this.write();
  }

  private write(): void {
    const { lesson, record } = state;
    if (lesson < 0) return;
    const words = wordsFor(STEPS[lesson], record);
    const values = valuesFor(words);
    this.writeTitle(lesson, words.title);
    say(find(this.element, '.see'), words.see, values);
    say(find(this.element, '.ask'), words.ask, values);
    const waiting = reasonToWait(words, values, record);
    const answer = this.revealed ? waiting || words.answer : '';
    say(find(this.element, '.answer'), answer, values);
    this.reveal.setAttribute('aria-expanded', String(this.revealed));
    this.reveal.textContent = this.revealed ? 'Hide the answer' : 'Reveal';
    this.previous.disabled = lesson === 0;
    this.next.disabled = lesson === STEPS.length - 1;
  }

  private writeTitle(lesson: number, words: string): void {
    const title = find(this.element, '.title');
    if (title.dataset.says === String(lesson)) return;
    title.dataset.says = String(lesson);
    const count = `Step\u00a0${lesson + 1}\u00a0of\u00a0${STEPS.length}`;
    title.replaceChildren(make('span', 'count', count), words);
  }

  /** The free part of the window is above the dock: what the step is about comes there. */
  private bringIntoSight(step: Step): void {
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        const target = document.querySelector(step.target || `#view-${step.view}`);
        const head = step.view ? document.querySelector('#view-tabs') : target;
        if (!target || !head || state.lesson < 0) return;
        const { top } = head.getBoundingClientRect();
        const { bottom } = target.getBoundingClientRect();
        const free = this.dock.getBoundingClientRect().top;
        if (top < 0 || bottom > free) window.scrollBy({ top: top - 10 });
      }),
    );
  }

  private go(lesson: number): void {
    if (lesson >= 0 && lesson < STEPS.length) set({ lesson });
  }

  private close(): void {
    set({ lesson: -1 });
    this.start.focus();
  }

  private listen(): void {
    const { start, previous, next, dock } = this;
    start.addEventListener('click', () => {
      if (state.lesson < 0) this.go(this.last);
      requestAnimationFrame(() => (next.disabled ? previous : next).focus());
    });
    previous.addEventListener('click', () => {
      this.go(state.lesson - 1);
      if (state.lesson === 0) next.focus();
    });
    next.addEventListener('click', () => {
      this.go(state.lesson + 1);
      if (state.lesson === STEPS.length - 1) previous.focus();
    });
    find(this.element, '.close').addEventListener('click', () => this.close());
    this.reveal.addEventListener('click', () => {
      this.revealed = !this.revealed;
      this.write();
      if (this.revealed) dock.scrollTop = dock.scrollHeight;
    });
    dock.addEventListener('keydown', (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === 'Escape') {
        event.preventDefault();
        this.close();
      } else if (move) {
        event.preventDefault();
        this.go(state.lesson + move);
      }
    });
  }
}

/** Why the answer cannot be told yet; '' if it can. */
function reasonToWait(words: Step, values: LiveValues, record: RunRecord | null): string {
  if (!record) return WAITING;
  if (namesIn(words.answer).every((name) => values[name] !== undefined)) return '';
  return words.missing || late(record.run) || 'The numbers of this answer are on their way.';
}

export function mount({ element }: Panel): void {
  new LessonView(element);
}
