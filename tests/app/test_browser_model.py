"""Another vision-language model, chosen on the page, in a real browser."""

import json

import pytest

import vlm
from tests.app.asking import server
from tests.app.browsing import ask, expect, type_model
from tests.hub import COMMIT, NAME
from tests.tiny import tiny_llava

pytestmark = pytest.mark.usefixtures("only_the_start")

NASTY = "/<img src=x onerror=window.broken=1>"


@pytest.fixture
def folder(tmp_path, configure):
    """Another tiny checkpoint, open to visitors."""
    configure(models=str(tmp_path))
    return tiny_llava(tmp_path / "another", "siglip", seed=4)


def load(page, name: str) -> None:
    """Type a name into the list of models and press Load."""
    if not page.locator("#load").is_visible():
        page.locator("#models").get_by_role("button", name="Model").click()
    type_model(page, "#language-model", name)
    page.click("#load")


def test_another_model_answers_on_the_page_and_the_earlier_run_stays(url, visit, picture, folder):
    question = "What is in this image?"
    expected = (
        vlm.load(folder)
        .trace(vlm.open_image(picture), question, vlm.Decoding(max_new_tokens=32))
        .answer
    )
    with visit(url) as page:
        ask(page, picture, question)
        first = page.inner_text("#answer .tokens")
        load(page, str(folder))
        expect(page.locator("#models")).to_contain_text(f"Model: {folder}")
        expect(page.locator("#bringing")).to_contain_text(f"model {folder} ready")
        assert page.inner_text("#answer .tokens") == first
        ask(page, picture, f"{question} ")
        page.wait_for_function("name => VTE.store.state.record.model === name", arg=str(folder))
        page.wait_for_function("answer => VTE.store.state.answer.answer === answer", arg=expected)
        load(page, server.models.name)
        expect(page.locator("#models")).not_to_contain_text(f"Model: {folder}")


def test_the_page_says_what_came_with_a_model_and_its_penalty_is_that(
    url, visit, folder, tiny_model, monkeypatch
):
    monkeypatch.setattr(tiny_model.network.generation_config, "repetition_penalty", 1.9)
    file, own = folder / "generation_config.json", {"repetition_penalty": 1.35, "num_beams": 4}
    file.write_text(json.dumps(json.loads(file.read_text()) | own))
    with visit(url) as page:
        page.get_by_role("button", name="Decoding").click()
        words, penalty = page.locator("#came-with"), page.locator("#repetition-penalty input")
        expect(words).to_contain_text("Came with the model and obeyed: repetition_penalty 1.9.")
        expect(penalty.first).to_have_value("1.9")
        load(page, str(folder))
        expect(words).to_contain_text("repetition_penalty 1.35. It also asks for what is not")
        expect(words).to_contain_text("num_beams 4")
        expect(penalty.first).to_have_value("1.35")


def test_a_model_that_cannot_be_loaded_is_told_as_text_and_nothing_is_lost(
    url, visit, picture, folder
):
    (folder / "config.json").write_text("{}")
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        parts = ("#answer .tokens", "#stage-strip")
        before = {part: page.inner_text(part) for part in parts}
        load(page, str(folder))
        expect(page.locator("#bringing .failed")).to_contain_text("does not read images and text")
        expect(page.locator("#models")).to_contain_text(f"Model: {server.models.name}")
        load(page, NASTY)
        expect(page.get_by_text("are not open to visitors").first).to_be_visible()
        assert {part: page.inner_text(part) for part in parts} == before
        assert page.evaluate("window.broken") is None
        ask(page, picture, "And now?")


def test_the_list_shows_what_each_model_needs(url, visit):
    with visit(url) as page:
        page.locator("#models").get_by_role("button", name="Model").click()
        page.click("#language-model input")
        expect(page.get_by_text("SmolVLM-256M-Instruct · 256 M · 0.5 GB").first).to_be_visible()


def test_a_model_of_the_hub_is_fetched_and_stands_there_with_its_commit(
    url, visit, picture, online
):
    with visit(url) as page:
        load(page, NAME)
        expect(page.locator("#models")).to_contain_text(
            f"Model: {NAME}@{COMMIT[:12]}", timeout=60_000
        )
        ask(page, picture, "What is in this image?")
        assert page.evaluate("VTE.store.state.record.model") == f"{NAME}@{COMMIT}"


def test_whom_a_proxy_lets_in_is_offered_no_model_of_the_hub(url, visit, online):
    with visit(url, extra_http_headers={"X-Forwarded-For": "192.0.2.1"}) as page:
        load(page, NAME)
        expect(page.get_by_text("does not fetch models of the hub").first).to_be_visible()
        page.click("#language-model input")
        expect(page.get_by_text("embedded (here)").first).to_be_visible()
        expect(page.get_by_text("SmolVLM-256M-Instruct · 256 M")).to_have_count(0)
    assert online.asked == []
