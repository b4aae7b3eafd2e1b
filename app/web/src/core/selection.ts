// What the pointer and the keys do to the selection, and the patch that is looked at within the
// token in focus.
import { focusPatch, neighbour, patchesOf } from './board';
import { make, makeButton } from './dom';
import { STEPS } from './geometry';
import { kindWords } from './places';
import { focus, set, state } from './store';

type Modifiers = Pick<MouseEvent, 'shiftKey' | 'ctrlKey' | 'metaKey'>;

/** What lies under the pointer: a token and the very patch, -1 for none. */
export function point([token, patch]: [number, number]): void {
  if (token === state.hovered && patch === state.under) return;
  set({ hovered: token, under: patch });
}

/** Which tokens a click leaves selected: with Shift, Ctrl or Cmd it adds or takes away. */
export function selectionAfter(selected: number[], token: number, adds: boolean): number[] {
  if (!adds) return [token];
  return selected.includes(token)
    ? selected.filter((each) => each !== token)
    : [...selected, token];
}

/** Click a token, or a patch of which no token is made: it can be looked at all the same. */
export function pick([token, patch]: [number, number], event: Modifiers): void {
  if (token < 0 && patch < 0) return;
  const adds = event.shiftKey || event.ctrlKey || event.metaKey;
  const selected = token < 0 ? [] : selectionAfter(state.selected, token, adds);
  set({ selected, patch });
}

/** Arrow keys move the selection over the board, with Shift they add; Escape clears. */
export function steer(event: KeyboardEvent): void {
  const { record, selected } = state;
  if (!record) return;
  if (event.key === 'Escape') set({ selected: [], patch: -1 });
  if (!STEPS[event.key]) return;
  event.preventDefault();
  const from = focus();
  const next = from < 0 ? 0 : neighbour(from, event.key);
  if (next < 0) return;
  const others = event.shiftKey ? selected.filter((each) => each !== next) : [];
  set({ selected: [...others, next], patch: -1 });
}

/** Why there is no patch to look at, or what went wrong; '' otherwise. */
export function patchHint(
  reply: { error?: string } | object | null,
  words = 'Select a patch in the picture.',
): string {
  const token = focus();
  if (!state.record) return 'Run a question first.';
  if (focusPatch() >= 0) return (reply && 'error' in reply && reply.error) || '';
  return token < 0 ? words : `Visual token ${token} is ${kindWords(token)}.`;
}

/** A token made of several patches lets one step through them. */
export function patchSteps(host: HTMLElement): void {
  const token = focus();
  const mine = token < 0 || !state.record ? [] : patchesOf(token);
  host.hidden = mine.length < 2;
  if (host.hidden) {
    host.replaceChildren();
    return;
  }
  const index = mine.indexOf(focusPatch());
  const step = (text: string, label: string, move: number) => {
    const button = makeButton('choice', text, label);
    button.addEventListener('click', () => {
      set({ patch: mine[(index + move + mine.length) % mine.length] });
      requestAnimationFrame(() => {
        host.querySelector<HTMLElement>(`[aria-label="${label}"]`)?.focus();
      });
    });
    return button;
  };
  const words = `patch ${mine[index]}, number ${index + 1} of the ${mine.length} of visual token`;
  host.replaceChildren(
    step('‹', 'the patch before', -1),
    make('span', '', `${words} ${token}`),
    step('›', 'the next patch', 1),
  );
}
