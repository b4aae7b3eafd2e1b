"""The three lenses, the lens table, a word everywhere, the findings and the comparisons: what the
page is told is what the library says.
"""

from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

import vlm
from app.uploads import EXAMPLES
from tests.app.asking import QUESTION, run, sentence, server
from tests.app.conftest import unpacked
from vlm.inspect import contextual_lens

pytestmark = pytest.mark.usefixtures("tiny_page")


@pytest.fixture
def asked(uploaded, tiny_model):
    """A run's key, and the run under inspection."""
    key = run(uploaded)[0][0]["run"]
    trace = tiny_model.encode(vlm.open_image(uploaded), QUESTION)
    return key, tiny_model.inspect(trace)


def ask_for_findings(**given) -> list[dict]:
    return list(
        server.findings(SimpleNamespace(_data={"tokens": [], "words": "", "absent": ""} | given))
    )


def test_three_lenses_read_one_token(asked, tiny_model, tmp_path, monkeypatch):
    key, look = asked
    monkeypatch.setenv("VISUAL_TOKEN_EXPLORER_CACHE", str(tmp_path))
    told = server.lens([key, 5])
    assert told["layers"] == look.logit_lens(5, count=4)
    assert [word for word, _ in told["entering"]] == [
        word for word, _ in look.embedding_lens([5], 4)[0]
    ]
    assert told["near"] == [] and "python -m vlm index" in told["without"]

    index = contextual_lens.build(
        tiny_model, ["a photo of a cat", "a dog on the grass", "what is in this image", "a cat"]
    )
    contextual_lens.save(index, contextual_lens.place(tiny_model))
    told = server.lens([key, 5])
    expected = look.contextual_lens(5, count=3, index=index)
    assert told["without"] == "" and [[phrase for phrase, *_ in row] for row in told["near"]] == [
        [phrase for phrase, *_ in row] for row in expected
    ]


def test_the_table_comes_in_blocks_that_say_what_the_lens_says(asked, tiny_model):
    key, look = asked
    blocks = [server.lens_rows([key, token]) for token in (3, 15)]
    ids, chances = (
        np.concatenate([unpacked(block[part]) for block in blocks]) for part in ("ids", "chances")
    )
    assert [block["first"] for block in blocks] == [0, 12] and ids.shape == chances.shape == (
        16,
        len(look.hidden_states()),
        5,
    )
    for token in (0, 7, 15):
        for layer, words in enumerate(server.lens([key, token])["layers"]):
            np.testing.assert_allclose(
                chances[token, layer, :4], [chance for _, chance in words], atol=6e-3
            )
            assert blocks[token // 12]["words"][ids[token, layer, 0]] == words[0][0]


def test_a_word_is_looked_for_at_every_layer_at_once(asked, tiny_model):
    key, look = asked
    found = server.word_maps([key, "dog"])
    np.testing.assert_allclose(unpacked(found["values"]), look.word_map("dog")[1], atol=1e-6)
    assert found["layers"] == len(look.hidden_states()) - 1


@pytest.mark.parametrize("bad", [[""], [7], ["dog " * 100], []])
def test_a_word_that_is_none_is_refused_in_a_sentence(asked, bad):
    assert set(server.word_maps([asked[0], *bad])) == {"error"}


@pytest.mark.parametrize("token", [-1, 16, "0", None, True])
def test_rows_of_no_token_are_refused_in_a_sentence(asked, token):
    assert set(server.lens_rows([asked[0], token])) == {"error"}


def test_findings_come_one_by_one_and_are_the_librarys(asked, tiny_model, tiny_contrast):
    key, look = asked
    updates = ask_for_findings(run=key, tokens=[5, 6], words="cat, dog")
    assert [len(update["rows"]) for update in updates] == list(range(len(vlm.findings.FACTS) + 1))
    told = updates[-1]
    assert told["run"] == key and told["total"] == len(told["rows"])
    expected = {
        each.fact.id: each
        for each in vlm.findings.check(look, tiny_contrast, tokens=[5, 6], words=["cat", "dog"])
    }
    for row in told["rows"]:
        if row["id"] not in (18, 19):  # these read the example photos
            assert (row["verdict"], row["sentence"]) == (
                expected[row["id"]].verdict,
                expected[row["id"]].sentence,
            )
        assert (
            row["tolerance"]
            and row["source"]
            and all(np.isfinite(value) for _, value in row["numbers"])
        )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"run": "gone"}, "no longer kept"),
        ({"tokens": "all"}, "not a list"),
        ({"tokens": [99]}, "no visual token 99"),
        ({"words": "a," * 11}, "11 words"),
        ({"words": "x" * 400}, "300 characters"),
        ({"absent": 7}, "characters"),
    ],
)
def test_findings_about_nothing_are_refused_in_a_sentence(asked, given, reason):
    with pytest.raises(gr.Error) as error:
        ask_for_findings(**{"run": asked[0]} | given)
    assert reason in sentence(error)


def test_every_example_has_a_sentence_for_the_findings():
    from app.handlers.findings import SENTENCES

    assert {path.name for path in EXAMPLES.glob("*.jpg")} == set(SENTENCES)


def test_the_page_agrees_with_the_model_itself(uploaded, tiny_model):
    updates = list(server.comparisons(uploaded, None, QUESTION, server.models.first))
    assert [update["finished"] for update in updates] == [False] * (len(updates) - 1) + [True]
    rows = updates[-1]["rows"]
    assert [
        row["name"]
        for row in rows
        if row["holds"] is False and row["name"] != "visual tokens in their boxes"
    ] == [] and len(rows) == 6
    assert dict(updates[-1]["versions"])["model"] == tiny_model.name
