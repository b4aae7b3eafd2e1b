// X: the photos as given, what was lost of them dark, beside what the model received.
import { find, heading, make } from '../core/dom';
import { stageView, type Panel } from '../core/panel';
import type { Photo, RunRecord, Size } from '../core/payloads';

const WORDS =
  'Look for what the model never sees: a changed shape, small things that melt into a few pixels,' +
  ' dark margins that were cut off.';
const THIN = 0.5; // pixels below which a lost edge is not drawn

type Edge = [top: number, left: number, bottom: number, right: number];

const pixels = ([height, width]: Size): string => `${width} × ${height} pixels`;

/** What of a photo no patch covers: above, below, left and right of what is seen. */
export function lostEdges({ left: from, size, seen }: Photo): Edge[] {
  const [height, width] = size;
  const [top, left, bottom, right] = seen;
  const edges: Edge[] = [
    [0, from, top, from + width],
    [bottom, from, height, from + width],
    [top, from, bottom, left],
    [top, right, bottom, from + width],
  ];
  return edges.filter(([t, l, b, r]) => b - t >= THIN && r - l >= THIN);
}

function makeSide(caption: string, source: string, words: string): [HTMLElement, HTMLElement] {
  const figure = make('figure', 'side');
  const stack = make('div', 'stack');
  const image = make('img');
  image.src = source;
  image.alt = words;
  stack.append(image);
  figure.append(make('figcaption', '', caption), stack);
  return [figure, stack];
}

function makeLost([top, left, bottom, right]: Edge, [height, width]: Size): HTMLElement {
  const lost = make('span', 'lost');
  Object.assign(lost.style, {
    top: `${(100 * top) / height}%`,
    left: `${(100 * left) / width}%`,
    height: `${(100 * (bottom - top)) / height}%`,
    width: `${(100 * (right - left)) / width}%`,
  });
  return lost;
}

function drawPair(record: RunRecord): HTMLElement[] {
  const { photos, pictures, patch_size: side } = record;
  const given =
    photos.length > 1
      ? `your photos, ${photos.map((photo) => pixels(photo.size)).join(' and ')}`
      : `your photo, ${pixels(photos[0].size)}`;
  const [before, stack] = makeSide(given, record.photo, 'Your photo');
  for (const photo of photos) {
    stack.append(...lostEdges(photo).map((edge) => makeLost(edge, record.photo_size)));
  }
  const [, , rows, columns] = pictures[0].rectangle;
  const received =
    pictures.length > 1 ? `${pictures.length} pictures` : pixels([rows * side, columns * side]);
  const words = 'The photo as the model received it';
  const [after] = makeSide(`as the model received it, ${received}`, record.received, words);
  return [before, after];
}

export function mount({ element }: Panel): void {
  stageView(element, 'photo', ['record'], ({ record }) => {
    const sizes = record && [...record.photos[0].size, 3];
    heading(find(element, '.head'), 'Image', 'X', sizes, WORDS);
    if (!record) return;
    find(element, '.words').textContent = record.transform;
    find(element, '.pair').replaceChildren(...drawPair(record));
  });
}
