"""How quickly the page answers the hand: `python -m tests.benchmark`.

It serves the real page with random models of 576 and of 2,916 visual tokens, drives it in headless Chromium with two stage views
open, and measures from the time stamp of a pointer event to the end of the animation frame in which every view was drawn again.
"""

import argparse
import random
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import vlm
from app import models
from app.page import build, launch_options
from tests.tiny import photo, tiny_clip, tiny_llava

LISTEN = """kind => {
  const times = window.times = [];
  let start = 0;
  document.querySelector('#received .overlay').addEventListener(kind, event => { start = event.timeStamp; }, true);
  VTE.store.subscribe(['hovered', 'selected'], () => { if (start) { times.push(performance.now() - start); start = 0; } });
}"""


def measure(page, kind: str, count: int) -> list[float]:
    """Milliseconds from each of `count` pointer events on patches drawn by chance to the end of the frame that shows it."""
    page.evaluate(LISTEN, kind)
    box, chance = page.locator("#received .overlay").bounding_box(), random.Random(0)
    for number in range(count):
        page.mouse.move(box["x"] + chance.uniform(0.02, 0.98) * box["width"], box["y"] + chance.uniform(0.02, 0.98) * box["height"])
        if kind == "pointerup":
            page.mouse.down()
            page.mouse.up()
        page.wait_for_function("count => window.times.length >= count", arg=number + 1, timeout=5_000)
    return page.evaluate("window.times")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=100)
    count = options.parse_args().count
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--headless", "--disable-gpu"])
        contrast = vlm.load_contrastive(tiny_clip(Path(folder) / "contrast"))
        print("| visual tokens | event | median ms | 95th percentile ms | largest ms |\n|---|---|---|---|---|")
        for side in (24, 54):
            picture = Path(folder) / f"{side}.png"
            photo(500, 500, seed=side).save(picture)  # each its own: what was seen of a photo is kept
            model = vlm.load(tiny_llava(Path(folder) / str(side), "clip", "squash", side=14 * side, context=4096))
            for name, value in {"language": model, "contrastive": contrast, "umap": True}.items():
                setattr(models, name, models.Background(name, lambda progress, value=value: value))
            demo = build()
            _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **launch_options())
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(url)
            page.set_input_files("#photo input[type=file]", picture)
            page.press("#question textarea", "Enter")
            page.wait_for_function("window.VTE && VTE.store.state.words", timeout=60_000)
            page.locator("#view-tabs [data-view=encoder]").click()
            page.locator("#view-tabs [data-view=space]").click(modifiers=["Shift"])
            page.wait_for_function("VTE.store.state.colours", timeout=60_000)
            for kind in ("pointermove", "pointerup"):
                times = sorted(measure(page, kind, count))
                row = (page.evaluate("VTE.store.state.record.token_kinds.length"), {"pointermove": "hover", "pointerup": "click"}[kind], statistics.median(times), times[int(0.95 * len(times))], times[-1])
                print("| {:,} | {} | {:.1f} | {:.1f} | {:.1f} |".format(*row))
            page.close()
            demo.close()
        browser.close()


if __name__ == "__main__":
    main()
