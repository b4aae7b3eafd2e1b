// The token under the pointer, or else the one in focus: where it is, its first numbers at every stage, what it is near to.
const { store, element: make, symbol, heading, drawToken, drawPatch, visible, shown, where, patchesOf } = window.VTE;
const find = selector => element.querySelector(selector);
const NAMES = { 'x_p': 'pixels', "X'": 'features', 'VT': 'token' };
heading(find('.head'), 'Inspector', null, null, 'The token under the pointer, or the one you selected last.');
// A row of the table: the first numbers of row `index` at one stage; no row where there is none.
function numbers(record, name, index) {
  if (index < 0) return null;
  const { shape, first, norms } = record.numbers[name], row = make('tr'), head = make('th'), count = first.shape[1];
  head.scope = 'row'; head.append(symbol(name), ' ' + NAMES[name]); row.append(head, make('td', '', 'length ' + norms[index].toFixed(1)));
  for (let i = 0; i < count; i++) row.append(make('td', '', first[count * index + i].toFixed(2)));
  row.append(make('td', '', '… (' + shape[1] + ')'));
  return row;
}
store.subscribe(['record', 'words', 'selected', 'hovered', 'patch', 'under'], ({ record, words }) => {
  const [token, patch] = record ? shown() : [-1, -1];
  find('.body').hidden = token < 0 && patch < 0;
  element.dataset.token = token; element.dataset.patch = patch;
  if (token < 0 && patch < 0) return;
  const merged = token >= 0 && patchesOf(token).length > 1, position = record.positions && token >= 0 ? ' · position ' + record.positions[token] : '';
  if (token < 0) drawPatch(find('.enlarged'), patch); else drawToken(find('.enlarged'), token, patch);
  find('.where').textContent = where(token, patch) + position;
  find('.numbers tbody').replaceChildren(...Object.keys(NAMES).map(name => numbers(record, name, name === 'VT' ? token : patch)).filter(Boolean));
  find('.merged').textContent = merged ? 'The first rows are those of patch ' + patch + ', one of the ' + patchesOf(token).length + ' that became this token.' : '';
  find('.near').textContent = !words || token < 0 ? '' : 'nearest words: ' + words.words[token].map(([word, cosine]) => '“' + visible(word) + '” ' + cosine.toFixed(2)).join(', ') +
    ' · most alike: ' + Array.from({ length: words.neighbours.shape[1] }, (_, i) => words.neighbours[words.neighbours.shape[1] * token + i]).map(other => 'token ' + other).join(', ');
});
