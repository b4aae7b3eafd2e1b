"""Files that do not change while the page is served: read and compressed once, not again for every
visitor.

Gradio compresses each of the hundred files that a page is made of whenever somebody asks for it, a
fifth of a second for a visitor, and Plotly, which is five megabytes, for a tenth of a second in
which it does nothing else.
"""

import re

import brotli
from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .panels import bundle_url, plotly_url

# Gradio's own: their names carry a hash of what they hold, as that of the page's program does
HASHED = re.compile(r"/assets/[\w.-]+\.(js|css)")
PLOTLY, PROGRAM = f"/{plotly_url()}", f"/{bundle_url()}"
FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
QUALITY = 5  # of Brotli's 11; Gradio takes 4
OTHERWISE = ("range", "if-none-match", "if-modified-since")  # what asks for less than the file


def is_hashed(path: str) -> bool:
    """Whether what lies at a path never changes."""
    return path == PROGRAM or HASHED.fullmatch(path) is not None


class StaticCache:
    """Stands before the page (ASGI) and keeps the compressed answer to every such path.

    There are as many as there are files.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.answers = app, {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a fixed file from the kept compressed answers; pass all other requests on."""
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        wanted = (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and (is_hashed(scope["path"]) or scope["path"] == PLOTLY)
        )
        if (
            not wanted
            or "br" not in headers.get("accept-encoding", "")
            or any(name in headers for name in OTHERWISE)
        ):
            await self.app(scope, receive, send)
            return
        answer = self.answers.get(scope["path"]) or await self.fetch(scope, receive)
        if answer.status_code == 200:
            self.answers[scope["path"]] = answer
        await answer(scope, receive, send)

    async def fetch(self, scope: Scope, receive: Receive) -> Response:
        """What the page answers, compressed if it is a file."""
        messages: list[Message] = []

        async def heard(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, heard)
        start, *rest = messages
        body, headers = (
            b"".join(message.get("body", b"") for message in rest),
            dict(Headers(raw=start["headers"])),
        )
        if start["status"] == 200:
            body = await to_thread.run_sync(lambda: brotli.compress(body, quality=QUALITY))
            headers |= {"content-encoding": "br", "vary": "Accept-Encoding"} | (
                FOREVER if is_hashed(scope["path"]) else {}
            )
        headers.pop("content-length", None)
        return Response(body, start["status"], headers)
