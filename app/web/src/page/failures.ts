// What went wrong, and what on the page is from an earlier run.
//
// Enters the store: `failure`, said at the place where the visitor asked (see the view `failure`);
// and `earlier`, a sentence if the run that is shown is not one of the photo in sight, or ''.
import type { RunRecord } from '../core/payloads';
import { set, state, subscribe } from '../core/store';

const WITHOUT = 'This did not work, and the server did not say why; try it again.';

interface File {
  path?: string;
  url?: string;
}
type Photos = [File | null | undefined, (File | null)[] | null | undefined];

interface Origin {
  /** The photos that were chosen when it was asked for, or the example that it is of. */
  photos?: string;
  example?: string | null;
  model: string;
}

const origins = new WeakMap<RunRecord, Origin>();
let chosen: string | null = null;
let model = '';
let asked: Origin = { photos: '', model: '' };
let begun: RunRecord | null = null;
let sentence = '';

/** Gradio's inputs as the visitor sees them: the paths of the photos. */
function photosKey([image, also]: Photos): string {
  return JSON.stringify([image, ...(also ?? [])].map((file) => file?.path || file?.url || ''));
}

function firstName(photos: string): string {
  return decodeURIComponent(JSON.parse(photos)[0].split('/').pop());
}

function isInSight(record: RunRecord): boolean {
  const { example, photos } = origins.get(record)!;
  if (chosen === null) return true;
  return example
    ? firstName(chosen) === example && JSON.parse(chosen).length === 1
    : photos === chosen;
}

function reasonEarlier(record: RunRecord | null): string {
  const { failure } = state;
  const failed = failure?.place === 'run';
  if (!record) return '';
  if (failed && failure.broken) return 'This run broke off: the rest of it is missing.';
  if (!isInSight(record)) {
    return 'From an earlier run: its photo is not the one that is chosen now.';
  }
  if (failed) return 'From an earlier run: the last one failed.';
  return origins.get(record)!.model === model
    ? ''
    : 'From an earlier run, by the model that was in use before.';
}

function judge(): void {
  const { record, failure } = state;
  const reason = reasonEarlier(record);
  set({ earlier: reason && `${reason} “${record!.question}”` });
  const broken = failure?.place === 'run' && failure.broken;
  document.documentElement.dataset.earlier = String(Boolean(reason) && !broken);
}

/** The photos that are chosen now. */
export function sight(...photos: Photos): void {
  const before = chosen;
  chosen = photosKey(photos);
  // a failure was about another photo
  const other = before !== null && before !== chosen;
  if (state.failure?.place === 'run' && other) set({ failure: null });
  set({ chosen });
  judge();
}

/** A run begins with these photos. */
export function begin(...photos: Photos): void {
  sight(...photos);
  if (!state.busy) {
    asked = { photos: chosen ?? '', model };
    begun = state.record;
  }
  sentence = '';
  set({ busy: true, awaited: true, failure: null });
  judge();
}

/** The model in use from now on; '' is the one that the page began with. */
export function bring(name: string): void {
  model = name;
  judge();
}

/** An error's sentence is escaped for Gradio's notice, which is HTML; here it is text again. */
function textOf(html: string): string {
  return new DOMParser().parseFromString(html, 'text/html').body.textContent ?? '';
}

/** What the stream says of a failure. It or Gradio's event, which says whose it is, comes first. */
export function hear(html: unknown): void {
  sentence = html ? textOf(String(html)) : WITHOUT;
  const { failure } = state;
  if (!failure || failure.sentence) return;
  set({ failure: { ...failure, sentence } });
  sentence = '';
}

export function fail(place: string): void {
  const { record } = state;
  const broken = place === 'run' && record !== null && record !== begun;
  set({ failure: { place, sentence, broken } });
  if (place === 'run') set({ busy: false, awaited: false });
  sentence = '';
  judge();
}

export function succeed(place: string): void {
  if (state.failure?.place !== place) return;
  set({ failure: null });
  judge();
}

function originOf(record: RunRecord): Origin {
  const ofExample = record.instant && record.asked;
  return ofExample ? { example: ofExample.example, model: '' } : asked;
}

export function watchRuns(): void {
  subscribe(['record'], ({ record, failure }) => {
    if (record && !origins.has(record)) origins.set(record, originOf(record));
    // another run has followed, or an earlier one is looked at
    if (failure?.place === 'run' && !failure.broken) set({ failure: null });
    judge();
  });
}
