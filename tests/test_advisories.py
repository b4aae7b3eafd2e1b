"""The look-up of known vulnerabilities says what it found, or why it did not look.

And where weights come from is pinned.
"""

import http.server
import json
import re
import threading

import pytest

import vlm
from tests import advisories
from vlm.embedded import assembly
from vlm.hub import fetch, store


@pytest.fixture
def index():
    """A package index that answers everything with (status, text)."""
    answer = [404, ""]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answer[0]), self.end_headers()
            self.wfile.write(answer[1].encode())

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", answer
    server.shutdown(), server.server_close()


def test_an_index_without_advisories_is_not_taken_for_a_clean_bill(index):
    address, answer = index
    for status, text, reason in (
        (404, "", "status 404"),
        (200, "<html>", "no JSON"),
        (200, "{}", "tells no vulnerabilities"),
        (500, "", "status 500"),
    ):
        answer[:] = status, text
        assert reason in advisories.not_told(address) and advisories.main(address).startswith(
            "Known vulnerabilities were not looked up"
        )
    assert "cannot be reached" in advisories.not_told("http://127.0.0.1:9")
    answer[:] = 200, json.dumps({"vulnerabilities": []})
    assert advisories.not_told(address) == ""


def test_the_summary_counts_what_was_not_looked_up_too():
    found = [
        {
            "name": "a",
            "version": "1",
            "vulns": [{"id": "X-1", "fix_versions": ["2"]}, {"id": "X-2", "fix_versions": []}],
        },
        {"name": "b", "version": "1", "vulns": []},
        {"name": "c", "skip_reason": "not there"},
    ]
    assert advisories.summary(found).splitlines() == [
        "a 1: X-1, mended in 2",
        "a 1: X-2, not mended yet",
        "2 known vulnerabilities in 2 packages; 1 packages could not be looked up.",
    ]


def test_every_base_weight_is_one_file_of_one_version_with_one_sha256():
    files = [value for value in vars(assembly).values() if isinstance(value, store.WheelFile)]
    assert len(files) >= 3
    for file in files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256) and re.fullmatch(r"[0-9.]+", file.version)
        assert not file.member.endswith((".bin", ".pt", ".pth", ".pkl", ".py", ".so"))


def test_every_listed_model_is_pinned_or_named_as_pinned_at_first_use():
    first_use = [model.name for model in vlm.MODELS if model.revision is None]
    assert all(fetch.COMMIT.fullmatch(model.revision) for model in vlm.MODELS if model.revision)
    assert len(first_use) <= 2  # none is added without its commit
