// What went wrong, where the visitor asked for it: the part of the id behind "failure-" is the place.
const { store } = window.VTE, said = element.querySelector('.went-wrong'), place = element.closest('[id^="failure-"]').id.replace('failure-', '');
store.subscribe(['failure'], ({ failure }) => {
  said.hidden = !failure || failure.place !== place;
  said.textContent = said.hidden ? '' : failure.sentence || 'This did not work; the notice says why.';
});
