import { describe, expect, it } from 'vitest';
import type { RunRecord } from './payloads';
import { paintCells } from './maps';
import { errorOf, initialState, beginRun, recallRun, valueOf } from './state';

const record = (run: string, layers = 3, photo = 'one'): RunRecord =>
  ({
    run,
    photo,
    received: photo,
    positions_kind: 'learned',
    boxes: new Float32Array(4),
    layers: { read: [layers - 2], norms: { shape: [layers, 1] } },
  }) as unknown as RunRecord;

describe('a new run', () => {
  const state = { ...initialState(), record: record('a'), selected: [2], patch: 5, layer: 2 };

  it('keeps selection and layer where it sees the same photo in the same way', () => {
    const begun = beginRun(state, record('b'));
    expect([begun.selected, begun.patch, begun.layer]).toEqual([[2], 5, 2]);
    expect([begun.answer, begun.busy, begun.step]).toEqual([null, true, -1]);
  });

  it('drops the selection of another photo, and opens the layer that is read', () => {
    const begun = beginRun(state, record('b', 6, 'another'));
    expect([begun.selected, begun.patch, begun.layer]).toEqual([[], -1, 4]);
  });

  it('leaves the eight newest in the history', () => {
    let now = initialState();
    for (let i = 0; i < 10; i++) now = { ...now, ...beginRun(now, record(String(i))) };
    expect(now.history.map((run) => run.record.run)).toEqual([...'98765432']);
  });

  it('that is recalled brings what is known of it, and no layer it lacks', () => {
    const recalled = recallRun({ ...state, layer: 5 }, { record: record('old') });
    expect([recalled.layer, recalled.plane, recalled.selected]).toEqual([2, null, undefined]);
  });
});

describe('a reply', () => {
  it('is a value, or a reason', () => {
    expect(valueOf({ about: [1], x: 1 })).toEqual({ about: [1], x: 1 });
    expect(valueOf({ about: [1], error: 'no' })).toBeNull();
    expect(errorOf({ error: 'no' })).toBe('no');
    expect(errorOf(null)).toBe('');
  });
});

describe('a map', () => {
  const integers = (values: number[], shape: number[]) =>
    Object.assign(Int32Array.from(values), { shape });
  const board = {
    rows: 1,
    columns: 3,
    cells: integers([0, 1], [2]),
    token_cells: integers([0, 1], [1, 2]),
  };

  it('paints every cell of a token, and nothing where there is none', () => {
    const bytes = paintCells(board, { label: '', values: [1], of: 'token', low: 0, high: 1 });
    expect(Array.from(bytes.subarray(0, 4))).toEqual([254, 232, 56, 255]);
    expect(Array.from(bytes.subarray(4, 8))).toEqual([254, 232, 56, 255]);
    expect(bytes[11]).toBe(0);
  });

  it('leaves out what is masked, and is white at zero where it has a sign', () => {
    const map = { label: '', values: [0, 5], mask: [1, 0], signed: true };
    const bytes = paintCells(board, map);
    expect(Array.from(bytes.subarray(0, 3)).every((channel) => channel >= 246)).toBe(true);
    expect(bytes[7]).toBe(0);
  });
});
