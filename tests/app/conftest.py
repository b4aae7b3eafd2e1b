"""The page on tiny models, served once, a client and a browser to use it."""

import base64
import dataclasses
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
from gradio_client import Client

from app.models import Background
from app.page import build, launch_options
from tests.app.asking import server
from tests.browser import chromium_path
from tests.tiny import photo

CHROMIUM_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
)
WINDOW = {"width": 1280, "height": 1000}


def unpacked(value: dict) -> np.ndarray:
    """An array as the page's script reads it."""
    return np.frombuffer(base64.b64decode(value["data"]), "<" + value["type"]).reshape(
        value["shape"]
    )


@pytest.fixture(scope="session", autouse=True)
def uploads(tmp_path_factory):
    """The folder of the visitors' uploads, one of our own."""
    folder = tmp_path_factory.mktemp("uploads").resolve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        yield folder


@pytest.fixture(scope="session")
def tiny_page(tiny_model, tiny_contrast):
    """`app.models` with tiny models in it, and no UMAP to warm up."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "language": tiny_model,
            "contrastive": tiny_contrast,
            "umap": True,
        }.items():
            patch.setattr(
                server.models, name, Background(name, lambda progress, value=value: value)
            )
        patch.setattr(
            server.precomputed, "weights", lambda: "tiny"
        )  # not those that made the examples
        server.models.begin_loading()
        yield server


@pytest.fixture
def configure(monkeypatch):
    """Say what the operator of the page under test wants."""

    def say(**settings: str) -> None:
        wanted = dataclasses.replace(server.settings, **settings)
        monkeypatch.setattr(server, "settings", wanted)

    return say


@pytest.fixture
def only_the_start(monkeypatch):
    """Nothing was chosen before, and nobody waits for a model that another test holds."""
    monkeypatch.setattr(server.models, "_chosen", {})
    monkeypatch.setattr(server.models, "runs_end", 0.0)


@pytest.fixture(scope="session")
def url(tiny_page):
    """The page on tiny models, served on a free port of this machine."""
    demo = build(server)
    _, address, _ = demo.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **launch_options(demo)
    )
    yield address
    demo.close()


@pytest.fixture(scope="session")
def client(url):
    """A program that uses the page's API."""
    return Client(url, verbose=False)


@pytest.fixture(scope="session")
def wire(url):
    """A program that speaks HTTP with the page and skips its client."""
    with httpx.Client(base_url=url, timeout=60) as speaker:
        yield speaker


@pytest.fixture
def upload(uploads):
    """Save a PIL image, or bytes, among the uploads under a name; gives the path as a string."""

    def save(content, name: str, **options) -> str:
        path = uploads / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path, **options)
        return str(path)

    return save


@pytest.fixture
def uploaded(upload):
    """A photo that is not square, among the uploads."""
    return upload(photo(90, 150), "wide.png")


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium."""
    path = chromium_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def profile(chromium):
    """A visitor's profile: what one window has fetched and compiled, the next one reuses."""
    context = chromium.new_context()
    yield context
    context.close()


@pytest.fixture
def visit(chromium, profile):
    """Open an address in a window.

    A second one at the same time, another visitor's, and one with options of its own get a profile
    of their own: windows of one profile share six connections to a server.

    At the end no script may have failed and no other machine may have been asked.
    """

    @contextmanager
    def window(address: str, viewport=WINDOW, **options):
        if options or profile.pages:
            page = chromium.new_page(viewport=viewport, **options)
        else:
            page = profile.new_page()
            page.set_viewport_size(viewport)
        page.set_default_timeout(30_000)
        failures, elsewhere = [], []
        page.on("pageerror", lambda error: failures.append(str(error)))
        origin = address.partition("?")[0].partition("#")[0]
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((origin, "data:", "blob:"))
                else elsewhere.append(request.url)
            ),
        )
        page.goto(address)
        yield page
        page.close()
        assert failures == []
        assert elsewhere == []

    return window


@pytest.fixture
def picture(tmp_path):
    """A photo that is not square, on the visitor's machine."""
    path = tmp_path / "wide.png"
    photo(90, 150).save(path)
    return path


@pytest.fixture
def pictures(tmp_path):
    """Three photos on the visitor's machine."""
    paths = [tmp_path / f"photo{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        photo(70, 90, seed=number).save(path)
    return paths
