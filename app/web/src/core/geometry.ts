// The board as geometry: which cell is which patch, and which patches make which token. No element,
// no state: cells, rows and columns are those of the record (see app/payloads/layout.py).
import type { Layout, Rectangle } from './payloads';

export interface Board {
  rows: number;
  columns: number;
  /** By cell: the patch and the token there, -1: none. */
  patchAt: Int32Array;
  tokenAt: Int32Array;
  /** By patch: the token that is made of it, -1: none; and its picture. */
  tokenOf: Int32Array;
  pictureOf: Int32Array;
  /** By token: the rectangles it fills, and the patches it is made of. */
  rectangles: Rectangle[][];
  patches: number[][];
  /** By picture: whether it is the closest look at its photo, not the small copy beside tiles. */
  closest: boolean[];
  /** The part of the board that holds patches, and the part that holds tokens. */
  pictured: Rectangle;
  spoken: Rectangle;
}

type Laid = Pick<
  Layout,
  'rows' | 'columns' | 'cells' | 'token_cells' | 'token_patches' | 'pictures'
>;

/** The values of a row, without the -1 that fill it up. */
function rowOf(array: Layout['token_cells'], row: number): number[] {
  const width = array.shape[1];
  return Array.from(array.subarray(width * row, width * (row + 1))).filter((value) => value >= 0);
}

/** What is looked up at every move of the pointer, made once a record. */
export function buildBoard(laid: Laid): Board {
  const { rows, columns, cells, token_cells, token_patches, pictures } = laid;
  const patchAt = new Int32Array(rows * columns).fill(-1);
  const tokenAt = new Int32Array(rows * columns).fill(-1);
  const tokenOf = new Int32Array(cells.length).fill(-1);
  cells.forEach((cell, patch) => {
    patchAt[cell] = patch;
  });
  const rectangles: Rectangle[][] = [];
  const patches: number[][] = [];
  for (let token = 0; token < token_cells.shape[0]; token++) {
    const mine = rowOf(token_cells, token);
    for (const cell of mine) {
      if (tokenAt[cell] >= 0) continue;
      tokenAt[cell] = token;
      if (patchAt[cell] >= 0) tokenOf[patchAt[cell]] = token;
    }
    rectangles.push(rectanglesAround(mine, columns));
    patches.push(rowOf(token_patches, token));
  }
  const tiled = new Set(pictures.filter((picture) => picture.tile).map(({ photo }) => photo));
  return {
    rows,
    columns,
    patchAt,
    tokenAt,
    tokenOf,
    pictureOf: picturesOf(laid, patchAt),
    rectangles,
    patches,
    closest: pictures.map(({ tile, photo }) => tile || !tiled.has(photo)),
    pictured: boundsOf(pictures.map((picture) => picture.rectangle)),
    spoken: boundsOf(rectangles.flat()),
  };
}

function picturesOf({ cells, columns, pictures }: Laid, patchAt: Int32Array): Int32Array {
  const pictureOf = new Int32Array(cells.length);
  pictures.forEach(({ rectangle: [top, left, down, across] }, picture) => {
    for (let row = top; row < top + down; row++) {
      for (let column = left; column < left + across; column++) {
        const patch = patchAt[row * columns + column];
        if (patch >= 0) pictureOf[patch] = picture;
      }
    }
  });
  return pictureOf;
}

/** The smallest rectangle around all of them. */
export function boundsOf(all: Rectangle[]): Rectangle {
  const top = Math.min(...all.map((each) => each[0]));
  const left = Math.min(...all.map((each) => each[1]));
  const bottom = Math.max(...all.map((each) => each[0] + each[2]));
  const right = Math.max(...all.map((each) => each[1] + each[3]));
  return [top, left, bottom - top, right - left];
}

/** The rectangle that cells fill, or one rectangle a cell where they fill none. */
export function rectanglesAround(cells: number[], columns: number): Rectangle[] {
  const single = cells.map((cell): Rectangle => [Math.floor(cell / columns), cell % columns, 1, 1]);
  const [top, left, rows, across] = boundsOf(single);
  return rows * across === cells.length ? [[top, left, rows, across]] : single;
}

/** [token, patch] at a row and column of the board, -1 where there is none. */
export function cellAt(board: Board, row: number, column: number): [number, number] {
  const inside = row >= 0 && column >= 0 && row < board.rows && column < board.columns;
  if (!inside) return [-1, -1];
  const cell = Math.floor(row) * board.columns + Math.floor(column);
  return [board.tokenAt[cell], board.patchAt[cell]];
}

/** Rows and columns of a step, by the key that makes it. */
export const STEPS: Record<string, [number, number]> = {
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
};

/**
 * The next token on the board in the direction of an arrow key: straight on, over gaps, else the
 * nearest that lies that way; -1: none.
 */
export function neighbourOf(board: Board, token: number, key: string): number {
  const [down, across] = STEPS[key];
  const [[row, column, rows, columns]] = board.rectangles[token];
  let nextRow = (down > 0 ? row + rows - 1 : row) + down;
  let nextColumn = (across > 0 ? column + columns - 1 : column) + across;
  while (nextRow >= 0 && nextColumn >= 0 && nextRow < board.rows && nextColumn < board.columns) {
    const [next] = cellAt(board, nextRow, nextColumn);
    if (next >= 0 && next !== token) return next;
    nextRow += down;
    nextColumn += across;
  }
  return nearestThatWay(board, token, down, across);
}

function nearestThatWay(board: Board, token: number, down: number, across: number): number {
  const [[row, column, rows, columns]] = board.rectangles[token];
  let best = -1;
  let least = Infinity;
  board.rectangles.forEach(([[top, left, high, wide]], other) => {
    const forward = down
      ? down * (top + high / 2 - row - rows / 2)
      : across * (left + wide / 2 - column - columns / 2);
    const sideways = down ? Math.abs(left - column) : Math.abs(top - row);
    const beyond =
      (down > 0 && top >= row + rows) ||
      (down < 0 && top + high <= row) ||
      (across > 0 && left >= column + columns) ||
      (across < 0 && left + wide <= column);
    if (other === token || !beyond || sideways > forward) return;
    if (forward + sideways < least) {
      best = other;
      least = forward + sideways;
    }
  });
  return best;
}
