// What a word of the answer looked at: by layer and head, rolled out, without sinks; what it hangs
// on; and whether that mattered.
import { patchesOf } from '../core/board';
import { cividis, paintGround } from '../core/colour';
import { find, heading, make, makeOption } from '../core/dom';
import { GridMap } from '../core/maps';
import { extremes, percent, timesProbable, visible } from '../core/numbers';
import { onlyChanged, stageView, type Panel } from '../core/panel';
import type { Ablation, Answer, Looked, Refused, Relevancy, RunRecord } from '../core/payloads';
import { call, late, type Argument } from '../core/requests';
import { errorOf, type BoardMap, type State } from '../core/state';
import { set, state } from '../core/store';
import { sliceOf } from '../core/wire';

const SHARE = 0.1; // of the tokens count as lit, as in `vlm.ablation`
const MOST = 200; // replies that are kept
const SINKS = 5; // that are named
const LABELS = {
  mean: 'mean of the heads',
  clean: 'without sinks',
  relative: 'less the mean of all words',
  rollout: 'rollout through all layers',
  relevancy: 'relevancy: gradient × attention',
};
type Name = keyof typeof LABELS;
const NAMES = Object.keys(LABELS) as Name[];
const MARKED = ['hovered', 'under', 'patch', 'selected'];

const WORDS =
  'Look for a word whose map lights its thing, and for tokens that are lit whatever the word is:' +
  ' sinks. What lights up was read; that alone does not prove that it mattered, so ask.';
const BESIDE =
  'This model reads the picture by cross-attention, beside the sequence: these are the layers' +
  ' that do. Rollout and relevancy go through all layers.';
const NO_SINKS =
  'No visual token of this picture is a sink: none has the dimensions of the first token, and' +
  ' none stands out in the encoder.';
const MATTERED = 'They mattered more than any that were drawn.';
const BY_CHANCE =
  'That is no more than chance: what is lit was read, but the word does not hang on it.';

/** The brightest share of the tokens, the brightest first. */
export function brightest(values: ArrayLike<number>, share: number): number[] {
  const order = Array.from({ length: values.length }, (_, i) => i);
  order.sort((one, other) => values[other] - values[one]);
  return order.slice(0, Math.max(1, Math.round(share * values.length)));
}

function isThere<Value extends object>(reply: Value | Refused | null): reply is Value {
  return reply !== null && !('error' in reply && reply.error);
}

/** Of what a word was read from, in words. Heads with a sink of their own read less than all. */
function sharesWords(word: string, { shares, first }: Looked): string {
  const [picture, prompt, earlier] = shares.map(percent);
  const rest = 1 - shares.reduce((sum, each) => sum + each, 0);
  const nowhere =
    rest > 0.005
      ? `; ${percent(rest)} went nowhere, into sinks that the heads have of their own`
      : '';
  const alone = first === null ? '' : ` (${percent(first)} its first token alone)`;
  return (
    `Of what “${word}” was read from, ${picture} was the picture, ${prompt} the prompt${alone},` +
    ` ${earlier} earlier words${nowhere}.`
  );
}

class LookedView {
  private readonly slider: HTMLInputElement;
  private readonly over: HTMLSelectElement;
  private readonly ofWord: HTMLSelectElement;
  private readonly whichMap: HTMLSelectElement;
  private readonly verdict: HTMLElement;
  private readonly maps: Record<Name, GridMap>;
  private readonly heads: GridMap[] = [];
  private readonly known = new Map<string, object>();
  private readonly pending = new Set<string>();
  /** The values of every map that is shown, by its name; null where none is. */
  private shown: Record<string, Float32Array> | null = null;
  /** The answer whose words can be chosen. */
  private listed = '';

  constructor(private readonly element: HTMLElement) {
    this.slider = find(element, '.of');
    this.over = find(element, '.over');
    this.ofWord = find(element, '.of-word');
    this.whichMap = find(element, '.which-map');
    this.verdict = find(element, '.verdict');
    const main = find(element, '.main');
    const maps = NAMES.map((name) => [name, new GridMap(main, LABELS[name])] as const);
    this.maps = Object.fromEntries(maps) as Record<Name, GridMap>;
    const redraw = () => this.draw(state, new Set(['layer']));
    this.slider.addEventListener('input', redraw);
    this.over.addEventListener('change', redraw);
    this.ofWord.addEventListener('change', () => set({ step: Number(this.ofWord.value) }));
    find(element, '.check').addEventListener('click', () => void this.check());
    const seen = ['record', 'answer', 'step', ...MARKED];
    stageView(element, 'looked', seen, (now, changed) => {
      if (!onlyChanged(changed, MARKED)) this.draw(now, changed);
      else for (const map of [...Object.values(this.maps), ...this.heads]) map.mark();
    });
  }

