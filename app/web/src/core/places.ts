// Where tokens and patches are, in words.
import {
  boxOf,
  cellRectangle,
  kindOf,
  patchBox,
  patchesOf,
  shownBoard,
  shownRecord,
} from './board';
import type { Box } from './payloads';

const KINDS: Record<string, string> = {
  newline:
    'a newline token: the same learned vector ends every row, so that the language model knows' +
    ' where one begins; it is made of no patch',
  query: 'a query token: a learned question to the whole photo; it has no place of its own',
  class:
    'the encoder’s own position for a whole picture (CLS), which the language model reads too; it' +
    ' is made of no patch',
};

export function kindWords(token: number): string {
  const words = KINDS[kindOf(shownRecord(), token)];
  return words || 'a token that is made of no patch; it has no place of its own';
}

const tenths = (value: number): string => String(Math.round(value * 10) / 10);
const within = (value: number, most: number): number => Math.min(Math.max(value, 0), most);

export function boxWords(box: Box, photo: number): string {
  const { photos } = shownRecord();
  const { left, size } = photos[photo];
  const [top, bottom] = [box[0], box[2]].map((value) => within(value, size[0]));
  const [from, to] = [box[1], box[3]].map((value) => within(value - left, size[1]));
  const pixels =
    bottom > top && to > from
      ? `pixels ${tenths(from)}–${tenths(to)} across, ${tenths(top)}–${tenths(bottom)} down`
      : 'in the margin that was added around the photo';
  return (photos.length > 1 ? `photo ${photo + 1}, ` : '') + pixels;
}

export function pictureName(picture: number): string {
  const { pictures, photos } = shownRecord();
  const { name, photo } = pictures[picture];
  return (photos.length > 1 ? `photo ${photo + 1}, ` : '') + name;
}

function patchWords(patch: number): string {
  const { pictures } = shownRecord();
  const picture = shownBoard().pictureOf[patch];
  const [top, left] = pictures[picture].rectangle;
  const [row, column] = cellRectangle(patch);
  const which = pictures.length > 1 ? ` of ${pictureName(picture)}` : '';
  return `row ${row - top}, column ${column - left}${which}`;
}

/** What and where a token is, or a patch of which no token is made. */
export function where(token: number, patch: number): string {
  return token < 0 ? whereUnused(patch) : whereToken(token, patch);
}

function whereUnused(patch: number): string {
  const { photo } = shownRecord().pictures[shownBoard().pictureOf[patch]];
  const pixels = boxWords(patchBox(patch), photo);
  return `patch ${patch} · ${patchWords(patch)} · ${pixels} · no visual token is made of it`;
}

function whereToken(token: number, patch: number): string {
  const record = shownRecord();
  const mine = patchesOf(token);
  const box = boxOf(token);
  const photo = record.token_photos[token];
  if (!mine.length) {
    const which = record.photos.length > 1 ? ` · photo ${photo + 1}` : '';
    return `visual token ${token} · ${kindWords(token)}${which}`;
  }
  const exact = mine.includes(patch) ? patch : mine[0];
  const pixels = box ? ` · ${boxWords(box, photo)}` : '';
  if (mine.length > 1) {
    const which = `patch ${exact}, one of its ${mine.length}, ${patchWords(exact)}`;
    return `visual token ${token}${pixels} · ${which}`;
  }
  const which = exact === token ? '' : `visual token ${token} · `;
  return `${which}patch ${exact} · ${patchWords(exact)}${pixels}`;
}
