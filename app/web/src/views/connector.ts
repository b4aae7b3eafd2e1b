// m_gamma: which patches become which token, lengths and main directions before and after, and how
// long visual tokens are beside text tokens.
import { kindOf, patchesOf, shownPair } from '../core/board';
import { textColour } from '../core/colour';
import { find, heading, penOf } from '../core/dom';
import { GridMap } from '../core/maps';
import { extremes, mean, number, shape } from '../core/numbers';
import { stageView, type Panel } from '../core/panel';
import type { RunRecord } from '../core/payloads';

const WORDS =
  'It turns the patches’ features into vectors the language model can read as if they were words.' +
  ' Look for what it keeps apart and what it makes alike.';
const MAPS = ['before', 'after', 'lengths before', 'lengths after'];
const BINS = 48;
const TALL = 30; // pixels of the tallest bar
const LISTED = 12; // patches of a token that are named

interface Group {
  name: string;
  values: Float32Array;
  colour: string;
  /** Where its bars stand, in pixels from the top. */
  place: number;
}

const shares = (explained: number[]): string =>
  explained.map((share) => `${(100 * share).toFixed(0)} %`).join(', ');

/** How many values fall into each of so many bins between two bounds. */
export function countBins(
  values: ArrayLike<number>,
  [low, high]: [number, number],
  bins: number,
): number[] {
  const counts = new Array<number>(bins).fill(0);
  for (let i = 0; i < values.length; i++) {
    const bin = Math.floor(((values[i] - low) / (high - low || 1)) * bins);
    counts[Math.min(bins - 1, bin)]++;
  }
  return counts;
}

function drawHistogram(canvas: HTMLCanvasElement, groups: Group[], ink: string): void {
  const pen = penOf(canvas);
  const width = canvas.width / BINS;
  const bounds = extremes(groups.flatMap(({ values }) => extremes(values)));
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (const { values, colour, place } of groups) {
    const counts = countBins(values, bounds, BINS);
    const most = Math.max(...counts);
    pen.fillStyle = colour;
    counts.forEach((count, i) => {
      const tall = Math.max(2, (TALL * count) / most);
      if (count) pen.fillRect(i * width, place - tall, width - 1, tall);
    });
  }
  pen.fillStyle = ink;
  pen.font = '12px system-ui, sans-serif';
  pen.fillText(number(bounds[0]), 2, canvas.height - 3);
  pen.textAlign = 'right';
  pen.fillText(number(bounds[1]), canvas.width - 2, canvas.height - 3);
  for (const { name, place } of groups) pen.fillText(name, canvas.width - 2, place - 22);
  pen.textAlign = 'left';
}

/** Which patches the token that is looked at is made of. */
function madeOf(record: RunRecord): string {
  const [token] = shownPair();
  if (token < 0) {
    return record.token_patches.shape[1] > 1
      ? 'Hover over a token: the patches it is made of are outlined.'
      : '';
  }
  const patches = patchesOf(token);
  if (!patches.length) {
    const kind = kindOf(record, token);
    return `Visual token ${token} is a ${kind} token: it is made of no patch of its own.`;
  }
  const more = patches.length > LISTED ? ` … (${patches.length})` : '';
  const list = patches.slice(0, LISTED).join(', ') + more;
  return `Visual token ${token} is made of patch${patches.length > 1 ? 'es' : ''} ${list}.`;
}

export function mount({ element }: Panel): void {
  const maps = MAPS.map((name) => new GridMap(find(element, '.maps'), name));

  function drawLengths(record: RunRecord): void {
    const [visual, text] = [record.numbers.VT.norms, record.text.norms];
    const [ofVisual, ofText] = [mean(visual), mean(text)];
    const caption =
      `Lengths on one axis: visual tokens ${number(ofVisual)} on average, text tokens` +
      ` ${number(ofText)}: ${(ofVisual / ofText).toFixed(1)} times.`;
    find(element, '.lengths figcaption').textContent = caption;
    const canvas = find<HTMLCanvasElement>(element, '.lengths canvas');
    canvas.setAttribute('aria-label', caption);
    const groups = [
      { name: 'visual tokens', values: visual, colour: '#d55e00', place: 44 },
      { name: 'text tokens', values: text, colour: '#0072b2', place: 88 },
    ];
    drawHistogram(canvas, groups, textColour(element));
  }

  function draw(record: RunRecord): void {
    const { before, after } = record.connector;
    const [given, made] = [record.numbers["X'"], record.numbers.VT];
    maps[0].show({ rgb: before.rgb, label: `X': main directions, ${shares(before.explained)}` });
    maps[1].show({
      rgb: after.rgb,
      of: 'token',
      label: `VT: main directions, ${shares(after.explained)}`,
    });
    maps[2].show({ values: given.norms, label: "X': length of each row" });
    maps[3].show({ values: made.norms, of: 'token', label: 'VT: length of each token' });
    find(element, '.merge').textContent =
      `${record.merge} X\u2032, ${shape(given.shape)} numbers, becomes VT, ${shape(made.shape)}.`;
    find(element, '.made-of').textContent = madeOf(record);
    drawLengths(record);
  }

  const seen = ['record', 'hovered', 'under', 'selected', 'patch'];
  stageView(element, 'connector', seen, ({ record }, changed) => {
    if (!changed.has('record')) {
      for (const map of maps) map.mark();
      if (record) find(element, '.made-of').textContent = madeOf(record);
      return;
    }
    const sizes = record?.numbers.VT.shape;
    heading(find(element, '.head'), 'Connector', 'm_γ', sizes, WORDS);
    if (record) draw(record);
    else for (const map of maps) map.show(null);
  });
}
