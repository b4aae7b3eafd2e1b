// The visitor's place in the line for the model. Gradio tells it on the stream that answers come
// on; that stream is read here once more, and what is said of the line enters the store as
// `waiting`. So is the sentence of what failed (see `failures.ts`).
import type { Place } from '../core/state';
import { set, state } from '../core/store';
import { hear } from './failures';

const SHORT = 300; // milliseconds: most things begin at once
const BRIEF = 4000; // letters of a message; long ones are answers

interface Message {
  msg: string;
  event_id: string;
  rank: number;
  queue_size: number;
  rank_eta: number | null;
  success?: boolean;
  output?: { error?: unknown } | null;
}

/** Those that wait, by their id. */
const events = new Map<string, Place>();
let timer = 0;

/** What was asked last. */
const lastWaiting = (): Place | null => [...events.values()].at(-1) ?? null;

function tell(): void {
  const last = lastWaiting();
  clearTimeout(timer);
  // words that come and go would only disturb
  if (!last || state.waiting) set({ waiting: last });
  else timer = window.setTimeout(() => set({ waiting: lastWaiting() }), SHORT);
}

function hearLine(line: string, mine: Set<string>): void {
  if (!line.startsWith('data: ') || line.length > BRIEF) return;
  const message = JSON.parse(line.slice(6)) as Message;
  const { msg, event_id: id } = message;
  if (msg === 'estimation' && message.rank >= 0) {
    const { rank, queue_size, rank_eta } = message;
    events.set(id, { place: rank + 1, of: queue_size, seconds: rank_eta });
    mine.add(id);
    tell();
  }
  const completed = msg === 'process_completed';
  if (completed && message.success === false) hear(message.output?.error);
  if ((completed || msg === 'process_starts') && events.delete(id)) tell();
}

async function listen(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  const mine = new Set<string>();
  let rest = '';
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + part.value).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) hearLine(line, mine);
    }
  } catch {
    /* the connection is gone: its reader says so */
  }
  for (const id of mine) events.delete(id);
  tell();
}

/** Read along what the server says of the line. */
export function watchQueue(): void {
  const fetched = window.fetch;
  window.fetch = async (...asked) => {
    const response = await fetched(...asked);
    const address = asked[0] instanceof Request ? asked[0].url : String(asked[0]);
    if (!response.body || !/\/queue\/data\?/.test(address)) return response;
    const [one, other] = response.body.tee();
    void listen(other);
    return new Response(one, response);
  };
}
