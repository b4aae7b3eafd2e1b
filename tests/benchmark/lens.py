"""What the lenses of the embedded model cost on this machine, in seconds of the wall and of the
processor, and how long a visitor waits for the table.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import sync_playwright

import vlm
from app.runs import BLOCK
from tests.benchmark.page import asked, served

# not the one that the page opens with, of which all is there
PHOTOS = ("astronaut", "coffee", "flower", "rocket", "china")
IN_SIGHT = """act => new Promise(done => {
  const lens = document.querySelector('#view-lens'), start = performance.now();
  const look = () => {
    const cells = [...lens.querySelectorAll('.grid tbody tr[data-token] td')];
    if (cells.length && !cells.some(cell => cell.classList.contains('blank')))
      requestAnimationFrame(() => {
        watch.disconnect();
        done((performance.now() - start) / 1000);
      });
  };
  const watch = new MutationObserver(look);
  watch.observe(lens.querySelector('.grid'), { childList: true, subtree: true });
  if (act === 'open') document.querySelector('#view-tabs [data-view=lens]').click();
  else { const box = lens.querySelector('.window'); box.scrollTop = box.scrollHeight; }
})"""


def took(call: Callable[[], object], rounds: int) -> str:
    """The least time of several, of the wall and of all cores together."""
    times = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return " | ".join(f"{min(each):.2f}" for each in zip(*times))


def cost(rounds: int) -> None:
    """A table: the lens table of a screen's rows and of all visual tokens, a word everywhere, one
    token in three lenses.
    """
    model = vlm.load("embedded")
    trace = model.encode(vlm.open_image("assets/examples/chelsea.jpg"), "What is in this image?")
    hidden, positions = model.hidden_states(trace), trace.visual_tokens.positions
    table = model.lens_table(hidden, positions)
    ways = {
        f"lens table of {BLOCK} tokens": lambda: model.lens_table(hidden, positions[:BLOCK]),
        f"lens table of all {len(positions)}": lambda: model.lens_table(hidden, positions),
        "a word at every token and layer, after that": lambda: model.word_maps(
            hidden, positions, table, "cat"
        ),
        "one token in three lenses": lambda: (
            model.embedding_lens(hidden[0, positions[:1]]),
            model.logit_lens(hidden, int(positions[0])),
            model.contextual_lens(hidden[:-1, positions[0]]),
        ),
    }
    print(f"{len(hidden)} layers\n")
    print("| what | seconds | CPU seconds |\n|---|---|---|")
    for what, call in ways.items():
        print(f"| {what} | {took(call, rounds)} |", flush=True)


def opened() -> None:
    """How long the page takes from the press that opens the lens view to every row in sight of its
    table, and from a jump to its end, while the rows between are computed, to those in sight there;
    one photo after another, once all else of a run is there.
    """
    model = vlm.load("embedded")
    with (
        tempfile.TemporaryDirectory() as folder,
        served(model, Path(folder)) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--headless", "--disable-gpu"],
        )
        page, seconds = (
            browser.new_page(viewport={"width": 1440, "height": 900}),
            {
                "press": [],
                "jump to the end": [],
            },
        )
        page.goto(url)
        page.wait_for_function("window.VTE && VTE.store")
        page.locator("#view-tabs [data-view=lens]").click()
        page.locator("#view-lens [data-part=table]").click()
        for name in PHOTOS:
            # nothing is asked for a view that is not seen
            page.locator("#view-tabs [data-view=photo]").click()
            asked(page, Path("assets/examples") / f"{name}.jpg")
            page.wait_for_timeout(5000)
            for act, taken in zip(("open", "jump"), seconds.values()):
                taken.append(page.evaluate(IN_SIGHT, act))
        browser.close()
    for act, taken in seconds.items():
        print(
            f"\nFrom the {act} to the rows in sight, {len(taken)} photos: median"
            f" {statistics.median(taken):.2f} s, {min(taken):.2f} to {max(taken):.2f} s"
        )
