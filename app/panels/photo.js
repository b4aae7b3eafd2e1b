// X: the photos as given, what was lost of them dark, beside what the model received.
const { store, element: make, heading, stageView } = window.VTE;
const head = element.querySelector('.head'), words = element.querySelector('.words'), pair = element.querySelector('.pair');
function side(caption, source, alternative) {
  const figure = make('figure', 'side'), stack = make('div', 'stack'), image = make('img');
  image.src = source; image.alt = alternative;
  stack.append(image); figure.append(make('figcaption', '', caption), stack);
  return [figure, stack];
}
const pixels = ([height, width]) => width + ' × ' + height + ' pixels';
stageView(element, 'photo', ['record'], ({ record }) => {
  heading(head, 'Image', 'X', record && [...record.photos[0].size, 3], 'Look for what the model never sees: a changed shape, small things that melt into a few pixels, dark margins that were cut off.');
  if (!record) return;
  words.textContent = record.transform;
  const { photos, pictures } = record, [height, width] = record.photo_size;
  const [before, stack] = side(photos.length > 1 ? 'your photos, ' + photos.map(photo => pixels(photo.size)).join(' and ') : 'your photo, ' + pixels(photos[0].size), record.photo, 'Your photo');
  for (const { left: from, size: [h, w], seen: [top, left, bottom, right] } of photos) {
    for (const [t, l, b, r] of [[0, from, top, from + w], [bottom, from, h, from + w], [top, from, bottom, left], [top, right, bottom, from + w]]) {
      if (b - t < 0.5 || r - l < 0.5) continue;
      const lost = make('span', 'lost');
      Object.assign(lost.style, { top: 100 * t / height + '%', left: 100 * l / width + '%', height: 100 * (b - t) / height + '%', width: 100 * (r - l) / width + '%' });
      stack.append(lost);
    }
  }
  const side_ = record.patch_size, received = pictures.map(({ rectangle: [, , rows, columns] }) => [rows * side_, columns * side_]);
  const [after] = side('as the model received it, ' + (pictures.length > 1 ? pictures.length + ' pictures' : pixels(received[0])), record.received, 'The photo as the model received it');
  pair.replaceChildren(before, after);
});