  private step(): number {
    const { step, answer } = state;
    return answer && step >= 0 && step < answer.steps.length ? step : 0;
  }

  private word(): string {
    return visible(state.answer?.steps[this.step()]?.string ?? '');
  }

  private layer(): number {
    return Number(this.slider.value);
  }

  /** Asked once for each answer, word and layer; what came back is drawn if it is still wanted. */
  private ask<Value>(name: string, ...about: Argument[]): Value | Refused | null {
    const key = [name, ...about].join(' ');
    const there = this.known.get(key);
    if (there || this.pending.has(key)) return (there as Value | Refused | undefined) ?? null;
    this.pending.add(key);
    void call<object>(name, about)
      .catch((error: unknown) => ({ error: String(error) }))
      .then((reply) => {
        this.known.set(key, reply);
        while (this.known.size > MOST) this.known.delete(this.known.keys().next().value!);
        this.pending.delete(key);
        this.draw(state, new Set(['word']));
      });
    return null;
  }

  // --- what is drawn ---

  private draw({ record, answer, open }: State, changed: Set<string>): void {
    heading(find(this.element, '.head'), 'What a word looked at', 'g_φ', null, WORDS);
    const key = record && answer?.key;
    if (key) this.listWords(answer!);
    this.limitSlider();
    const wanted = key && open.includes('looked');
    const reply = wanted ? this.ask<Looked>('looked', key, this.step(), this.layer()) : null;
    const looked = isThere(reply) ? reply : null;
    const hangs = key && looked ? this.ask<Relevancy>('relevancy', key, this.step()) : null;
    const relevancy = isThere(hangs) ? hangs : null;
    find(this.element, '.hint').textContent = this.hint(reply, hangs);
    if (['step', 'answer', 'layer'].some((name) => changed.has(name))) {
      this.verdict.textContent = '';
    }
    this.shown = looked && valuesOf(looked, relevancy);
    if (looked) this.tellLayer(record!, looked);
    this.drawMaps(looked);
    this.drawHeads(looked);
    this.drawWords(record, looked, relevancy);
    this.drawOver(looked);
    this.element.dataset.word = looked ? String(this.step()) : '';
  }

  private listWords(answer: Answer): void {
    if (this.listed !== answer.key) {
      this.listed = answer.key ?? '';
      const options = answer.steps.map(({ string }, i) => makeOption(String(i), visible(string)));
      this.ofWord.replaceChildren(...options);
    }
    this.ofWord.value = String(this.step());
  }

  /** A layer can be chosen before its numbers are there; beside the sequence there are fewer. */
  private limitSlider(): void {
    const { record } = state;
    if (record?.positions) this.slider.max = String(record.language_layers);
  }

  private hint(reply: object | null, hangs: object | null): string {
    const { record, answer } = state;
    if (!record) return 'Run a question first.';
    if (!answer?.key) return 'Comes with the end of the answer.';
    if (!reply) return late(answer.key) || `Reading what “${this.word()}” looked at …`;
    return errorOf(reply) || errorOf(hangs) || (record.positions ? '' : BESIDE);
  }

  private tellLayer(record: RunRecord, { numbers }: Looked): void {
    const layer = this.layer();
    this.slider.max = String(numbers.length);
    find(this.element, '.which').textContent = layer
      ? `${numbers[layer - 1]} of ${record.language_layers}`
      : 'all';
  }

  private drawMaps(looked: Looked | null): void {
    const sinks = looked?.sinks.flatMap(([token]) => patchesOf(token).slice(0, 1)) ?? [];
    for (const name of NAMES) {
      const values = this.shown?.[name];
      if (!values) {
        this.maps[name].show(null);
        continue;
      }
      const flags = name === 'mean' ? sinks : [];
      const label = LABELS[name] + (flags.length ? ' (× sink)' : '');
      const scaled = name === 'relevancy' ? values : inPercent(values);
      const unit = name === 'relevancy' ? '' : '%';
      const signed = name === 'relative';
      this.maps[name].show({ values: scaled, of: 'token', unit, signed, flags, label });
    }
  }

