"""How much visitors may send: in one request, and all of them together on the disk of whoever serves the page.

Gradio bounds one uploaded file; how many there are, and how long a question in JSON is, nobody would count. What it keeps of uploads it
deletes after `KEPT` (`delete_cache`), and all of it when the page ends.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from anyio import to_thread
from gradio.utils import get_upload_folder
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST = 2**20  # bytes of a request that uploads nothing; the page's own stay below a hundredth
UPLOADS = 2 * 2**30  # bytes of all uploads together
SPARE = 500 * 2**20  # bytes of the disk that stay free
EVERY, KEPT = 600, 6 * 3600  # seconds: how often is looked, and after how long an upload is deleted

TOO_LONG = f"This request is larger than {REQUEST // 2**20} MB, which nothing on this page is; ask for less at once."
FULL = "There is no room for more photos on this server at the moment; use an example photo, or try again later."


class Bounded:
    """Stands before the page (ASGI) and ends a request that brings too much, in one sentence; what came of it is not kept."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        upload = scope["path"].rstrip("/").endswith("/upload")
        most, sentence = (await to_thread.run_sync(room), FULL) if upload else (REQUEST, TOO_LONG)
        claimed, come = Headers(scope=scope).get("content-length", "0"), 0
        refusal = PlainTextResponse(sentence, 507 if upload else 413)
        if not claimed.isdecimal() or int(claimed) > most:
            await refusal(scope, receive, send)
            return

        async def counted() -> Message:
            nonlocal come
            message = await receive()
            come += len(message.get("body", b""))
            if come > most or (upload and message["type"] == "http.disconnect"):
                raise MultiPartException(sentence)  # upon which Gradio throws away what it wrote
            return message

        try:
            await self.app(scope, counted, send)
        except MultiPartException:
            await refusal(scope, receive, send)


def sizes(folder: Path) -> Iterator[int]:
    """Bytes of every file in a folder, however deep; what goes away meanwhile is left out."""
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue


def room() -> int:
    """How many bytes may still be uploaded."""
    folder = Path(get_upload_folder())
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    return max(0, min(UPLOADS - sum(sizes(folder)), shutil.disk_usage(there).free - SPARE))


def middleware() -> dict:
    """For `demo.launch`: what FastAPI puts before the page."""
    return {"middleware": [Middleware(Bounded)]}
