// Published findings, tested one by one on the run that is shown. A verdict is a sign, a word and a colour.
const { store, element: make } = window.VTE;
const find = selector => element.querySelector(selector);
const SIGNS = { 'seen here': ['✓', 'seen'], 'not seen here': ['✗', 'missed'], "can't be tested with this model": ['–', 'cannot'] };

function describe() {
  const { selected, record } = store.state, n = selected.length;
  find('.go').disabled = !record;
  find('.more').textContent = !record ? 'Run a question first.'
    : (n ? n + ' of ' + record.boxes.length / 4 + ' visual tokens are selected as those of the thing named first. ' : 'Three findings need to know where a thing is: select its patches in the picture. ') + 'All of it takes a minute or two with the embedded model on two cores.';
}
find('.go').addEventListener('click', () => {
  const { record, selected } = store.state;
  if (record) trigger('findings', { run: record.run, tokens: [...selected], words: find('.there').value, absent: find('.away').value });
});
for (const field of ['.there', '.away']) find(field).addEventListener('keydown', event => { if (event.key === 'Enter') find('.go').click(); });
function row(finding) {
  const [sign, kind] = SIGNS[finding.verdict], node = make('li', 'finding ' + kind), line = make('p', 'claim', finding.id + '. ' + finding.claim), said = make('p'), more = make('details'), list = make('dl', 'numbers');
  said.append(make('span', 'verdict', sign + ' ' + finding.verdict), ': ' + finding.sentence);
  for (const [name, value] of finding.numbers) list.append(make('dt', '', name), make('dd', '', value.toLocaleString('en', { maximumSignificantDigits: 4 })));
  more.append(make('summary', '', 'when it counts, numbers, source'), make('p', '', 'Counts as seen if: ' + finding.tolerance + '.'), list, make('p', '', finding.source + '.'));
  node.append(line, said, more);
  return node;
}
function draw() {
  const value = props.value;
  find('.results').hidden = !value || !value.rows || !store.state.record || value.run !== store.state.record.run;  // of another run: until that is back
  if (find('.results').hidden) return;
  const count = verdict => value.rows.filter(each => each.verdict === verdict).length, list = find('.list'), names = Object.keys(SIGNS);
  if (list.dataset.run !== value.run || list.children.length > value.rows.length) { list.replaceChildren(); list.dataset.run = value.run; }
  for (const finding of value.rows.slice(list.children.length)) list.append(row(finding));
  const done = value.rows.length === value.total;
  find('.sum').textContent = (done ? '' : value.rows.length + ' of ' + value.total + ' tested: ') + count(names[0]) + ' seen here, ' + count(names[1]) + ' not seen here, ' + count(names[2]) + ' can’t be tested with this model or this selection.';
  element.dataset.finished = String(done);
}
store.subscribe(['selected', 'record'], describe);
store.subscribe(['record'], draw);
watch('value', draw);
draw();
