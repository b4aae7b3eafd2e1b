// The answer as it comes, each token with its probability and what could have come instead; the
// prompt in grey above it; and over the photo what a word of it looked at.
import { find, heading, make, tokenChip } from '../core/dom';
import { percent, visible, whole } from '../core/numbers';
import type { Panel } from '../core/panel';
import type { Answer, Glances, RunRecord, Step, WordAttention } from '../core/payloads';
import { errorOf, valueOf, type BoardMap, type State } from '../core/state';
import { set, state, subscribe } from '../core/store';

const WORDS =
  'Brighter is surer. Hover or press an arrow key: what else could have come, what was seen.';
const NO_PROOF = 'What lights up was read; that alone does not prove that it mattered.';
const BAR = 52; // pixels of a whole

/** What a word looked at: one value a token, in the mean of all layers. */
export function meanOfLayers(
  { visual }: Pick<Glances, 'visual'>,
  word: number,
  tokens: number,
  relative: boolean,
): Float32Array {
  const values = visual.slice(word * tokens, (word + 1) * tokens);
  const words = visual.length / tokens;
  if (!relative) return values;
  for (let other = 0; other < words; other++) {
    for (let i = 0; i < tokens; i++) values[i] -= visual[other * tokens + i] / words;
  }
  return values;
}

/** The same in one layer, which counts from 1. */
export function inLayer(
  { visual, mean }: Pick<WordAttention, 'visual' | 'mean'>,
  layer: number,
  tokens: number,
  relative: boolean,
): Float32Array {
  const first = (layer - 1) * tokens;
  const values = visual.slice(first, first + tokens);
  if (relative) for (let i = 0; i < tokens; i++) values[i] -= mean[first + i];
  return values;
}

/** Whether the tokens that are written are the beginning of what was said. */
export function continues(written: Step[], said: Step[]): boolean {
  return (
    said.length >= written.length &&
    written.every((old, i) => {
      const { string, probability } = said[i];
      return old.string === string && old.probability === probability;
    })
  );
}

interface Looked {
  word: string;
  values: Float32Array;
  layer: number;
  relative: boolean;
  crossed: boolean;
  /** Of what the word was read from: picture, prompt, earlier words. */
  shares: [number, number, number];
}

function describeLooked({ word, crossed, shares }: Looked): string {
  const [picture, prompt, earlier] = shares.map(percent);
  return crossed
    ? `${word} looked at the picture in layers of their own; in the others ${prompt} of what it` +
        ` was read from was the prompt, ${earlier} earlier words. ${NO_PROOF}`
    : `Of what ${word} was read from, ${picture} was the picture, ${prompt} the prompt,` +
        ` ${earlier}` +
        ` earlier words. ${NO_PROOF}`;
}

function layerWords({ layer, crossed }: Looked): string {
  if (layer) return `${crossed ? 'cross-attention layer' : 'layer'} ${layer}`;
  return crossed ? 'mean of the cross-attention layers' : 'mean of all layers';
}

function mapOf(looked: Looked): BoardMap {
  const { word, values, relative, crossed, shares } = looked;
  const [picture, prompt, earlier] = shares.map(percent);
  const less = relative ? ', less the mean of all words' : '';
  const read = crossed
    ? `. Layers of cross-attention read the picture; all others read the prompt (${prompt}) and` +
      ` earlier words (${earlier})`
    : `. It was read from the picture (${picture}), the prompt (${prompt}) and earlier words` +
      ` (${earlier})`;
  const label = `what ${word} looked at, ${layerWords(looked)}${less}${read}`;
  return { values, of: 'token', signed: relative, from: 'answer', label };
}

/** The answer so far; one that is finished and empty says so. */
function answerWords(answer: Answer | null): string {
  if (!answer) return '';
  return answer.answer || (answer.finished ? '(the model ended its answer at once)' : '');
}

class AnswerView {
  private readonly text: HTMLElement;
  private readonly tokens: HTMLElement;
  private readonly box: HTMLElement;
  private readonly prompt: HTMLElement;
  private readonly told: HTMLElement;
  private readonly slider: HTMLInputElement;
  private readonly relative: HTMLInputElement;
  private readonly look: HTMLInputElement;
  private steps: Step[] = [];
  /** The word under the pointer; what lay over the photo before it came. */
  private pointed = -1;
  private before: { answer: Answer | null; overlay: BoardMap } | null = null;

