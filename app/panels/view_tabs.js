// Which stage views are in sight: one, or with Shift two.
const { store, element: make } = window.VTE;
const VIEWS = { photo: 'photo', patches: 'patches', positions: 'position', encoder: 'encoder', connector: 'connector', space: 'token space', sequence: 'sequence', lens: 'lens', looked: 'attention' };
const tabs = element.querySelector('.tabs');
const buttons = Object.entries(VIEWS).map(([name, title]) => {
  const button = make('button', 'choice', title);
  button.type = 'button'; button.title = 'With Shift: beside the view that is open'; button.dataset.view = name; button.setAttribute('role', 'tab');
  button.addEventListener('click', event => {
    const { open } = store.state;
    if (!event.shiftKey) store.set({ open: [name] });
    else store.set({ open: open.includes(name) ? (open.length > 1 ? open.filter(each => each !== name) : open) : [open[0], name] });
  });
  return button;
});
tabs.append(...buttons);
tabs.addEventListener('keydown', event => {
  const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key], at = buttons.indexOf(event.target);
  if (move && at >= 0) { event.preventDefault(); const next = buttons[(at + move + buttons.length) % buttons.length]; next.focus(); next.click(); }
});
store.subscribe(['open'], ({ open }) => {
  for (const button of buttons) { const on = open.includes(button.dataset.view); button.setAttribute('aria-selected', String(on)); button.tabIndex = on ? 0 : -1; }
});
