// The token under the pointer, or else the one in focus: where it is, its first numbers at every
// stage, what it is near to.
import { patchesOf, shownPair } from '../core/board';
import { drawPatch, drawToken } from '../core/cuts';
import { find, heading, make, symbol } from '../core/dom';
import { visible } from '../core/numbers';
import type { Panel } from '../core/panel';
import type { RunRecord, Words } from '../core/payloads';
import { where } from '../core/places';
import { subscribe } from '../core/store';

const NAMES = { x_p: 'pixels', "X'": 'features', VT: 'token' } as const;
type Name = keyof typeof NAMES;

/** The first numbers of a row at one stage; nothing where there is none. */
function numbersRow(record: RunRecord, name: Name, index: number): HTMLElement[] {
  if (index < 0) return [];
  const { shape, first, norms } = record.numbers[name];
  const count = first.shape[1];
  const row = make('tr');
  const head = make('th');
  head.scope = 'row';
  head.append(symbol(name), ` ${NAMES[name]}`);
  row.append(head, make('td', '', `length ${norms[index].toFixed(1)}`));
  for (let i = 0; i < count; i++) row.append(make('td', '', first[count * index + i].toFixed(2)));
  row.append(make('td', '', `… (${shape[1]})`));
  return [row];
}

function nearWords({ words, neighbours }: Words, token: number): string {
  const nearest = words[token].map(([word, cosine]) => `“${visible(word)}” ${cosine.toFixed(2)}`);
  const count = neighbours.shape[1];
  const alike = Array.from(neighbours.subarray(count * token, count * (token + 1)));
  const others = alike.map((other) => `token ${other}`).join(', ');
  return `nearest words: ${nearest.join(', ')} · most alike: ${others}`;
}

export function mount({ element }: Panel): void {
  const words = 'The token under the pointer, or the one you selected last.';
  heading(find(element, '.head'), 'Inspector', '', null, words);

  function draw(record: RunRecord, words: Words | null, token: number, patch: number): void {
    const picture = find<HTMLCanvasElement>(element, '.enlarged');
    if (token < 0) drawPatch(picture, patch);
    else drawToken(picture, token, patch);
    const mine = token < 0 ? [] : patchesOf(token);
    const place = record.positions && token >= 0 ? record.positions[token] : null;
    find(element, '.where').textContent =
      where(token, patch) + (place === null ? '' : ` · position ${place}`);
    const rows = (Object.keys(NAMES) as Name[]).flatMap((name) =>
      numbersRow(record, name, name === 'VT' ? token : patch),
    );
    find(element, '.numbers tbody').replaceChildren(...rows);
    find(element, '.merged').textContent =
      mine.length > 1
        ? `The first rows are those of patch ${patch}, one of the ${mine.length} that became` +
          ' this token.'
        : '';
    find(element, '.near').textContent = words && token >= 0 ? nearWords(words, token) : '';
  }

  const seen = ['record', 'words', 'selected', 'hovered', 'patch', 'under'];
  subscribe(seen, ({ record, words }) => {
    const [token, patch] = record ? shownPair() : [-1, -1];
    find(element, '.body').hidden = token < 0 && patch < 0;
    element.dataset.token = String(token);
    element.dataset.patch = String(patch);
    if (record && (token >= 0 || patch >= 0)) draw(record, words, token, patch);
  });
}
