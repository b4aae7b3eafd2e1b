import { describe, expect, it } from 'vitest';
import { answerRows, csvCell, csvText } from './csv';
import { fileName, slug, wrap } from './pictures';
import { selectionAfter } from './selection';

describe('a table that is taken home', () => {
  it('quotes, and holds no formula', () => {
    expect(csvCell('say "hi"')).toBe('"say ""hi"""');
    for (const text of ['=1+1', ' @x', '＝1', '\tx']) expect(csvCell(text)).toBe(`"'${text}"`);
    expect(csvCell(-1)).toBe('"-1"'); // a number is none
  });

  it('has as many columns as the most alternatives need', () => {
    const step = { string: 'a', probability: 0.5, decoding: 1, entropy: 1, end: true };
    const rows = answerRows([{ ...step, alternatives: [['a', 0.5, 1]] }]);
    expect(rows[0]).toHaveLength(9);
    expect(rows[1]).toEqual([0, 'a', 0.5, 1, 1, 'yes', 'a', 0.5, 1]);
    expect(csvText([['a', 1]])).toBe('\ufeff"a","1"\r\n');
  });
});

describe('a file', () => {
  it('is named after the question', () => {
    expect(fileName('What is in it?', 'X: length.png')).toBe('what-is-in-it-x-length.png');
    expect(fileName('What?', '.html')).toBe('what.html');
    expect(fileName(undefined, 'a b.csv')).toBe('a-b.csv');
    expect(slug('ü'.repeat(50))).toBe('');
  });

  it('has a title in lines that fit', () => {
    expect(wrap('one two three', 7, (line) => line.length)).toEqual(['one two', 'three']);
    expect(wrap('unbreakable', 3, (line) => line.length)).toEqual(['unbreakable']);
  });
});

describe('a click', () => {
  it('selects one, or adds and takes away', () => {
    expect(selectionAfter([1, 2], 3, false)).toEqual([3]);
    expect(selectionAfter([1, 2], 3, true)).toEqual([1, 2, 3]);
    expect(selectionAfter([1, 2], 1, true)).toEqual([2]);
  });
});
