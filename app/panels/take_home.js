// What a visitor takes away: the run as one page, its tensors, its answer as a table, the link. All is made here, except the tensors.
const { store, saveFile } = window.VTE;
const find = selector => element.querySelector(selector);
const hint = find('.hint'), buttons = [...element.querySelectorAll('.files button')];
const TYPES = { Uint8Array: 'u1', Uint16Array: 'u2', Int32Array: 'i4', Float32Array: 'f4' };
const MOST = 3_000_000;  // numbers of what the words looked at, 4 bytes each, that go into a page

// The reverse of the store's `unpack`.
function pack(value) {
  if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    let letters = '';
    for (let i = 0; i < bytes.length; i += 8192) letters += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return { type: TYPES[value.constructor.name], shape: value.shape, data: btoa(letters) };
  }
  if (Array.isArray(value)) return value.map(pack);
  return value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([name, part]) => [name, pack(part)])) : value;
}
// What each word looked at; null where that is too much for a file, or nobody recorded it.
async function looked(answer) {
  const said = [];
  if (!answer.key) return null;
  for (let step = 0; step < answer.steps.length; step++) {
    const word = await store.call('word', [answer.key, step]);
    if (word.error || answer.steps.length * word.visual.length > MOST) return null;
    said.push(word);
  }
  return said;
}
async function page() {
  const { record, plane, answer, words, selected } = store.state, template = await server.offline([]), said = await looked(answer);
  const run = {
    record, plane, answer, words, selected, notes: find('textarea').value.trim(), facts: [['model', record.model], ['kept', new Date().toISOString().slice(0, 10)], ...Object.entries(record.asked ? record.asked.settings : {}).map(([name, value]) => [name.replace(/_/g, ' '), String(value)])],
    looked: said && said.map(({ visual, shares }) => ({ visual, shares })), mean: said && said.length ? said[0].mean : null,
  };
  // inside a script element only "<" can end it
  const [before, after] = template.page.split(template.mark);
  saveFile('.html', new Blob([before, JSON.stringify(pack(run)).replace(/</g, '\\u003c'), after], { type: 'text/html' }));
}
async function run() {
  const file = await server.tensors([store.state.answer.key]);
  if (file.error) throw new Error(file.error);
  saveFile('.zip', new Blob([Uint8Array.from(atob(file.data), letter => letter.charCodeAt(0))], { type: 'application/zip' }));
}
// Quoted; what a spreadsheet would take for a formula, in letters of any width, gets an apostrophe.
const cell = value => '"' + (typeof value === 'number' ? String(value) : String(value).replace(/^(\s*[=+\-@＝＋－＠]|[\t\r\n])/, "'$&")).replace(/"/g, '""') + '"';
async function table() {
  const { steps } = store.state.answer, most = Math.max(0, ...steps.map(step => step.alternatives.length));
  const names = ['step', 'token', 'probability', 'probability after D_d', 'entropy in bits', 'ends the answer'];
  for (let i = 1; i <= most; i++) names.push('alternative ' + i, 'its probability', 'after D_d');
  const rows = steps.map((step, i) => [i, step.string, step.probability, step.decoding, step.entropy, step.end ? 'yes' : 'no', ...step.alternatives.flat()]);
  saveFile('.csv', new Blob(['\ufeff', [names, ...rows].map(row => row.map(cell).join(',')).join('\r\n'), '\r\n'], { type: 'text/csv' }));
}
async function link() {
  const address = window.VTE.link.address();
  if (!address) throw new Error('Only a run on an example photo has a link; your own photo is not kept here.');
  try { await navigator.clipboard.writeText(address); } catch { return address; }  // a page that is not served securely may not write there
  return 'The link is in the clipboard.';
}
const KINDS = { page, run, table, link };
for (const button of buttons) button.addEventListener('click', async () => {
  hint.textContent = '…';
  try { hint.textContent = (await KINDS[button.dataset.kind]()) || 'Saved.'; } catch (error) { hint.textContent = error.message; }
});
store.subscribe(['record', 'answer', 'words', 'busy'], ({ record, answer, words, busy }) => {
  const there = Boolean(record && answer && answer.finished && words && !busy);
  for (const button of buttons) button.disabled = !there || (button.dataset.kind === 'run' && !answer.key);  // tensors are with the server
  hint.textContent = there ? '' : 'Run a question first; when the answer is complete it can be taken away.';
});
