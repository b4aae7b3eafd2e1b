"""D_d: what each hyper-parameter promises, on logits that are known."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import torch
import transformers as tf

import vlm
from tests.tiny import tiny_tokenizer
from vlm.backends.generation import Rules, rules
from vlm.pipeline.decoding import NextLogits, decode

VOCABULARY = 50
TOKENIZER = tiny_tokenizer()
LOGITS = torch.from_numpy(
    np.random.default_rng(5).normal(scale=2, size=VOCABULARY).astype(np.float32)
)
PROMPT = torch.tensor([6, 7, 8])
# a model that came with no settings; only they are asked for
PLAIN = tf.LlamaForCausalLM(
    tf.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        eos_token_id=None,
    )
)


def ruled(decoding: vlm.Decoding, ends=frozenset()) -> Rules:
    return dataclasses.replace(rules(PLAIN, TOKENIZER, decoding, PROMPT), end_ids=ends)


def steps(decoding: vlm.Decoding, logits=LOGITS, ends=frozenset()) -> list[vlm.Step]:
    """An answer from a model that gives the same logits whatever came before.

    Every token of it is reported.
    """
    decoding = dataclasses.replace(decoding, alternatives=VOCABULARY)
    given = NextLogits(logits, logits)
    return list(decode(lambda token: given, TOKENIZER, ruled(decoding, ends), decoding))


def kept(step: vlm.Step) -> dict[int, float]:
    """Token and share after D_d of those that may come."""
    return {
        other.token_id: other.decoding_probability
        for other in step.alternatives
        if other.decoding_probability > 0
    }


def softmax(values: np.ndarray) -> np.ndarray:
    exponents = np.exp(values.astype(np.float64) - values.max())
    return exponents / exponents.sum()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.7},
        {"temperature": 1.0, "top_k": 5},
        {"temperature": 2.0, "top_p": 0.6, "repetition_penalty": 1.5},
    ],
)
def test_the_models_own_probabilities_sum_to_one_and_do_not_depend_on_the_decoding(options):
    for step in steps(vlm.Decoding(max_new_tokens=3, **options)):
        assert math.fsum(other.probability for other in step.alternatives) == pytest.approx(
            1, abs=1e-5
        )
        shares = {other.token_id: other.probability for other in step.alternatives}
        np.testing.assert_allclose(
            [shares[token] for token in range(VOCABULARY)], softmax(LOGITS.numpy()), rtol=1e-4
        )
        assert step.probability == shares[step.token_id]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.7},
        {"temperature": 1.0, "top_k": 5},
        {"temperature": 2.0, "top_p": 0.6, "repetition_penalty": 1.5},
    ],
)
def test_the_probabilities_after_decoding_sum_to_one_over_the_tokens_that_may_come(options):
    for step in steps(vlm.Decoding(max_new_tokens=5, **options)):
        assert math.fsum(kept(step).values()) == pytest.approx(1, abs=1e-5)
        assert step.decoding_probability == kept(step)[step.token_id]


def test_the_alternatives_come_best_first_and_as_many_as_asked():
    for count in (1, 8, VOCABULARY):
        decoding = vlm.Decoding(alternatives=count)
        given = NextLogits(LOGITS, LOGITS)
        step = next(decode(lambda token, given=given: given, TOKENIZER, ruled(decoding), decoding))
        best = np.argsort(-LOGITS.numpy(), kind="stable")[:count]
        assert [other.token_id for other in step.alternatives] == best.tolist()
    assert len(steps(vlm.Decoding(max_new_tokens=1), LOGITS[:4])[0].alternatives) == 4


@pytest.mark.parametrize("options", [{}, {"top_k": 40}, {"top_p": 0.5}, {"seed": 9}])
def test_temperature_zero_is_greedy_whatever_else_is_set(options):
    assert {step.token_id for step in steps(vlm.Decoding(temperature=0, **options))} == {
        int(LOGITS.argmax())
    }


def test_top_k_of_one_is_greedy():
    assert {step.token_id for step in steps(vlm.Decoding(temperature=5, top_k=1))} == {
        int(LOGITS.argmax())
    }


def test_nothing_outside_the_top_k_is_ever_chosen():
    best = set(LOGITS.topk(4).indices.tolist())
    answer = steps(vlm.Decoding(max_new_tokens=300, temperature=5, top_k=4))
    assert {step.token_id for step in answer} == best == set(kept(answer[0]))


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_nucleus_is_the_smallest_set_with_at_least_mass_p(top_p, temperature):
    shares = softmax(LOGITS.numpy() / temperature)
    nucleus = set(
        kept(steps(vlm.Decoding(max_new_tokens=1, temperature=temperature, top_p=top_p))[0])
    )
    inside, outside = (
        [shares[token] for token in nucleus],
        [shares[token] for token in set(range(VOCABULARY)) - nucleus],
    )
    assert sum(inside) >= top_p - 1e-6
    assert len(inside) == 1 or sum(inside) - min(inside) < top_p
    assert min(inside) >= max(outside, default=0)


def test_temperature_divides_the_logits():
    for temperature in (0.3, 1.0, 1, 3):
        shares = kept(steps(vlm.Decoding(max_new_tokens=1, temperature=temperature))[0])
        expected = softmax(LOGITS.numpy() / temperature)
        np.testing.assert_allclose(
            [shares.get(token, 0) for token in range(VOCABULARY)], expected, rtol=1e-3, atol=1e-12
        )


def test_tokens_are_drawn_as_often_as_their_share_says():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    answer = steps(vlm.Decoding(max_new_tokens=1024, temperature=1.5), logits)
    drawn = np.bincount([step.token_id for step in answer], minlength=4) / len(answer)
    assert np.abs(drawn - softmax(logits.numpy() / 1.5)).max() < 0.05


def test_the_repetition_penalty_counts_the_prompt_and_the_answer():
    logits = torch.zeros(VOCABULARY)
    logits[6], logits[20], logits[7] = 3.0, 2.5, -1.0  # 6 and 7 stand in the prompt
    first, second = steps(
        vlm.Decoding(max_new_tokens=2, temperature=1, top_k=0, repetition_penalty=2.0, seed=1),
        logits,
    )
    penalised = logits.numpy().copy()
    penalised[6], penalised[7] = 1.5, -2.0
    for step in (first, second):
        np.testing.assert_allclose(
            [kept(step)[token] for token in range(VOCABULARY)], softmax(penalised), rtol=1e-5
        )
        penalised[step.token_id] = logits[step.token_id] / 2  # all others are zero or positive
    greedy = steps(vlm.Decoding(max_new_tokens=2, repetition_penalty=2), logits)
    assert [step.token_id for step in greedy] == [20, 6]


def test_the_same_seed_gives_the_same_answer_and_another_seed_another():
    answers = [
        [step.token_id for step in steps(vlm.Decoding(max_new_tokens=20, temperature=2, seed=seed))]
        for seed in (3, 3, 4)
    ]
    assert answers[0] == answers[1] != answers[2]


def test_sampling_leaves_the_global_random_state_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    steps(vlm.Decoding(max_new_tokens=5, temperature=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_answer_ends_at_the_end_token_or_at_its_longest():
    best = int(LOGITS.argmax())
    ended = steps(vlm.Decoding(), ends=frozenset([best]))
    assert [step.is_end for step in ended] == [True] and ended[0].answer == ""
    full = steps(vlm.Decoding(max_new_tokens=7))
    assert [step.index for step in full] == list(range(7)) and not any(step.is_end for step in full)


def test_the_next_logits_are_asked_for_once_a_token_with_the_token_chosen():
    asked = []

    def next_logits(token):
        asked.append(token)
        logits = LOGITS if token is None else torch.roll(LOGITS, token)
        return NextLogits(logits, logits)

    decoding = vlm.Decoding(max_new_tokens=4)
    answer = list(decode(next_logits, TOKENIZER, ruled(decoding), decoding))
    assert asked == [None, *(step.token_id for step in answer[:-1])]


def test_a_character_of_several_tokens_appears_when_it_is_whole():
    text = "a 🐈 猫!"
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    queue = iter(ids)

    def next_logits(token):
        logits = torch.nn.functional.one_hot(torch.tensor(next(queue)), len(TOKENIZER)).float()
        return NextLogits(logits, logits)

    decoding = vlm.Decoding(max_new_tokens=len(ids))
    answer = list(decode(next_logits, TOKENIZER, ruled(decoding), decoding))
    assert answer[-1].answer == text
    assert all(text.startswith(step.answer) for step in answer) and all(
        "\N{REPLACEMENT CHARACTER}" not in step.answer for step in answer
    )
    assert all(step.token_string for step in answer)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("max_new_tokens", (1, 1024), (0, -1, 1025, 1.5, "4", None, True, math.nan)),
        ("temperature", (0, 0.0, 1, 5.0), (-0.1, 5.1, math.nan, math.inf, "1", None, False)),
        ("top_k", (0, 1, 1_000_000), (-1, 1_000_001, 2.0, None, True)),
        ("top_p", (0.01, 1, 1.0), (0, 0.0, 1.01, math.nan, "0.9", True)),
        ("repetition_penalty", (0.5, 1, 5.0, None), (0, 0.49, 5.01, math.inf, math.nan, "1")),
        ("seed", (0, 2**63 - 1), (-1, 2**63, 0.5, True)),
        ("alternatives", (1, 100), (0, 101, 1.0)),
    ],
)
def test_a_hyper_parameter_out_of_its_range_is_refused_with_its_range(name, good, bad):
    for value in good:
        vlm.Decoding(**{name: value})
    for value in bad:
        # so that the type checker of the tests does not refuse it first
        unchecked = object.__new__(vlm.Decoding)
        object.__setattr__(unchecked, name, value)
        with pytest.raises(vlm.DecodingError) as error:
            unchecked.__post_init__()
        message = str(error.value)
        assert (
            name in message
            and repr(value) in message
            and " to " in message
            and message.endswith(".")
        )


def test_the_default_is_greedy():
    assert vlm.Decoding().temperature == 0 and vlm.Decoding().repetition_penalty is None
    assert not ruled(vlm.Decoding()).processors


# what a generation_config.json may hold; a function where it depends on the plain answer and the
# length of the prompt
OWN = {
    "repetition_penalty": 1.8,
    "no_repeat_ngram_size": 1,
    "encoder_repetition_penalty": 1.8,
    "encoder_no_repeat_ngram_size": 1,
    "suppress_tokens": lambda said, length: said[:3],
    "begin_suppress_tokens": lambda said, length: said[:1],
    "bad_words_ids": lambda said, length: [said[:1], said[1:3]],
    "sequence_bias": lambda said, length: [[said[:1], -9.0], [said[2:4], -7.5], [[9], 0.5]],
    "min_new_tokens": 6,
    "min_length": lambda said, length: length + 6,
    "forced_eos_token_id": 3,
    "forced_bos_token_id": 5,
    "exponential_decay_length_penalty": (2, 3.5),
    "remove_invalid_values": True,
    "renormalize_logits": True,
}
IDLE = {"forced_bos_token_id", "remove_invalid_values", "renormalize_logits"}  # change no token


@pytest.fixture
def asked(tiny_model, wide_photo):
    """A tiny model's trace before its answer, and what its own `generate` takes."""
    trace = tiny_model.encode(wide_photo, "What is in this image?")
    return trace, tiny_model.on_device(tiny_model.inputs([wide_photo], trace.question))


