// What a visitor takes away: the run as one page, its tensors, its answer as a table, the link. All
// is made here, except the tensors.
import { answerRows, csvText } from '../core/csv';
import { find, findAll } from '../core/dom';
import type { Panel } from '../core/panel';
import type { Answer, RunRecord, WordAttention } from '../core/payloads';
import { saveFile } from '../core/pictures';
import { call, type Server } from '../core/requests';
import type { State } from '../core/state';
import { state, subscribe } from '../core/store';
import { bytesOf, pack } from '../core/wire';
import { address } from '../page/permalink';

const MOST = 3_000_000; // numbers of what the words looked at that go into a page
const HINT = 'Run a question first; when the answer is complete it can be taken away.';
const NO_LINK = 'Only a run on an example photo has a link; your own photo is not kept here.';

/** What each word looked at; null where that is too much for a file, or nobody recorded it. */
async function wordsLookedAt({ key, steps }: Answer): Promise<WordAttention[] | null> {
  const words: WordAttention[] = [];
  if (!key) return null;
  for (let step = 0; step < steps.length; step++) {
    const word = await call<WordAttention & { error?: string }>('word', [key, step]);
    if (word.error || steps.length * word.visual.length > MOST) return null;
    words.push(word);
  }
  return words;
}

/** How a run was asked for, as names and values. */
function factsOf({ model, asked }: RunRecord): [string, string][] {
  const settings = Object.entries(asked?.settings ?? {}).map(([name, value]): [string, string] => [
    name.replace(/_/g, ' '),
    String(value),
  ]);
  const today = new Date().toISOString().slice(0, 10);
  return [['model', model ?? ''], ['kept', today], ...settings];
}

type Saved = Promise<string | void>;

async function savePage(server: Server, notes: string): Saved {
  const { record, plane, answer, words, selected } = state;
  const template = (await server.offline([])) as { page: string; mark: string };
  const looked = await wordsLookedAt(answer!);
  const run = {
    record,
    plane,
    answer,
    words,
    selected,
    notes: notes.trim(),
    facts: factsOf(record!),
    looked: looked?.map(({ visual, shares }) => ({ visual, shares })) ?? null,
    mean: looked?.[0]?.mean ?? null,
  };
  // inside a script element only "<" can end it
  const json = JSON.stringify(pack(run)).replace(/</g, '\\u003c');
  const [before, after] = template.page.split(template.mark);
  saveFile('.html', new Blob([before, json, after], { type: 'text/html' }));
}

async function saveTensors(server: Server): Saved {
  const file = (await server.tensors([state.answer!.key!])) as { error?: string; data: string };
  if (file.error) throw new Error(file.error);
  saveFile('.zip', new Blob([bytesOf(file.data)], { type: 'application/zip' }));
}

async function saveTable(): Saved {
  const text = csvText(answerRows(state.answer!.steps));
  saveFile('.csv', new Blob([text], { type: 'text/csv' }));
}

async function copyLink(): Saved {
  const link = address();
  if (!link) throw new Error(NO_LINK);
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    return link; // a page that is not served securely may not write there
  }
  return 'The link is in the clipboard.';
}

export function mount({ element, server }: Panel): void {
  const hint = find(element, '.hint');
  const notes = find<HTMLTextAreaElement>(element, 'textarea');
  const buttons = findAll<HTMLButtonElement>(element, '.files button');
  const kinds: Record<string, () => Saved> = {
    page: () => savePage(server, notes.value),
    run: () => saveTensors(server),
    table: saveTable,
    link: copyLink,
  };

  async function save(kind: string): Promise<void> {
    hint.textContent = '…';
    try {
      hint.textContent = (await kinds[kind]()) || 'Saved.';
    } catch (error) {
      hint.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  function enable({ record, answer, words, busy }: State): void {
    const there = Boolean(record && answer?.finished && words && !busy);
    for (const button of buttons) {
      // tensors are with the server
      button.disabled = !there || (button.dataset.kind === 'run' && !answer?.key);
    }
    hint.textContent = there ? '' : HINT;
  }

  for (const button of buttons) {
    button.addEventListener('click', () => void save(button.dataset.kind ?? ''));
  }
  subscribe(['record', 'answer', 'words', 'busy'], enable);
}
