// Earlier runs of this page: a click brings one back at once, without the server.
const { store, element: make } = window.VTE;
const runs = element.querySelector('.runs');
store.subscribe(['history', 'record'], ({ history, record }) => {
  runs.replaceChildren(...(history.length < 2 ? [] : history.map(run => {
    const button = make('button', 'run'), image = make('img');
    button.type = 'button'; image.src = run.record.received; image.alt = '';
    button.append(image, make('span', '', run.record.question)); button.title = run.record.question;
    button.setAttribute('aria-pressed', String(run.record === record));
    button.addEventListener('click', () => store.recall(run));
    return button;
  })));
});