def generated(model, inputs, **options) -> list[int]:
    """transformers' own greedy answer, by the settings of the checkpoint."""
    tokens = model.network.generate(**inputs, do_sample=False, max_new_tokens=12, **options)
    return tokens[0, inputs["input_ids"].shape[1] :].tolist()


def said(model, trace, **options) -> list[int]:
    decoding = vlm.Decoding(max_new_tokens=12, **options)
    return [step.token_id for step in model.decode(trace, decoding)]


def own(model, monkeypatch, **settings) -> None:
    """Let these have come with the checkpoint."""
    for name, value in settings.items():
        monkeypatch.setattr(model.network.generation_config, name, value)


@pytest.mark.parametrize("name", [*OWN, "all"])
def test_an_answer_obeys_what_came_with_the_checkpoint_as_generate_does(
    tiny_model, asked, name, monkeypatch
):
    trace, inputs = asked
    own(tiny_model, monkeypatch, eos_token_id=None)
    plain = said(tiny_model, trace)
    settings = {
        each: value(plain, len(trace.input_ids)) if callable(value) else value
        for each, value in OWN.items()
        if name in (each, "all")
    }
    ends = len(set(settings) & {"min_new_tokens", "min_length"}) > 0
    own(tiny_model, monkeypatch, eos_token_id=[plain[2], plain[4]] if ends else [300, 301])
    if name == "encoder_no_repeat_ngram_size":  # or the answer says nothing that the prompt says
        favoured = [[[int(trace.input_ids[-1])], 50.0]]
        own(tiny_model, monkeypatch, sequence_bias=favoured)
    before = said(tiny_model, trace)
    own(tiny_model, monkeypatch, **settings)
    expected = generated(tiny_model, inputs)
    assert said(tiny_model, trace) == expected
    assert name in IDLE or expected != before


