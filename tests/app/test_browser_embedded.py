"""The page as `python app.py` serves it, with the embedded model, in a real browser."""

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.app.browsing import ask, expect, expect_selected, press_patch

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "assets" / "examples" / "chelsea.jpg"
AT_WHICH_THE_MODELS_WOULD_START = """
import os, runpy, sys
from urllib.request import urlopen
from app.models import Models
def start(models):
    with urlopen(sys.argv[1]) as page:
        print("the page says", page.status, "torch is there:", "torch" in sys.modules, flush=True)
    os._exit(0)
Models.begin_loading = start
runpy.run_path("app.py", run_name="__main__")
"""
NASTY = "<img src=x onerror=window.broken=1> ${window.broken=2} {{value}}"


def place() -> tuple[str, dict[str, str]]:
    """A free address of this machine, and the environment in which the page is served there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}/", {
        **os.environ,
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
    }


@pytest.fixture(scope="module")
def served(embedded_model):
    """`python app.py` with the embedded model, once its files are there: its address, as soon as
    the program says it.
    """
    address, environment = place()
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line)
            if address.rstrip("/") in line:
                break
        else:
            pytest.fail("".join(said))
        # a pipe that is full would stop it
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield address
    finally:
        process.terminate()
        process.wait(20)


def test_the_embedded_model_answers_on_the_page(served, visit):
    with visit(served) as page:
        page.set_default_timeout(180_000)
        expect.set_options(timeout=90_000)
        expect(page.locator("#status [data-ready*=vision-language]")).to_be_attached()
        page.fill("#texts textarea", "a photo of a cat\na rocket")
        ask(page, EXAMPLE, f"What animal is this? {NASTY}")
        for symbol, shape in {"x_p": "256 × 588", "X'": "256 × 1,152", "VT": "256 × 576"}.items():
            expect(page.locator(f'#stage-strip [data-symbol="{symbol}"] .shape')).to_have_text(
                shape
            )
        press_patch(page, 101)
        expect_selected(page, 101)
        expect(page.locator("#received .where")).to_contain_text(re.compile(r"\b101\b"))

        assert page.inner_text("#answer .text").strip()
        tokens = page.locator("#answer .token")
        assert tokens.count() >= 1
        tokens.first.hover()
        expect(page.locator("#answer .alternatives tbody tr")).to_have_count(8)

        expect(page.locator("#similarity [data-ready]:not([data-ready=''])")).to_be_attached()
        cells = page.locator("#similarity .matrix td")
        # a cat, not a rocket
        assert float(cells.nth(0).inner_text()) > float(cells.nth(1).inner_text())
        assert page.evaluate("window.broken") is None


@pytest.mark.long
def test_the_page_is_there_before_the_models_are():
    """Where `python app.py` would begin to read them, a visitor gets the page, and torch is not
    even imported.
    """
    address, environment = place()
    done = subprocess.run(
        [sys.executable, "-c", AT_WHICH_THE_MODELS_WOULD_START, address],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "the page says 200 torch is there: False", done.stderr
