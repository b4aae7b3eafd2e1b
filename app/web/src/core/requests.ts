// What is too large to send for every token and layer is asked for when it is looked at, once.
import type { Slice, State } from './state';
import { prepare, set, state } from './store';
import { unpack } from './wire';

export type Argument = string | number | number[];
export type Server = Record<string, (asked: Argument[]) => Promise<unknown>>;

interface Resource {
  slice: Slice;
  call: string;
  /** What the server is asked; null where nothing has to be. */
  asked: (state: State) => Argument[] | null;
}

const LOST =
  'The server did not answer this; try it again, and reload the page if that does not help.';
const LATE = 'This needs the model, which is still loading; it comes as soon as that is there.';
const MOST = 300; // replies that are kept

const resources: Resource[] = [];
const known = new Map<string, object>();
const pending = new Set<string>();
/** What each slice was asked for last. */
const latest = new Map<Slice, string | null>();
const shipped = new Map<string, { reply: object; about: Argument[]; value?: object }>();
/** The keys of runs that were computed beforehand, and what waits for the model. */
const instants = new Set<Argument>();
let queue: (() => void)[] = [];
let server: Server | null = null;

/** Declare a slice that the server fills, from what it is asked at this state of the page. */
export function resource(slice: Slice, call: string, asked: Resource['asked']): void {
  resources.push({ slice, call, asked });
}

/** Whom to ask. */
export function connect(functions: Server): void {
  server = functions;
  askAll();
}

function askAll(): void {
  for (const { slice, call, asked } of resources) ask(slice, call, asked(state));
}

function keyOf(call: string, asked: Argument[]): string {
  return [call, ...asked].join(' ');
}

function ask(slice: Slice, call: string, asked: Argument[] | null): void {
  const key = asked && keyOf(call, asked);
  latest.set(slice, key);
  const here = key && replyShipped(key);
  if (here) set({ [slice]: here });
  else if (!asked || !key || !server) set({ [slice]: null });
  else if (late(asked[0])) set({ [slice]: { error: late(asked[0]), about: asked.slice(1) } });
  else if (known.has(key)) set({ [slice]: known.get(key) });
  else askServer(slice, call, asked, key);
}

function askServer(slice: Slice, call: string, asked: Argument[], key: string): void {
  if (pending.has(key) || !server) return;
  pending.add(key);
  void answered(server[call](asked))
    .finally(() => pending.delete(key))
    .then((reply) => {
      const value = { ...unpack<object>(reply), about: asked.slice(1) };
      if (!('error' in value && value.error)) known.set(key, value);
      while (known.size > MOST) known.delete(known.keys().next().value!);
      if (latest.get(slice) === key) set({ [slice]: value });
    });
}

/** Gradio's client gives nothing at all where the server broke: that too is a sentence. */
function answered(reply: Promise<unknown>): Promise<unknown> {
  return reply.then(
    (value) => (value === undefined ? { error: LOST } : value),
    () => ({ error: LOST }),
  );
}

/** Ask for a view that asks for itself. Of an instant example, as soon as the model is there. */
export async function call<Value>(name: string, asked: Argument[]): Promise<Value> {
  const here = replyShipped(keyOf(name, asked));
  if (here) return here as Value;
  if (late(asked[0])) await new Promise<void>((go) => queue.push(go));
  return unpack<Value>(await answered(server![name](asked)));
}

/** Take what came with a run that was computed beforehand: [call, what is asked, reply]. */
export function ship(keys: Argument[], replies: [string, Argument[], object][]): void {
  for (const key of keys) instants.add(key);
  for (const [name, asked, reply] of replies) {
    shipped.set(keyOf(name, asked), { reply, about: asked.slice(1) });
  }
}

function replyShipped(key: string): object | undefined {
  const kept = shipped.get(key);
  if (kept && !kept.value) kept.value = { ...unpack<object>(kept.reply), about: kept.about };
  return kept?.value;
}

/** Why the server is not asked yet about a run that came before its model; '' if it can be. */
export function late(key: Argument): string {
  if (!instants.has(key) || state.model.state === 'ready') return '';
  return state.model.state === 'failed' ? state.model.message : LATE;
}

prepare(
  ['selected', 'patch', 'layer', 'record', 'open', 'step', 'answer', 'sought', 'model'],
  (_, changed) => {
    askAll();
    if (!changed.has('model') || state.model.state !== 'ready') return;
    const waiting = queue;
    queue = [];
    for (const go of waiting) go();
  },
);
