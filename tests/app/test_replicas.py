"""Several processes: each serves the whole page, and a visitor is known by a cookie of their own,
so that they come back to the process they began with.
"""

import sys

import pytest
from starlette.testclient import TestClient

from app import replicas
from app.__main__ import main


@pytest.fixture
def mounted(tiny_page):
    """The page as one of several processes has it."""
    return replicas.page()


def test_who_has_no_cookie_gets_one_of_their_own_and_keeps_it(mounted):
    one, other = TestClient(mounted), TestClient(mounted)
    assert one.get("/").status_code == other.get("/").status_code == 200
    cookie = one.cookies[replicas.COOKIE]
    assert cookie != other.cookies[replicas.COOKIE] and len(cookie) == 32
    again = one.get("/config")
    assert "set-cookie" not in again.headers and one.cookies[replicas.COOKIE] == cookie


def test_the_page_of_a_process_has_all_that_the_page_has(mounted):
    text = TestClient(mounted).get("/").text
    for part in ("window.VTE", "plotly.min.js", "#views"):
        assert part in text


def test_a_request_that_is_too_large_is_refused_there_too(mounted):
    assert (
        TestClient(mounted)
        .post(
            "/gradio_api/queue/join",
            content=b"x" * 2_000_000,
            headers={"content-type": "application/json"},
        )
        .status_code
        == 413
    )


def test_without_ray_the_command_says_in_one_sentence_what_to_bring(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["replicas", "--count", "2"]) == 2
    said = capsys.readouterr().err
    assert "ray[serve]" in said and len(said.strip().splitlines()) == 1
