// Instant examples: runs that were computed beforehand lie in files beside their photos, and are shown before any model is in memory.
// The page says which there are: {folder, made, versions, runs: [{photo, question, file, run, answer}]}; the first is shown on arrival.
(() => {
  const { store } = window.VTE, { folder, made, versions, runs } = JSON.parse(document.querySelector('#shipped').textContent);
  const files = new Map();
  let wanted = null;
  async function read(file) {
    const reply = await fetch(folder + file);
    if (!reply.ok) throw new Error(file + ' cannot be fetched');
    return new Response(reply.body.pipeThrough(new DecompressionStream('gzip'))).json();
  }
  async function show(photo) {
    const run = runs.find(each => each.photo === photo);
    if (!run) return;
    wanted = run;
    if (store.state.busy) { document.querySelector('#stop').click(); store.set({ busy: false, awaited: false }); }
    if (!files.has(run.file)) files.set(run.file, read(run.file));
    let kept;
    try { kept = await files.get(run.file); } catch (error) { files.delete(run.file); console.warn(error); return; }  // the page is then as it is without examples
    if (wanted !== run || store.state.busy) return;  // something else was asked for meanwhile
    const earlier = store.state.history.find(each => each.record.run === run.run);
    if (earlier) { store.recall(earlier); return; }
    // what all words have in common lies in the file once
    store.ship([run.run, run.answer], kept.replies.map(([name, asked, reply]) => [name, asked, name === 'word' && kept.mean ? { ...reply, mean: kept.mean } : reply]));
    for (const name of ['record', 'plane', 'answer', 'words']) store.receive(name, name === 'record' ? { ...kept.record, instant: { made, versions } } : kept[name]);
  }
  store.subscribe(['instant'], ({ instant }) => { if (instant) show(instant.photo); });
  if (runs.length && !new URLSearchParams(window.VTE.link.came.slice(1)).has('example')) store.set({ instant: { photo: runs[0].photo } });  // a link asks for another
})();
