"""Programs that skip the page and send what is no number, no plane, no experiment: one sentence
each, or it is done.
"""

import json
import math
import os
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vlm
from app.handlers.links import restored
from app.run_request import Plane, decoding
from tests.app.asking import GREEDY, LAYOUT, answers, is_refused, run, server

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("tiny_page")]
NUMBERS = (
    math.nan,
    math.inf,
    -math.inf,
    -1,
    1e308,
    -1e308,
    10**400,
    2**63,
    -(2**63),
    0.5,
    1e-320,
    1e-40,
    "1",
    "",
    "NaN",
    "1e999",
    None,
    True,
    [],
    [0],
    {},
    {"a": 1},
    b"1",
    1j,
)
BOUNDED = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [
            "KEY",
            "ANSWER",
            "../..",
            "/etc/passwd",
            "<image>",
            "mean",
            "remove",
            "sweep",
            "\ud800",
            10**30,
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["run", "answer", "kind", "tokens", "path", "seed", "how", "word", "other"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
ASKED_BY_SCRIPT = {
    name: getattr(server, name)
    for name in (
        "layer",
        "rows",
        "word",
        "lens",
        "lens_rows",
        "word_maps",
        "looked",
        "relevancy",
        "ablation",
        "cell",
        "tensors",
    )
}


@pytest.fixture
def kept(uploaded):
    """The keys of a run and of its answer."""
    return run(uploaded)[0][0]["run"], answers(uploaded)[-1]["key"]


@pytest.mark.parametrize("place", range(len(GREEDY)))
def test_a_setting_that_is_no_number_is_refused(place):
    for value in NUMBERS:
        given = [*GREEDY]
        given[place] = value
        taken = not is_refused(lambda given=given: decoding(*given))
        assert not taken or (
            isinstance(value, (int, float)) and math.isfinite(value) and 0 <= value <= 2**63
        )


@pytest.mark.parametrize("temperature", [0.001, 0.01, 5.0])
@pytest.mark.parametrize("top", [(0, 1.0), (1, 0.01), (1_000_000, 0.01)])
def test_whatever_setting_is_taken_gives_an_answer(uploaded, temperature, top):
    steps = answers(uploaded, settings=(temperature, *top, 5.0, 2**63 - 1, 3))[-1]["steps"]
    assert steps and all(0 <= step["decoding"] <= 1 for step in steps)


def test_a_temperature_too_small_for_its_logits_is_refused():
    for temperature in (5e-324, 1e-40, 1e-5):
        with pytest.raises(vlm.DecodingError, match="greedy"):
            vlm.Decoding(temperature=temperature)


@pytest.mark.parametrize("place", range(len(LAYOUT)))
def test_a_plane_or_a_size_that_is_no_number_is_refused(place):
    for value in NUMBERS:
        for method in ("pca", "tsne"):
            given = [method, *LAYOUT[1:]]
            given[place] = value
            taken = not is_refused(lambda given=given: Plane.of(*given))
            assert not taken or (
                place in (1, 2, 3)
                and isinstance(value, (int, float))
                and not isinstance(value, bool)
            )
        assert is_refused(lambda value=value: server.ledger(value, 100)) and is_refused(
            lambda value=value: server.ledger(100, value)
        )


@pytest.mark.parametrize(
    "name",
    [
        "tokens",
        "seed",
        "factor",
        "layer",
        "share",
        "first",
        "last",
        "step",
        "word",
        "how",
        "way",
        "other",
        "kind",
        "answer",
    ],
)
def test_an_experiment_with_what_is_no_number_is_refused_or_done(kept, name):
    whole = {
        "tokens": [1],
        "how": "mean",
        "factor": 0.5,
        "seed": 0,
        "layer": 1,
        "share": 0.5,
        "way": "picture → answer",
        "first": 1,
        "last": 2,
        "other": kept[0],
        "word": "",
        "step": 0,
    }
    for kind in ("remove", "rescale", "fastv", "knockout", "sweep", "paste"):
        for value in (
            math.nan,
            math.inf,
            -1,
            10**400,
            "1",
            None,
            [],
            {},
            "x" * 5_000,
            [10**30],
            "\ud800",
        ):
            asked = whole | {"answer": kept[1], "kind": kind} | {name: value}
            events = server.experiment(SimpleNamespace(_data=asked))
            is_refused(lambda events=events: next(events))
            events.close()


@BOUNDED
@given(
    name=st.sampled_from([*ASKED_BY_SCRIPT, "experiment", "findings"]),
    asked=JSON | st.lists(JSON, min_size=2, max_size=3),
)
def test_whatever_a_script_asks_is_answered_in_a_dictionary(kept, name, asked):
    keys = {"KEY": kept[0], "ANSWER": kept[1]}
    asked = (
        [keys.get(part, part) if isinstance(part, str) else part for part in asked]
        if isinstance(asked, list)
        else asked
    )
    if name in ASKED_BY_SCRIPT:
        reply = ASKED_BY_SCRIPT[name](asked)
        assert isinstance(reply, dict) and (
            "error" not in reply or (len(reply["error"]) < 400 and "\n" not in reply["error"])
        )
    else:
        is_refused(lambda: next(getattr(server, name)(SimpleNamespace(_data=asked))))


@BOUNDED
@given(
    link=st.dictionaries(
        st.sampled_from(
            [
                "example",
                "question",
                "model",
                "temperature",
                "seed",
                "top_k",
                "selected",
                "open",
                "layer",
                "method",
                "dimensions",
            ]
        ),
        st.text(max_size=12)
        | st.sampled_from(
            ["chelsea.jpg", "../chelsea.jpg", "nan", "1e999", "9" * 4_400, "٣", "pca", "\ud800"]
        ),
        max_size=11,
    )
)
def test_whatever_a_link_says_is_taken_or_left(link):
    good = {
        "example": "chelsea.jpg",
        "question": "What?",
        "temperature": "0",
        "top_k": "0",
        "top_p": "1",
        "repetition_penalty": "1",
        "seed": "0",
        "max_new_tokens": "4",
    }
    good |= {
        "method": "pca",
        "dimensions": "2",
        "projection_seed": "0",
        "neighbours": "15",
        "metric": "cosine",
    }
    found = restored(
        server, "#" + "&".join(f"{name}={value}" for name, value in (good | link).items())
    )
    assert found is None or (
        os.path.basename(found[0]) == "chelsea.jpg"
        and all(0 <= token < 10**6 for token in found[-1]["selected"])
    )
    json.dumps(found and found[-1]).encode()
    assert (
        restored(server, None) is restored(server, ["#"]) is restored(server, "#" * 10_000) is None
    )


@pytest.mark.parametrize("question", [None, 7, [], {}, True, "\ud800", "\0", "x" * 2_001])
def test_what_is_no_question_is_refused(uploaded, question):
    assert is_refused(lambda: run(uploaded, question)) or question == "\0"
    for texts in (question, f"a cat\n{question}" if question == "\ud800" else None):
        assert (
            is_refused(lambda texts=texts: server.similarity_endpoint([uploaded], texts))
            or question == "\0"
        )


def test_a_run_of_another_visitor_is_not_found_by_guessing(kept):
    """The key of a run stands for its photo and question: who has neither cannot ask about it."""
    key, _ = kept
    for guess in (
        "",
        "-",
        ".",
        key[:-1],
        key[1:],
        key.upper(),
        key + "-",
        key.partition("-")[0],
        f"*{key[1:]}",
        "%",
        "None",
        key.replace("-", "."),
    ):
        assert (
            set(server.layer([guess, 0])) == {"error"}
            and set(server.word([guess, 0])) == {"error"}
            and set(server.tensors([guess])) == {"error"}
        )
    assert len(key.partition(".")[0]) == 32 and "error" not in server.layer([key, 0])
