// What went wrong, where the visitor asked for it: the part of the id behind "failure-" is the
// place.
import { find } from '../core/dom';
import type { Panel } from '../core/panel';
import { subscribe } from '../core/store';

export function mount({ element }: Panel): void {
  const told = find(element, '.went-wrong');
  const place = element.closest('[id^="failure-"]')?.id.replace('failure-', '');
  subscribe(['failure'], ({ failure }) => {
    const mine = failure?.place === place ? failure : null;
    told.hidden = !mine;
    told.textContent = mine ? mine.sentence || 'This did not work; the notice says why.' : '';
  });
}
