// VT + TT: every position of the input in order. Words are words; a run of visual tokens is drawn
// as small squares, those without a place with a sign.
import { kindOf, patchesOf, shownPair } from '../core/board';
import { MARKS, rgb } from '../core/colour';
import { SIGNS } from '../core/cuts';
import { attributes, find, heading, make, penOf } from '../core/dom';
import { visible } from '../core/numbers';
import { stageView, type Panel } from '../core/panel';
import type { RunRecord } from '../core/payloads';
import { where } from '../core/places';
import { pick, point } from '../core/selection';
import type { State } from '../core/state';
import { set } from '../core/store';

const SIDE = 12; // pixels of a square
const STEP = SIDE + 1; // with the gap
const ROLES: Record<string, string> = {
  question: 'the question',
  special: 'a control token',
  template: 'the chat template',
};
const WORDS =
  'All that the language model reads, in order. Look for how much of it is picture, and how' +
  ' little is question.';
const WORDS_BESIDE =
  'All that the language model reads, in order. Its visual tokens take no place in it: some of' +
  ' its layers look at them from beside, by cross-attention.';

/** What stands in the sequence: a text token, or visual tokens one after the other. */
export type Part = { text: number } | { tokens: number[] };

/**
 * The sequence in order. Without positions the language model reads the visual tokens by
 * cross-attention: they stand after the words, beside the sequence.
 */
export function partsInOrder(
  visual: ArrayLike<number> | null,
  text: ArrayLike<number>,
  count: number,
): Part[] {
  const all = [
    ...Array.from({ length: count }, (_, token) => ({
      position: visual ? visual[token] : Infinity,
      token,
    })),
    ...Array.from(text, (position, index) => ({ position, text: index })),
  ].sort((one, other) =>
    one.position < other.position ? -1 : Number(one.position > other.position),
  );
  const parts: Part[] = [];
  for (const each of all) {
    const last = parts.at(-1);
    if ('text' in each) parts.push({ text: each.text });
    else if (last && 'tokens' in last) last.tokens.push(each.token);
    else parts.push({ tokens: [each.token] });
  }
  return parts;
}

const withPatch = (token: number): [number, number] => [
  token,
  token >= 0 ? (patchesOf(token)[0] ?? -1) : -1,
];

/** A run of visual tokens as small squares. */
class Squares {
  readonly canvas = make('canvas', 'tokens');
  private readonly across: number;
  private readonly scale = window.devicePixelRatio || 1;

  constructor(
    private readonly tokens: number[],
    width: number,
  ) {
    const { canvas } = this;
    this.across = Math.max(1, Math.min(tokens.length, Math.floor(width / STEP)));
    canvas.width = this.across * STEP * this.scale;
    canvas.height = Math.ceil(tokens.length / this.across) * STEP * this.scale;
    canvas.style.width = `${canvas.width / this.scale}px`;
    attributes(canvas, { role: 'img', 'aria-label': `${tokens.length} visual tokens` });
    canvas.addEventListener('pointermove', (event) => {
      set({ text: -1 });
      point(withPatch(this.at(event)));
    });
    canvas.addEventListener('pointerleave', () => point([-1, -1]));
    canvas.addEventListener('click', (event) => pick(withPatch(this.at(event)), event));
  }

  private at(event: MouseEvent): number {
    const size = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - size.left) / STEP);
    const row = Math.floor((event.clientY - size.top) / STEP);
    return column < this.across ? (this.tokens[row * this.across + column] ?? -1) : -1;
  }

  paint(record: RunRecord, chosen: Set<number>, hovered: number): void {
    const pen = penOf(this.canvas);
    pen.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.tokens.forEach((token, i) => {
      const x = (i % this.across) * STEP;
      const y = Math.floor(i / this.across) * STEP;
      const [red, green, blue] = record.colours.subarray(3 * token, 3 * token + 3);
      pen.globalAlpha = chosen.size && !chosen.has(token) ? 0.2 : 1;
      pen.fillStyle = rgb([red, green, blue]);
      pen.fillRect(x, y, SIDE, SIDE);
      if (!patchesOf(token).length) drawSign(pen, SIGNS[kindOf(record, token)] || '·', x, y);
      if (token !== hovered && !chosen.has(token)) return;
      pen.globalAlpha = 1;
      pen.lineWidth = 2.5;
      pen.strokeStyle = token === hovered ? MARKS.hovered : MARKS.selected;
      pen.strokeRect(x + 1, y + 1, SIDE - 2, SIDE - 2);
    });
  }
}

