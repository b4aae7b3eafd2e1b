import { describe, expect, it } from 'vitest';
import { continues, inLayer, meanOfLayers } from './answer';
import { holds, placed, tokensWithin } from './beside';
import { countBins } from './connector';
import { longerThan, meanOfHeads } from './encoder';
import { chance, lostShare, otherPhotos, times } from './experiments';
import { summary } from './facts';
import { placePoints } from './lab-space';
import { linesOf, spreadNames } from './ledger';
import { rowsInSight } from './lens-table';
import { mostDoubted } from './lesson';
import { brightest } from './looked';
import { lostEdges } from './photo';
import { nearestPoint, rangeAlong, turned } from './points';
import { wrapped } from './positions';
import { partsInOrder } from './sequence';
import { shortValue, valueWords } from './similarity';
import { mostCommon } from './space-colours';
import { waitingWords } from './status';
import { openAfter } from './view-tabs';

const floats = (values: number[], shape: number[]) =>
  Object.assign(Float32Array.from(values), { shape });

describe('answer', () => {
  const visual = floats([1, 3, 5, 7], [2, 2]); // words x tokens

  it('has what a word looked at, and that less the mean of all words', () => {
    expect(Array.from(meanOfLayers({ visual }, 1, 2, false))).toEqual([5, 7]);
    expect(Array.from(meanOfLayers({ visual }, 1, 2, true))).toEqual([2, 2]);
    expect(Array.from(visual)).toEqual([1, 3, 5, 7]); // untouched
  });

  it('has the same in one layer', () => {
    const mean = floats([1, 1, 1, 1], [2, 2]);
    expect(Array.from(inLayer({ visual, mean }, 2, 2, false))).toEqual([5, 7]);
    expect(Array.from(inLayer({ visual, mean }, 2, 2, true))).toEqual([4, 6]);
  });

  it('is written on where it continues, and anew where it does not', () => {
    const step = (string: string, probability: number) => ({
      ...{ string, probability },
      ...{ decoding: 1, entropy: 0, end: false, alternatives: [] },
    });
    expect(continues([step('a', 1)], [step('a', 1), step('b', 1)])).toBe(true);
    expect(continues([step('a', 1)], [step('a', 0.5)])).toBe(false);
    expect(continues([step('a', 1)], [])).toBe(false);
  });
});

describe('sequence', () => {
  it('stands in the order of positions, neighbouring visual tokens together', () => {
    expect(partsInOrder([1, 2, 4], [0, 3], 3)).toEqual([
      { text: 0 },
      { tokens: [0, 1] },
      { text: 1 },
      { tokens: [2] },
    ]);
  });

  it('has visual tokens without a position beside it, at the end', () => {
    expect(partsInOrder(null, [0, 1], 2)).toEqual([{ text: 0 }, { text: 1 }, { tokens: [0, 1] }]);
  });
});

describe('two models', () => {
  const boxes = Float32Array.of(0, 0, 2, 2, 0, 2, 2, 4, NaN, NaN, NaN, NaN);

  it('light the tokens whose middle lies in a part, or that a part lies in', () => {
    expect(tokensWithin({ boxes }, [[0, 0, 2, 2]])).toEqual([0]);
    expect(tokensWithin({ boxes }, [[0.5, 2.2, 0.7, 2.4]])).toEqual([1]);
    expect(tokensWithin({ boxes }, [])).toEqual([]);
  });

  it('leave out what has no place', () => expect(placed({ boxes })).toEqual([0, 1]));

  it('count an edge once', () => {
    expect(holds([0, 0, 2, 2], 0, 0)).toBe(true);
    expect(holds([0, 0, 2, 2], 2, 0)).toBe(false);
  });
});

describe('encoder and connector', () => {
  it('take the mean of the heads', () => {
    expect(Array.from(meanOfHeads(floats([1, 2, 3, 6], [2, 2])))).toEqual([2, 4]);
  });
  it('find what is longer than the limit', () => {
    expect(longerThan([1, 4, 3.5, 3], 3)).toEqual([1, 2]);
  });
  it('count into bins, the greatest into the last', () => {
    expect(countBins([0, 1, 2, 3, 4], [0, 4], 4)).toEqual([1, 1, 1, 2]);
    expect(countBins([2, 2], [2, 2], 3)).toEqual([2, 0, 0]);
  });
  it('turn an angle to the same one between -π and π', () => {
    expect(wrapped(2 * Math.PI + 0.5)).toBeCloseTo(0.5, 12);
    expect(wrapped(-4)).toBeCloseTo(2 * Math.PI - 4, 12);
  });
});

describe('token space', () => {
  const points = floats([0, 0, 0, 1, 0, 0, -1, 0, 0], [3, 3]);

  it('finds the point under the pointer, and none where none is near', () => {
    const places = Float32Array.of(10, 10, 20, 10);
    expect(nearestPoint(places, 18, 10)).toBe(1);
    expect(nearestPoint(places, 60, 60)).toBe(-1);
  });

  it('is centred whatever the angle, and its first axis runs to the right', () => {
    const places = turned(points, { a: 0, b: 0, zoom: 1 }, 200, 100);
    expect([places[0], places[1]]).toEqual([100, 50]);
    expect(places[2]).toBeGreaterThan(100);
    expect(places[2] - 100).toBeCloseTo(100 - places[4], 4);
    const behind = turned(points, { a: Math.PI, b: 0, zoom: 1 }, 200, 100);
    expect(behind[2]).toBeLessThan(100);
  });

  it('knows how far it reaches along an axis', () => {
    expect(rangeAlong(points, 0)).toEqual([-1, 1]);
    expect(rangeAlong(points, 1)).toEqual([0, 0]);
  });

  it('gives colours to the most frequent words', () => {
    expect(mostCommon(['a', 'b', 'b', 'c', 'b', 'c'], 2)).toEqual(['b', 'c']);
  });
});

