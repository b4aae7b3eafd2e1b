// Instant examples: runs that were computed beforehand lie in files beside their photos, and are
// shown before any model is in memory. The page says which there are; the first is shown on
// arrival.
import { receive, recall } from '../core/inbox';
import { ship, type Argument } from '../core/requests';
import { set, state, subscribe } from '../core/store';
import { came } from './permalink';

interface ShippedRun {
  photo: string;
  file: string;
  run: string;
  answer: string;
}

interface Told {
  folder: string;
  made: string;
  versions: Record<string, string>;
  runs: ShippedRun[];
}

type Kept = Record<'record' | 'plane' | 'answer' | 'words', object> & {
  replies: [string, Argument[], object][];
  /** What all words have in common lies in the file once. */
  mean?: object;
};

const files = new Map<string, Promise<Kept>>();
let wanted: ShippedRun | null = null;

async function read(address: string): Promise<Kept> {
  const reply = await fetch(address);
  if (!reply.ok || !reply.body) throw new Error(`${address} cannot be fetched`);
  const unzipped = reply.body.pipeThrough(new DecompressionStream('gzip'));
  return new Response(unzipped).json();
}

async function readOnce({ folder }: Told, { file }: ShippedRun): Promise<Kept | null> {
  if (!files.has(file)) files.set(file, read(folder + file));
  try {
    return await files.get(file)!;
  } catch (error) {
    files.delete(file);
    console.warn(error); // the page is then as it is without examples
    return null;
  }
}

async function show(told: Told, photo: string): Promise<void> {
  const run = told.runs.find((each) => each.photo === photo);
  if (!run) return;
  wanted = run;
  if (state.busy) {
    document.querySelector<HTMLElement>('#stop')?.click();
    set({ busy: false, awaited: false });
  }
  const kept = await readOnce(told, run);
  if (!kept || wanted !== run || state.busy) return; // something else was asked for meanwhile
  const earlier = state.history.find((each) => each.record.run === run.run);
  if (earlier) recall(earlier);
  else enter(told, run, kept);
}

function enter({ made, versions }: Told, run: ShippedRun, kept: Kept): void {
  const { replies, mean } = kept;
  ship(
    [run.run, run.answer],
    replies.map(([name, asked, reply]) => [
      name,
      asked,
      name === 'word' && mean ? { ...reply, mean } : reply,
    ]),
  );
  receive('record', { ...kept.record, instant: { made, versions } });
  for (const name of ['plane', 'answer', 'words'] as const) receive(name, kept[name]);
}

export function showShipped(): void {
  const told = JSON.parse(document.querySelector('#shipped')?.textContent ?? 'null') as Told | null;
  if (!told) return;
  subscribe(['instant'], ({ instant }) => {
    if (instant) void show(told, instant.photo);
  });
  const linked = new URLSearchParams(came.slice(1)).has('example'); // a link asks for another
  if (told.runs.length && !linked) set({ instant: { photo: told.runs[0].photo } });
}
