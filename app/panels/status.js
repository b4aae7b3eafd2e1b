// What is loading behind the page. Value: {jobs: [{name, state, fraction, message}]}.
const { element: make } = window.VTE;
const list = element.querySelector('.jobs');
function draw() {
  const jobs = (props.value && props.value.jobs) || [];
  list.replaceChildren(...jobs.map(job => {
    const item = make('li', job.state);
    item.append(make('span', 'mark', { ready: '✓', loading: '…', failed: '✗' }[job.state]), make('span', '', job.message));
    if (job.state === 'loading') { const bar = make('progress'); bar.max = 1; if (job.fraction > 0) bar.value = job.fraction; bar.setAttribute('aria-label', job.name); item.append(bar); }
    return item;
  }));
  element.dataset.ready = jobs.filter(job => job.state === 'ready').map(job => job.name).join(',');
}
watch('value', draw);
draw();
