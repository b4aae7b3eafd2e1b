"""What is taken home, and what a link asks for, without a browser."""

import base64
import io
import re
import zipfile
from urllib.parse import parse_qsl, urlencode

import gradio as gr
import pytest

import vlm
from app.handlers import take_home
from app.offline import MARK, offline_page
from app.run_request import PLANE, SETTINGS
from app.uploads import EXAMPLES
from tests.app.asking import run, server

EXAMPLE = str(EXAMPLES / "coffee.jpg")
LINK = (
    "#example=coffee.jpg&question=What+is+this%3F&model=embedded&temperature=0.5&top_k=3"
    "&top_p=1&repetition_penalty=1&seed=4&max_new_tokens=9&method=pca&dimensions=3"
    "&projection_seed=0&neighbours=15&metric=cosine&open=connector+space&layer=2&selected=5+6"
)


def changed(**values) -> str:
    return "#" + urlencode(
        {
            name: value
            for name, value in (dict(parse_qsl(LINK[1:])) | values).items()
            if value is not None
        }
    )


@pytest.fixture
def answered(tiny_page, uploaded):
    return next(
        update[2]["key"]
        for update in run(uploaded)
        if isinstance(update[2], dict) and update[2].get("key")
    )


def test_the_tensors_of_a_run_come_as_a_zip_that_is_repeated_to_the_last_bit(
    answered, tmp_path, tiny_model, monkeypatch
):
    reply = server.tensors([answered])
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(reply["data"]))) as archive:
        assert sorted(archive.namelist()) == ["photo-1.png", "run.json", "run.safetensors"]
        archive.extractall(tmp_path)
    assert vlm.replay(tmp_path / "run.json").identical


def test_a_run_that_is_forgotten_or_too_large_is_one_sentence(answered, monkeypatch):
    assert "no longer kept" in server.tensors(["nobody's"])["error"]
    monkeypatch.setattr(take_home, "MAX_BYTES", 1000)
    assert "vlm.save_run" in server.tensors([answered])["error"]


def test_the_page_to_keep_has_one_place_for_the_run_and_asks_nobody_for_anything():
    page = offline_page()
    assert server.offline([]) == {"page": page, "mark": MARK} and page.count(MARK) == 1
    assert "default-src 'none'" in page
    assert not re.findall(r"""\s(?:src|href)=["']?(?!data:)[\w/.]""", page) and not re.findall(
        r"https?://", page
    )
    assert page.count("<script") == page.count("</script>")  # no script ends another one


def test_a_run_tells_how_it_was_asked_for(tiny_page, uploaded):
    record, plane, *_ = run(EXAMPLE)[0]
    assert (
        record["asked"]["example"] == "coffee.jpg"
        and record["asked"]["model"] == server.models.name
    )
    assert tuple(record["asked"]["settings"]) == SETTINGS and tuple(plane["asked"]) == PLANE
    assert run(uploaded)[0][0]["asked"]["example"] is None


def test_a_link_fills_the_controls(tiny_page):
    path, question, *rest = server.restore(LINK)
    assert (path, question) == (EXAMPLE, "What is this?")
    assert rest == [
        0.5,
        3.0,
        1.0,
        1.0,
        4.0,
        9.0,
        "pca",
        3,
        0,
        15,
        "cosine",
        "embedded",
        server.models.first,
        {"selected": [5, 6], "open": ["connector", "space"], "layer": 2, "lesson": -1},
    ]


@pytest.mark.parametrize(
    "link",
    [
        "",
        "#",
        "#nonsense",
        None,
        7,
        "#" + "x" * 9000,
        changed(example="../../../etc/passwd"),
        changed(example="/etc/hostname"),
        changed(example=None),
        changed(question=None),
        changed(question="x" * 2001),
        changed(temperature="nan"),
        changed(temperature="99"),
        changed(seed="inf"),
        changed(top_k="<b>"),
        changed(method="magic"),
        changed(layer="x"),
        changed(selected="5 x"),
        changed(model="/etc"),
        changed(model="../secret"),
        changed(metric=None),
    ],
)
def test_what_is_no_link_of_ours_changes_nothing(tiny_page, link):
    assert all(value == gr.skip() for value in server.restore(link))
    assert len(server.restore(link)) == len(server.restore(LINK))


def test_a_link_brings_no_model(tiny_page, monkeypatch):
    told = []
    monkeypatch.setattr(gr, "Warning", told.append)
    monkeypatch.setattr(
        server.models, "choose", lambda choice: pytest.fail("a link must not load anything")
    )
    path, _, *rest = server.restore(changed(model="OWNER/NAME"))
    assert path == EXAMPLE and rest[-3] == "OWNER/NAME" and rest[-2] == rest[-1] == gr.skip()
    assert "Load it under Model" in told[0]
