"""Files that do not change reach every visitor whole, and are read once."""

from pathlib import Path

import brotli
import gradio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app import static_cache
from app.panels import PLOTLY_JS, bundle

BROTLI = {"accept-encoding": "br"}
ASSETS = next(path for path in gradio.__path__) + "/templates/frontend/assets"


@pytest.fixture
def served():
    """A page of one file, and how often it was asked for that."""
    asked = []

    def file(request):
        asked.append(request.url.path)
        return PlainTextResponse(
            "let a = 1;\n" * 100, 404 if "missing" in request.url.path else 200, {"etag": "one"}
        )

    return (
        TestClient(
            static_cache.StaticCache(
                Starlette(routes=[Route("/{path:path}", file, methods=["GET", "POST"])])
            )
        ),
        asked,
    )


def test_a_file_is_read_and_compressed_once(served):
    client, asked = served
    first, second = (client.get("/assets/a-B1_x.js", headers=BROTLI) for _ in range(2))
    assert asked == ["/assets/a-B1_x.js"]
    for reply in (first, second):
        assert (
            reply.text == "let a = 1;\n" * 100
            and reply.headers["content-encoding"] == "br"
            and int(reply.headers["content-length"]) < 100
        )
        assert (
            reply.headers["etag"] == "one"
            and "immutable" in reply.headers["cache-control"]
            and reply.headers["vary"] == "Accept-Encoding"
        )


@pytest.mark.parametrize(
    "path, headers",
    [
        ("/assets/a.js", {"accept-encoding": "gzip"}),
        ("/assets/a.js", BROTLI | {"range": "bytes=0-5"}),
        ("/assets/a.js", BROTLI | {"if-none-match": "one"}),
        ("/assets/missing.js", BROTLI),
        ("/assets/deeper/a.js", BROTLI),
        ("/config", BROTLI),
    ],
)
def test_everything_else_is_asked_for_each_time(served, path, headers):
    client, asked = served
    replies = [client.get(path, headers=headers) for _ in range(2)]
    assert asked == [path] * 2
    assert all(
        "content-encoding" not in reply.headers and reply.text == "let a = 1;\n" * 100
        for reply in replies
    )


def test_a_post_goes_through(served):
    client, asked = served
    assert client.post("/assets/a.js", headers=BROTLI).status_code == 200 and len(asked) == 1


def test_what_the_page_is_made_of_arrives_as_it_lies_on_the_disk(url):
    page = httpx.get(url).text
    name = page.partition('src="./assets/')[2].partition('"')[0]
    for path, file in (
        (f"assets/{name}", f"{ASSETS}/{name}"),
        (static_cache.PLOTLY[1:], PLOTLY_JS),
        (static_cache.PROGRAM[1:], bundle("page")),
    ):
        for _ in range(2):
            reply = httpx.get(f"{url}{path}", headers=BROTLI)
            assert (
                reply.headers["content-encoding"] == "br"
                and reply.content == Path(file).read_bytes()
            )
    # its name changes with what it holds: a browser keeps it, and it is in no response itself
    assert "immutable" in reply.headers["cache-control"] and static_cache.PROGRAM[1:] in page
    assert brotli  # httpx reads what is compressed only where this is
