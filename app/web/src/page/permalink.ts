// The link to what is seen: written into the address as the visitor works, read when the page
// opens. Only example photos can be in one.
import LESSON from '../../../panels/lesson.json';
import type { Link } from '../core/payloads';
import { lastLayer, type State } from '../core/state';
import { set, state, subscribe } from '../core/store';

const MOST = 200; // tokens that are selected
const WAIT = 400; // milliseconds: browsers count how often an address changes

/** What the visitor came with; soon it is what is seen. */
export const came = location.hash;
let pending: Link | null = null;
let timer = 0;

/** What a link holds of the state, or null where it can hold nothing. */
export function linkOf(seen: State): URLSearchParams | null {
  const { record, selected, open, layer, plane, lesson } = seen;
  if (!record?.asked?.example) return null;
  const { example, model, settings } = record.asked;
  const parts = new URLSearchParams({ example, question: record.question, model });
  for (const [name, value] of Object.entries({ ...settings, ...plane?.asked })) {
    parts.set(name, String(value));
  }
  parts.set('open', open.join(' '));
  parts.set('layer', String(layer));
  if (lesson >= 0) parts.set('lesson', String(lesson + 1));
  if (selected.length && selected.length <= MOST) parts.set('selected', selected.join(' '));
  return parts;
}

export function address(): string {
  const parts = linkOf(state);
  return parts ? `${location.origin}${location.pathname}${location.search}#${parts}` : '';
}

function write(): void {
  if (!state.record || pending) return;
  history.replaceState(history.state, '', address() || location.pathname + location.search);
}

/** What of a link a run can show: its own tokens and layers only. */
function restOf({ selected, open, layer }: Link, { record }: State): Partial<State> {
  const tokens = record!.token_kinds.length;
  return {
    selected: selected.filter((token) => token < tokens),
    patch: -1,
    ...(open.length ? { open } : {}),
    ...(layer >= 0 && layer <= lastLayer(record!) ? { layer } : {}),
  };
}

/** The run that the link asked for is there: the rest of the link follows. */
function follow(link: Link): void {
  const rest = restOf(link, state);
  if (link.lesson < 0 || link.lesson >= LESSON.length) {
    set(rest);
    return;
  }
  // its step opens what it is about; then comes what the visitor made of it
  set({ lesson: link.lesson });
  requestAnimationFrame(() => requestAnimationFrame(() => set(rest)));
}

export function watchLink(): void {
  const seen = ['record', 'plane', 'selected', 'open', 'layer', 'lesson'];
  subscribe(seen, ({ record }) => {
    if (record && pending) {
      const link = pending;
      pending = null;
      follow(link);
    }
    clearTimeout(timer);
    timer = window.setTimeout(write, WAIT);
  });
  // what Python read in the link; the controls hold it already
  subscribe(['link'], ({ link }) => {
    if (!link) return;
    pending = link;
    if (link.instant) set({ instant: link.instant });
    else requestAnimationFrame(() => document.querySelector<HTMLElement>('#run')?.click());
  });
  addEventListener('hashchange', () => location.reload());
}