function drawSign(pen: CanvasRenderingContext2D, sign: string, x: number, y: number): void {
  pen.fillStyle = '#fff';
  pen.font = 'bold 10px system-ui, sans-serif';
  pen.textAlign = 'center';
  pen.textBaseline = 'middle';
  pen.fillText(sign, x + SIDE / 2, y + SIDE / 2 + 1);
}

function tell({ record, text }: { record: RunRecord; text: number }): string {
  const [token, patch] = shownPair();
  const { positions, numbers } = record;
  const visual = record.token_kinds.length;
  const { strings, roles, norms, positions: places } = record.text;
  if (text >= 0) {
    const word = `text token “${visible(strings[text])}”, part of ${ROLES[roles[text]]}`;
    return `position ${places[text]} · ${word} · length ${norms[text].toFixed(2)}`;
  }
  if (token >= 0) {
    const place = positions ? `position ${positions[token]} · ` : '';
    return `${place}${where(token, patch)} · length ${numbers.VT.norms[token].toFixed(2)}`;
  }
  const share = (100 * visual) / (visual + strings.length);
  const rest = positions
    ? `${share.toFixed(0)} % of the input is picture.`
    : 'the picture takes no position of the sequence.';
  return `${visual} visual tokens and ${strings.length} text tokens: ${rest}`;
}

export function mount({ element }: Panel): void {
  const ribbon = find(element, '.ribbon');
  let squares: Squares[] = [];
  let words: HTMLElement[] = [];

  function build(record: RunRecord): void {
    squares = [];
    words = [];
    ribbon.replaceChildren();
    const { positions, text } = record;
    for (const part of partsInOrder(positions, text.positions, record.token_kinds.length)) {
      if ('text' in part) {
        const { text: index } = part;
        const word = make('span', `word ${text.roles[index]}`, visible(text.strings[index]));
        word.dataset.text = String(index);
        words[index] = word;
        ribbon.append(word);
        continue;
      }
      if (!positions) {
        ribbon.append(make('span', 'beside', 'beside it, read by cross-attention:'));
      }
      const run = new Squares(part.tokens, ribbon.clientWidth || 600);
      squares.push(run);
      ribbon.append(run.canvas);
    }
  }

  function draw(state: State, changed: Set<string>): void {
    const { record, text, selected, hovered } = state;
    if (changed.has('record')) {
      const sizes = record?.numbers['VT + TT'].shape;
      const about = record && !record.positions ? WORDS_BESIDE : WORDS;
      heading(find(element, '.head'), 'Sequence', 'VT + TT', sizes, about);
      if (record) build(record);
    }
    if (!record) return;
    const chosen = new Set(selected);
    for (const run of squares) run.paint(record, chosen, hovered);
    words.forEach((word, index) => word.classList.toggle('on', index === text));
    find(element, '.told').textContent = tell({ record, text });
  }

  ribbon.addEventListener('pointerover', (event) => {
    const word = (event.target as Element).closest<HTMLElement>('.word');
    if (word) set({ text: Number(word.dataset.text), hovered: -1, under: -1 });
  });
  ribbon.addEventListener('pointerleave', () => set({ text: -1 }));
  const seen = ['record', 'selected', 'hovered', 'under', 'patch', 'text'];
  stageView(element, 'sequence', seen, draw);
}
