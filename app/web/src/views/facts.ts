// Published findings, tested one by one on the run that is shown. A verdict is a sign, a word and a
// colour.
import { find, make } from '../core/dom';
import type { Panel } from '../core/panel';
import { state, subscribe } from '../core/store';

interface Finding {
  id: number;
  claim: string;
  verdict: string;
  sentence: string;
  source: string;
  tolerance: string;
  numbers: [string, number][];
}
interface Findings {
  run: string;
  total: number;
  rows?: Finding[];
}

const [SEEN, MISSED, CANNOT] = [
  'seen here',
  'not seen here',
  "can't be tested with this model",
] as const;
const SIGNS: Record<string, [sign: string, kind: string]> = {
  [SEEN]: ['✓', 'seen'],
  [MISSED]: ['✗', 'missed'],
  [CANNOT]: ['–', 'cannot'],
};
const TIME = 'All of it takes a minute or two with the embedded model on two cores.';
const NONE = 'Three findings need to know where a thing is: select its patches in the picture. ';

function makeFinding(finding: Finding): HTMLElement {
  const [sign, kind] = SIGNS[finding.verdict];
  const node = make('li', `finding ${kind}`);
  const told = make('p');
  const more = make('details');
  const list = make('dl', 'numbers');
  told.append(make('span', 'verdict', `${sign} ${finding.verdict}`), `: ${finding.sentence}`);
  for (const [name, value] of finding.numbers) {
    const digits = value.toLocaleString('en', { maximumSignificantDigits: 4 });
    list.append(make('dt', '', name), make('dd', '', digits));
  }
  more.append(
    make('summary', '', 'when it counts, numbers, source'),
    make('p', '', `Counts as seen if: ${finding.tolerance}.`),
    list,
    make('p', '', `${finding.source}.`),
  );
  node.append(make('p', 'claim', `${finding.id}. ${finding.claim}`), told, more);
  return node;
}

export function summary(rows: Pick<Finding, 'verdict'>[], total: number): string {
  const count = (verdict: string): number => rows.filter((each) => each.verdict === verdict).length;
  const under = rows.length === total ? '' : `${rows.length} of ${total} tested: `;
  return (
    `${under}${count(SEEN)} seen here, ${count(MISSED)} not seen here, ${count(CANNOT)} can’t be` +
    ' tested with this model or this selection.'
  );
}

export function mount({ element, props, trigger, watch }: Panel): void {
  const go = find<HTMLButtonElement>(element, '.go');
  const there = find<HTMLInputElement>(element, '.there');
  const away = find<HTMLInputElement>(element, '.away');

  function describe(): void {
    const { selected, record } = state;
    go.disabled = !record;
    const count = record ? record.boxes.length / 4 : 0;
    const chosen = selected.length
      ? `${selected.length} of ${count} visual tokens are selected as those of the thing named` +
        ' first. '
      : NONE;
    find(element, '.more').textContent = record ? chosen + TIME : 'Run a question first.';
  }

  function draw(): void {
    const value = props.value as Findings | null;
    const mine = value?.run === state.record?.run; // else until that one is back
    find(element, '.results').hidden = !value?.rows || !mine;
    if (!value?.rows || !mine) return;
    const { rows, run, total } = value;
    const list = find(element, '.list');
    if (list.dataset.run !== run || list.children.length > rows.length) {
      list.replaceChildren();
      list.dataset.run = run;
    }
    for (const finding of rows.slice(list.children.length)) list.append(makeFinding(finding));
    find(element, '.sum').textContent = summary(rows, total);
    element.dataset.finished = String(rows.length === total);
  }

  go.addEventListener('click', () => {
    const { record, selected } = state;
    if (!record) return;
    const asked = { run: record.run, tokens: [...selected] };
    trigger('findings', { ...asked, words: there.value, absent: away.value });
  });
  for (const field of [there, away]) {
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') go.click();
    });
  }
  subscribe(['selected', 'record'], describe);
  subscribe(['record'], draw);
  watch('value', draw);
  draw();
}
