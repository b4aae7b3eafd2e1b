// The token under the pointer, or else the one in focus: where it is, its first numbers at every stage, what it is near to.
const { store, element: make, symbol, heading, drawPatch, visible } = window.VTE;
const find = selector => element.querySelector(selector);
const NAMES = { 'x_p': 'pixels', "X'": 'features', 'VT': 'token' };
heading(find('.head'), 'Inspector', null, null, 'The token under the pointer, or the one you selected last.');
store.subscribe(['record', 'words', 'selected', 'hovered'], ({ record, words }) => {
  const token = store.shown();
  find('.body').hidden = !record || token < 0;
  element.dataset.token = record ? token : -1;
  if (!record || token < 0) return;
  drawPatch(find('.enlarged'), token);
  const [top, left, bottom, right] = Array.from(record.boxes.subarray(4 * token, 4 * token + 4), value => value.toFixed(1));
  find('.where').textContent = 'visual token ' + token + ' · row ' + Math.floor(token / record.columns) + ', column ' + token % record.columns + ' · pixels ' + left + '–' + right + ' across, ' + top + '–' + bottom + ' down · position ' + record.positions[token];
  find('.numbers tbody').replaceChildren(...Object.keys(NAMES).map(name => {
    const { shape, first, norms } = record.numbers[name], row = make('tr'), head = make('th'), count = first.shape[1];
    head.scope = 'row'; head.append(symbol(name), ' ' + NAMES[name]); row.append(head, make('td', '', 'length ' + norms[token].toFixed(1)));
    for (let i = 0; i < count; i++) row.append(make('td', '', first[count * token + i].toFixed(2)));
    row.append(make('td', '', '… (' + shape[1] + ')'));
    return row;
  }));
  find('.near').textContent = !words ? '' : 'nearest words: ' + words.words[token].map(([word, cosine]) => '“' + visible(word) + '” ' + cosine.toFixed(2)).join(', ') +
    ' · most alike: ' + Array.from({ length: words.neighbours.shape[1] }, (_, i) => words.neighbours[words.neighbours.shape[1] * token + i]).map(other => 'patch ' + other).join(', ');
});
