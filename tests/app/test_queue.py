"""Many visitors, one model: everybody sees their place in the line, and who stops or leaves gives
the model free within a token.
"""

import json
import re
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import pytest
from gradio_client import Client, handle_file

import vlm
from app import models
from app.page import WAITING, build
from tests.app.asking import server
from tests.app.browsing import ask, expect
from tests.app.metered import Metered

# temperature, top-k, top-p, repetition penalty, seed, max_new_tokens
LONG = (0.0, 0, 1.0, 1.0, 0, 60)
MANY = 1_000  # more tokens than any answer has


@pytest.fixture
def metered(tiny_page, tiny_model, monkeypatch):
    """The page's model, one that waits to be let."""
    model = Metered(tiny_model)
    monkeypatch.setattr(
        server.models, "language", models.Background("language", lambda progress: model)
    )
    yield model
    model.allow(MANY)


def heard_everything(url: str) -> None:
    """The server has seen what happened before: it has answered somebody who came later."""
    for _ in range(3):
        assert httpx.get(f"{url}config").status_code == 200


def stop(url: str, client: Client, job) -> HTTPConnection:
    """What `job.cancel()` sends; Gradio replies when the token that is being computed is there."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    asked = {
        "session_hash": client.session_hash,
        "fn_index": client._infer_fn_index("/answer", None),
        "event_id": job.communicator.event_id,
    }
    connection.request(
        "POST", "/gradio_api/cancel", json.dumps(asked), {"Content-Type": "application/json"}
    )
    return connection


def answered(url: str, picture) -> str:
    return Client(url, verbose=False).predict(
        handle_file(picture), "And now?", *LONG, api_name="/answer"
    )


def test_a_program_that_stops_its_answer_frees_the_model_within_a_token(url, metered, picture):
    client = Client(url, verbose=False)
    job = client.submit(handle_file(picture), "What is in this image?", *LONG, api_name="/answer")
    metered.allow(2)
    next(job), next(job)
    assert metered.waits.wait(30) and metered.said == 2  # the third one is under way
    stopping = stop(url, client, job)
    heard_everything(url)
    metered.allow(MANY)
    assert stopping.getresponse().status == 200 and metered.ended.wait(30) and metered.said <= 3
    assert answered(url, picture)


def test_a_visitor_whose_connection_is_gone_frees_the_model_within_a_token(url, metered, picture):
    with httpx.Client(base_url=f"{url}gradio_api/", timeout=30) as http:
        [path] = http.post("upload", files={"files": ("wide.png", picture.read_bytes())}).json()
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        event = http.post(
            "call/answer", json={"data": [file, "What is in this image?", *LONG]}
        ).json()["event_id"]
        metered.allow(2)
        with http.stream("GET", f"call/answer/{event}") as stream:
            lines = (line for line in stream.iter_lines() if line.startswith("event: generating"))
            next(lines), next(lines)
            assert metered.waits.wait(30)
    heard_everything(url)
    metered.allow(MANY)
    assert metered.ended.wait(30) and metered.said <= 3
    assert answered(url, picture)


def test_a_visitor_who_leaves_the_line_is_not_computed_for(url, metered, picture):
    first, second = Client(url, verbose=False), Client(url, verbose=False)
    running = first.submit(
        handle_file(picture), "What is in this image?", *LONG, api_name="/answer"
    )
    metered.allow(1)
    next(running)
    assert metered.waits.wait(30)
    waiting = second.submit(handle_file(picture), "Where is it?", *LONG, api_name="/answer")
    while waiting.status().rank is None:
        assert not waiting.done()
    waiting.cancel()
    heard_everything(url)
    metered.allow(MANY)
    expected = metered.model.trace(
        vlm.open_image(picture), "What is in this image?", vlm.Decoding(max_new_tokens=LONG[-1])
    )
    assert running.result() == expected.answer
    assert metered.said == len(expected.steps) + 1  # one answer and its end


def test_the_place_in_the_line_is_told_in_words_until_it_is_ones_turn(url, visit, picture, metered):
    with visit(url) as first, visit(url) as second, visit(url) as third:
        for number, page in enumerate((first, second, third)):
            page.set_input_files("#photo input[type=file]", picture)
            expect(page.locator("#photo img").first).to_be_visible()
            page.fill("#question textarea", f"Is this number {number}?")
        first.click("#run")
        metered.allow(2)
        expect(first.locator("#answer .token")).to_have_count(2)
        second.click("#run")
        expect(second.locator("#status .waiting")).to_contain_text(
            "Waiting for the model: you are next"
        )
        third.click("#run")
        expect(third.locator("#status .waiting")).to_contain_text(
            "Waiting for the model: place 2 of 2 in line"
        )
        assert first.locator("#status .waiting").count() == 0
        second.click("#stop")
        expect(second.locator("#status .waiting")).to_have_count(0)
        expect(third.locator("#status .waiting")).to_contain_text("you are next")
        metered.allow(MANY)
        expect(third.locator("#answer [data-finished=true]")).to_be_attached()
        expect(third.locator("#status .waiting")).to_have_count(0)
        assert third.evaluate("VTE.store.state.record.question") == "Is this number 2?"
        metered.hold()
        first.click("#run")
        expect(first.locator("#answer .text.waiting")).to_be_attached()
        third.click("#run")  # how long a run takes is known by now
        expect(third.locator("#status .waiting")).to_have_text(
            re.compile(r"Waiting for the model: you are next, answered in about \d+ s")
        )
        metered.allow(MANY)
        expect(third.locator("#status .waiting")).to_have_count(0)
        assert (
            second.evaluate("VTE.store.state.record") is None
            or second.evaluate("VTE.store.state.record.question") != "Is this number 1?"
        )


def test_a_tab_that_is_closed_while_its_answer_comes_frees_the_model_within_a_token(
    url, visit, picture, metered
):
    with visit(url) as page:
        page.set_input_files("#photo input[type=file]", picture)
        expect(page.locator("#photo img").first).to_be_visible()
        page.click("#run")
        metered.allow(2)
        expect(page.locator("#answer .token")).to_have_count(2)
        assert metered.waits.wait(30)
    heard_everything(url)
    metered.allow(MANY)
    assert metered.ended.wait(30) and metered.said <= 3
    with visit(url) as page:
        ask(page, picture, "And now?")


def test_the_line_has_an_end():
    assert build(server)._queue.max_size == WAITING
