"""What a lens says is what the model would say: its last row is the model's own logits."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import vlm
from tests.families import ON_OTHERS, tiny_family
from tests.tiny import photo
from vlm.backends import text_model
from vlm.backends.hooks import capture_outputs
from vlm.backends.text_model import trunk_layers
from vlm.inspect import lens

ROOT = Path(__file__).parents[2]
QUESTION = "What is in this image?"


@pytest.fixture(params=["clip", "siglip", "dinov2", "embedded"])
def model(request, tiny_models):
    return (
        request.getfixturevalue("embedded_model")
        if request.param == "embedded"
        else tiny_models(request.param)
    )


@pytest.fixture
def trace(model, wide_photo):
    return model.encode(wide_photo, QUESTION)


def test_the_nearest_word_of_a_words_embedding_is_that_word(model, wide_photo):
    trace = model.encode(wide_photo, QUESTION)
    words = lens.embedding_lens(
        model.network, model.processor.tokenizer, trace.text_tokens.embeddings, 2
    )
    assert [near[0][0] for near in words] == list(trace.text_tokens.token_strings)
    assert all(
        first == pytest.approx(1, abs=1e-4) and second <= first for (_, first), (_, second) in words
    )


def test_the_last_row_of_the_logit_lens_is_the_models_own_next_token(model, trace):
    last = model.inspect(trace).logit_lens(position=len(trace.input_ids) - 1, count=4)[-1]
    [step, *_] = model.decode(trace, vlm.Decoding(max_new_tokens=1, alternatives=4))
    assert [word for word, _ in last] == [each.token_string for each in step.alternatives]
    assert [probability for _, probability in last] == pytest.approx(
        [each.probability for each in step.alternatives], abs=1e-4
    )


def test_the_final_norm_is_applied_once(model, trace):
    hidden = model.inspect(trace).hidden_states()
    embeds = torch.from_numpy(trace.inputs_embeds)[None].to(model.network.device)
    with torch.inference_mode():
        own = model.network(inputs_embeds=embeds).logits[0].softmax(-1)
        norm, head = text_model.final_norm(model.network), model.network.get_output_embeddings()
        middle = head(norm(torch.from_numpy(hidden[1]).to(embeds.device))).softmax(-1)
        said = head(lens.normed(model.network, hidden)[[1, -1]]).softmax(-1)
        torch.testing.assert_close(said[-1], own, atol=1e-5, rtol=1e-3)
        torch.testing.assert_close(said[0], middle, atol=1e-5, rtol=1e-3)


def test_the_first_row_is_what_goes_in(model, trace):
    np.testing.assert_array_equal(model.inspect(trace).hidden_states()[0], trace.inputs_embeds)


def test_a_words_maps_are_its_probability_at_every_visual_token_and_layer(model, trace):
    look = model.inspect(trace)
    first = look.logit_lens(3, count=1)[2][0]
    word, values = look.word_map(first[0].strip() or "a")
    assert (
        values.shape == (len(look.hidden_states()), len(trace.visual_tokens.positions))
        and ((values >= 0) & (values <= 1 + 1e-3)).all()
    )
    if word == first[0]:
        assert values[2, 3] == pytest.approx(first[1], rel=1e-2)
    with pytest.raises(vlm.QuestionError, match="no word"):
        look.word_map("  ")


def test_the_table_says_at_every_layer_what_the_lens_of_one_token_says(model, trace):
    look = model.inspect(trace)
    table, layers = look.lens_table(range(7), 3), len(look.hidden_states())
    assert table.token_ids.shape == table.probabilities.shape == (layers, 7, 3)
    for row in range(3):
        words = look.logit_lens(row, count=3)
        for layer, said in enumerate(words):
            np.testing.assert_allclose(
                table.probabilities[layer, row], [probability for _, probability in said], atol=1e-5
            )
            assert table.probabilities[layer, row].sum() <= 1 + 1e-3


@pytest.fixture(params=["float32", "bfloat16", "float16"])
def read(request, checkpoints, wide_photo):
    """A tiny model in each number format, an answered trace of it, and its states."""
    model = vlm.load(checkpoints("clip"))
    network = model.network.to(getattr(torch, request.param))
    model = dataclasses.replace(model, network=network)
    trace = model.encode(wide_photo, QUESTION)
    prefill = model.prefill(trace, hidden=True)
    decoding = vlm.Decoding(max_new_tokens=3, alternatives=4)
    return model, trace.with_steps(model.decode(trace, decoding, prefill)), prefill.hidden


def chances(model, states) -> np.ndarray:
    """The lens by its formula, in float64: the softmax of what the head's weights make of normed
    states.
    """
    weight = model.network.get_output_embeddings().weight.double()
    with torch.inference_mode():
        return (lens.normed(model.network, states).double() @ weight.T).softmax(-1).cpu().numpy()


def test_every_view_shows_the_same_exact_probability_of_a_cell(read):
    model, trace, hidden = read
    positions, last = trace.visual_tokens.positions, len(trace.input_ids) - 1
    exact = chances(model, hidden)
    look = model.inspect(trace)
    np.testing.assert_array_equal(look.hidden_states(), hidden)
    table = look.lens_table(count=4)
    told = np.take_along_axis(exact[:, positions], table.token_ids.astype(int), 2)
    np.testing.assert_allclose(table.probabilities, told, rtol=1e-4)
    wanted = table.token_ids[1, 5].tolist()
    np.testing.assert_allclose(
        look.word_probabilities(wanted),
        exact[:, positions][..., wanted],
        rtol=1e-4,
    )
    for position in (*positions[:3], last):
        for layer, words in enumerate(look.logit_lens(position=int(position), count=4)):
            np.testing.assert_allclose(
                [chance for _, chance in words], np.sort(exact[layer, position])[:-5:-1], rtol=1e-4
            )
    first = [int(np.flatnonzero(positions == place)[0]) for place in positions[:3]]
    for layer in (0, 2, len(hidden) - 1):
        words = look.logit_lens_at(layer, 4)
        np.testing.assert_allclose(
            [[chance for _, chance in words[token]] for token in first],
            table.probabilities[layer, first],
            rtol=1e-4,
        )
    step = trace.steps[0]
    for each in step.alternatives:
        assert each.probability == pytest.approx(exact[-1, last, each.token_id], rel=1e-4)
    scored = model.score(trace, [step.token_id])
    assert np.exp(scored[0]) == pytest.approx(exact[-1, last, step.token_id], rel=1e-4)


def test_every_cosine_of_the_embedding_lens_is_exact(read):
    model, trace, _ = read
    rows = trace.visual_tokens.embeddings[:9].astype(float)
    table = model.network.get_input_embeddings().weight.double().cpu().numpy()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    lengths = np.linalg.norm(table, axis=1, keepdims=True).clip(1e-6)
    cosines = np.sort(rows @ (table / lengths).T)
    given = trace.visual_tokens.embeddings[:9]
    told = [
        [cosine for _, cosine in near]
        for near in lens.embedding_lens(model.network, model.processor.tokenizer, given, 3)
    ]
    np.testing.assert_allclose(told, cosines[:, :-4:-1], atol=1e-6)


def test_greedy_decoding_takes_the_tokens_of_generate_in_every_number_format(read):
    model, trace, _ = read
    given = model.on_device(model.inputs(trace.encoded_image.images, QUESTION))
    own = model.network.generate(**given, do_sample=False, max_new_tokens=3)
    said = own[0, given["input_ids"].shape[1] :].tolist()
    assert [step.token_id for step in trace.steps] == said


def test_what_the_cpu_can_multiply_decides_the_number_format_and_nothing_else():
    """Where it is asked; what a model in that format shows is tested above on every CPU."""
    asking = {
        path.relative_to(ROOT).as_posix()
        for folder in ("vlm", "app")
        for path in (ROOT / folder).rglob("*.py")
        if re.search("has_fast_bfloat16|cpuinfo|get_cpu_capability", path.read_text())
    }
    assert asking == {"vlm/backends/device.py", "vlm/training/base.py"}


def test_a_table_holds_no_more_logits_than_it_says(tiny_model, wide_photo, monkeypatch):

    trace = tiny_model.encode(wide_photo, QUESTION)
    hidden, positions = tiny_model.inspect(trace).hidden_states(), trace.visual_tokens.positions
    states = hidden[:, positions]
    whole = lens.table(tiny_model.network, states, 5)
    sizes, head, vocabulary = (
        [],
        text_model.head,
        len(tiny_model.network.get_output_embeddings().weight),
    )
    monkeypatch.setattr(text_model, "CACHED", 7)
    monkeypatch.setattr(text_model, "AT_ONCE", 4 * vocabulary * 5)
    monkeypatch.setattr(
        text_model,
        "head",
        lambda model, rows, words: sizes.append(head(model, rows, words)) or sizes[-1],
    )
    parts = lens.table(tiny_model.network, states, 5)
    most = 7 * 7 if tiny_model.network.device.type == "cpu" else 5 * vocabulary
    assert vocabulary % 7 and max(each.numel() for each in sizes) == most
    # two words may be as probable to the last digit
    assert (parts.token_ids == whole.token_ids).mean() > 0.99
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, rtol=1e-4)
    np.testing.assert_allclose(parts.normaliser, whole.normaliser, rtol=1e-5)


def test_a_word_that_says_too_little_alone_is_refused(embedded_model):
    from vlm.records.text_tokens import word_ids

    tokenizer = embedded_model.processor.tokenizer
    assert {
        tokenizer.decode([number]).strip().lower() for number in word_ids(tokenizer, "domestic cat")
    } == {"cat"}
    assert (
        set(word_ids(tokenizer, "Cat"))
        == set(word_ids(tokenizer, "cat"))
        < set(word_ids(tokenizer, "CAT"))
    )
    for word, reason in (("", "no word"), ("xqzzyw", "fewer than 4 letters")):
        with pytest.raises(vlm.QuestionError, match=reason):
            word_ids(tokenizer, word)


def test_every_token_after_a_layer_says_what_one_token_says_there(tiny_model, wide_photo):
    trace = tiny_model.trace(wide_photo, QUESTION, vlm.Decoding(max_new_tokens=3))
    look = tiny_model.inspect(trace)
    for layer in range(len(look.hidden_states())):
        said = look.logit_lens_at(layer, 4)
        assert len(said) == len(trace.visual_tokens.positions)
        for token in (0, 5):
            expected = look.logit_lens(token, count=4)[layer]
            assert [word for word, _ in said[token]] == [word for word, _ in expected]
            np.testing.assert_allclose(
                [chance for _, chance in said[token]], [chance for _, chance in expected], atol=1e-4
            )


def test_the_embedding_lens_holds_no_more_cosines_than_it_says(tiny_model, wide_photo, monkeypatch):
    rows = tiny_model.encode(wide_photo, QUESTION).visual_tokens.embeddings
    whole, sizes, read = (
        lens.embedding_lens(tiny_model.network, tiny_model.processor.tokenizer, rows, 3),
        [],
        lens._readings,
    )
    monkeypatch.setattr(
        text_model, "AT_ONCE", 4 * len(tiny_model.network.get_input_embeddings().weight) * 5
    )
    monkeypatch.setattr(
        lens,
        "_readings",
        lambda tokenizer, scores, count: (
            sizes.append(len(scores)) or read(tokenizer, scores, count)
        ),
    )
    parts = lens.embedding_lens(tiny_model.network, tiny_model.processor.tokenizer, rows, 3)
    assert max(sizes) == 5 and [[word for word, _ in near] for near in parts] == [
        [word for word, _ in near] for near in whole
    ]


@pytest.mark.parametrize("name", [*ON_OTHERS, "kosmos_2", "mllama", "cohere2_vision"])
def test_norm_and_head_are_those_of_the_language_model_wherever_they_stand(name, tmp_path):
    """Against the layers' own outputs and the whole forward of the class that answers."""
    model = vlm.load(tiny_family(tmp_path, name))
    network = model.network
    inputs = model.on_device(model.inputs([photo(90, 150)], "What is in this image?"))
    trunk = text_model.language_trunk(network)
    with torch.inference_mode(), capture_outputs(trunk) as ended:
        with capture_outputs(trunk_layers(network)[-1]) as last:
            logits = network(**inputs).logits[0]
        states = last[-1] if torch.is_tensor(last[-1]) else last[-1][0]
        hidden = ended[-1].last_hidden_state
        torch.testing.assert_close(text_model.final_norm(network)(states), hidden, rtol=0, atol=0)
        torch.testing.assert_close(text_model.head(network, hidden)[0], logits, rtol=0, atol=0)
        chosen = torch.tensor([3, 1, 8])
        torch.testing.assert_close(
            text_model.head(network, hidden, chosen)[0], logits[:, chosen], rtol=1e-5, atol=1e-5
        )
    assert text_model.language_layers(network) == len(trunk_layers(network))
