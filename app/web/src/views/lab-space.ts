// The space of the contrastive lab as a picture: photos and texts in one plane, and the gap
// between.
import { penOf } from '../core/dom';
import { extremes } from '../core/numbers';
import type { Lab } from '../core/payloads';

const EDGE = 20; // pixels around the points

type Point = [x: number, y: number];

/** Where points are on a canvas, the second coordinate upwards. */
export function placePoints(points: ArrayLike<number>, width: number, height: number): Point[] {
  const all = Array.from(points);
  const xs = all.filter((_, i) => i % 2 === 0);
  const ys = all.filter((_, i) => i % 2 === 1);
  const [left, right] = extremes(xs);
  const [bottom, top] = extremes(ys);
  return xs.map((x, i) => [
    EDGE + ((x - left) / (right - left || 1)) * (width - 2 * EDGE),
    height - EDGE - ((ys[i] - bottom) / (top - bottom || 1)) * (height - 2 * EDGE),
  ]);
}

export function meanPoint(points: Point[]): Point {
  const sum = points.reduce<Point>(([a, b], [x, y]) => [a + x, b + y], [0, 0]);
  return [sum[0] / points.length, sum[1] / points.length];
}

export function spaceWords({ explained, gap, spread }: Lab['space']): string {
  const shares = explained.map((share) => (100 * share).toFixed(0)).join(' + ');
  const variance = explained.length ? `, ${shares} % of the variance` : '';
  return (
    `The space itself: photos, and texts as blue diamonds (PCA${variance}). The gap between the` +
    ` two means is ${gap.toFixed(2)}; photos lie ${spread[0].toFixed(2)} from theirs, texts` +
    ` ${spread[1].toFixed(2)}.`
  );
}

export function drawLabSpace(canvas: HTMLCanvasElement, { space, photos }: Lab): void {
  const pen = penOf(canvas);
  const places = placePoints(space.points, canvas.width, canvas.height);
  const [ofPhotos, ofTexts] = [places.slice(0, photos.length), places.slice(photos.length)];
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.setLineDash([5, 4]);
  pen.strokeStyle = '#888';
  pen.lineWidth = 2;
  pen.beginPath();
  pen.moveTo(...meanPoint(ofPhotos));
  pen.lineTo(...meanPoint(ofTexts));
  pen.stroke();
  pen.setLineDash([]);
  pen.fillStyle = '#0072b2';
  for (const [x, y] of ofTexts) {
    pen.beginPath();
    pen.moveTo(x, y - 6);
    pen.lineTo(x + 6, y);
    pen.lineTo(x, y + 6);
    pen.lineTo(x - 6, y);
    pen.fill();
  }
  photos.forEach((source, i) => {
    const image = new Image();
    const [x, y] = ofPhotos[i];
    image.onload = () => pen.drawImage(image, x - 11, y - 9, 22, 18);
    image.src = source;
  });
}
