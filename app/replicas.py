"""The same page in several processes, behind Ray Serve: `pip install "ray[serve]"`, then `python -m
app replicas --count 2`.

A run and what is kept of it, the line for the model, and a visitor's choice of a model live in one
process. So a visitor has to come back to
the process they began with: a cookie says who they are, and Serve's router sends one cookie always
to the same process.
"""

import os
import uuid
from collections.abc import Callable

import vlm

COOKIE = "visitor"
# what the router goes by; read when Ray is imported
os.environ.setdefault("RAY_SERVE_SESSION_ID_HEADER_KEY", "cookie")
ROUTER = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
AT_ONCE = 1_000  # requests under way in one process; every open page holds one or two all the time


class Named:
    """ASGI middleware that gives who has none a cookie of their own."""

    def __init__(self, app: Callable) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Pass the request on; set the cookie in the answer to a browser that brought none."""
        if scope["type"] != "http" or f"{COOKIE}=".encode() in dict(scope["headers"]).get(
            b"cookie", b""
        ):
            return await self.app(scope, receive, send)

        async def named(message: dict) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{COOKIE}={uuid.uuid4().hex}; Path=/; HttpOnly; SameSite=Lax"
                message["headers"] = [*message.get("headers", ()), (b"set-cookie", cookie.encode())]
            await send(message)

        await self.app(scope, receive, named)


def page():
    """One process' page, its models loading behind it, as an ASGI application."""
    from . import gpu  # noqa: F401  before all else, as in app.py

    # isort: split
    import gradio as gr
    from fastapi import FastAPI

    from .page import build, launch_options

    demo = build()
    demo.backend.models.begin_loading()
    options = {
        name: value
        for name, value in launch_options(demo).items()
        if name != "state_session_capacity"
    }
    outer = FastAPI()
    outer.add_middleware(Named)
    return gr.mount_gradio_app(outer, demo, "/", **options)


def serve_replicas(count: int, cores: float, host: str, port: int) -> None:
    """Serve the page from several processes, each with some cores, until somebody ends them.

    Raises:
        vlm.VLMError: Ray Serve is not installed.
    """
    try:
        from ray import serve
        from ray.serve.config import HTTPOptions, RequestRouterConfig
    except ModuleNotFoundError as error:
        raise vlm.VLMError(
            f"Several processes need Ray Serve, and {error.name} is not installed here; bring it"
            ' with: pip install "ray[serve]"'
        ) from error

    @serve.deployment(
        num_replicas=count,
        max_ongoing_requests=AT_ONCE,
        ray_actor_options={"num_cpus": cores},
        request_router_config=RequestRouterConfig(
            request_router_class=ROUTER, request_router_kwargs={"num_fallback_replicas": 0}
        ),
    )
    @serve.ingress(page)
    class Replica:
        pass

    serve.start(http_options=HTTPOptions(host=host, port=port))
    serve.run(Replica.bind(), name="visual-token-explorer", blocking=True)
