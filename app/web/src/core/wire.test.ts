import { describe, expect, it } from 'vitest';
import { fromHalf, pack, sliceOf, unpack, type Floats } from './wire';

const packed = (type: string, numbers: ArrayBufferView, shape: number[]) => ({
  type,
  shape,
  data: btoa(String.fromCharCode(...new Uint8Array(numbers.buffer))),
});

describe('what travels', () => {
  it.each([
    [0x0000, 0],
    [0x3c00, 1],
    [0xbc00, -1],
    [0x3555, 0.333251953125],
    [0x7bff, 65504],
    [0x0001, 2 ** -24], // the least above zero
    [0x0400, 2 ** -14],
    [0x7c00, Infinity],
    [0xfc00, -Infinity],
  ])('half %i is %d', (bits, value) => expect(fromHalf(bits)).toBe(value));

  it('has a half that is no number', () => expect(fromHalf(0x7e00)).toBeNaN());

  it('becomes typed arrays that know their shape, wherever they are', () => {
    const sent = { maps: [packed('f4', Float32Array.of(1, 2, 3, 4), [2, 2])], name: 'x', no: null };
    const { maps, name, no } = unpack<{ maps: Floats[]; name: string; no: null }>(sent);
    expect(Array.from(maps[0])).toEqual([1, 2, 3, 4]);
    expect(maps[0].shape).toEqual([2, 2]);
    expect([name, no]).toEqual(['x', null]);
  });

  it('reads halves as the numbers they stand for', () => {
    const sent = packed('f2', Uint16Array.of(0x3c00, 0xc000, 0x3555), [3]);
    expect(Array.from(unpack<Floats>(sent))).toEqual([1, -2, 0.333251953125]);
  });

  it('is the same after being packed again', () => {
    const sent = { a: packed('u2', Uint16Array.of(1, 65535), [2]), b: [1, 'two', null] };
    expect(pack(unpack(sent))).toEqual(sent);
  });

  it('can be cut along its first axis', () => {
    const array = Object.assign(Float32Array.of(0, 1, 2, 3, 4, 5), { shape: [3, 2] });
    expect(Array.from(sliceOf(array, 1))).toEqual([2, 3]);
  });
});
