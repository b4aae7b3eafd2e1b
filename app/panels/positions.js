// The linear projection and the position embeddings: pixels -> vector, plus the vector of the place.
const { store, heading, stageView, strip, GridMap } = window.VTE;
const find = selector => element.querySelector(selector);
const near = new GridMap(find('.maps'), 'cosine of position embeddings');
near.host.style.width = '220px';
stageView(element, 'positions', ['record', 'rows', 'selected', 'hovered'], ({ record, rows, selected }, changed) => {
  if (changed.has('hovered') && changed.size === 1) { near.mark(); return; }
  const token = store.focus(), there = record && rows && !rows.error && rows.about[0] === token;
  heading(find('.head'), 'Linear projection and position', 'x_p', record && record.numbers['projection'].shape,
    'One matrix turns a patch’s pixels into a vector; what its place is, is added as a second vector. Look for places that lie near each other: their vectors are alike.');
  find('.hint').textContent = !record ? 'Run a question first.' : token < 0 ? 'Select a patch in the picture.' : rows && rows.error ? rows.error : '';
  find('.strips').replaceChildren(...(there ? [strip('pixels of the patch', rows.pixels), strip('after the projection', rows.projection), strip('+ its position embedding', rows.position), strip('= what layer 1 reads', rows.embedded)] : []));
  near.show(there ? { values: rows.position_cosine, signed: true, low: -1, high: 1, label: 'cosine of the position embedding of patch ' + token + ' with every other' } : null);
});
