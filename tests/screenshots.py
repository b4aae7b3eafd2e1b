"""The pictures of the views in the documents: `python -m tests.screenshots` takes them anew.

They show the example that the page opens with, and what the embedded model says of it.
"""

import io
import os
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, Request, sync_playwright

from app.page import build, launch_options
from app.sections.stages import VIEWS
from tests.app.browsing import expect, open_view
from tests.browser import chromium_path

FOLDER = Path(__file__).parents[1] / "assets" / "docs" / "views"
WINDOW = {"width": 1280, "height": 1000}
SERVER = "component_server"  # in the address that a view's questions go to
COLOURS = 128  # of a picture: flat areas and text need no more
TOKENS = [100, 101, 102, 116, 117, 118]  # selected: a part of the photo
SECONDS = 2  # until a view has asked what it asks when it opens, and until the answer is drawn
# whole, where a visitor scrolls
WHOLE = "#views, #answer, #inspector { height: auto !important; overflow: visible !important; }"
# parts of the page that are no stage views, by the id of their element
PARTS = ("stage-strip", "received", "answer", "inspector", "similarity", "ledger")


def take(page: Page, selector: str, name: str) -> None:
    """Write the picture of an element, with few colours."""
    picture = page.locator(selector).first.screenshot(animations="disabled")
    image = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS)
    image.save(FOLDER / f"{name}.png", optimize=True)
    print(f"{name}.png  {(FOLDER / f'{name}.png').stat().st_size / 1000:.0f} kB", flush=True)


def main() -> int:
    """Serve the page, open every view once and take its picture."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    FOLDER.mkdir(parents=True, exist_ok=True)
    demo = build()
    demo.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options(demo)
    )
    demo.backend.models.language.start()
    demo.backend.models.language.get()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=["--no-sandbox", "--headless", "--disable-gpu"]
        )
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(120_000)
        asked: set[Request] = set()  # of Python, and not answered yet
        page.on("request", lambda request: SERVER in request.url and asked.add(request))
        page.on("requestfinished", lambda request: asked.discard(request))
        page.on("requestfailed", lambda request: asked.discard(request))
        page.goto(demo.local_url)
        expect(page.locator("#answer [data-finished=true]")).to_be_attached(timeout=120_000)
        page.add_style_tag(content=WHOLE)
        page.evaluate("tokens => VTE.store.set({ selected: tokens })", TOKENS)
        for name in VIEWS:
            open_view(page, name)
            page.wait_for_timeout(SECONDS * 1_000)
            while asked:
                page.wait_for_timeout(500)
            page.wait_for_timeout(SECONDS * 1_000)
            take(page, f"#view-{name}", name)
        for name in PARTS:
            page.locator(f"#{name}").first.scroll_into_view_if_needed()
            take(page, f"#{name}", name)
        browser.close()
    demo.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
