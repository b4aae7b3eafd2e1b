// What the page shows against what the model computes by itself: differences as numbers, and what is at work.
const { element: make } = window.VTE;
const { store } = window.VTE, find = selector => element.querySelector(selector);
const digits = value => value.toExponential(1);

function draw() {
  const value = props.value;
  find('.results').hidden = !value || !value.rows;
  if (find('.results').hidden) return;
  find('tbody').replaceChildren(...value.rows.map(each => {
    const row = make('tr'), open = each.holds === null, written = value => (each.counted ? String(value) : digits(value));
    row.append(make('td', '', each.name), make('td', '', open ? '–' : each.difference === 0 && !each.counted ? '0 (identical)' : written(each.difference)), make('td', '', open ? '–' : written(each.allowed)), make('td', '', open ? '– not to be compared' : each.holds ? '✓ yes' : '✗ no'), make('td', '', each.words));
    return row;
  }));
  find('.versions').textContent = 'At work: ' + value.versions.map(([name, version]) => name + ' ' + version).join(' · ');
  element.dataset.finished = String(value.finished);
}
// What was compared before a photo was changed, or before a comparison failed, says nothing of what is in sight.
store.subscribe(['chosen', 'failure'], ({ failure }, changed) => { if (changed.has('chosen') || (failure && failure.place === 'check')) find('.results').hidden = true; });
watch('value', draw);
draw();
