// What Python sent enters the store here, in the order in which it makes sense.
import type { RunRecord } from './payloads';
import { beginRun, recallRun, type Run } from './state';
import { set, state } from './store';
import { unpack } from './wire';

/** Slices of a run; the record is taken first, because it begins anew. */
const ORDER = ['record', 'plane', 'answer', 'words'];
type Sent = { run?: string; finished?: boolean };
let inbox: [string, Sent][] = [];
/** Of a run that another one has followed, or whose record is still on its way. */
const early = new Map<string, Sent>();

/** Take one slice of the state. Several may come at once, and in any order. */
export function receive(name: string, value: unknown): void {
  if (!value) return;
  inbox.push([name, unpack<Sent>(value)]);
  if (inbox.length > 1) return;
  queueMicrotask(() => {
    const come = inbox;
    inbox = [];
    come.sort(([one], [other]) => ORDER.indexOf(one) - ORDER.indexOf(other));
    for (const [slice, sent] of come) take(slice, sent);
  });
}

function take(name: string, value: Sent): void {
  if (name === 'record') {
    set(beginRun(state, value as RunRecord));
    for (const [other, sent] of [...early]) {
      early.delete(other);
      if (sent.run === value.run) take(other, sent);
    }
    return;
  }
  if (ORDER.includes(name) && value.run !== state.record?.run) {
    early.set(name, value);
    return;
  }
  set({ [name]: value });
  if (name === 'answer' && value.finished) set({ busy: false });
  const [latest, ...rest] = state.history;
  if (latest && state.record === latest.record) {
    state.history = [{ ...latest, [name]: value }, ...rest];
  }
}

/** Look at an earlier run again. */
export function recall(run: Run): void {
  set(recallRun(state, run));
}
