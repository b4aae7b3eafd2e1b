// The linear projection, and how the encoder knows where a patch is: by a vector that is added, by turning its queries and keys, by both, or not at all.
const { store, heading, stageView, strip, GridMap, focusPatch, patchSteps, patchHint } = window.VTE;
const find = selector => element.querySelector(selector);
const near = new GridMap(find('.maps'), 'cosine of position embeddings'), turned = new GridMap(find('.maps'), 'how alike the rotations are');
for (const map of [near, turned]) map.host.style.width = '190px';
const WORDS = {
  learned: 'One matrix turns a patch’s pixels into a vector; what its place is, is added as a second vector. Look for places that lie near each other: their vectors are alike.',
  rotary: 'This encoder adds nothing for the place (rotary positions). It turns each pair of numbers of a query or key by an angle instead, in every layer: the further apart two patches, the more their angles differ.',
  'learned and rotary': 'This encoder does both: a vector of the place is added to the patch, and in every layer each pair of numbers of a query or key is turned by an angle that depends on the place.',
  none: 'This encoder is told no positions: it is made of convolutions, which see where a patch is by what lies around it.',
};
const AROUND = 2 * Math.PI, wrapped = angle => angle - AROUND * Math.round(angle / AROUND);
const differs = ({ projection, embedded }) => projection && projection.some((value, i) => Math.abs(value - embedded[i]) > 1e-5);
// A dial a pair, its hand at the angle; the first pairs turn the fastest.
function dials(canvas, angles) {
  const side = 22, across = Math.min(angles.length, 24), ink = getComputedStyle(element).getPropertyValue('--body-text-color').trim() || '#333', pen = canvas.getContext('2d');
  canvas.width = 2 * side * across; canvas.height = 2 * side * Math.ceil(angles.length / across);
  canvas.style.maxWidth = side * across + 'px';
  pen.scale(2, 2);
  angles.forEach((angle, pair) => {
    const x = (pair % across + 0.5) * side, y = (Math.floor(pair / across) + 0.5) * side, radius = side / 2 - 2;
    pen.lineWidth = 1; pen.strokeStyle = 'rgba(128,128,128,.7)'; pen.beginPath(); pen.arc(x, y, radius, 0, AROUND); pen.stroke();
    pen.lineWidth = 2; pen.strokeStyle = ink; pen.beginPath(); pen.moveTo(x, y); pen.lineTo(x + radius * Math.cos(angle), y - radius * Math.sin(angle)); pen.stroke();
  });
}
stageView(element, 'positions', ['record', 'rows', 'selected', 'patch', 'hovered', 'under'], ({ record, rows }, changed) => {
  if (![...changed].some(name => name !== 'hovered' && name !== 'under')) { near.mark(); turned.mark(); return; }
  const patch = focusPatch(), there = record && rows && !rows.error && rows.about[0] === patch;
  heading(find('.head'), 'Linear projection and position', 'x_p', record && record.numbers.projection && record.numbers.projection.shape, WORDS[record ? record.positions_kind : 'learned']);
  find('.hint').textContent = patchHint(rows);
  patchSteps(find('.steps'));
  const strips = there ? [['pixels of the patch', rows.pixels], ['after the projection', rows.projection], ['+ its position embedding', rows.position], ['= what layer 1 reads', differs(rows) && rows.embedded]] : [];
  find('.strips').replaceChildren(...strips.filter(([, values]) => values).map(([label, values]) => strip(label, values)));
  const angles = there && rows.rotation;
  find('.turning').textContent = angles ? 'Each of the ' + angles.length + ' dials is one pair of numbers of a query or key, turned at the place of patch ' + patch + '.' : '';
  find('.dials').hidden = !angles;
  if (angles) {
    dials(find('.dials'), angles);
    find('.dials').setAttribute('aria-label', 'The angles of patch ' + patch + ': ' + Array.from(angles.subarray(0, 4), angle => wrapped(angle).toFixed(2)).join(', ') + ' … radians');
    find('.strips').append(strip('turned by, in radians', Array.from(angles, wrapped)));
  }
  near.show(there && rows.position_cosine ? { values: rows.position_cosine, signed: true, low: -1, high: 1, label: 'cosine of the position embedding of patch ' + patch + ' with every other' } : null);
  turned.show(angles ? { values: rows.rotation_cosine, signed: true, low: -1, high: 1, label: 'cosine of the angle between the rotation of patch ' + patch + ' and every other, mean over the pairs' } : null);
});
