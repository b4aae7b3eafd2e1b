"""The key of a run: one value, written and read in one place."""

import pytest

import vlm
from app.run_key import RunKey

RUN = RunKey.of(["0" * 32, "1" * 32], "a" * 12, "What is it?")


@pytest.mark.parametrize("key", [RUN, RUN.decoded(vlm.Decoding(seed=3))])
def test_a_key_that_travels_as_text_comes_back_the_same(key):
    assert RunKey.parse(str(key)) == key


def test_an_answer_leads_to_its_run_and_a_run_to_what_the_encoder_saw():
    answer = RUN.decoded(vlm.Decoding())
    assert answer.run == RUN and answer.encoded_image == RUN.encoded_image != RUN
    assert answer != RUN.decoded(vlm.Decoding(seed=1)) and answer.model == RUN.model
    other = RunKey.of(RUN.photos, RUN.model, "And what is this?")
    assert other != RUN and other.encoded_image == RUN.encoded_image
    assert RunKey.of(RUN.photos, RUN.model, " What is it?\n") == RUN


@pytest.mark.parametrize(
    "text", [None, 7, [], "", "-", str(RUN)[1:], f"{RUN}-", f"{RUN}\n", str(RUN).upper(), "x" * 9]
)
def test_what_is_no_key_is_none(text):
    assert RunKey.parse(text) is None
