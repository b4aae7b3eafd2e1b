"""D_d: what each hyper-parameter promises, on logits that are known."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import vlm
from tests.tiny import tiny_tokenizer
from vlm.decoding import NextLogits, decode

VOCABULARY = 50
TOKENIZER = tiny_tokenizer()
LOGITS = torch.from_numpy(
    np.random.default_rng(5).normal(scale=2, size=VOCABULARY).astype(np.float32)
)
PROMPT = torch.tensor([6, 7, 8])


def steps(decoding: vlm.Decoding, logits=LOGITS, ends=frozenset()) -> list[vlm.Step]:
    """An answer from a model that gives the same logits whatever came before.

    Every token of it is reported.
    """
    return list(
        decode(
            lambda token: NextLogits(logits, logits),
            PROMPT,
            TOKENIZER,
            ends,
            dataclasses.replace(decoding, alternatives=VOCABULARY),
        )
    )


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
        step = next(
            decode(
                lambda token: NextLogits(LOGITS, LOGITS),
                PROMPT,
                TOKENIZER,
                frozenset(),
                vlm.Decoding(alternatives=count),
            )
        )
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

    answer = list(
        decode(next_logits, PROMPT, TOKENIZER, frozenset(), vlm.Decoding(max_new_tokens=4))
    )
    assert asked == [None, *(step.token_id for step in answer[:-1])]


def test_a_character_of_several_tokens_appears_when_it_is_whole():
    text = "a 🐈 猫!"
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    queue = iter(ids)

    def next_logits(token):
        logits = torch.nn.functional.one_hot(torch.tensor(next(queue)), len(TOKENIZER)).float()
        return NextLogits(logits, logits)

    answer = list(
        decode(next_logits, PROMPT, TOKENIZER, frozenset(), vlm.Decoding(max_new_tokens=len(ids)))
    )
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
        ("repetition_penalty", (0.5, 1, 5.0), (0, 0.49, 5.01, math.inf, math.nan, None)),
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
    assert vlm.Decoding().temperature == 0 and vlm.Decoding().repetition_penalty == 1
