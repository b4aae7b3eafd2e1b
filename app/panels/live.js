// The numbers of the run that is shown, by name, as text: the lesson and the glossary tell them. A name whose number is not there (yet) is left out.
Object.assign(window.VTE, (() => {
  const { store, number, percent, visible, shape, patchesOf, focusPatch, extremes } = window.VTE;
  const whole = value => value.toLocaleString('en'), mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;
  const layerOf = (array, layer) => { const width = array.length / array.shape[0]; return array.subarray(layer * width, (layer + 1) * width); };
  const word = string => string.trim() || visible(string);
  const cosine = value => value.toFixed(2);

  function ofPhoto({ record, layer }) {
    const { numbers, layers, pictures } = record, X = record.stages[0].shape, [N, row] = numbers['x_p'].shape, norms = layerOf(layers.norms, layer), limit = layers.limit[layer], count = layers.norms.shape[0] - 1;
    const [, , rows, columns] = pictures[0].rectangle, read = layers.read;
    return {
      X: shape(X), X_count: whole(X.reduce((a, b) => a * b, 1)), x_p_count: whole(N * row), transform: record.transform, N: whole(N), row: whole(row), P: String(record.patch_size),
      grid: pictures.length > 1 ? pictures.length + ' pictures in all' : rows + ' × ' + columns, width: numbers.projection ? whole(numbers.projection.shape[1]) : undefined, F: whole(numbers["X'"].shape[1]),
      encoder_layers: String(count), layer: String(layer), read_layers: !read.length ? 'its output' : read.length > 1 ? 'layers ' + read.join(', ') + ' side by side' : 'layer ' + read[0],
      outliers: String(norms.filter(norm => norm > limit).length), limit: number(limit), longest: number(extremes(norms)[1]),
    };
  }
  // What the server told of the patch in focus; the patch beside it in its row is the next one, or at the end of a row the one before.
  function ofPatch({ record, rows }) {
    const patch = focusPatch(), there = rows && !rows.error && rows.about[0] === patch, [, , , columns] = record.pictures[0].rectangle, beside = patch % columns < columns - 1 ? patch + 1 : patch - 1;
    const two = (values, name) => (there && values ? { [name + '_near']: cosine(values[beside]), [name + '_mean']: cosine(mean(values)) } : {});
    return { patch: patch < 0 ? undefined : String(patch), ...two(there && rows.position_cosine, 'position'), ...two(there && rows.rotation_cosine, 'rotation') };
  }
  function ofTokens({ record, words }) {
    const { numbers, text } = record, V = record.token_kinds.length, [T, S] = [text.strings.length, numbers['VT + TT'].shape[0]], visual = mean(numbers.VT.norms), spoken = mean(text.norms), token = store.focus();
    const own = text.roles.filter(role => role === 'question').length, made = token < 0 ? [] : patchesOf(token), nearest = words && token >= 0 && words.words[token][0];
    return {
      V: whole(V), D: whole(numbers.VT.shape[1]), T: whole(T), S: whole(S), share: percent(record.positions ? V / S : 0), merge: record.merge, question: record.question, language_layers: String(record.language_layers),
      question_tokens: String(own), frame_tokens: String(T - own), length_visual: number(visual), length_text: number(spoken), length_ratio: (visual / spoken).toFixed(1), token: token < 0 ? undefined : String(token),
      made_of: token < 0 ? undefined : made.length > 1 ? made.length + ' patches' : made.length ? 'patch ' + made[0] : 'no patch of its own',
      ...(nearest ? { nearest_word: word(nearest[0]), nearest_cosine: cosine(nearest[1]) } : {}), ...(words ? { mean_nearest: cosine(mean(words.words.map(([[, value]]) => value))) } : {}),
    };
  }
  function ofAnswer({ answer, step }) {
    const { steps } = answer, [first] = steps, at = step >= 0 && step < steps.length ? step : 0, second = first.alternatives.find(([string]) => string !== first.string), shares = answer.looked && answer.looked.shares;
    return {
      answer: answer.answer, answer_tokens: String(steps.length), first_word: word(first.string), first_probability: percent(first.probability), entropy: first.entropy.toFixed(2), equal: (2 ** first.entropy).toFixed(1),
      ...(second ? { second_word: word(second[0]), second_probability: percent(second[1]) } : {}), looked_word: word(steps[at].string), looked_probability: percent(steps[at].probability),
      ...(shares ? { looked_picture: percent(shares[3 * at]), looked_prompt: percent(shares[3 * at + 1]), looked_earlier: percent(shares[3 * at + 2]) } : {}),
    };
  }
  function ofLab({ model, logit_scale, losses }) {
    const of = losses ? { lab_loss_image: losses.image.toFixed(3), lab_loss_text: losses.text.toFixed(3), lab_loss: losses.both.toFixed(3) } : {};
    return { lab_model: model, lab_scale: number(logit_scale), lab_tenth: number(Math.exp(0.1 * logit_scale)), ...of };
  }
  function live() {
    const { state } = store, { record, answer, lab } = state;
    return { ...(record ? { ...ofPhoto(state), ...ofPatch(state), ...ofTokens(state) } : {}), ...(record && answer && answer.steps.length ? ofAnswer(state) : {}), ...(lab ? ofLab(lab) : {}) };
  }
  return { live };
})());
