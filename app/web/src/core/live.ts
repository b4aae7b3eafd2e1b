// The numbers of the run that is shown, by name, as text: the lesson and the glossary tell them. A
// name whose number is not there (yet) is left out.
import { focusPatch, patchesOf } from './board';
import { extremes, mean, number, percent, shape, visible, whole } from './numbers';
import type { Answer, Lab, RunRecord } from './payloads';
import type { State } from './state';
import { focus, state } from './store';
import { sliceOf } from './wire';

export type LiveValues = Record<string, string | undefined>;

const trimmed = (string: string): string => string.trim() || visible(string);
const cosine = (value: number): string => value.toFixed(2);

function ofPhoto(record: RunRecord, layer: number): LiveValues {
  const { numbers, layers, pictures } = record;
  const received = record.stages[0].shape;
  const [patches, row] = numbers.x_p.shape;
  const norms = sliceOf(layers.norms, layer);
  const limit = layers.limit[layer];
  const [, , rows, columns] = pictures[0].rectangle;
  return {
    X: shape(received),
    X_count: whole(received.reduce((one, other) => one * other, 1)),
    x_p_count: whole(patches * row),
    transform: record.transform,
    N: whole(patches),
    row: whole(row),
    P: String(record.patch_size),
    grid: pictures.length > 1 ? `${pictures.length} pictures in all` : `${rows} × ${columns}`,
    width: numbers.projection ? whole(numbers.projection.shape[1]) : undefined,
    F: whole(numbers["X'"].shape[1]),
    encoder_layers: String(layers.norms.shape[0] - 1),
    layer: String(layer),
    read_layers: layersRead(layers.read),
    outliers: String(norms.filter((norm) => norm > limit).length),
    limit: number(limit),
    longest: number(extremes(norms)[1]),
  };
}

function layersRead(read: number[]): string {
  if (!read.length) return 'its output';
  return read.length > 1 ? `layers ${read.join(', ')} side by side` : `layer ${read[0]}`;
}

/** What the server said of the patch in focus; beside it: the next in its row, or the one before */
function ofPatch({ record, rows }: State): LiveValues {
  const patch = focusPatch();
  const columns = record!.pictures[0].rectangle[3];
  const beside = patch % columns < columns - 1 ? patch + 1 : patch - 1;
  const values: LiveValues = { patch: patch < 0 ? undefined : String(patch) };
  if (!rows || 'error' in rows || rows.about[0] !== patch) return values;
  for (const name of ['position', 'rotation'] as const) {
    const cosines = rows[`${name}_cosine`];
    if (!cosines) continue;
    values[`${name}_near`] = cosine(cosines[beside]);
    values[`${name}_mean`] = cosine(mean(cosines));
  }
  return values;
}

function ofTokens(record: RunRecord): LiveValues {
  const { numbers, text } = record;
  const visual = record.token_kinds.length;
  const sequence = numbers['VT + TT'].shape[0];
  const own = text.roles.filter((role) => role === 'question').length;
  const [long, short] = [mean(numbers.VT.norms), mean(text.norms)];
  return {
    V: whole(visual),
    D: whole(numbers.VT.shape[1]),
    T: whole(text.strings.length),
    S: whole(sequence),
    share: percent(record.positions ? visual / sequence : 0),
    merge: record.merge,
    question: record.question,
    language_layers: String(record.language_layers),
    question_tokens: String(own),
    frame_tokens: String(text.strings.length - own),
    length_visual: number(long),
    length_text: number(short),
    length_ratio: (long / short).toFixed(1),
  };
}

function ofFocus({ words }: State): LiveValues {
  const token = focus();
  const values: LiveValues = {};
  if (words) values.mean_nearest = cosine(mean(words.words.map(([[, nearest]]) => nearest)));
  if (token < 0) return values;
  values.token = String(token);
  values.made_of = madeOf(patchesOf(token));
  const nearest = words?.words[token][0];
  if (nearest) {
    values.nearest_word = trimmed(nearest[0]);
    values.nearest_cosine = cosine(nearest[1]);
  }
  return values;
}

function madeOf(patches: number[]): string {
  if (patches.length > 1) return `${patches.length} patches`;
  return patches.length ? `patch ${patches[0]}` : 'no patch of its own';
}

function ofAnswer({ answer, steps, looked }: Answer, step: number): LiveValues {
  const [first] = steps;
  const index = step >= 0 && step < steps.length ? step : 0;
  const second = first.alternatives.find(([string]) => string !== first.string);
  const values: LiveValues = {
    answer,
    answer_tokens: String(steps.length),
    first_word: trimmed(first.string),
    first_probability: percent(first.probability),
    entropy: first.entropy.toFixed(2),
    equal: (2 ** first.entropy).toFixed(1),
    looked_word: trimmed(steps[index].string),
    looked_probability: percent(steps[index].probability),
  };
  if (second) {
    values.second_word = trimmed(second[0]);
    values.second_probability = percent(second[1]);
  }
  if (looked?.shares) {
    values.looked_picture = percent(looked.shares[3 * index]);
    values.looked_prompt = percent(looked.shares[3 * index + 1]);
    values.looked_earlier = percent(looked.shares[3 * index + 2]);
  }
  return values;
}

function ofLab({ model, logit_scale, losses }: Lab): LiveValues {
  const values: LiveValues = {
    lab_model: model,
    lab_scale: number(logit_scale),
    lab_tenth: number(Math.exp(0.1 * logit_scale)),
  };
  if (!losses) return values;
  const { image, text, both } = losses;
  return {
    ...values,
    lab_loss_image: image.toFixed(3),
    lab_loss_text: text.toFixed(3),
    lab_loss: both.toFixed(3),
  };
}

export function live(): LiveValues {
  const { record, answer, lab, layer, step } = state;
  const ofRun = record
    ? { ...ofPhoto(record, layer), ...ofPatch(state), ...ofTokens(record), ...ofFocus(state) }
    : {};
  const said = record && answer && answer.steps.length ? ofAnswer(answer, step) : {};
  return { ...ofRun, ...said, ...(lab ? ofLab(lab) : {}) };
}
