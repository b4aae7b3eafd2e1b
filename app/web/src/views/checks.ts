// What the page shows against what the model computes by itself: differences as numbers, and what
// is at work.
import { find, make } from '../core/dom';
import type { Panel } from '../core/panel';
import { subscribe } from '../core/store';

interface Comparison {
  name: string;
  difference: number;
  allowed: number;
  /** Null where it cannot be compared. */
  holds: boolean | null;
  words: string;
  /** Whether the difference is a count. */
  counted: boolean;
}

interface Comparisons {
  rows?: Comparison[];
  versions: [string, string][];
  finished: boolean;
}

/** The cells of one comparison. */
export function comparisonCells(each: Comparison): string[] {
  const { name, difference, allowed, holds, words, counted } = each;
  if (holds === null) return [name, '–', '–', '– not to be compared', words];
  const written = (value: number): string => (counted ? String(value) : value.toExponential(1));
  const identical = difference === 0 && !counted;
  return [
    name,
    identical ? '0 (identical)' : written(difference),
    written(allowed),
    holds ? '✓ yes' : '✗ no',
    words,
  ];
}

export function mount({ element, props, watch }: Panel): void {
  const results = find(element, '.results');

  function draw(): void {
    const value = props.value as Comparisons | null;
    results.hidden = !value?.rows;
    if (!value?.rows) return;
    const rows = value.rows.map((each) => {
      const row = make('tr');
      row.append(...comparisonCells(each).map((text) => make('td', '', text)));
      return row;
    });
    find(element, 'tbody').replaceChildren(...rows);
    const versions = value.versions.map(([name, version]) => `${name} ${version}`);
    find(element, '.versions').textContent = `At work: ${versions.join(' · ')}`;
    element.dataset.finished = String(value.finished);
  }

  // what was compared before a photo was changed, or before a comparison failed, says nothing now
  subscribe(['chosen', 'failure'], ({ failure }, changed) => {
    if (changed.has('chosen') || failure?.place === 'check') results.hidden = true;
  });
  watch('value', draw);
  draw();
}