  constructor(private readonly element: HTMLElement) {
    this.text = find(element, '.text');
    this.tokens = find(element, '.tokens');
    this.box = find(element, '.alternatives');
    this.prompt = find(element, '.prompt');
    this.told = find(element, '.looked-at');
    this.slider = find(element, '.of');
    this.relative = find(element, '.relative');
    this.look = find(element, '.look');
    heading(find(element, '.head'), 'Answer', 'D_d', null, WORDS);
    this.listen();
    subscribe(['record', 'answer', 'busy', 'step'], (now, changed) => this.write(now, changed));
    subscribe(['record', 'answer', 'step', 'word'], () => this.drawLooked());
    const earlier = find(element, '.earlier');
    subscribe(['earlier'], (now) => {
      earlier.hidden = !now.earlier;
      earlier.textContent = now.earlier;
    });
  }

  // --- the words, and what else could have come ---

  private write({ record, answer, busy, step }: State, changed: Set<string>): void {
    if (changed.has('record')) this.writePrompt(record);
    const said = answer?.steps ?? [];
    if (!continues(this.steps, said) || !said.length) this.tokens.replaceChildren();
    for (const each of said.slice(this.tokens.children.length)) {
      this.tokens.append(this.makeToken(each, this.tokens.children.length));
    }
    this.steps = said;
    const finished = Boolean(answer && (answer.finished || !busy));
    this.text.classList.toggle('waiting', busy);
    this.text.textContent = answerWords(answer);
    this.showAlternatives(step >= 0 ? step : finished && said.length ? 0 : -1);
    this.element.dataset.finished = String(finished && said.length > 0 && !busy);
  }

  private writePrompt(record: RunRecord | null): void {
    this.prompt.replaceChildren();
    if (!record) return;
    // a number is the place of so many visual tokens
    const parts = record.prompt.map((part) =>
      typeof part === 'number'
        ? make('span', 'picture', ` ${whole(part)} visual tokens `)
        : visible(part),
    );
    this.prompt.append(...parts);
    if (record.positions) return;
    const count = whole(record.token_kinds.length);
    this.prompt.append(' ', make('span', 'picture', ` ${count} visual tokens, beside it `));
  }

  private makeToken(step: Step, index: number): HTMLElement {
    const node = tokenChip(step.string, step.probability);
    node.dataset.index = String(index);
    node.setAttribute('role', 'option');
    node.setAttribute('aria-selected', 'false');
    node.setAttribute('aria-label', `${visible(step.string)}, ${percent(step.probability)}`);
    node.tabIndex = index ? -1 : 0;
    return node;
  }

  private showAlternatives(index: number): void {
    for (const token of this.tokens.children) {
      token.classList.toggle('on', Number((token as HTMLElement).dataset.index) === index);
    }
    const step = index < 0 ? undefined : this.steps[index];
    this.box.hidden = !step;
    if (!step) return;
    const { string, probability, entropy } = step;
    const end = step.end ? ', the end of the answer' : '';
    const open = (2 ** entropy).toFixed(1);
    find(this.element, '.title').textContent =
      `“${visible(string)}” ${percent(probability)}${end}; entropy ${entropy.toFixed(2)} bits, as` +
      ` open as ${open} equal choices`;
    // a setting, or chance, may have chosen one that is not among the most probable
    const among = step.alternatives.some(([other]) => other === string);
    const own: Step['alternatives'] = among ? [] : [[string, probability, step.decoding]];
    const rows = [...step.alternatives, ...own].map(([other, model, decoding]) =>
      alternativeRow(other, model, decoding, other === string),
    );
    find(this.box, 'tbody').replaceChildren(...rows);
  }

  // --- what a word looked at ---

  /**
   * The mean of all layers came with the answer and is there at once, for the word under the
   * pointer too; a single layer is asked for.
   */
  private drawLooked(): void {
    const { record, answer, step, word } = state;
    const hovering = this.pointed >= 0 && this.pointed !== step;
    const index = hovering ? this.pointed : step;
    const complete = record !== null && Boolean(answer?.key);
    find(this.element, '.looked').hidden = !complete || step < 0;
    const reply = valueOf(word);
    const asked = reply?.about[0] === index ? reply : null;
    const layer = this.layerNow(hovering, asked);
    const looked = complete && index >= 0 ? this.lookedAt(index, layer, asked) : null;
    if (!looked) {
      this.told.textContent = complete && index >= 0 ? errorOf(word) : '';
      this.clearOverlay();
      return;
    }
    this.told.textContent = describeLooked(looked);
    if (hovering || this.look.checked) set({ overlay: mapOf(looked) });
    else this.clearOverlay();
  }

