"""How much visitors may send: in one request, and all of them together on the disk of whoever
serves the page.

Gradio bounds one uploaded file; how many there are, and how long a question in JSON is, nobody
would count. What it keeps of uploads it deletes after `KEPT` (`delete_cache`), and all of it when
the page ends.
"""

import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from anyio import to_thread
from gradio.utils import get_upload_folder
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST = 2**18  # bytes of a request that uploads nothing; the page's own stay below a fifth of it
# bytes of one that carries a photo of the largest size in letters, as language models' tools do
# (MCP)
WITH_PHOTO = 28 * 2**20
HEARD = 32 * 2**20  # bytes of a refused request that are let pass by, so that the refusal arrives
UPLOADS = 2 * 2**30  # bytes of all uploads together
SPARE = 500 * 2**20  # bytes of the disk that stay free
EVERY, KEPT = 600, 6 * 3600  # seconds: how often is looked, and after how long an upload is deleted

# What Gradio offers and this page has no use for: to fetch any address for whoever asks, to write a
# page's state on the disk, to hand an upload to ffmpeg, to tell of other visitors.
CLOSED = re.compile(
    r"/(file=https?:|proxy=|deep_link|monitoring|process_recording|vibe-)", re.IGNORECASE
)

TOO_LONG = (
    f"This request is larger than {REQUEST // 2**10} kB, which nothing on this page is; ask for"
    " less at once."
)
FULL = (
    "There is no room for more photos on this server at the moment; use an example photo, or try"
    " again later."
)


class RequestLimits:
    """Stands before the page (ASGI) and ends a request that brings too much, in one sentence.

    What came of it is not kept.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404 to a closed path, 413 or 507 to a body too large; pass the rest on."""
        if scope["type"] == "http" and CLOSED.search(scope["path"]):
            await PlainTextResponse("There is no such thing on this page.", 404)(
                scope, receive, send
            )
            return
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        upload, tool = scope["path"].rstrip("/").endswith("/upload"), "/mcp" in scope["path"]
        most, sentence = math.inf if upload else WITH_PHOTO if tool else REQUEST, TOO_LONG
        if (upload or tool) and (free := await to_thread.run_sync(free_upload_bytes)) < most:
            most, sentence = free, FULL
        # the server has checked that it is a number
        claimed, come = int(Headers(scope=scope).get("content-length", "0")), 0
        if claimed > most:
            # who still speaks does not hear
            while (
                come < min(claimed, HEARD)
                and (message := await receive())["type"] == "http.request"
            ):
                come += len(message["body"])
            await PlainTextResponse(sentence, 507 if sentence is FULL else 413)(
                scope, receive, send
            )
            return

        async def counted() -> Message:
            nonlocal come
            message = await receive()
            come += len(message.get("body", b""))
            if come > most or (upload and message["type"] == "http.disconnect"):
                # upon the first of the two Gradio throws away what it wrote
                raise MultiPartException(sentence) if upload else HTTPException(413, sentence)
            return message

        await self.app(scope, counted, send)


def file_sizes(folder: Path) -> Iterator[int]:
    """Bytes of every file in a folder, however deep; what goes away meanwhile is left out."""
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue


def free_upload_bytes() -> int:
    """How many bytes may still be uploaded."""
    folder = Path(get_upload_folder())
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    return max(0, min(UPLOADS - sum(file_sizes(folder)), shutil.disk_usage(there).free - SPARE))
