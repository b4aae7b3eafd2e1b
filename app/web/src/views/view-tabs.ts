// Which stage views are in sight: one, or with Shift two.
import { find, makeButton } from '../core/dom';
import type { Panel } from '../core/panel';
import { set, state, subscribe } from '../core/store';

const TITLES = {
  photo: 'photo',
  patches: 'patches',
  positions: 'position',
  encoder: 'encoder',
  connector: 'connector',
  space: 'token space',
  sequence: 'sequence',
  lens: 'lens',
  looked: 'attention',
};

/** Which views a click leaves open: with Shift one is added or put away, never the last one. */
export function openAfter(open: string[], name: string, adds: boolean): string[] {
  if (!adds) return [name];
  if (!open.includes(name)) return [open[0], name];
  return open.length > 1 ? open.filter((each) => each !== name) : open;
}

export function mount({ element }: Panel): void {
  const tabs = find(element, '.tabs');
  const buttons = Object.entries(TITLES).map(([name, title]) => {
    const button = makeButton('choice', title);
    button.title = 'With Shift: beside the view that is open';
    button.dataset.view = name;
    button.setAttribute('role', 'tab');
    button.addEventListener('click', (event) => {
      set({ open: openAfter(state.open, name, event.shiftKey) });
    });
    return button;
  });
  tabs.append(...buttons);
  tabs.addEventListener('keydown', (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const index = buttons.findIndex((button) => button === event.target);
    if (!move || index < 0) return;
    event.preventDefault();
    const next = buttons[(index + move + buttons.length) % buttons.length];
    next.focus();
    next.click();
  });
  subscribe(['open'], ({ open }) => {
    for (const button of buttons) {
      const on = open.includes(button.dataset.view ?? '');
      button.setAttribute('aria-selected', String(on));
      button.tabIndex = on ? 0 : -1;
    }
  });
}
