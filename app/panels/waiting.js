// The visitor's place in the line for the model. Gradio tells it on the stream that answers come on; that stream is read here once more, and
// what is said of the line enters the store as `waiting`: {place, of, seconds}, or null when nothing of this visitor's waits. So is the
// sentence of what failed (see `failures.js`).
(() => {
  const { store } = window.VTE, fetched = window.fetch, SHORT = 300, BRIEF = 4000;
  const events = new Map();  // those that wait, by their id
  let timer = 0;
  function tell() {
    const last = [...events.values()].pop() || null;  // what was asked last
    clearTimeout(timer);
    // most things begin at once: words that come and go would only disturb
    if (!last || store.state.waiting) store.set({ waiting: last });
    else timer = setTimeout(() => store.set({ waiting: [...events.values()].pop() || null }), SHORT);
  }
  function heard(line, mine) {
    if (!line.startsWith('data: ') || line.length > BRIEF) return;  // long ones are answers
    const { msg, event_id, rank, queue_size, rank_eta, success, output } = JSON.parse(line.slice(6));
    if (msg === 'estimation' && rank >= 0) { events.set(event_id, { place: rank + 1, of: queue_size, seconds: rank_eta }); mine.add(event_id); tell(); }
    if (msg === 'process_completed' && success === false) window.VTE.hear(output && output.error);
    if (msg === 'process_starts' || msg === 'process_completed') { if (events.delete(event_id)) tell(); }
  }
  async function listen(stream) {
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader(), mine = new Set();
    let rest = '';
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const lines = (rest + part.value).split('\n');
        rest = lines.pop();
        lines.forEach(line => heard(line, mine));
      }
    } catch { /* the connection is gone: its reader says so */ }
    mine.forEach(id => events.delete(id));
    tell();
  }
  window.fetch = async (...asked) => {
    const response = await fetched(...asked), address = (asked[0] && asked[0].url) || String(asked[0]);
    if (!response.body || !/\/queue\/data\?/.test(address)) return response;
    const [one, other] = response.body.tee();
    listen(other);
    return new Response(one, response);
  };
})();
