// x_p: the patch in focus as the numbers that enter the model: three small pictures, and the one
// row they are laid out in.
import { focusPatch } from '../core/board';
import { drawPatch } from '../core/cuts';
import { attributes, find, heading, make, penOf, signedImage, strip } from '../core/dom';
import { extremes, number } from '../core/numbers';
import { stageView, type Panel } from '../core/panel';
import { patchHint, patchSteps } from '../core/selection';

const COLOURS = ['red', 'green', 'blue'];
const FIRST = 12; // numbers that are told
const WORDS =
  'Look for how little one square holds: its numbers are all that the model is given of that' +
  ' place.';

function makeChannel(name: string, values: number[], size: number): HTMLElement {
  const figure = make('figure', 'channel');
  const canvas = make('canvas');
  const [low, high] = extremes(values);
  const bound = Math.max(Math.abs(low), Math.abs(high)) || 1;
  canvas.width = canvas.height = size;
  attributes(canvas, { role: 'img', 'aria-label': `${name} of the patch` });
  penOf(canvas).putImageData(signedImage(values, bound, size, size), 0, 0);
  figure.append(make('figcaption', '', `${name}, ${number(low)} to ${number(high)}`), canvas);
  return figure;
}

function firstNumbers(pixels: Float32Array, size: number): string {
  const first = Array.from(pixels.subarray(0, FIRST), (value) => value.toFixed(2)).join('  ');
  return (
    `Its first numbers: ${first} … (${pixels.length} in all: ${size} × ${size} pixels × 3` +
    ' colours, each with the mean of the training photos taken away and divided by their spread)'
  );
}

export function mount({ element }: Panel): void {
  const clear = (parts: string[]) => {
    for (const part of parts) find(element, part).replaceChildren();
  };

  function drawNumbers(patch: number, pixels: Float32Array): void {
    const size = Math.round(Math.sqrt(pixels.length / 3));
    const channels = COLOURS.map((name, channel) => {
      const values = Array.from({ length: size * size }, (_, i) => pixels[3 * i + channel]);
      return makeChannel(name, values, size);
    });
    find(element, '.channels').replaceChildren(...channels);
    find(element, '.strips').replaceChildren(strip(`patch ${patch} as one row`, pixels));
    find(element, '.first').textContent = firstNumbers(pixels, size);
  }

  const seen = ['record', 'rows', 'selected', 'patch'];
  stageView(element, 'patches', seen, ({ record, rows }) => {
    const patch = focusPatch();
    heading(find(element, '.head'), 'Patches', 'x_p', record?.numbers.x_p.shape, WORDS);
    find(element, '.hint').textContent = patchHint(rows);
    patchSteps(find(element, '.steps'));
    find(element, '.enlarged-row').hidden = patch < 0;
    if (patch < 0) {
      clear(['.strips', '.first']);
      return;
    }
    drawPatch(find<HTMLCanvasElement>(element, '.enlarged'), patch);
    if (!rows) return;
    if ('error' in rows)
      clear(['.channels', '.strips', '.first']); // they are another patch's
    else if (rows.about[0] === patch) drawNumbers(patch, rows.pixels);
  });
}