describe('lens and attention', () => {
  it('draws the rows in sight only', () => {
    expect(rowsInSight(0, 180, 500)).toEqual([0, 11]);
    expect(rowsInSight(1800, 180, 105)).toEqual([100, 105]);
    expect(rowsInSight(0, 180, 3)).toEqual([0, 3]);
  });
  it('takes the brightest tenth, at least one', () => {
    expect(brightest([1, 9, 5, 7], 0.5)).toEqual([1, 3]);
    expect(brightest([1, 2], 0.1)).toEqual([1]);
  });
});

describe('experiments and findings', () => {
  it('say what became of a probability', () => {
    expect(times(0)).toBe('as probable as before');
    expect(times(Math.log(3))).toBe('3.00 times more probable');
    expect(chance(0.00001)).toBe('0.0010\u202f%');
    expect(lostShare(0.5, 0.5)).toBe(0);
    expect(lostShare(1, 1e-9)).toBe(1);
    expect(lostShare(1e-9, 1)).toBe(-1);
  });

  it('offer other photos of the same model, the newest of each', () => {
    const runs = ['p1.m-3', 'p2.m-2', 'p2.m-1', 'p3.n-1'].map((run) => ({ run }));
    expect(otherPhotos(runs, runs[0])).toEqual([{ run: 'p2.m-2' }]);
    expect(otherPhotos(runs, null)).toEqual([]);
  });

  it('count verdicts', () => {
    const rows = [{ verdict: 'seen here' }, { verdict: 'not seen here' }];
    expect(summary(rows, 2)).toMatch(/^1 seen here, 1 not seen here, 0 can/);
    expect(summary(rows, 9)).toMatch(/^2 of 9 tested: /);
  });
});

describe('ledger and lab', () => {
  const rows = ['a', 'b', 'c'].map((family, i) => ({
    ...{ family, checkpoint: '', tokens: 1, why: '' },
    compared: i > 0,
  }));
  const curve = Object.assign(Int32Array.of(1, 2, 1, 2, 3, 4), { shape: [3, 2] });
  const ledger = { width: 1, height: 1, rows, sides: [1, 2], curve };

  it('share a line where families spend the same', () => {
    expect(linesOf(ledger, false)).toEqual([[0, 1], [2]]);
    expect(linesOf(ledger, true)).toEqual([[1], [2]]);
  });

  it('keep names apart, and above the bottom', () => {
    expect(spreadNames([10, 11, 50], 100)).toEqual([10, 22, 50]);
    expect(spreadNames([96, 99], 100)).toEqual([88, 100]);
    expect(spreadNames([], 100)).toEqual([]);
  });

  it('tell a value as its reading is told', () => {
    expect(valueWords('cosine', 0.2345)).toBe('0.234');
    expect(valueWords('logits', 23.456)).toBe('23.46');
    expect(shortValue('cosine', -0.25)).toBe('-.25');
    expect(shortValue('sigmoid', 0.254)).toBe('25');
  });

  it('place points within the picture, upwards', () => {
    const places = placePoints([0, 0, 1, 1], 100, 100);
    expect(places).toEqual([
      [20, 80],
      [80, 20],
    ]);
  });
});

describe('the page', () => {
  it('opens one view, or two with Shift, and never closes the last', () => {
    expect(openAfter(['space'], 'lens', false)).toEqual(['lens']);
    expect(openAfter(['space'], 'lens', true)).toEqual(['space', 'lens']);
    expect(openAfter(['space', 'lens'], 'photo', true)).toEqual(['space', 'photo']);
    expect(openAfter(['space', 'lens'], 'space', true)).toEqual(['lens']);
    expect(openAfter(['space'], 'space', true)).toEqual(['space']);
  });

  it('says how long the line is', () => {
    expect(waitingWords({ place: 1, of: 3 })).toBe('Waiting for the model: you are next');
    expect(waitingWords({ place: 2, of: 3, seconds: 0.2 })).toBe(
      'Waiting for the model: place 2 of 3 in line, answered in about 1 s',
    );
  });

  it('tells in the lesson the word that was doubted most', () => {
    const word = (string: string, probability: number, end = false) => ({
      ...{ string, probability, end },
    });
    const words = [word('A', 0.9), word(' cat', 0.2), word('.', 0.1), word('</s>', 0.01, true)];
    expect(mostDoubted(words)).toBe(1);
  });

  it('shows what of a photo no patch covers', () => {
    const photo = { left: 0, size: [10, 20], seen: [0, 5, 10, 15] } as Parameters<
      typeof lostEdges
    >[0];
    expect(lostEdges(photo)).toEqual([
      [0, 0, 10, 5],
      [0, 15, 10, 20],
    ]);
  });
});
