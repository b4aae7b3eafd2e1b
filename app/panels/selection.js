// What the pointer and the keys do to the selection, and the patch that is looked at within the token in focus.
Object.assign(window.VTE, (() => {
  const { store, element, patchesOf, focusPatch, kindWords, neighbour, STEPS } = window.VTE;

  // What lies under the pointer: a token and the very patch, -1 for none.
  function point([token, patch]) {
    if (token !== store.state.hovered || patch !== store.state.under) store.set({ hovered: token, under: patch });
  }
  // Which tokens a click leaves selected: with Shift, Ctrl or Cmd it adds or takes away. A patch of which no token is made can be looked at all the same.
  function pick([token, patch], event) {
    const { selected } = store.state;
    if (token < 0 && patch < 0) return;
    if (token < 0) store.set({ selected: [], patch });
    else if (!(event.shiftKey || event.ctrlKey || event.metaKey)) store.set({ selected: [token], patch });
    else store.set({ selected: selected.includes(token) ? selected.filter(each => each !== token) : [...selected, token], patch });
  }
  // Arrow keys move the selection over the board, with Shift they add; Escape clears.
  function steer(event) {
    const { record, selected } = store.state;
    if (!record) return;
    if (event.key === 'Escape') store.set({ selected: [], patch: -1 });
    if (!STEPS[event.key]) return;
    event.preventDefault();
    const from = store.focus(), next = from < 0 ? 0 : neighbour(from, event.key);
    if (next >= 0) store.set({ selected: event.shiftKey ? [...selected.filter(each => each !== next), next] : [next], patch: -1 });
  }

  // Why there is no patch to look at, or what went wrong; '' otherwise.
  function patchHint(reply, words = 'Select a patch in the picture.') {
    const { record } = store.state, token = store.focus();
    if (!record) return 'Run a question first.';
    if (focusPatch() >= 0) return (reply && reply.error) || '';
    return token < 0 ? words : 'Visual token ' + token + ' is ' + kindWords(token) + '.';
  }
  // A token made of several patches lets one step through them.
  function patchSteps(host) {
    const token = store.focus(), mine = token < 0 || !store.state.record ? [] : patchesOf(token);
    host.hidden = mine.length < 2;
    if (host.hidden) { host.replaceChildren(); return; }
    const at = mine.indexOf(focusPatch()), step = (text, label, move) => {
      const button = element('button', 'choice', text);
      button.type = 'button'; button.setAttribute('aria-label', label);
      button.addEventListener('click', () => { store.set({ patch: mine[(at + move + mine.length) % mine.length] }); requestAnimationFrame(() => { const again = host.querySelector('[aria-label="' + label + '"]'); if (again) again.focus(); }); });
      return button;
    };
    host.replaceChildren(step('‹', 'the patch before', -1), element('span', '', 'patch ' + mine[at] + ', number ' + (at + 1) + ' of the ' + mine.length + ' of visual token ' + token), step('›', 'the next patch', 1));
  }
  return { point, pick, steer, patchHint, patchSteps };
})());
