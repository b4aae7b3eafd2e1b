// X': the patches inside the encoder, layer by layer: main directions as colours, lengths, who is
// alike, who looks at whom.
import { focusPatch, shownBoard } from '../core/board';
import { find, heading } from '../core/dom';
import { GridMap } from '../core/maps';
import { number } from '../core/numbers';
import { onlyChanged, stageView, type Panel } from '../core/panel';
import type { Colours, LayerColours, Rows, RunRecord } from '../core/payloads';
import { patchHint, patchSteps } from '../core/selection';
import { errorOf, lastLayer, valueOf, type BoardMap, type State } from '../core/state';
import { set, state } from '../core/store';
import { sliceOf, type Floats } from '../core/wire';

const NAMES = ['rgb', 'norms', 'cosine', 'attention', 'rollout'] as const;
type Name = (typeof NAMES)[number];
type Maps = Record<Name, BoardMap | null>;

const LISTED = 8; // outliers that are named
const WORDS =
  'Look for things and their parts in one colour (PCA-RGB), and for single patches that are far' +
  ' longer than the rest: the encoder uses them as notepads, not as pictures of their place.';
const HINT = 'Select a patch to see which others are like it and which it looks at.';

/** The mean of the heads: [heads, patches] to one value a patch. */
export function meanOfHeads(attention: Floats): Float32Array {
  const [count, width] = attention.shape;
  const values = new Float32Array(width);
  for (let i = 0; i < attention.length; i++) values[i % width] += attention[i] / count;
  return values;
}

/** The places of those that are longer than the limit. */
export function longerThan(norms: ArrayLike<number>, limit: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < norms.length; i++) if (norms[i] > limit) found.push(i);
  return found;
}

const percents = (explained: number[]): string =>
  `${explained.map((share) => (100 * share).toFixed(0)).join(' + ')} %`;

function outlierWords(outliers: number[], count: number, limit: number): string {
  if (!outliers.length) {
    return (
      `No patch is longer than three times the median (${number(limit)}): no outlier (“register”)` +
      ' tokens in this layer.'
    );
  }
  const more = outliers.length > LISTED ? ' …' : '';
  return (
    `${outliers.length} of ${count} patches are outliers (“registers”), longer than three times` +
    ` the median, ${number(limit)}: ${outliers.slice(0, LISTED).join(', ')}${more}`
  );
}

function readWords({ layers }: RunRecord, last: number): string {
  if (!last || !layers.read.length) return '';
  const [first] = layers.read;
  return layers.read.length > 1
    ? `X\u2032 is layers ${layers.read.join(', ')} side by side. `
    : `X\u2032 is layer ${first}. `;
}

/** How much of its attention goes to no patch. */
function elsewhereWords({ prefix, elsewhere }: Rows): string {
  if (!prefix) return ')';
  const whom = prefix > 1 ? 'CLS and registers)' : 'CLS)';
  return `; ${(100 * (elsewhere ?? 0)).toFixed(0)} % to ${whom}`;
}

/** A reply that is about this, and not about what was looked at before. */
function ifAbout<Value extends { about: unknown[] }>(
  reply: Value | null,
  ...about: number[]
): Value | null {
  return reply && about.every((each, i) => reply.about[i] === each) ? reply : null;
}

class EncoderView {
  private readonly slider: HTMLInputElement;
  private readonly background: HTMLInputElement;
  private readonly over: HTMLSelectElement;
  private readonly maps: Record<Name, GridMap>;
  private readonly heads: GridMap[] = [];

  constructor(private readonly element: HTMLElement) {
    this.slider = find(element, '.layer');
    this.background = find(element, '.background');
    this.over = find(element, '.over');
    const main = find(element, '.main');
    const maps = NAMES.map((name) => [name, new GridMap(main, name)] as const);
    this.maps = Object.fromEntries(maps) as Record<Name, GridMap>;
    this.slider.addEventListener('input', () => set({ layer: Number(this.slider.value) }));
    for (const control of [this.background, this.over]) {
      control.addEventListener('change', () => this.draw(state));
    }
    const seen = ['record', 'rows', 'colours', 'layer', 'selected', 'patch', 'hovered', 'under'];
    stageView(element, 'encoder', seen, (now, changed) => {
      if (!onlyChanged(changed, ['hovered', 'under'])) this.draw(now);
      else for (const map of [...Object.values(this.maps), ...this.heads]) map.mark();
    });
  }

