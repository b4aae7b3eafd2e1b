import { describe, expect, it } from 'vitest';
import { cividis, ink, rgb, signed } from './colour';
import { extremes, mean, number, percent, shape, softmax, timesProbable, visible } from './numbers';

describe('numbers as they are told', () => {
  it.each([
    [1, '100'],
    [0.9996, '100'],
    [0.523, '52'],
    [0.0123, '1.2'],
    [0.0001, '<0.1'],
    [0, '<0.1'],
  ])('%d is %s per cent', (share, digits) => expect(percent(share)).toBe(`${digits}\u202f%`));

  it.each([
    [1234.5, '1235'],
    [-12.345, '-12.35'],
    [0.12345, '0.123'],
    [0.00012345, '0.00012'],
    [0, '0.000'],
  ])('%d is %s', (value, told) => expect(number(value)).toBe(told));

  it('are joined as a shape', () => expect(shape([16, 2048])).toBe('16 × 2,048'));

  it('make visible what would not be seen in a token', () => {
    expect(visible(' a\n\t ')).toBe('·a↵⇥·');
    expect(visible('a b')).toBe('a b');
  });

  it('say how much more or less probable', () => {
    expect(timesProbable(Math.log(2))).toBe('2.00 times more probable');
    expect(timesProbable(-Math.log(4))).toBe('4.00 times less probable');
  });
});

describe('numbers together', () => {
  it('have a least and a greatest; what is no number is left out', () => {
    expect(extremes(Float32Array.of(3, NaN, -1, 2))).toEqual([-1, 3]);
  });
  it('have a mean', () => expect(mean([1, 2, 6])).toBe(3));
  it('become shares that sum to one, however large', () => {
    const shares = softmax([1000, 1000, 0]);
    expect(shares[0]).toBeCloseTo(0.5, 12);
    expect(shares.reduce((sum, share) => sum + share)).toBeCloseTo(1, 12);
  });
});

describe('colours', () => {
  it('run from dark to bright, and stop at the ends', () => {
    const light = (share: number) => cividis(share).reduce((sum, channel) => sum + channel);
    const shares = [-1, 0, 0.25, 0.5, 0.75, 1, 2];
    const lights = shares.map(light);
    expect(lights).toEqual([...lights].sort((one, other) => one - other));
    expect(cividis(-1)).toEqual(cividis(0));
    expect(cividis(2)).toEqual(cividis(1));
  });
  it('are white at zero, blue below, orange above', () => {
    expect(signed(0)).toEqual([247, 247, 247]);
    expect(signed(-1)[2]).toBeGreaterThan(signed(-1)[0]);
    expect(signed(1)[0]).toBeGreaterThan(signed(1)[2]);
  });
  it('carry ink that is read on them', () => {
    expect(ink(cividis(0))).toBe('#fff');
    expect(ink(cividis(1))).toBe('#111');
    expect(rgb([1, 2, 3])).toBe('rgb(1,2,3)');
  });
});