def test_a_stop_string_ends_an_answer_as_it_does_in_generate(tiny_model, asked, monkeypatch):
    trace, inputs = asked
    own(tiny_model, monkeypatch, eos_token_id=None)
    tokenizer, plain = tiny_model.processor.tokenizer, said(tiny_model, trace)
    texts = [tokenizer.decode([number]) for number in plain]
    at = next(place for place, text in enumerate(texts[1:], 1) if text.isascii() and text.strip())
    own(tiny_model, monkeypatch, stop_strings=[texts[at]])
    answer = said(tiny_model, trace)
    assert answer == generated(tiny_model, inputs, tokenizer=tokenizer) == plain[: len(answer)]
    assert len(answer) <= at + 1 < len(plain)


def test_a_penalty_that_is_asked_for_takes_the_place_of_the_checkpoints(
    tiny_model, asked, monkeypatch
):
    trace, inputs = asked
    plain = said(tiny_model, trace)
    own(tiny_model, monkeypatch, repetition_penalty=1.8)
    assert said(tiny_model, trace, repetition_penalty=1.0) == plain
    assert said(tiny_model, trace) == said(tiny_model, trace, repetition_penalty=1.8) != plain
    for penalty in (1.0, 1.3):
        assert said(tiny_model, trace, repetition_penalty=penalty) == generated(
            tiny_model, inputs, repetition_penalty=penalty
        )


