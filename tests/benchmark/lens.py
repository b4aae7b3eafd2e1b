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
from tests.benchmark.page import asked, served
from vlm.inspect import lens
from vlm.inspect.inspector import BLOCK, WORDS

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
    look = model.inspect(trace)
    hidden, positions = look.hidden_states(), trace.visual_tokens.positions
    look.lens_table()

    def table(tokens: int) -> object:
        return lens.table(model.network, hidden[:, positions[:tokens]], WORDS)

    ways = {
        f"lens table of {BLOCK} tokens": lambda: table(BLOCK),
        f"lens table of all {len(positions)}": lambda: table(len(positions)),
        "a word at every token and layer, after that": lambda: look.word_map("cat"),
        "one token in three lenses": lambda: (
            look.embedding_lens([0]),
            look.logit_lens(0),
            look.contextual_lens(0),
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
