// A table as a file that spreadsheets open.
import type { Step } from './payloads';

/** What a spreadsheet would take for a formula, in letters of any width. */
const FORMULA = /^(\s*[=+\-@＝＋－＠]|[\t\r\n])/;

/** A cell, quoted; before what would be taken for a formula stands an apostrophe. */
export function csvCell(value: string | number): string {
  const text = typeof value === 'number' ? String(value) : value.replace(FORMULA, "'$&");
  return `"${text.replace(/"/g, '""')}"`;
}

/** Rows in lines, with the mark that says they are UTF-8. */
export function csvText(rows: (string | number)[][]): string {
  const lines = rows.map((row) => row.map(csvCell).join(','));
  return `\ufeff${lines.join('\r\n')}\r\n`;
}

/** The answer as rows: each token, and what else could have come. */
export function answerRows(steps: Step[]): (string | number)[][] {
  const most = Math.max(0, ...steps.map((step) => step.alternatives.length));
  const names = [
    'step',
    'token',
    'probability',
    'probability after D_d',
    'entropy in bits',
    'ends the answer',
  ];
  for (let i = 1; i <= most; i++) names.push(`alternative ${i}`, 'its probability', 'after D_d');
  const rows = steps.map((step, i) => [
    i,
    step.string,
    step.probability,
    step.decoding,
    step.entropy,
    step.end ? 'yes' : 'no',
    ...step.alternatives.flat(),
  ]);
  return [names, ...rows];
}
