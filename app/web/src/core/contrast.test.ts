import { describe, expect, it } from 'vitest';
import { isInOrder, lossesOf, readingsOf, shufflePairs } from './contrast';

describe('readings of a matrix of cosines', () => {
  const cosines = Float32Array.of(0.3, 0.1, 0.05, 0.25);
  const all = readingsOf(cosines, 2, 2, Math.log(100), null);

  it('scale the cosines by e to the power tau', () => {
    expect(all.logits[0][0]).toBeCloseTo(30, 4);
    expect(readingsOf(cosines, 2, 2, 0, -10).logits[0][1]).toBeCloseTo(-9.9, 4);
  });

  it('sum to one over the texts of a photo, over the photos of a text', () => {
    for (const row of all.image_to_text) expect(row[0] + row[1]).toBeCloseTo(1, 12);
    for (const text of [0, 1]) {
      expect(all.text_to_image[0][text] + all.text_to_image[1][text]).toBeCloseTo(1, 12);
    }
  });

  it('lose nothing where every pair is sure, and ln n where all are alike', () => {
    expect(lossesOf(all, [0, 1]).both).toBeLessThan(1e-6);
    const alike = readingsOf(new Float32Array(9), 3, 3, 1, null);
    expect(lossesOf(alike, [0, 1, 2]).both).toBeCloseTo(Math.log(3), 12);
    expect(lossesOf(alike, [0, 1, 2]).sigmoid).toBeCloseTo(3 * Math.log(2), 12);
  });

  it('lose more where the pairs are shuffled', () => {
    expect(lossesOf(all, [1, 0]).image).toBeGreaterThan(lossesOf(all, [0, 1]).image);
  });
});

describe('shuffled pairs', () => {
  it('are others than before, and not those that belong together', () => {
    for (const before of [
      [0, 1, 2],
      [1, 2, 0],
    ]) {
      const after = shufflePairs(before);
      expect(after).not.toEqual(before);
      expect(isInOrder(after)).toBe(false);
      expect([...after].sort()).toEqual([0, 1, 2]);
    }
  });
});
