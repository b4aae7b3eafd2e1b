import { describe, expect, it } from 'vitest';
import {
  boundsOf,
  buildBoard,
  cellAt,
  neighbourOf,
  rectanglesAround,
  type Board,
} from './geometry';
import type { Picture } from './payloads';

const integers = (values: number[], shape: number[]) =>
  Object.assign(Int32Array.from(values), { shape });
const picture = (rectangle: Picture['rectangle'], tile = false, photo = 0): Picture => ({
  name: 'picture',
  photo,
  tile,
  box: [0, 0, 1, 1],
  rectangle,
});
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** 2 x 3 patches, each a token. */
const plain = (): Board =>
  buildBoard({
    rows: 2,
    columns: 3,
    cells: integers(range(6), [6]),
    token_cells: integers(range(6), [6, 1]),
    token_patches: integers(range(6), [6, 1]),
    pictures: [picture([0, 0, 2, 3])],
  });

/** 2 x 4 patches, two by two one token, and a newline token below. */
const merged = (): Board =>
  buildBoard({
    rows: 3,
    columns: 4,
    cells: integers(range(8), [8]),
    token_cells: integers([0, 1, 4, 5, 2, 3, 6, 7, 9, -1, -1, -1], [3, 4]),
    token_patches: integers([0, 1, 4, 5, 2, 3, 6, 7, -1, -1, -1, -1], [3, 4]),
    pictures: [picture([0, 0, 2, 4])],
  });

describe('a board', () => {
  it('knows the token and the patch of every cell', () => {
    const board = merged();
    expect(cellAt(board, 1.9, 1.2)).toEqual([0, 5]);
    expect(cellAt(board, 0, 3)).toEqual([1, 3]);
    expect(cellAt(board, 2, 1)).toEqual([2, -1]); // a token without a patch
    expect(cellAt(board, 2, 0)).toEqual([-1, -1]); // nothing
    for (const [row, column] of [
      [-1, 0],
      [0, -0.1],
      [3, 0],
      [0, 4],
    ] as const) {
      expect(cellAt(board, row, column)).toEqual([-1, -1]);
    }
  });

  it('outlines merged patches together', () => {
    const { rectangles, patches, tokenOf } = merged();
    expect(rectangles[0]).toEqual([[0, 0, 2, 2]]);
    expect(patches).toEqual([[0, 1, 4, 5], [2, 3, 6, 7], []]);
    expect(Array.from(tokenOf)).toEqual([0, 0, 1, 1, 0, 0, 1, 1]);
  });

  it('tells the part with patches from the part with tokens', () => {
    const { pictured, spoken } = merged();
    expect(pictured).toEqual([0, 0, 2, 4]);
    expect(spoken).toEqual([0, 0, 3, 4]);
  });

  it('takes the tiles of a photo for the closest look, else the photo as a whole', () => {
    const all = {
      rows: 1,
      columns: 3,
      cells: integers(range(3), [3]),
      token_cells: integers(range(3), [3, 1]),
      token_patches: integers(range(3), [3, 1]),
    };
    const pictures = [
      picture([0, 0, 1, 1], true),
      picture([0, 1, 1, 1]),
      picture([0, 2, 1, 1], false, 1),
    ];
    const { closest, pictureOf } = buildBoard({ ...all, pictures });
    expect(closest).toEqual([true, false, true]);
    expect(Array.from(pictureOf)).toEqual([0, 1, 2]);
  });
});

describe('rectangles', () => {
  it('are one where cells fill one, else one a cell', () => {
    expect(rectanglesAround([5, 6, 9, 10], 4)).toEqual([[1, 1, 2, 2]]);
    expect(rectanglesAround([0, 5], 4)).toEqual([
      [0, 0, 1, 1],
      [1, 1, 1, 1],
    ]);
  });

  it('have bounds around all of them', () => {
    const all: Picture['rectangle'][] = [
      [1, 2, 1, 1],
      [0, 5, 4, 2],
    ];
    expect(boundsOf(all)).toEqual([0, 2, 4, 5]);
  });
});

describe('an arrow key', () => {
  it('goes to the token beside, and nowhere at the edge', () => {
    const board = plain();
    expect(neighbourOf(board, 0, 'ArrowRight')).toBe(1);
    expect(neighbourOf(board, 1, 'ArrowDown')).toBe(4);
    expect(neighbourOf(board, 4, 'ArrowUp')).toBe(1);
    expect(neighbourOf(board, 0, 'ArrowLeft')).toBe(-1);
    expect(neighbourOf(board, 5, 'ArrowDown')).toBe(-1);
  });

  it('steps over a whole merged token', () => {
    expect(neighbourOf(merged(), 0, 'ArrowRight')).toBe(1);
    expect(neighbourOf(merged(), 0, 'ArrowDown')).toBe(2);
  });

  it('finds the nearest that lies that way where nothing lies straight on', () => {
    const board = merged();
    expect(neighbourOf(board, 1, 'ArrowDown')).toBe(2);
  });
});
