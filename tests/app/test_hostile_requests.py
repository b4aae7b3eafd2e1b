"""Requests that no browser would send: no file is read, no address asked, no function called that
is none.
"""

import http.server
import json
import threading

import pytest

from app import limits
from app.inputs import asks_elsewhere
from tests.app.asking import GREEDY, QUESTION


@pytest.fixture
def elsewhere():
    """An address of this machine that somebody might be sent to, and how often it was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200), self.end_headers()

        do_HEAD = do_POST = do_GET

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown(), server.server_close()


def called(wire, number: int, data, session: str = "hostile", **more) -> dict:
    """The last that an endpoint says, named or not."""
    joined = wire.post(
        "gradio_api/queue/join",
        content=json.dumps({"data": data, "fn_index": number, "session_hash": session, **more}),
        headers={"content-type": "application/json"},
    )
    if joined.status_code != 200:
        return {"success": False, "output": {"error": joined.text}}
    with wire.stream("GET", f"gradio_api/queue/data?session_hash={session}") as stream:
        for line in stream.iter_lines():
            if line.startswith("data:") and json.loads(line[5:])["msg"] in (
                "process_completed",
                "unexpected_error",
            ):
                return json.loads(line[5:])
    raise AssertionError("the stream ended without a word")


def endpoints(wire) -> list[dict]:
    """Every dependency of the page that Python answers."""
    return [each for each in wire.get("config").json()["dependencies"] if each["backend_fn"]]


def file_at(path: str, **more) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def test_every_endpoint_refuses_what_is_not_of_its_kind(wire, client, picture, elsewhere, url):
    from gradio_client import handle_file

    def ask():
        return client.predict(handle_file(picture), QUESTION, *GREEDY, api_name="/answer")

    before, found = ask(), endpoints(wire)
    assert len(found) > 20
    address, asked = elsewhere
    secret = [
        file_at("/etc/passwd"),
        file_at(f"http://{address}/x.png"),
        file_at("/etc/passwd", url=f"http://{address}/x.png"),
        file_at("../../../../etc/passwd", is_stream=True),
    ]
    said = []
    for number, each in enumerate(found):
        wanted = len(each["inputs"])
        for value in (
            None,
            secret[number % 4],
            [secret[(number + 1) % 4]],
            {"a": {"b": []}},
            "<b>x</b>",
            1e308,
        ):
            said.append(
                called(wire, each["id"], [value] * wanted, f"hostile{number}", event_data=value)
            )
        said.append(called(wire, each["id"], [None] * (wanted + 3), f"hostile{number}"))
        said.append(called(wire, each["id"], [], f"hostile{number}"))
    text = json.dumps(said)
    assert (
        len(said) == 8 * len(found)
        and "root:" not in text
        and "Traceback" not in text
        and asked == []
    )
    assert ask() == before  # and nobody lost anything


def test_no_address_is_asked_for_a_stranger(wire, elsewhere):
    address, asked = elsewhere
    [answer] = [each["id"] for each in endpoints(wire) if each["api_name"] == "answer"]
    for path in (
        f"http://{address}/x.png",
        f"HTTP://{address}/x.png",
        f"https://{address}/x.png",
        f"http://localhost:{address.rpartition(':')[2]}/x.png",
        f"http://2130706433:{address.rpartition(':')[2]}/x",
        f"ftp://{address}/x",
        "file:///etc/passwd",
    ):
        assert asks_elsewhere([{"deep": [file_at(path)]}])
        reply = called(wire, answer, [file_at(path), QUESTION, *GREEDY])
        assert (
            not reply["success"] and "fetches nothing from an address" in reply["output"]["error"]
        )
        for way in ("file", "proxy"):
            assert wire.get(f"gradio_api/{way}={path}").status_code in (400, 403, 404)
    assert asked == [] and not asks_elsewhere([file_at("/tmp/a:b.png", url="http://127.0.0.1/x")])


def test_only_what_was_uploaded_is_served(wire, uploads, tmp_path):
    (tmp_path / "secret.txt").write_text("root:")
    for path in (
        "/etc/passwd",
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        str(tmp_path / "secret.txt"),
        f"{uploads}/../../etc/passwd",
        "/proc/self/environ",
        "app.py",
        ".git/config",
        "vlm/pipeline/model.py",
        "assets/embedded/vlm.safetensors",
        "\\\\host\\x",
    ):
        reply = wire.get(f"gradio_api/file={path}")
        assert reply.status_code in (400, 403, 404) and "root:" not in reply.text
    for path in (
        "gradio_api/deep_link?session_hash=hostile0",
        "monitoring",
        "monitoring/summary",
        "gradio_api/vibe-code",
        "gradio_api/proxy=https://x.hf.space/",
    ):
        assert wire.get(path).status_code == 404
    assert wire.post("gradio_api/process_recording").status_code == 404
    assert not (uploads / "deep_links").exists()


def test_a_function_that_is_none_is_not_called(wire):
    components = [
        each
        for each in wire.get("config").json()["components"]
        if each["type"] in ("html", "textbox", "image", "button")
    ]
    for component in components[:12]:
        for name in (
            "preprocess",
            "postprocess",
            "__class__",
            "__init__",
            "get_config",
            "unrender",
            "as_example",
            "load",
            "_id",
            "",
            "layer\0",
            "../layer",
        ):
            reply = wire.post(
                "gradio_api/component_server",
                json={
                    "session_hash": "x",
                    "component_id": component["id"],
                    "fn_name": name,
                    "data": [],
                },
            )
            assert reply.status_code in (404, 422, 500) and "Traceback" not in reply.text
    [feed] = [each["id"] for each in components if each["props"].get("elem_id") == "feed-record"]
    for data in (
        None,
        7,
        "x",
        [],
        ["/etc/passwd", 1],
        [file_at("/etc/passwd"), 0],
        [["x"] * 1_000] * 5,
        {"path": "/etc/passwd"},
    ):
        reply = wire.post(
            "gradio_api/component_server",
            json={"session_hash": "x", "component_id": feed, "fn_name": "layer", "data": data},
        )
        assert reply.status_code == 200 and set(reply.json()) == {"error"}


def test_a_request_that_is_too_large_or_too_deep_ends_in_a_sentence(wire):
    long = json.dumps({"data": ["x" * limits.REQUEST], "fn_index": 0, "session_hash": "x"})

    def chunks():  # no length is claimed
        return (b" " * 10_000 for _ in range(100))

    for path in (
        "gradio_api/queue/join",
        "gradio_api/component_server",
        "gradio_api/call/answer",
        "gradio_api/run/answer",
    ):
        for content in (long, chunks()):
            reply = wire.post(path, content=content, headers={"content-type": "application/json"})
            told = reply.status_code == 413 and limits.TOO_LONG in reply.text
            # Gradio's own words where it reads by itself
            assert told or (
                content is not long and reply.status_code == 400 and len(reply.text) < 100
            ), (path, reply.text)
        deep = wire.post(path, content=b"[" * 100_000, headers={"content-type": "application/json"})
        assert 400 <= deep.status_code < 600 and "Traceback" not in deep.text
    assert wire.get("config").status_code == 200
