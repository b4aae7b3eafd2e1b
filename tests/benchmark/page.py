"""How quickly the page answers the hand, and how much it is sent.

It serves the real page with random models of 576 and of 2,916 visual tokens, drives it in headless
Chromium with two stage views open, and measures from the time stamp of a pointer event to the end
of the animation frame in which every view was drawn again.
"""

import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

import vlm
from app.models import Background
from app.page import build, launch_options
from app.server import Server
from tests.tiny import photo, tiny_clip, tiny_llava

LISTEN = """kind => {
  const times = window.times = [];
  let start = 0;
  const overlay = document.querySelector('#received .overlay');
  overlay.addEventListener(kind, event => { start = event.timeStamp; }, true);
  VTE.store.subscribe(['hovered', 'selected'], () => {
    if (start) { times.push(performance.now() - start); start = 0; }
  });
}"""

OVER_WORDS = """() => {
  const times = window.times = [];
  let start = 0;
  const tokens = document.querySelector('#answer .tokens');
  tokens.addEventListener('mouseover', event => { start = event.timeStamp; }, true);
  VTE.store.subscribe(['overlay'], () => {
    if (start && VTE.store.state.overlay) { times.push(performance.now() - start); start = 0; }
  });
}"""


def measure(page, kind: str, count: int) -> list[float]:
    """Milliseconds from each of `count` pointer events on patches drawn by chance to the end of the
    frame that shows it.
    """
    page.evaluate(LISTEN, kind)
    box, chance = page.locator("#received .overlay").bounding_box(), random.Random(0)
    for number in range(count):
        page.mouse.move(
            box["x"] + chance.uniform(0.02, 0.98) * box["width"],
            box["y"] + chance.uniform(0.02, 0.98) * box["height"],
        )
        if kind == "pointerup":
            page.mouse.down()
            page.mouse.up()
        page.wait_for_function(
            "count => window.times.length >= count", arg=number + 1, timeout=5_000
        )
    return page.evaluate("window.times")


def words(page, count: int) -> list[float]:
    """Milliseconds from the pointer's coming to a word of the answer to the end of the frame that
    shows what it looked at.
    """
    page.evaluate(OVER_WORDS)
    tokens, chance, last = page.locator("#answer .token"), random.Random(0), -1
    for number in range(count):
        last = chance.choice([each for each in range(tokens.count()) if each != last])
        tokens.nth(last).hover()
        page.wait_for_function(
            "count => window.times.length >= count", arg=number + 1, timeout=5_000
        )
    return page.evaluate("window.times")


def received(page) -> list[int]:
    """A list to which bytes are added as they come from the server.

    What Chromium calls encodedDataLength leaves out parts of a stream.
    """
    session, sizes, fetched = page.context.new_cdp_session(page), [], set()
    session.send("Network.enable")
    session.on(
        "Network.requestWillBeSent",
        lambda event: (
            fetched.add(event["requestId"]) if event["request"]["url"].startswith("http") else None
        ),
    )
    session.on(
        "Network.dataReceived",
        lambda event: sizes.append(event["dataLength"]) if event["requestId"] in fetched else None,
    )
    return sizes


@contextmanager
def served(model, folder: Path) -> Iterator[str]:
    """The address of the page with this model, in this process."""
    server = Server()
    contrast = vlm.load_contrastive(tiny_clip(folder / "contrast"))
    for name, value in {"language": model, "contrastive": contrast, "umap": True}.items():
        setattr(server.models, name, Background(name, lambda progress, value=value: value))
    demo = build(server)
    _, url, _ = demo.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **launch_options(demo)
    )
    yield url
    demo.close()


def asked(page, picture: Path) -> None:
    """A photo and the question that stands there, to the last thing a run brings."""
    known = page.evaluate("VTE.store.state.record ? VTE.store.state.record.run : ''")
    page.set_input_files("#photo input[type=file]", picture)
    page.wait_for_function("document.querySelector('#photo img')")
    page.press("#question textarea", "Enter")
    page.wait_for_function(
        "known => VTE.store.state.words && !VTE.store.state.busy && VTE.store.state.words.run !=="
        " known",
        arg=known,
        timeout=120_000,
    )


def quickness(count: int) -> None:
    """Prints the latency of hover and click, and what a run sends."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--headless", "--disable-gpu"],
        )
        print(
            "| visual tokens | event | median ms | 95th percentile ms | largest ms"
            " |\n|---|---|---|---|---|"
        )
        sent = []
        for side in (24, 54):
            picture = folder / f"{side}.png"
            first = folder / f"{side}-first.png"
            # each its own: what was seen of a photo is kept
            photo(500, 500, seed=side).save(picture)
            photo(500, 500, seed=side + 1).save(first)
            model = vlm.load(
                tiny_llava(folder / str(side), "clip", "squash", side=14 * side, context=4096)
            )
            # every answer is as long as it may be: 32 tokens
            model.network.generation_config.eos_token_id = []
            with served(model, folder) as url:
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                sizes = received(page)
                page.goto(url)
                page.wait_for_function("window.VTE && VTE.store")
                asked(page, first)  # what the page itself is made of comes with it
                page.wait_for_timeout(2000)
                begun = time.perf_counter()
                sizes.clear()
                asked(page, picture)
                seconds = time.perf_counter() - begun
                page.wait_for_timeout(2000)  # the browser counts bytes a little after they came
                sent.append(
                    (
                        side * side,
                        page.evaluate("VTE.store.state.answer.steps.length"),
                        sum(sizes),
                        seconds,
                    )
                )
                page.locator("#view-tabs [data-view=encoder]").click()
                page.locator("#view-tabs [data-view=space]").click(modifiers=["Shift"])
                page.wait_for_function("VTE.store.state.colours", timeout=60_000)
                rows = [
                    ("hover", measure(page, "pointermove", count)),
                    ("click", measure(page, "pointerup", count)),
                    ("hover over a word: its map", words(page, count)),
                ]
                for event, times in rows:
                    times = sorted(times)
                    numbers = (
                        page.evaluate("VTE.store.state.record.token_kinds.length"),
                        event,
                        statistics.median(times),
                        times[int(0.95 * len(times))],
                        times[-1],
                    )
                    print("| {:,} | {} | {:.1f} | {:.1f} | {:.1f} |".format(*numbers), flush=True)
                page.close()
        print(
            "\n| visual tokens | tokens of the answer | kB to the browser for a run, photo included"
            " | seconds from the photo to all views |\n|---|---|---|---|"
        )
        for tokens, words_said, size, seconds in sent:
            print(f"| {tokens:,} | {words_said} | {size / 1000:,.0f} | {seconds:.1f} |")
        browser.close()
