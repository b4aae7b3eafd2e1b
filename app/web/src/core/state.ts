// The state of the page: every slice that views read.
import type {
  Answer,
  Instant,
  Lab,
  Layout,
  LayerColours,
  Lenses,
  Link,
  Model,
  Plane,
  Refused,
  Rows,
  RunRecord,
  WordAttention,
  WordMaps,
  Words,
} from './payloads';
import type { Bytes } from './wire';

/** What came of a question to the server: the reply, or why there is none; and what it is about. */
export type Reply<Value> = (Value | Refused) & { about: (string | number | number[])[] };

/** What the server said, null where it is on its way or could not be given. */
export function valueOf<Value extends object>(
  reply: Reply<Value> | null,
): (Value & { about: Reply<Value>['about'] }) | null {
  return reply && !('error' in reply && reply.error)
    ? (reply as Value & { about: Reply<Value>['about'] })
    : null;
}

/** Why the server said nothing, or ''. */
export function errorOf(reply: object | null): string {
  return reply && 'error' in reply ? String(reply.error ?? '') : '';
}

/** A map of the board: one value, or colour, a patch or a token. */
export interface BoardMap {
  label: string;
  /** One value a patch, or a token. */
  values?: ArrayLike<number>;
  /** Three bytes each, instead of values. */
  rgb?: Bytes;
  /** What is not to be painted is 0. */
  mask?: ArrayLike<number | boolean>;
  low?: number;
  high?: number;
  /** Around zero, in the colours of signed numbers. */
  signed?: boolean;
  unit?: string;
  of?: 'token' | 'patch';
  /** The patch of the first value. */
  first?: number;
  /** The rectangle of the board that is shown, where not all of it is. */
  within?: [number, number, number, number];
  /** Patches that get a cross. */
  flags?: number[];
  /** Who laid it over the photo. */
  from?: string;
}

/** A run as the history keeps it. */
export interface Run {
  record: RunRecord;
  plane?: Plane;
  answer?: Answer;
  words?: Words;
}

export interface Failure {
  place: string;
  sentence: string;
  /** Whether the run that is shown broke off. */
  broken: boolean;
}

export interface Place {
  place: number;
  of: number;
  seconds?: number | null;
}

export interface State {
  /** The run that is shown: photo, patches, norms, colours, prompt. */
  record: RunRecord | null;
  /** The tokens' points. */
  plane: Plane | null;
  /** Nearest words and groups of the visual tokens. */
  words: Words | null;
  /** The answer so far. */
  answer: Answer | null;
  /** Whether a run is under way, and whether nothing of it is there yet. */
  busy: boolean;
  awaited: boolean;
  /** Visual tokens; the last one is in focus. */
  selected: number[];
  /** The visual token, the patch and the text token under the pointer; -1: none. */
  hovered: number;
  under: number;
  text: number;
  /** The patch that was clicked last, the word of the answer that is looked at; -1: none. */
  patch: number;
  step: number;
  /** Of the encoder. */
  layer: number;
  /** The stage views in sight, one or two. */
  open: string[];
  /** What the server says of the patch in focus, of the layer, of the word; null: on its way. */
  rows: Reply<Rows> | null;
  colours: Reply<LayerColours> | null;
  word: Reply<WordAttention> | null;
  lens: Reply<Lenses> | null;
  /** The word that is looked for in the picture, and where it is said at every layer. */
  sought: { word: string; layer: number } | null;
  found: Reply<WordMaps> | null;
  /** What is drawn over the photo. */
  overlay: BoardMap | null;
  /** Earlier runs, the newest first. */
  history: Run[];
  /** What the address asks for. */
  link: Link | null;
  /** What went wrong; and why the run that is shown is not that of the photo in sight, or ''. */
  failure: Failure | null;
  earlier: string;
  /** The photos that are chosen now. */
  chosen: string | null;
  /** The visitor's place in the line for the model. */
  waiting: Place | null;
  /** How far the vision-language model is. */
  model: Model;
  /** The example that is to be shown at once. */
  instant: Instant | null;
  /** The step of the lesson that is open, -1: none. */
  lesson: number;
  /** Photos against texts, as the lab shows them. */
  lab: Lab | null;
}

export type Slice = keyof State;

export function initialState(): State {
  return {
    record: null,
    plane: null,
    words: null,
    answer: null,
    busy: false,
    awaited: false,
    selected: [],
    hovered: -1,
    under: -1,
    text: -1,
    patch: -1,
    step: -1,
    layer: 0,
    open: ['space'],
    rows: null,
    colours: null,
    word: null,
    lens: null,
    sought: null,
    found: null,
    overlay: null,
    history: [],
    link: null,
    failure: null,
    earlier: '',
    chosen: null,
    waiting: null,
    model: { state: 'loading', message: '' },
    instant: null,
    lesson: -1,
    lab: null,
  };
}

/** Whether two runs saw the same photos in the same way: then what is selected stays selected. */
export function seesAlike(one: Layout & RunRecord, other: Layout & RunRecord): boolean {
  return (
    one.photo === other.photo &&
    one.received === other.received &&
    one.positions_kind === other.positions_kind &&
    one.boxes.length === other.boxes.length
  );
}

/** How many layers the encoder of a run has, beside what goes in. */
export function lastLayer(record: RunRecord): number {
  return record.layers.norms.shape[0] - 1;
}

/** The state in which a new run begins: what belonged to another run is gone. */
export function beginRun(state: State, record: RunRecord): Partial<State> {
  const layers = lastLayer(record);
  const sameDepth = state.record !== null && lastLayer(state.record) === layers;
  const same = state.record !== null && seesAlike(state.record, record);
  const lastRead = record.layers.read.at(-1) ?? layers;
  return {
    ...withoutDetails(),
    record,
    plane: null,
    words: null,
    answer: null,
    busy: true,
    awaited: false,
    lens: null,
    sought: null,
    found: null,
    layer: sameDepth ? state.layer : Math.min(lastRead, layers),
    selected: same ? state.selected : [],
    patch: same ? state.patch : -1,
    history: [{ record }, ...state.history].slice(0, 8),
  };
}

/** The state in which an earlier run is looked at again. */
export function recallRun(state: State, run: Run): Partial<State> {
  const same = state.record !== null && seesAlike(state.record, run.record);
  return {
    ...withoutDetails(),
    record: run.record,
    plane: run.plane ?? null,
    words: run.words ?? null,
    answer: run.answer ?? null,
    ...(same ? {} : { selected: [], patch: -1 }),
    layer: Math.min(state.layer, lastLayer(run.record)),
  };
}

function withoutDetails(): Partial<State> {
  return {
    hovered: -1,
    under: -1,
    text: -1,
    step: -1,
    overlay: null,
    rows: null,
    colours: null,
    word: null,
  };
}
