// x_p: the patch in focus as the numbers that enter the model: three small pictures, and the one row they are laid out in.
const { store, element: make, heading, stageView, strip, drawPatch, signed, extremes, number, focusPatch, patchSteps, patchHint } = window.VTE;
const find = selector => element.querySelector(selector);
function channel(name, values, size) {
  const figure = make('figure', 'channel'), canvas = make('canvas'), [low, high] = extremes(values), bound = Math.max(Math.abs(low), Math.abs(high)) || 1;
  canvas.width = canvas.height = size; canvas.setAttribute('role', 'img'); canvas.setAttribute('aria-label', name + ' of the patch');
  const bytes = new Uint8ClampedArray(4 * size * size);
  values.forEach((value, i) => bytes.set([...signed(value / bound), 255], 4 * i));
  canvas.getContext('2d').putImageData(new ImageData(bytes, size, size), 0, 0);
  figure.append(make('figcaption', '', name + ', ' + number(low) + ' to ' + number(high)), canvas);
  return figure;
}
stageView(element, 'patches', ['record', 'rows', 'selected', 'patch'], ({ record, rows }) => {
  heading(find('.head'), 'Patches', 'x_p', record && record.numbers['x_p'].shape, 'Look for how little one square holds: its numbers are all that the model is given of that place.');
  const patch = focusPatch();
  find('.hint').textContent = patchHint(rows);
  patchSteps(find('.steps'));
  find('.enlarged-row').hidden = patch < 0;
  if (patch < 0) { find('.strips').replaceChildren(); find('.first').textContent = ''; return; }
  drawPatch(find('.enlarged'), patch);
  if (rows && rows.error) { for (const part of ['.channels', '.strips', '.first']) find(part).replaceChildren(); return; }  // they are another patch's
  if (!rows || rows.about[0] !== patch) return;
  const pixels = rows.pixels, size = Math.round(Math.sqrt(pixels.length / 3));
  find('.channels').replaceChildren(...['red', 'green', 'blue'].map((name, c) => channel(name, Array.from({ length: size * size }, (_, i) => pixels[3 * i + c]), size)));
  find('.strips').replaceChildren(strip('patch ' + patch + ' as one row', pixels));
  find('.first').textContent = 'Its first numbers: ' + Array.from(pixels.subarray(0, 12), value => value.toFixed(2)).join('  ') + ' … (' + pixels.length + ' in all: ' + size + ' × ' + size + ' pixels × 3 colours, each with the mean of the training photos taken away and divided by their spread)';
});
