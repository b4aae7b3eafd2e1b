// Of a run that was computed beforehand: when, with what, and what has to wait for the model.
const { store } = window.VTE, said = element.querySelector('.said');
store.subscribe(['record', 'model'], ({ record }) => {
  said.hidden = !(record && record.instant);
  if (said.hidden) return;
  const { made, versions } = record.instant;
  said.textContent = 'Computed beforehand with this very model (' + made + ', torch ' + versions.torch + '), its times too; Run computes it here. ' + (store.late(record.run) ? 'What needs the model comes as soon as it is loaded.' : '');
});
