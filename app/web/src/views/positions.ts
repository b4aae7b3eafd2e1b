// The linear projection, and how the encoder knows where a patch is: by a vector that is added, by
// turning its queries and keys, by both, or not at all.
import { focusPatch } from '../core/board';
import { textColour } from '../core/colour';
import { find, heading, penOf, strip } from '../core/dom';
import { GridMap } from '../core/maps';
import { onlyChanged, stageView, type Panel } from '../core/panel';
import type { Rows } from '../core/payloads';
import { patchHint, patchSteps } from '../core/selection';
import type { State } from '../core/state';

const AROUND = 2 * Math.PI;
const SIDE = 22; // pixels of a dial
const ACROSS = 24; // dials in a row
const WORDS: Record<string, string> = {
  learned:
    'One matrix turns a patch’s pixels into a vector; what its place is, is added as a second' +
    ' vector. Look for places that lie near each other: their vectors are alike.',
  rotary:
    'This encoder adds nothing for the place (rotary positions). It turns each pair of numbers of' +
    ' a query or key by an angle instead, in every layer: the further apart two patches, the more' +
    ' their angles differ.',
  'learned and rotary':
    'This encoder does both: a vector of the place is added to the patch, and in every layer each' +
    ' pair of numbers of a query or key is turned by an angle that depends on the place.',
  none:
    'This encoder is told no positions: it is made of convolutions, which see where a patch is by' +
    ' what lies around it.',
};

/** The same angle, between -π and π. */
export const wrapped = (angle: number): number => angle - AROUND * Math.round(angle / AROUND);

/** Whether the first layer reads something else than the projection. */
function differs({ projection, embedded }: Rows): boolean {
  return Boolean(projection?.some((value, i) => Math.abs(value - embedded[i]) > 1e-5));
}

/** A dial a pair, its hand at the angle; the first pairs turn the fastest. */
function drawDials(canvas: HTMLCanvasElement, angles: Float32Array, ink: string): void {
  const across = Math.min(angles.length, ACROSS);
  const pen = penOf(canvas);
  canvas.width = 2 * SIDE * across;
  canvas.height = 2 * SIDE * Math.ceil(angles.length / across);
  canvas.style.maxWidth = `${SIDE * across}px`;
  pen.scale(2, 2);
  angles.forEach((angle, pair) => {
    const x = ((pair % across) + 0.5) * SIDE;
    const y = (Math.floor(pair / across) + 0.5) * SIDE;
    const radius = SIDE / 2 - 2;
    pen.lineWidth = 1;
    pen.strokeStyle = 'rgba(128,128,128,.7)';
    pen.beginPath();
    pen.arc(x, y, radius, 0, AROUND);
    pen.stroke();
    pen.lineWidth = 2;
    pen.strokeStyle = ink;
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(x + radius * Math.cos(angle), y - radius * Math.sin(angle));
    pen.stroke();
  });
}

/** What becomes of the patch's numbers, step by step. */
function stripsOf(rows: Rows | null): HTMLElement[] {
  const embedded = rows && differs(rows) ? rows.embedded : null;
  const strips: [string, Float32Array | null | undefined][] = [
    ['pixels of the patch', rows?.pixels],
    ['after the projection', rows?.projection],
    ['+ its position embedding', rows?.position],
    ['= what layer 1 reads', embedded],
  ];
  return strips.flatMap(([label, values]) => (values ? [strip(label, values)] : []));
}

export function mount({ element }: Panel): void {
  const host = find(element, '.maps');
  const near = new GridMap(host, 'cosine of position embeddings');
  const turned = new GridMap(host, 'how alike the rotations are');
  for (const map of [near, turned]) map.host.style.width = '190px';

  function drawRotation(patch: number, angles: Float32Array | null): void {
    const canvas = find<HTMLCanvasElement>(element, '.dials');
    canvas.hidden = !angles;
    find(element, '.turning').textContent = angles
      ? `Each of the ${angles.length} dials is one pair of numbers of a query or key, turned at` +
        ` the place of patch ${patch}.`
      : '';
    if (!angles) return;
    drawDials(canvas, angles, textColour(element));
    const first = Array.from(angles.subarray(0, 4), (angle) => wrapped(angle).toFixed(2));
    const label = `The angles of patch ${patch}: ${first.join(', ')} … radians`;
    canvas.setAttribute('aria-label', label);
    const radians = Array.from(angles, wrapped);
    find(element, '.strips').append(strip('turned by, in radians', radians));
  }

  function drawMaps(patch: number, rows: Rows | null): void {
    const bounds = { signed: true, low: -1, high: 1 };
    const ofPosition = `cosine of the position embedding of patch ${patch} with every other`;
    const ofRotation =
      `cosine of the angle between the rotation of patch ${patch} and every other, mean over the` +
      ' pairs';
    const { position_cosine: cosines, rotation_cosine: turns } = rows ?? {};
    near.show(cosines ? { ...bounds, values: cosines, label: ofPosition } : null);
    turned.show(turns ? { ...bounds, values: turns, label: ofRotation } : null);
  }

  function draw({ record, rows }: State, changed: Set<string>): void {
    if (onlyChanged(changed, ['hovered', 'under'])) {
      near.mark();
      turned.mark();
      return;
    }
    const patch = focusPatch();
    const there = record && rows && !('error' in rows) && rows.about[0] === patch ? rows : null;
    const words = WORDS[record ? record.positions_kind : 'learned'];
    const sizes = record?.numbers.projection?.shape;
    heading(find(element, '.head'), 'Linear projection and position', 'x_p', sizes, words);
    find(element, '.hint').textContent = patchHint(rows);
    patchSteps(find(element, '.steps'));
    find(element, '.strips').replaceChildren(...stripsOf(there));
    drawRotation(patch, there?.rotation ?? null);
    drawMaps(patch, there);
  }

  const seen = ['record', 'rows', 'selected', 'patch', 'hovered', 'under'];
  stageView(element, 'positions', seen, draw);
}
