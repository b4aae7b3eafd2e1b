"""A hub on this machine, for the tests: it serves folders as models, and fails in every way that
the real one can.
"""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

NAME = "someone/tiny-llava"
COMMIT = "1234567890abcdef1234567890abcdef12345678"
LATER = "fedcba0987654321fedcba0987654321fedcba09"


class FakeHub:
    """What is on it and what was asked of it.

    Attributes:
        models: name -> folder; `commit` is the newest of them all.
        refused: name -> (status, X-Error-Code) given instead of any file or record.
        cut: file name -> how many bytes of it are sent, once; the connection then ends.
        changed: file name -> bytes sent instead of its own.
        asked: (method, path) of every request.
        gone_after: how many requests are answered; to later ones the connection is closed without a
            word.
    """

    def __init__(self) -> None:
        self.models: dict[str, Path] = {}
        self.refused: dict[str, tuple[int, str]] = {}
        self.cut: dict[str, int] = {}
        self.changed: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.gone_after: int | None = None
        self.commit = COMMIT
        self.url = ""

    @property
    def fetched(self) -> list[str]:
        """Names of the files that were sent."""
        return [
            path.rpartition("/")[2]
            for method, path in self.asked
            if method == "GET" and "/resolve/" in path
        ]

    def record(self, name: str, revision: str | None) -> dict:
        siblings = []
        for path in sorted(self.models[name].rglob("*")):
            if path.is_file():
                entry = {
                    "rfilename": path.relative_to(self.models[name]).as_posix(),
                    "size": path.stat().st_size,
                    "blobId": hashlib.sha1(path.read_bytes()).hexdigest(),
                }
                if path.suffix == ".safetensors":
                    entry["lfs"] = {
                        "size": entry["size"],
                        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                        "pointerSize": 134,
                    }
                siblings.append(entry)
        commit = revision if revision and len(revision) == 40 else self.commit
        return {
            "id": name,
            "modelId": name,
            "sha": commit,
            "siblings": siblings,
            "private": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
        }


@contextmanager
def fake_hub():
    """A `FakeHub` on a free port, until the end of the block."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments) -> None:
            pass

        def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append((self.command, path))
            if hub.gone_after is not None and len(hub.asked) > hub.gone_after:
                self.close_connection = True
                return None
            parts = path.removeprefix("/api/models").strip("/").split("/")
            name, rest = "/".join(parts[:2]), parts[2:]
            if name in hub.refused:
                status, code = hub.refused[name]
                return self.reply(status, **({"X-Error-Code": code} if code else {}))
            if name not in hub.models:
                return self.reply(404, X_Error_Code="RepoNotFound")
            revision = rest[1] if len(rest) > 1 else None
            if revision and len(revision) != 40 and revision != "main":
                return self.reply(404, X_Error_Code="RevisionNotFound")
            if path.startswith("/api/models"):
                return self.reply(
                    200,
                    json.dumps(hub.record(name, revision)).encode(),
                    Content_Type="application/json",
                )
            return self.send_file(hub.models[name] / "/".join(rest[2:]), revision)

        do_HEAD = do_GET

        def send_file(self, path: Path, revision: str) -> None:
            if not path.is_file():
                return self.reply(404, X_Error_Code="EntryNotFound")
            body = hub.changed.get(path.name, path.read_bytes())
            headers = {
                "X-Repo-Commit": revision,
                "ETag": f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"',
                "Content-Length": str(len(body)),
                "Accept-Ranges": "bytes",
            }
            if self.command == "HEAD":
                headers["Content-Length"] = str(path.stat().st_size)
                return self.reply(200, **headers)
            start = (
                int(self.headers["Range"].removeprefix("bytes=").split("-")[0])
                if "Range" in self.headers
                else 0
            )
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            headers["Content-Length"] = str(len(body) - start)
            self.send_response(206 if start else 200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            cut = hub.cut.pop(path.name, None)
            self.wfile.write(body[start:] if cut is None else body[start : start + cut])
            self.close_connection = cut is not None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
