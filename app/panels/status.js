// What is loading behind the page. Value: {jobs: [{name, state, fraction, message}]}.
const { store, element: make } = window.VTE;
const list = element.querySelector('.jobs');
function draw() {
  const jobs = (props.value && props.value.jobs) || [];
  list.replaceChildren(...jobs.map(job => {
    const item = make('li', job.state);
    item.append(make('span', 'mark', { ready: '✓', loading: '…', failed: '✗' }[job.state]), make('span', '', job.message));
    if (job.state === 'loading') { const bar = make('progress'); bar.max = 1; if (job.fraction > 0) bar.value = job.fraction; bar.setAttribute('aria-label', job.name); item.append(bar); }
    return item;
  }));
  if (element.closest('#status')) drawWaiting();
  if (element.closest('#status') && jobs.length) store.set({ model: { state: jobs[0].state, message: jobs[0].message } });  // the vision-language model is the first
  element.dataset.ready = jobs.filter(job => job.state === 'ready').map(job => job.name).join(',');
}
// The visitor's place in the line for the model (see `waiting.js`).
function drawWaiting() {
  const { waiting } = store.state, old = list.querySelector('.waiting');
  if (!waiting) { old && old.remove(); return; }
  const item = old || list.appendChild(make('li', 'waiting'));
  const soon = waiting.seconds === null || waiting.seconds === undefined ? '' : `, answered in about ${Math.max(1, Math.round(waiting.seconds))} s`;
  item.textContent = `Waiting for the model: ${waiting.place === 1 ? 'you are next' : `place ${waiting.place} of ${waiting.of} in line`}${soon}`;
}
if (element.closest('#status')) store.subscribe(['waiting'], drawWaiting);
watch('value', draw);
draw();
