// X: the photo as given, what was lost of it dark, beside what the model received.
const { store, element: make, heading, stageView } = window.VTE;
const head = element.querySelector('.head'), words = element.querySelector('.words'), pair = element.querySelector('.pair');
function side(caption, source, alternative) {
  const figure = make('figure', 'side'), stack = make('div', 'stack'), image = make('img');
  image.src = source; image.alt = alternative;
  stack.append(image); figure.append(make('figcaption', '', caption), stack);
  return [figure, stack];
}
stageView(element, 'photo', ['record'], ({ record }) => {
  heading(head, 'Image', 'X', record && [...record.photo_size, 3], 'Look for what the model never sees: a changed shape, small things that melt into a few pixels, dark margins that were cut off.');
  if (!record) return;
  words.textContent = record.transform;
  const [height, width] = record.photo_size, [top, left, bottom, right] = record.received_box;
  const [before, stack] = side('your photo, ' + width + ' × ' + height + ' pixels', record.photo, 'Your photo');
  for (const [t, l, b, r] of [[0, 0, top, width], [bottom, 0, height, width], [top, 0, bottom, left], [top, right, bottom, width]]) {
    if (b - t < 0.5 || r - l < 0.5) continue;
    const lost = make('span', 'lost');
    Object.assign(lost.style, { top: 100 * t / height + '%', left: 100 * l / width + '%', height: 100 * (b - t) / height + '%', width: 100 * (r - l) / width + '%' });
    stack.append(lost);
  }
  const [after] = side('as the model received it, ' + record.received_size[1] + ' × ' + record.received_size[0] + ' pixels', record.received, 'The photo as the model received it');
  pair.replaceChildren(before, after);
});
