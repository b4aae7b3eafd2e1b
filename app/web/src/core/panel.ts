// A panel: one element of the page, with what Gradio gives to its script.
import type { Server } from './requests';
import { state, subscribe } from './store';
import type { State } from './state';

export interface Panel {
  element: HTMLElement;
  /** Its value, and what else Python gave it; both change. */
  props: { value?: unknown; plotly?: string };
  server: Server;
  /** Tell Python that something happened. */
  trigger: (event: string, data?: unknown) => void;
  /** Be called when a property has changed. */
  watch: (names: string | string[], callback: () => void) => void;
}

export type Mount = (panel: Panel) => void;

/** Draw a stage view only while it is open, and then with all that changed while it was not. */
export function stageView(
  element: HTMLElement,
  name: string,
  names: string[],
  draw: (state: State, changed: Set<string>) => void,
): void {
  let missed = new Set(names);
  subscribe([...names, 'open'], (_, changed) => {
    for (const each of changed) missed.add(each);
    if (!state.open.includes(name)) return;
    const now = missed;
    missed = new Set();
    draw(state, now);
    element.dataset.drawn = state.record ? state.record.run : '';
  });
}

/** Whether nothing else changed than which marks are drawn: the pointer, the selection. */
export function onlyChanged(changed: Set<string>, names: string[]): boolean {
  return [...changed].every((name) => names.includes(name));
}
