// The logit lens: what the visual token in focus "says" at every layer of the language model, and where in the picture a word is said.
const { store, element: make, heading, stageView, GridMap, cividis, rgb, ink, percent, visible } = window.VTE;
const find = selector => element.querySelector(selector);
const map = new GridMap(find('.maps'), 'where the word is said');
map.host.style.width = '200px';
let layers = 0;

function seek() {
  const word = find('.sought').value.trim();
  store.set({ sought: word ? { word, layer: +find('.of').value } : null });
}
find('.sought').addEventListener('keydown', event => { if (event.key === 'Enter') seek(); });
find('.sought').addEventListener('change', seek);
find('.of').addEventListener('input', () => { store.set({ sought: store.state.sought && { ...store.state.sought, layer: +find('.of').value } }); name(); });
find('.over').addEventListener('change', () => show(store.state));
function name() { const layer = +find('.of').value; find('.which').textContent = layers ? (layer ? layer + ' of ' + layers : 'going in') : '–'; }
function show({ found, sought }) {
  const there = sought && found && found.values ? { values: found.values, of: 'token', label: 'probability of “' + visible(found.word) + '” after layer ' + sought.layer } : null;
  map.show(there);
  if (there && find('.over').checked) store.set({ overlay: { ...there, from: 'lens' } });
  else if (store.state.overlay && store.state.overlay.from === 'lens') store.set({ overlay: null });
}
stageView(element, 'lens', ['record', 'lens', 'found', 'sought', 'selected', 'hovered', 'under', 'patch'], (state, changed) => {
  if (![...changed].some(name => !['hovered', 'under', 'patch'].includes(name))) { map.mark(); return; }
  const { record, lens, found, sought } = state, token = store.focus();
  heading(find('.head'), 'Logit lens', 'g_φ', record && record.numbers['VT + TT'].shape, 'If the language model stopped after a layer, which word would it say at this token? Look for the layer where the words begin to name what is there; early layers say little.');
  find('.hint').textContent = !record ? 'Run a question first.' : (found && found.error) || (token < 0 ? 'Select a token in the picture.' : (lens && lens.error) || '');
  const rows = record && lens && lens.layers && lens.about[0] === token ? lens.layers : [];
  if (record && layers !== record.language_layers) { layers = record.language_layers; find('.of').max = layers; find('.of').value = layers; }
  name();
  find('tbody').replaceChildren(...rows.map((words, layer) => {
    const row = make('tr'), head = make('th', '', layer ? 'layer ' + layer : 'going in');
    head.scope = 'row'; row.append(head);
    words.forEach(([word, probability]) => { const cell = make('td', '', visible(word) + ' ' + percent(probability)), colour = cividis(probability); cell.style.background = rgb(colour); cell.style.color = ink(colour); row.append(cell); });
    return row;
  }).reverse());
  show(state);
});
