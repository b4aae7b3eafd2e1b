// Of a run that was computed beforehand: when, with what, and what has to wait for the model.
import { find } from '../core/dom';
import type { Panel } from '../core/panel';
import { late } from '../core/requests';
import { subscribe } from '../core/store';

const WAITING = 'What needs the model comes as soon as it is loaded.';

export function mount({ element }: Panel): void {
  const told = find(element, '.said');
  subscribe(['record', 'model'], ({ record }) => {
    told.hidden = !record?.instant;
    if (!record?.instant) return;
    const { made, versions } = record.instant;
    told.textContent =
      `Computed beforehand with this very model (${made}, torch ${versions.torch}), its times` +
      ` too; Run computes it here. ${late(record.run) ? WAITING : ''}`;
  });
}