  /** The layer that is chosen, 0 for all; of a word under the pointer there is the mean only. */
  private layerNow(hovering: boolean, asked: WordAttention | null): number {
    const { record } = state;
    const most = asked ? asked.visual.shape[0] : (record?.language_layers ?? 1);
    this.slider.max = String(most); // a layer can be chosen before its numbers are there
    const layer = hovering ? 0 : Math.min(Number(this.slider.value), most);
    const which = layer ? `${layer} of ${this.slider.max}` : 'all';
    find(this.element, '.which').textContent = which;
    return layer;
  }

  private lookedAt(index: number, layer: number, asked: WordAttention | null): Looked | null {
    const { positions, token_kinds } = state.record!;
    const { looked: glances, steps } = state.answer!;
    const relative = this.relative.checked;
    const count = token_kinds.length;
    if (layer ? !asked : !glances) return null;
    const crossed = !positions;
    const values =
      layer && asked
        ? inLayer(asked, layer, count, relative)
        : meanOfLayers(glances!, index, count, relative);
    const share = (kind: number): number =>
      layer && asked && !crossed
        ? asked.shares[kind * asked.visual.shape[0] + layer - 1]
        : glances!.shares[3 * index + kind];
    const word = `“${visible(steps[index].string)}”`;
    return { word, values, layer, relative, crossed, shares: [share(0), share(1), share(2)] };
  }

  private clearOverlay(): void {
    if (state.overlay?.from === 'answer') set({ overlay: null });
  }

  private pointAt(index: number): void {
    if (index === this.pointed) return;
    const { overlay, answer } = state;
    if (this.pointed < 0 && overlay && overlay.from !== 'answer') {
      this.before = { answer, overlay };
    }
    this.pointed = index;
    this.drawLooked();
    if (index >= 0) return;
    if (this.before?.answer === answer && !state.overlay) set({ overlay: this.before.overlay });
    this.before = null;
  }

  // --- what the visitor does ---

  private listen(): void {
    const { tokens } = this;
    for (const control of [this.look, this.slider, this.relative]) {
      control.addEventListener('input', () => this.drawLooked());
    }
    const indexOf = (event: Event): number => {
      const node = (event.target as Element).closest<HTMLElement>('.token');
      return node ? Number(node.dataset.index) : -1;
    };
    tokens.addEventListener('mouseover', (event) => {
      const index = indexOf(event);
      if (index < 0) return;
      this.showAlternatives(index);
      this.pointAt(index);
    });
    tokens.addEventListener('mouseleave', () => {
      const first = this.steps.length && !state.busy ? 0 : -1;
      this.pointAt(-1);
      this.showAlternatives(state.step >= 0 ? state.step : first);
    });
    tokens.addEventListener('focusin', (event) => set({ step: indexOf(event) }));
    tokens.addEventListener('click', (event) => {
      const index = indexOf(event);
      if (index >= 0) set({ step: index });
    });
    tokens.addEventListener('keydown', (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = move && tokens.children[indexOf(event) + move];
      if (!(next instanceof HTMLElement)) return;
      event.preventDefault();
      next.tabIndex = 0;
      next.focus();
    });
  }
}

/** A token that could have come, its probability in the model and after D_d. */
function alternativeRow(
  string: string,
  model: number,
  decoding: number,
  chosen: boolean,
): HTMLElement {
  const bar = (share: number): HTMLElement => {
    const node = make('span', 'share');
    node.style.width = `${BAR * share}px`;
    return node;
  };
  const row = make('tr', (chosen ? 'chosen' : '') + (decoding ? '' : ' ruled-out'));
  const [before, after] = [make('td'), make('td')];
  before.append(bar(model), percent(model));
  if (decoding) after.append(bar(decoding));
  after.append(decoding ? percent(decoding) : 'ruled out');
  row.append(make('td', 'word', visible(string)), before, after);
  return row;
}

export function mount({ element }: Panel): void {
  new AnswerView(element);
}
