// Which slices of the state the server fills, and what it is asked for each.
import { focusPatch } from './board';
import { resource } from './requests';
import { focus } from './store';

resource('colours', 'layer', ({ open, record, layer }) =>
  open.includes('encoder') && record ? [record.run, layer] : null,
);
resource('rows', 'rows', ({ open, record, layer }) => {
  const wanted = ['encoder', 'positions', 'patches'].some((view) => open.includes(view));
  const patch = focusPatch();
  return wanted && record && patch >= 0 ? [record.run, patch, layer] : null;
});
resource('lens', 'lens', ({ open, record }) =>
  open.includes('lens') && record && focus() >= 0 ? [record.run, focus()] : null,
);
resource('found', 'word_maps', ({ open, record, sought }) =>
  open.includes('lens') && record && sought ? [record.run, sought.word] : null,
);
resource('word', 'word', ({ answer, step }) =>
  answer?.key && step >= 0 ? [answer.key, step] : null,
);
