"""Photos against texts in a real browser, on tiny models."""

from pathlib import Path

import pytest

import vlm
from tests.app.browsing import expect
from tests.tiny import photo


def lab(page, photos, texts) -> None:
    """Compare these photos with these texts."""
    page.set_input_files("#more input[type=file]", photos)
    expect(page.locator("#more")).to_contain_text(Path(photos[-1]).name[:5])
    page.fill("#texts textarea", "\n".join(texts))
    page.click("#compare")
    expect(page.locator("#similarity .matrix tr")).to_have_count(len(texts) + 1, timeout=60_000)


def losses(page) -> list[float]:
    return [
        float(value)
        for value in page.locator("#similarity [data-losses]").get_attribute("data-losses").split()
    ]


def test_the_lab_computes_what_the_library_computes_and_follows_tau(
    url, visit, pictures, tiny_contrast
):
    texts = ["a cat", "a dog", "waves of colour"]
    m = tiny_contrast.similarity([vlm.open_image(path) for path in pictures], texts)
    with visit(url) as page:
        lab(page, pictures, texts)
        assert losses(page) == pytest.approx(
            [m.loss_image, m.loss_text, m.loss, m.loss_sigmoid], rel=1e-4
        )
        for name, matrix in {
            "cosine": m.cosine,
            "logits": m.logits,
            "image_to_text": m.image_to_text,
            "text_to_image": m.text_to_image,
            "sigmoid": m.sigmoid,
        }.items():
            page.locator(f"#similarity [data-name={name}]").click()
            shown = page.locator("#similarity td[data-photo='1'][data-text='2']").inner_text()
            value = float(shown.replace("\u202f%", "").replace("<", "")) / (
                100 if "%" in shown else 1
            )
            assert value == pytest.approx(matrix[1, 2], abs=0.006)
        page.locator("#similarity [data-name=image_to_text]").click()
        page.locator("#similarity .tau").fill("6")
        best = int(m.image_to_text[0].argmax())
        sharp = page.locator(f"#similarity td[data-photo='0'][data-text='{best}']").inner_text()
        assert float(sharp.removesuffix("\u202f%")) > 1.5 * 100 * m.image_to_text[0, best]
        page.locator("#similarity .learned").click()
        assert losses(page)[2] == pytest.approx(m.loss, rel=1e-4)
        page.locator("#similarity .shuffle").click()
        assert losses(page)[2] != pytest.approx(m.loss, rel=1e-4)
        page.locator("#similarity .given").click()
        assert losses(page)[2] == pytest.approx(m.loss, rel=1e-4)


def test_the_example_photos_can_be_compared(url, visit):
    with visit(url) as page:
        page.click("#more-examples")
        expect(page.locator("#more")).to_contain_text("chelsea")
        page.click("#compare")
        expect(page.locator("#similarity .matrix img").first).to_be_visible()
        assert page.locator("#similarity .matrix img").count() >= 5


def test_a_cell_shows_where_and_which_words(url, visit, pictures):
    with visit(url) as page:
        lab(page, pictures, ["a red cat", "a dog", "waves"])
        page.locator("#similarity td[data-photo='2'][data-text='0']").click()
        expect(page.locator("#similarity [data-cell]")).to_have_attribute("data-cell", "2,0")
        expect(page.locator("#similarity .sentence .word-change")).to_have_count(3)
        expect(page.locator("#similarity .cell-words")).to_contain_text("looks only at itself")
        page.locator("#similarity .corrected").uncheck()
        expect(page.locator("#similarity .cell-words")).to_contain_text("known to invert")


def test_thirty_two_photos_and_texts_are_shown(url, visit, tmp_path):
    paths = [tmp_path / f"photo{number:02}.png" for number in range(32)]
    for number, path in enumerate(paths):
        photo(40, 50, seed=number).save(path)
    with visit(url) as page:
        lab(page, paths, [f"text number {number}" for number in range(32)])
        expect(page.locator("#similarity td")).to_have_count(1024)
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
