// Earlier runs of this page: a click brings one back at once, without the server.
import { find, make, makeButton } from '../core/dom';
import { recall } from '../core/inbox';
import type { Panel } from '../core/panel';
import type { Run } from '../core/state';
import { subscribe } from '../core/store';

function makeRun(run: Run, shown: boolean): HTMLElement {
  const { question, received } = run.record;
  const button = makeButton('run', '');
  const image = make('img');
  image.src = received;
  image.alt = '';
  button.append(image, make('span', '', question));
  button.title = question;
  button.setAttribute('aria-pressed', String(shown));
  button.addEventListener('click', () => recall(run));
  return button;
}

export function mount({ element }: Panel): void {
  subscribe(['history', 'record'], ({ history, record }) => {
    const runs = history.length < 2 ? [] : history;
    const buttons = runs.map((run) => makeRun(run, run.record === record));
    find(element, '.runs').replaceChildren(...buttons);
  });
}