  private draw({ record, rows, colours, layer }: State): void {
    const sizes = record?.numbers["X'"].shape;
    heading(find(this.element, '.head'), 'Vision encoder', "X'", sizes, WORDS);
    const without = valueOf(rows)?.without_attention;
    find(this.element, '.hint').textContent = patchHint(rows, HINT) || without || errorOf(colours);
    patchSteps(find(this.element, '.steps'));
    if (!record) {
      for (const map of Object.values(this.maps)) map.show(null);
      return;
    }
    this.drawSlider(record, layer);
    const patch = focusPatch();
    const current = ifAbout(valueOf(rows), patch, layer);
    const shown = this.mapsOf(record, layer, current, ifAbout(valueOf(colours), layer));
    for (const name of NAMES) this.maps[name].show(shown[name]);
    this.drawHeads(record, current);
    this.drawOver(shown, layer);
  }

  private drawSlider(record: RunRecord, layer: number): void {
    const last = lastLayer(record);
    const norms = sliceOf(record.layers.norms, layer);
    const limit = record.layers.limit[layer];
    const words = layer ? `${layer} of ${last}` : 'before layer 1';
    this.slider.max = String(last);
    this.slider.value = String(layer);
    this.slider.disabled = !last;
    this.slider.setAttribute('aria-valuetext', layer ? `layer ${layer}` : 'before layer 1');
    find(this.element, '.which').textContent = last ? words : 'its output';
    find(this.element, '.registers').textContent =
      readWords(record, last) + outlierWords(longerThan(norms, limit), norms.length, limit);
  }

  private mapsOf(
    record: RunRecord,
    layer: number,
    rows: Rows | null,
    tint: LayerColours | null,
  ): Maps {
    const patch = focusPatch();
    const norms = sliceOf(record.layers.norms, layer);
    const outliers = longerThan(norms, record.layers.limit[layer]);
    const crossed = outliers.length ? ' (× outlier)' : '';
    const looked = rows?.attention && this.lookedOf(record, rows, patch);
    return {
      rgb: this.tintOf(tint, norms.length),
      norms: { values: norms, flags: outliers, label: `length of each vector${crossed}` },
      cosine: rows && {
        values: rows.cosine,
        signed: true,
        low: -1,
        high: 1,
        label: `cosine with patch ${patch}`,
      },
      attention: looked
        ? {
            ...looked,
            values: meanOfHeads(rows.attention!),
            label: `patch ${patch} looks at (mean of heads${elsewhereWords(rows)}`,
          }
        : null,
      rollout: looked
        ? { ...looked, values: rows.rollout, label: `rollout of layers 1 to ${layer}` }
        : null,
    };
  }

  /** Attention stays within its picture: with several only that one is shown. */
  private lookedOf(
    record: RunRecord,
    rows: Rows,
    patch: number,
  ): Partial<BoardMap> & { label: '' } {
    const { pictures } = record;
    const within =
      pictures.length > 1 ? pictures[shownBoard().pictureOf[patch]].rectangle : undefined;
    return { first: rows.among![0], within, label: '' };
  }

  /** Main directions as colours; until those of this layer are there, the ones before. */
  private tintOf(tint: LayerColours | null, count: number): BoardMap | null {
    if (!tint) {
      const before = this.maps.rgb.map;
      return before?.rgb?.length === 3 * count ? before : null;
    }
    const { rgb, explained }: Colours = tint[this.background.checked ? 'foreground' : 'rgb'];
    const painted = (i: number): number => rgb[3 * i] || rgb[3 * i + 1] || rgb[3 * i + 2];
    const mask = this.background.checked
      ? Uint8Array.from({ length: count }, (_, i) => painted(i))
      : undefined;
    return { rgb, mask, label: `PCA-RGB: ${percents(explained)} of the variance` };
  }

  private drawHeads(record: RunRecord, rows: Rows | null): void {
    const looks = rows?.attention;
    const count = looks?.shape[0] ?? 0;
    while (this.heads.length < count) {
      const map = new GridMap(find(this.element, '.heads'), 'head');
      map.host.classList.add('small');
      this.heads.push(map);
    }
    const looked = looks ? this.lookedOf(record, rows, focusPatch()) : null;
    this.heads.forEach((map, head) => {
      const there = looks && looked && head < count;
      map.show(there ? { ...looked, values: sliceOf(looks, head), label: `head ${head}` } : null);
    });
  }

  private drawOver(shown: Maps, layer: number): void {
    const name = this.over.value as Name | '';
    if (!name && state.overlay?.from !== 'encoder') return;
    const chosen = name ? shown[name] : null;
    const label = `layer ${layer}: ${chosen?.label}`;
    set({ overlay: chosen && { ...chosen, from: 'encoder', label } });
  }
}

export function mount({ element }: Panel): void {
  new EncoderView(element);
}