  private drawHeads(looked: Looked | null): void {
    const count = looked?.heads.shape[0] ?? 0;
    while (this.heads.length < count) {
      const name = `head ${this.heads.length}`;
      const map = new GridMap(find(this.element, '.heads'), 'head');
      map.host.classList.add('small');
      this.whichMap.append(makeOption(name, name));
      this.heads.push(map);
    }
    this.heads.forEach((map, head) => {
      const values = this.shown?.[`head ${head}`];
      const label = `head ${head}`;
      map.show(values ? { values: inPercent(values), of: 'token', unit: '%', label } : null);
    });
  }

  private drawWords(
    record: RunRecord | null,
    looked: Looked | null,
    relevancy: Relevancy | null,
  ): void {
    const beside = record !== null && !record.positions;
    find(this.element, '.check-row').hidden = !looked;
    find(this.element, '.text-row').hidden = !looked || beside;
    const hangs = relevancy
      ? `By relevancy the picture’s share is ${percent(relevancy.share)}.`
      : '';
    const read = looked && !beside ? sharesWords(this.word(), looked) : '';
    find(this.element, '.shares').textContent = looked
      ? [read, hangs].filter(Boolean).join(' ')
      : '';
    const sinks = looked?.sinks.slice(0, SINKS).map(([, why]) => why) ?? [];
    const said = looked && !looked.sinks.length ? [NO_SINKS] : sinks;
    const rows = said.map((words) => make('li', '', words));
    find(this.element, '.sinks').replaceChildren(...rows);
    if (looked?.text) this.drawPrompt(looked.text, record!.text.strings);
  }

  private drawPrompt(values: Float32Array, strings: string[]): void {
    const [, most] = extremes(values);
    const nodes = strings.map((string, i) => {
      const node = make('span', '', visible(string));
      paintGround(node, cividis(values[i] / (most || 1)));
      node.title = percent(values[i]);
      return node;
    });
    find(this.element, '.words').replaceChildren(...nodes);
  }

  private drawOver(looked: Looked | null): void {
    const name = this.over.value as Name | '';
    const values = name ? this.shown?.[name] : undefined;
    const layer = this.layer();
    const which = layer && looked ? `, layer ${looked.numbers[layer - 1]}` : '';
    const chosen: BoardMap | null =
      name && values
        ? {
            values,
            of: 'token',
            signed: name === 'relative',
            from: 'looked',
            label: `“${this.word()}”: ${LABELS[name]}${which}`,
          }
        : null;
    if (chosen || state.overlay?.from === 'looked') set({ overlay: chosen });
  }

  // --- did it matter? ---

  /** What the verdict is about. */
  private question(): string {
    const { answer } = state;
    return [answer?.key, this.step(), this.whichMap.value, this.slider.value].join(' ');
  }

  private async check(): Promise<void> {
    const values = this.shown?.[this.whichMap.value];
    const key = state.answer?.key;
    if (!values || !key) return;
    const question = this.question();
    this.verdict.textContent = 'Asking the model again, with and without them …';
    const asked = [key, this.step(), brightest(values, SHARE)];
    try {
      const reply = await call<Ablation & { error?: string }>('ablation', asked);
      if (question === this.question()) this.verdict.textContent = this.verdictOf(reply);
    } catch (error) {
      this.verdict.textContent = String(error);
    }
  }

  private verdictOf(reply: Ablation & { error?: string }): string {
    if (reply.error) return reply.error;
    const { count, lit, mean, spread, random, mattered } = reply;
    return (
      `Without the ${count} brightest tokens (the mean token in their place) “${this.word()}” is` +
      ` ${timesProbable(lit)}; without as many drawn by chance ${timesProbable(mean)} (spread` +
      ` ${spread.toFixed(2)} nats, ${random.length} draws). ${mattered ? MATTERED : BY_CHANCE}`
    );
  }
}

const inPercent = (values: Float32Array): Float32Array => values.map((value) => 100 * value);

function valuesOf(looked: Looked, relevancy: Relevancy | null): Record<string, Float32Array> {
  const { mean, clean, relative, rollout, heads } = looked;
  const values: Record<string, Float32Array> = { mean, clean, relative, rollout };
  if (relevancy) values.relevancy = relevancy.values;
  for (let head = 0; head < heads.shape[0]; head++) {
    values[`head ${head}`] = sliceOf(heads, head);
  }
  return values;
}

export function mount({ element }: Panel): void {
  new LookedView(element);
}
