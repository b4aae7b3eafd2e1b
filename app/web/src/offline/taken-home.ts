// The start of a page that was taken home: the run that lies in it enters the store, and what a
// server would say is looked up in it.
import { find, findAll, make } from '../core/dom';
import { receive } from '../core/inbox';
import { connect } from '../core/requests';
import { set } from '../core/store';

interface KeptRun {
  record: { question: string };
  plane: object;
  answer: object;
  words: object;
  selected: number[];
  notes: string;
  facts: [string, string][];
  looked: object[] | null;
  mean: object | null;
}

const TOO_LARGE = 'What the words looked at is too large for this file; the page itself shows it.';

function tellAbout(run: KeptRun): void {
  document.title = `${run.record.question} · Visual Token Explorer`;
  find(document, '#question').textContent = run.record.question;
  const facts = run.facts.map(([name, value]) => {
    const item = make('span', 'fact', `${name} `);
    item.append(make('b', '', value));
    return item;
  });
  find(document, '#facts').append(...facts);
  const notes = find(document, '#notes');
  notes.hidden = !run.notes;
  notes.textContent = run.notes;
}

function wordOf({ looked, mean }: KeptRun, step: number): object {
  return looked ? { ...looked[step], mean } : { error: TOO_LARGE };
}

export function openTakenHome(): void {
  const run = JSON.parse(find(document, '#run').textContent ?? '') as KeptRun;
  tellAbout(run);
  // all views of this page are in sight already
  for (const button of findAll<HTMLButtonElement>(document, '#stage-strip .open')) {
    button.disabled = true;
  }
  // so that the arrow keys scroll it where it is narrow
  find(document, '#stage-strip .strip').tabIndex = 0;
  connect({ word: ([, step]) => Promise.resolve(wordOf(run, Number(step))) });
  for (const name of ['record', 'plane', 'answer', 'words'] as const) receive(name, run[name]);
  // after what was received is taken
  queueMicrotask(() => {
    set({ open: ['connector', 'sequence'], selected: run.selected });
    document.documentElement.dataset.ready = 'true';
  });
}
