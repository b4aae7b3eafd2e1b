// Points of the token space on a canvas: what the plot of the page and that of a page taken home
// have in common.
import { rgb, type Colour } from '../core/colour';
import { patchesOf } from '../core/board';
import type { Bytes, Floats } from '../core/wire';

const REACH = 12; // pixels from a point within which it is met
const TURN = 2 * Math.PI;

export const NAMES = { pca: 'PCA', umap: 'UMAP', tsne: 't-SNE' } as const;

/** Where points stand: x and y of each, one after the other, in pixels. */
export type Places = Float32Array;

/** The point nearest to a place, -1 where none is near. */
export function nearestPoint(places: Places, x: number, y: number): number {
  let best = -1;
  let least = REACH;
  for (let i = 0; i < places.length / 2; i++) {
    const distance = Math.hypot(places[2 * i] - x, places[2 * i + 1] - y);
    if (distance < least) {
      best = i;
      least = distance;
    }
  }
  return best;
}

/** The least and the greatest coordinate along one axis. */
export function rangeAlong(points: Floats, axis: number): [number, number] {
  const size = points.shape[1];
  let low = Infinity;
  let high = -Infinity;
  for (let i = axis; i < points.length; i += size) {
    low = Math.min(low, points[i]);
    high = Math.max(high, points[i]);
  }
  return [low, high];
}

/** Points in space, seen from an angle (in radians), on a canvas. */
export function turned(
  points: Floats,
  { a, b, zoom }: { a: number; b: number; zoom: number },
  width: number,
  height: number,
): Places {
  const count = points.shape[0];
  const places = new Float32Array(2 * count);
  const middle = [0, 1, 2].map((axis) => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += points[3 * i + axis];
    return sum / count;
  });
  const from = (i: number): number[] => middle.map((centre, axis) => points[3 * i + axis] - centre);
  let reach = 1e-9;
  for (let i = 0; i < count; i++) reach = Math.max(reach, Math.hypot(...from(i)));
  const unit = (zoom * Math.min(width, height)) / 2.1 / reach;
  const [cosA, sinA, cosB, sinB] = [Math.cos(a), Math.sin(a), Math.cos(b), Math.sin(b)];
  for (let i = 0; i < count; i++) {
    const [x, y, z] = from(i);
    const deep = cosA * z - sinA * x;
    places[2 * i] = width / 2 + unit * (cosA * x + sinA * z);
    places[2 * i + 1] = height / 2 - unit * (cosB * y - sinB * deep);
  }
  return places;
}

/** The colour of the i-th of them, three bytes each. */
export function colourAt(bytes: Bytes, i: number): Colour {
  return [bytes[3 * i], bytes[3 * i + 1], bytes[3 * i + 2]];
}

export const shadeAt = (bytes: Bytes, i: number): string => rgb(colourAt(bytes, i));

/** A visual token and its first patch. */
export const withFirstPatch = (token: number): [number, number] => [
  token,
  patchesOf(token)[0] ?? -1,
];

export function pathCircle(
  pen: CanvasRenderingContext2D,
  places: Places,
  i: number,
  radius: number,
): void {
  pen.beginPath();
  pen.arc(places[2 * i], places[2 * i + 1], radius, 0, TURN);
}

/** A visual token is a dot. */
export function drawDot(pen: CanvasRenderingContext2D, places: Places, i: number): void {
  pathCircle(pen, places, i, 4.2);
  pen.fill();
  pen.lineWidth = 0.8;
  pen.strokeStyle = 'rgba(90,90,90,.9)';
  pen.stroke();
}

/** A text token is a blue diamond. */
export function drawDiamond(pen: CanvasRenderingContext2D, places: Places, i: number): void {
  const [x, y] = [places[2 * i], places[2 * i + 1]];
  pen.fillStyle = '#0072b2';
  pen.strokeStyle = '#fff';
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(x, y - 6);
  pen.lineTo(x + 6, y);
  pen.lineTo(x, y + 6);
  pen.lineTo(x - 6, y);
  pen.closePath();
  pen.fill();
  pen.stroke();
}

/** A ring around what is selected or under the pointer. */
export function drawRing(
  pen: CanvasRenderingContext2D,
  places: Places,
  i: number,
  shade: string,
  radius = 8,
): void {
  for (const [colour, width] of [['#fff', 4.5] as const, [shade, 2.5] as const]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pathCircle(pen, places, i, radius);
    pen.stroke();
  }
}