def test_what_came_for_drawing_is_obeyed_where_tokens_are_drawn(tiny_model, asked, monkeypatch):
    if tiny_model.network.device.type != "cpu":
        pytest.skip("generate draws with the GPU's own generator there")
    trace, inputs = asked
    before = said(tiny_model, trace, temperature=1.5, seed=7)
    settings = {"min_p": 0.1, "typical_p": 0.9, "epsilon_cutoff": 3e-4, "eta_cutoff": 3e-4}
    own(tiny_model, monkeypatch, **settings, suppress_tokens=before[:1], repetition_penalty=1.2)
    torch.manual_seed(7)
    drawn = tiny_model.network.generate(
        **inputs, do_sample=True, temperature=1.5, top_k=0, max_new_tokens=12
    )
    expected = drawn[0, len(trace.input_ids) :].tolist()
    assert said(tiny_model, trace, temperature=1.5, seed=7) == expected != before
    everything = list(range(len(tiny_model.processor.tokenizer)))
    own(tiny_model, monkeypatch, suppress_tokens=everything, eta_cutoff=None, typical_p=None)
    with pytest.raises(vlm.DecodingError, match="temperature 0"):
        said(tiny_model, trace, temperature=1.5)


def test_probabilities_are_the_models_own_whatever_came_with_the_checkpoint(
    tiny_model, asked, monkeypatch
):
    trace, _ = asked
    [first] = tiny_model.decode(trace, vlm.Decoding(max_new_tokens=1, alternatives=100))
    own(tiny_model, monkeypatch, suppress_tokens=[first.token_id], repetition_penalty=1.8)
    steps = list(tiny_model.decode(trace, vlm.Decoding(max_new_tokens=6, alternatives=100)))
    assert steps[0].token_id != first.token_id and steps[0].entropy == first.entropy
    best = steps[0].alternatives[0]
    assert (best.token_id, best.log_probability) == (first.token_id, first.log_probability)
    assert best.decoding_probability == 0 and steps[0].decoding_probability == 1
    scored = tiny_model.score(trace, [step.token_id for step in steps])
    np.testing.assert_allclose([step.log_probability for step in steps], scored, atol=1e-4)


def test_what_came_with_a_checkpoint_is_read_from_its_file(checkpoints, tmp_path, wide_photo):
    folder = shutil.copytree(checkpoints("clip"), tmp_path / "own")
    file = folder / "generation_config.json"
    file.write_text(
        json.dumps(
            json.loads(file.read_text())
            | {"repetition_penalty": 1.8, "suppress_tokens": [7], "min_p": 0.05, "do_sample": True}
            | {"temperature": 0.7, "top_k": 20, "num_beams": 3, "no_repeat_ngram_size": 0}
        )
    )
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text("raise SystemExit")
    model = vlm.load(folder)
    settings = model.own_settings
    assert settings.obeyed == {"repetition_penalty": 1.8, "suppress_tokens": [7]}
    assert settings.drawn == {"min_p": 0.05}
    assert settings.suggested == {"do_sample": True, "temperature": 0.7, "top_k": 20}
    assert settings.ignored == {"num_beams": 3, "custom_generate": "generate.py"}
    trace = model.encode(wide_photo, "What is this?")
    inputs = model.on_device(model.inputs([wide_photo], trace.question))
    assert said(model, trace) == generated(model, inputs, num_beams=1)


def test_a_checkpoint_with_none_of_its_own_has_none(tiny_model):
    settings = tiny_model.own_settings
    assert not (settings.obeyed or settings.drawn or settings.suggested or settings.ignored)


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": -1.0},
        {"repetition_penalty": 2},
        {"no_repeat_ngram_size": "three"},
        {"bad_words_ids": [3]},
        {"bad_words_ids": [[10_000]]},
        {"sequence_bias": {"cat": 1.0}},
        {"exponential_decay_length_penalty": [2]},
        {"suppress_tokens": "all"},
        {"min_length": "long"},
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_obeyed_is_one_sentence(tiny_model, asked, settings, monkeypatch):
    trace, _ = asked
    own(tiny_model, monkeypatch, **settings)
    with pytest.raises(vlm.ModelError, match=r"generation_config\.json cannot be obeyed"):
        said(tiny_model, trace)
