"""From nothing to the page, to the first word of an answer, and in a browser to every view: the
embedded model, assembled before, in a process of its own.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from gradio_client import Client, handle_file
from playwright.sync_api import sync_playwright

from tests.benchmark.pipeline import spread
from tests.load import Page, served
from tests.tiny import photo

ROOT = Path(__file__).parents[2]

WATCH = """
window.OPENED = {};
const THERE = {
  every_view: () => VTE.store.state.words
    && document.querySelector('#answer .token')
    && document.querySelector('#similarity [data-ready]')
    && document.querySelector('#ledger [data-ready]')
    && document.querySelector('#view-space [data-ready]'),
  axes: () => document.querySelector('#view-space [data-axes]'),
};
setInterval(() => {
  for (const [name, there] of Object.entries(THERE))
    if (!OPENED[name] && window.VTE && VTE.store && there())
      OPENED[name] = performance.now() / 1000;
}, 10);
"""


def cold(rounds: int) -> None:
    """Prints the seconds to the page, to the first word, and what the first word takes once the
    model is in memory.
    """
    reached, worded, again = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            picture = Path(folder) / f"{number}.png"
            photo(480, 640, seed=number).save(picture)
            begun = time.perf_counter()
            environment = {**os.environ, "GRADIO_SERVER_NAME": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
            server = subprocess.Popen(
                [sys.executable, "app.py"],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            try:
                address = next(
                    found[0]
                    for line in server.stdout
                    if (found := re.search(r"http://127\.0\.0\.1:\d+", line))
                )
                with urllib.request.urlopen(address) as page:
                    page.read()
                reached.append(time.perf_counter() - begun)
                client = Client(address, verbose=False)
                next(iter(client.submit(handle_file(picture), "What is this?", api_name="/answer")))
                worded.append(time.perf_counter() - begun)
                asked = time.perf_counter()
                next(
                    iter(
                        client.submit(
                            handle_file(picture), "What colour is it?", api_name="/answer"
                        )
                    )
                )
                again.append(time.perf_counter() - asked)
            finally:
                server.kill()
                server.wait()
    print("| seconds from the start of `python app.py` | median (least to most) |\n|---|---|")
    for name, seconds in (
        ("to the page", reached),
        ("to the first word of an answer", worded),
        ("then, from another question on the same photo to its first word", again),
    ):
        print(f"| {name} | {spread(seconds)} |", flush=True)


def opened(rounds: int) -> None:
    """Prints the seconds from opening the page to every view of its first example, in a browser
    that never saw the page and in one that did.
    """
    with served({}) as (address, _), sync_playwright() as playwright:
        visitor = Page(address)
        visitor.client.predict("", fn_index=visitor.status_number)  # until the models are loaded
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--headless", "--disable-gpu"],
        )
        print(
            "| seconds from opening the page, median (least to most) | every view | Plotly's axes"
            " |\n|---|---|---|"
        )
        known = browser.new_context(viewport={"width": 1440, "height": 900})
        for name, context in (
            (
                "a browser that never saw it",
                lambda: browser.new_context(viewport={"width": 1440, "height": 900}),
            ),
            ("one that did", lambda: known),
        ):
            times = []
            for _ in range(rounds + 1):
                page = context().new_page()
                page.add_init_script(WATCH)
                page.goto(address)
                page.wait_for_function("OPENED.axes && OPENED.every_view")
                times.append(page.evaluate("[OPENED.every_view, OPENED.axes]"))
                page.close()
            views, axes = zip(*times[1:])  # the browser itself has begun with the first
            print(f"| {name} | {spread(list(views))} | {spread(list(axes))} |", flush=True)
        browser.close()
