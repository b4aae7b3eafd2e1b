"""The page as `python app.py` serves it, with the embedded model, in a real browser."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.app.browsing import ask, expect, expect_selected, press_patch

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "assets" / "examples" / "chelsea.jpg"
NASTY = "<img src=x onerror=window.broken=1> ${window.broken=2} {{value}}"


@pytest.fixture(scope="module")
def served(tmp_path_factory, embedded_model):
    """`python app.py` with the embedded model, once its files are there: its address, and the seconds until it answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    log = tmp_path_factory.mktemp("served") / "log.txt"
    environment = {**os.environ, "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    start = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        while True:
            try:
                urlopen(address, timeout=5).read()
                break
            except (URLError, ConnectionError, TimeoutError):
                assert process.poll() is None and time.monotonic() - start < 60, log.read_text()
        yield address, time.monotonic() - start
    finally:
        process.terminate()
        process.wait(20)


def test_the_embedded_model_answers_on_the_page(served, visit):
    address, _ = served
    with visit(address) as page:
        page.set_default_timeout(180_000)
        expect.set_options(timeout=90_000)
        expect(page.locator("#status [data-ready*=vision-language]")).to_be_attached()
        page.fill("#texts textarea", "a photo of a cat\na rocket")
        ask(page, EXAMPLE, f"What animal is this? {NASTY}")
        for symbol, shape in {"x_p": "256 × 588", "X'": "256 × 1,152", "VT": "256 × 576"}.items():
            expect(page.locator(f'#stage-strip [data-symbol="{symbol}"] .shape')).to_have_text(shape)
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
        assert float(cells.nth(0).inner_text()) > float(cells.nth(1).inner_text())  # a cat, not a rocket
        assert page.evaluate("window.broken") is None


def test_the_page_is_there_before_the_models_are(served):
    _, seconds = served
    assert seconds < 20  # six on a machine that does nothing else
