// Colours of the visual tokens in the token space, and the key to them.
import { boxOf } from '../core/board';
import { cividis, gradient, GROUPS, rgb } from '../core/colour';
import { make } from '../core/dom';
import { extremes, number, visible } from '../core/numbers';
import type { RunRecord, Words } from '../core/payloads';
import { colourAt, shadeAt } from './points';

const PLAIN = '#999999'; // of what has no place, no group or no common word
const COMMON = 7; // words that get a colour of their own
const LATER = 'comes with the end of the answer';

type Shade = (token: number) => string;

/** The most frequent of them, the first one first. */
export function mostCommon(words: string[], most: number): string[] {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const sorted = [...counts].sort(([, one], [, other]) => other - one);
  return sorted.slice(0, most).map(([word]) => word);
}

const groupShade = (group: number): string => GROUPS[group % GROUPS.length];
const within = (share: number): number => Math.min(Math.max(share, 0), 1);

/** Redder to the right, bluer downwards. */
function positionShade(record: RunRecord, token: number): string {
  const box = boxOf(token);
  if (!box) return PLAIN;
  const [height, width] = record.photo_size;
  const x = within((box[1] + box[3]) / 2 / width);
  const y = within((box[0] + box[2]) / 2 / height);
  const channels = [230 * x + 20, 110 + 60 * (1 - y), 230 * y + 20].map(Math.round);
  return rgb([channels[0], channels[1], channels[2]]);
}

/** What gives a token its colour, by the name of the choice. */
function shadeBy(name: string, record: RunRecord, words: Words | null): Shade {
  const { norms } = record.numbers.VT;
  const [low, high] = extremes(norms);
  const nearest = words?.words.map(([[word]]) => word);
  const common = nearest && mostCommon(nearest, COMMON);
  switch (name) {
    case 'position':
      return (token) => positionShade(record, token);
    case 'norm':
      return (token) => rgb(cividis((norms[token] - low) / (high - low || 1)));
    case 'rgb':
      return (token) => shadeAt(record.connector.after.rgb, token);
    case 'group':
      return (token) => (words ? groupShade(words.groups[token]) : PLAIN);
    case 'word':
      return (token) => GROUPS[nearest ? common!.indexOf(nearest[token]) : -1] ?? PLAIN;
    default:
      return (token) => rgb(colourAt(record.colours, token));
  }
}

export function tokenColours(name: string, record: RunRecord, words: Words | null): string[] {
  const shade = shadeBy(name, record, words);
  return Array.from({ length: record.token_kinds.length }, (_, token) => shade(token));
}

function swatch(shade: string, text: string): HTMLElement[] {
  const dot = make('span', '', '●');
  dot.style.color = shade;
  return [dot, make('span', '', text)];
}

/** What the colours mean. */
export function colourKey(
  name: string,
  record: RunRecord,
  words: Words | null,
): (HTMLElement | string)[] {
  if (name === 'norm') {
    const [low, high] = extremes(record.numbers.VT.norms);
    const bar = make('span', 'bar');
    bar.style.background = gradient(cividis);
    return [make('span', '', number(low)), bar, make('span', '', number(high))];
  }
  if (name === 'position') {
    const all = record.kinds.every((kind) => kind === 'patch');
    return [`redder to the right, bluer downwards${all ? '' : ', grey without a place'}`];
  }
  if (name !== 'word' && name !== 'group') return [];
  if (!words) return [LATER];
  if (name === 'word') {
    const nearest = words.words.map(([[word]]) => word);
    const common = mostCommon(nearest, COMMON);
    const known = common.flatMap((word, i) => swatch(GROUPS[i], visible(word)));
    return [...known, ...swatch(PLAIN, 'others')];
  }
  const groups = [...new Set(words.groups)].sort();
  return groups.flatMap((group) => swatch(groupShade(group), String(group)));
}
