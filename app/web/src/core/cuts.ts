// A patch or a token, cut out of the board as a picture, and enlarged.
import { cellRectangle, kindOf, patchesOf, rectanglesOf, shownRecord } from './board';
import { MARKS } from './colour';
import { penOf } from './dom';
import type { Layout, Rectangle } from './payloads';

const images = new Map<string, HTMLImageElement>();
/** What is written where a token is made of no patch. */
export const SIGNS: Record<string, string> = { newline: '↵', query: '?', class: 'C' };

/** The board as a picture, fetched once a record; `then` is called when it is there. */
export function boardImage(
  record: Layout,
  then: (image: HTMLImageElement) => void,
): HTMLImageElement {
  let image = images.get(record.received);
  if (!image) {
    images.clear();
    image = new Image();
    image.src = record.received;
    images.set(record.received, image);
  }
  const there = image;
  if (there.complete && there.naturalWidth) then(there);
  else there.addEventListener('load', () => then(there), { once: true });
  return there;
}

function drawCut(canvas: HTMLCanvasElement, area: Rectangle, exact: Rectangle | null): void {
  const record = shownRecord();
  const [row, column, rows, columns] = area;
  const pen = penOf(canvas);
  boardImage(record, (image) => {
    const side = image.naturalWidth / record.columns;
    const scale = Math.min(canvas.width / columns, canvas.height / rows);
    const [width, height] = [columns * side, rows * side];
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingEnabled = false;
    const from = [column * side, row * side, width, height] as const;
    pen.drawImage(image, ...from, 0, 0, columns * scale, rows * scale);
    if (!exact) return;
    pen.lineWidth = 2;
    pen.strokeStyle = MARKS.selected;
    const [x, y] = [(exact[1] - column) * scale, (exact[0] - row) * scale];
    pen.strokeRect(x + 1, y + 1, scale - 2, scale - 2);
  });
}

export function drawPatch(canvas: HTMLCanvasElement, patch: number): void {
  drawCut(canvas, cellRectangle(patch), null);
}

/** All patches of a token, the one that is looked at outlined; or a sign where it has none. */
export function drawToken(canvas: HTMLCanvasElement, token: number, patch: number): void {
  const mine = patchesOf(token);
  const areas = rectanglesOf(token);
  if (!mine.length) {
    drawSign(canvas, SIGNS[kindOf(shownRecord(), token)] || '·');
    return;
  }
  if (areas.length > 1) {
    drawCut(canvas, cellRectangle(patch), null);
    return;
  }
  const outlined = mine.length > 1 && mine.includes(patch);
  drawCut(canvas, areas[0], outlined ? cellRectangle(patch) : null);
}

function drawSign(canvas: HTMLCanvasElement, sign: string): void {
  const pen = penOf(canvas);
  pen.fillStyle = '#808080';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = '#fff';
  pen.font = `${canvas.height / 2}px system-ui, sans-serif`;
  pen.textAlign = 'center';
  pen.textBaseline = 'middle';
  pen.fillText(sign, canvas.width / 2, canvas.height / 2);
}
