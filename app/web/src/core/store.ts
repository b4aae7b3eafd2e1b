// The store: one state, which views read, subscribe to and write; it knows no view.
import { initialState, type Slice, type State } from './state';

type Changed = Set<string>;
type Draw = (state: State, changed: Changed) => void;

export const state = initialState();
const prepared: { names: string[]; draw: Draw }[] = [];
const views: { names: string[]; draw: Draw }[] = [];
let changed: Changed = new Set();
let waiting = false;

/** Change slices. All that changes within one frame is drawn in that frame, each view once. */
export function set(change: Partial<State>): void {
  for (const [name, value] of Object.entries(change)) {
    if (state[name as Slice] === value) continue;
    Object.assign(state, { [name]: value });
    changed.add(name);
  }
  if (!changed.size || waiting) return;
  waiting = true;
  requestAnimationFrame(draw);
}

function draw(): void {
  const now = changed;
  waiting = false;
  changed = new Set();
  for (const each of [...prepared, ...views]) {
    if (each.names.some((name) => now.has(name))) each.draw(state, now);
  }
  const { dataset } = document.documentElement;
  if (now.has('selected')) dataset.selected = state.selected.join(',');
  if (now.has('open')) dataset.open = state.open.join(' ');
}

/** Draw now, and in every frame in which one of these slices has changed. */
export function subscribe(names: string[], draw: Draw): void {
  views.push({ names, draw });
  draw(state, new Set(names));
}

/** Be called before any view is drawn in a frame in which one of these slices has changed. */
export function prepare(names: Slice[], draw: Draw): void {
  prepared.push({ names, draw });
}

/** The visual token in focus: the one that was selected last; -1: none. */
export function focus(): number {
  return state.selected.at(-1) ?? -1;
}

/** The visual token that an inspector tells about: under the pointer, or else in focus. */
export function shownToken(): number {
  return state.hovered >= 0 || state.under >= 0 ? state.hovered : focus();
}

if (typeof document !== 'undefined') document.documentElement.dataset.open = state.open.join(' ');
