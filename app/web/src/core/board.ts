// The board of the run that is shown: its tokens, patches and boxes.
import { buildBoard, cellAt, neighbourOf, type Board } from './geometry';
import type { Box, Layout, Rectangle } from './payloads';
import { focus, state } from './store';

const boards = new WeakMap<Layout, Board>();

export function boardOf(record: Layout): Board {
  let board = boards.get(record);
  if (!board) {
    board = buildBoard(record);
    boards.set(record, board);
  }
  return board;
}

/** The record, where there must be one. */
export function shownRecord() {
  if (!state.record) throw new Error('There is no run yet.');
  return state.record;
}

export const shownBoard = (): Board => boardOf(shownRecord());
export const kindOf = (record: Layout, token: number): string =>
  record.kinds[record.token_kinds[token]];
export const patchesOf = (token: number): number[] => shownBoard().patches[token];
export const rectanglesOf = (token: number): Rectangle[] => shownBoard().rectangles[token];
export const tokenOf = (patch: number): number => shownBoard().tokenOf[patch];
export const neighbour = (token: number, key: string): number =>
  neighbourOf(shownBoard(), token, key);

export function cellRectangle(patch: number): Rectangle {
  const { cells, columns } = shownRecord();
  return [Math.floor(cells[patch] / columns), cells[patch] % columns, 1, 1];
}

/** [token, patch] at a row and column of the board, -1 where there is none. */
export function at(row: number, column: number): [number, number] {
  return state.record ? cellAt(boardOf(state.record), row, column) : [-1, -1];
}

/** The box of a token in the photos; null where it has no place. */
export function boxOf(token: number): Box | null {
  const box = Array.from(shownRecord().boxes.subarray(4 * token, 4 * token + 4));
  return Number.isNaN(box[0]) ? null : (box as Box);
}

export function patchBox(patch: number): Box {
  const record = shownRecord();
  const { rectangle, box } = record.pictures[shownBoard().pictureOf[patch]];
  const [top, left, rows, columns] = rectangle;
  const [row, column] = cellRectangle(patch);
  const height = (box[2] - box[0]) / rows;
  const width = (box[3] - box[1]) / columns;
  const [y, x] = [box[0] + (row - top) * height, box[1] + (column - left) * width];
  return [y, x, box[0] + (row - top + 1) * height, box[1] + (column - left + 1) * width];
}

/**
 * The patch that is looked at: the one that was clicked, if it belongs to the token in focus, else
 * the token's first; -1: it has none.
 */
export function focusPatch(): number {
  const { record, patch } = state;
  const token = focus();
  if (!record) return -1;
  if (token < 0) return patch;
  const mine = patchesOf(token);
  return mine.includes(patch) ? patch : (mine[0] ?? -1);
}

/** The token and the patch that are told about: under the pointer, or else in focus. */
export function shownPair(): [number, number] {
  const { hovered, under } = state;
  if (hovered < 0 && under < 0) return [focus(), focusPatch()];
  return [hovered, under >= 0 ? under : (patchesOf(hovered)[0] ?? under)];
}
