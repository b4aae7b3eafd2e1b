// The start of a page that was taken home: the run that lies in it enters the store, and what a server would say is looked up in it.
const { store, element: make } = window.VTE;
const run = JSON.parse(document.querySelector('#run').textContent);

document.title = run.record.question + ' · Visual Token Explorer';
document.querySelector('#question').textContent = run.record.question;
document.querySelector('#facts').append(...run.facts.map(([name, value]) => { const item = make('span', 'fact', name + ' '); item.append(make('b', '', value)); return item; }));
const notes = document.querySelector('#notes');
notes.hidden = !run.notes; notes.textContent = run.notes;
for (const button of document.querySelectorAll('#stage-strip .open')) button.disabled = true;  // all views of this page are in sight already
document.querySelector('#stage-strip .strip').tabIndex = 0;  // so that the arrow keys scroll it where it is narrow

store.connect({
  word: ([, number]) => Promise.resolve(run.looked ? { ...run.looked[number], mean: run.mean } : { error: 'What the words looked at is too large for this file; the page itself shows it.' }),
});
for (const name of ['record', 'plane', 'answer', 'words']) store.receive(name, run[name]);
queueMicrotask(() => {  // after what was received is taken
  store.set({ open: ['connector', 'sequence'], selected: run.selected });
  document.documentElement.dataset.ready = 'true';
});
