"""What a visitor does and what comes of it, without a server: the handlers on a tiny model."""

from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

import vlm
from app import handlers
from app.uploads import example_digests
from tests.app.asking import QUESTION, answers, compare, is_skipped, run, sentence, server
from tests.app.conftest import unpacked
from tests.tiny import photo
from vlm.inspect import inspector

pytestmark = pytest.mark.usefixtures("tiny_page")


def test_the_stage_views_come_first_the_answer_streams_and_the_words_come_last(uploaded):
    first, *middle, last = run(uploaded)
    record, plane, answer, words = first
    assert record["run"] == plane["run"] and answer["steps"] == [] and is_skipped(words)
    assert all(
        is_skipped(update[0]) and is_skipped(update[1]) and is_skipped(update[3])
        for update in middle
    )
    *streamed, finished = (update[2] for update in middle)
    assert [len(each["steps"]) for each in streamed] == list(range(1, len(streamed) + 1))
    assert finished["finished"] and finished["steps"] == streamed[-1]["steps"]
    assert finished["stages"][-1]["symbol"] == "answer"
    assert last[3]["run"] == record["run"] and is_skipped(last[2])


def test_the_page_says_what_the_library_says(uploaded, tiny_model):
    trace = tiny_model.trace(vlm.open_image(uploaded), QUESTION, vlm.Decoding(max_new_tokens=6))
    assert answers(uploaded)[-1]["answer"] == trace.answer


def never(monkeypatch, *names: str) -> None:
    """From now on these methods of the model fail."""
    for name in names:
        monkeypatch.setattr(type(server.models.language.get()), name, None)


def test_another_decoding_reuses_the_prefill(uploaded, monkeypatch):
    before = answers(uploaded)[-1]["steps"]
    never(monkeypatch, "encode_image", "ask", "prefill")
    run(uploaded, settings=(1.0, 5, 0.9, 1.2, 3, 4))
    assert answers(uploaded)[-1]["steps"] == before


def test_another_question_reuses_the_encoder(uploaded, monkeypatch):
    run(uploaded)
    never(monkeypatch, "encode_image")
    assert answers(uploaded, question="Where is the cat?")[-1]["finished"]


def test_a_run_with_its_lab_and_ledger_decodes_and_processes_the_photo_once(
    upload, tiny_model, monkeypatch
):
    path, opened, looks = upload(photo(70, 110, seed=23), "fresh.png"), [], []
    example_digests()  # once a server
    kind = type(tiny_model.processor.image_processor)
    open_file, work = Image.open, kind.__call__
    monkeypatch.setattr(
        Image, "open", lambda *given, **more: opened.append(1) or open_file(*given, **more)
    )
    monkeypatch.setattr(
        kind, "__call__", lambda self, *given, **more: looks.append(1) or work(self, *given, **more)
    )
    assert run(path)[-2] and compare(path)[0]["photos"] and server.photo_size(path) == (110, 70)
    run(path, question="And now?")
    assert len(opened) == 1 and len(looks) == 1


def test_a_file_that_was_replaced_is_decoded_again_and_one_that_is_gone_is_not_shown(upload):
    path = upload(photo(70, 110), "changing.png")
    first = server.uploads.open(path)
    upload(photo(30, 40), "changing.png")
    assert server.uploads.open(path).size == (40, 30) and first.size == (110, 70)
    Path(path).unlink()
    with pytest.raises(vlm.ImageError, match="cannot be read"):
        server.uploads.open(path)


def test_a_photo_scaled_down_for_a_comparison_stays_whole_elsewhere(upload, monkeypatch):
    path = upload(photo(70, 110), "whole.png")
    monkeypatch.setattr(handlers.photos, "MAX_PIXELS", 100)
    monkeypatch.setattr(handlers.photos, "SMALLER", 16)
    [small], _ = handlers.photos.readable(server.uploads, [path])
    assert small.width == 16 and server.uploads.open(path).size == (110, 70)


def test_another_layer_or_projection_does_not_run_the_model(uploaded, monkeypatch):
    key = run(uploaded)[0][0]["run"]
    server.rows([key, 3, 1])
    never(monkeypatch, "encode_image", "ask", "prefill", "decode")
    monkeypatch.setattr(inspector, "encoder_attention", None)
    assert set(server.rows([key, 4, 3])) > {"attention", "cosine"}
    assert server.layer([key, 2])["rgb"]["rgb"]["shape"] == [16, 3]
    assert (
        server.reproject(uploaded, None, QUESTION, server.models.first, "pca", 3, 0, 15, "cosine")[
            "points"
        ]["shape"][1]
        == 3
    )


def test_a_run_begins_with_pca_and_ends_with_the_projection_that_was_asked_for(uploaded):
    updates = run(uploaded, layout=("tsne", 2, 1, 5, "cosine"))
    assert updates[0][1]["method"] == "pca" and updates[-1][1]["method"] == "tsne"
    assert "seed 1, 5 neighbours" in updates[-1][1]["settings"]


@pytest.mark.parametrize(
    "layout",
    [
        ("pca", 2, None, 15, "cosine"),
        ("umap", 2, 0, 0, "cosine"),
        ("umap", 4, 0, 15, "cosine"),
        ("lda", 2, 0, 15, "cosine"),
        ("tsne", 2, 0, 15, "x"),
    ],
)
def test_a_projection_that_is_not_to_be_had_is_refused(uploaded, layout):
    with pytest.raises(gr.Error):
        run(uploaded, layout=layout)


def test_a_patch_tells_its_rows_at_every_layer(uploaded, tiny_model):
    key = run(uploaded)[0][0]["run"]
    trace = tiny_model.encode(vlm.open_image(uploaded), QUESTION)
    encoded_image, attention = trace.encoded_image, tiny_model.inspect(trace).encoder_attention()
    rows = server.rows([key, 5, 2])
    np.testing.assert_allclose(unpacked(rows["attention"]), attention.row(2, 5), atol=1e-6)
    np.testing.assert_allclose(unpacked(rows["rollout"]), attention.rollout(2, 5), atol=1e-6)
    assert rows["elsewhere"] == pytest.approx(
        1 - unpacked(rows["attention"]).sum(1).mean(), abs=1e-4
    )
    assert unpacked(rows["cosine"])[5] == pytest.approx(1, abs=1e-5) and unpacked(
        rows["position_cosine"]
    )[5] == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(
        unpacked(rows["projection"]) + unpacked(rows["position"]),
        (encoded_image.projections + encoded_image.position_embeddings)[5],
        atol=1e-5,
    )
    assert "attention" not in server.rows([key, 5, 0])


@pytest.mark.parametrize(
    "asked",
    [
        None,
        {},
        [],
        ["x"],
        ["gone", 0, 0],
        ["KEY", 16, 0],
        ["KEY", -1, 0],
        ["KEY", 0, 4],
        ["KEY", True, 0],
        ["KEY", "0", 0],
        ["KEY", 0, [1]],
    ],
)
def test_what_a_script_may_not_ask_is_answered_in_a_sentence(uploaded, asked):
    key = run(uploaded)[0][0]["run"]
    reply = server.rows(
        [key if part == "KEY" else part for part in asked] if isinstance(asked, list) else asked
    )
    assert set(reply) == {"error"} and reply["error"].endswith((".", "it."))


def test_a_word_tells_what_it_looked_at(uploaded):
    key = answers(uploaded)[-1]["key"]
    assert unpacked(server.word([key, 2])["visual"]).shape == (3, 16)
    assert set(server.word([key, 99])) == set(server.word(["gone", 0])) == {"error"}
    assert answers(uploaded, settings=(1.5, 0, 1.0, 1.0, 7, 8))[-1]["key"] != key


def test_another_photo_of_the_same_name_is_encoded_again(upload):
    before = run(upload(photo(80, 60, seed=1), "again.png"))[0][0]
    after = run(upload(photo(80, 60, seed=2), "again.png"))[0][0]
    assert before["photo"] != after["photo"] and before["numbers"]["VT"] != after["numbers"]["VT"]


def test_the_same_seed_gives_the_same_answer(uploaded):
    warm = (1.5, 0, 1.0, 1.0, 7, 8)
    first, second = (answers(uploaded, settings=warm)[-1]["steps"] for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("why? " * 2_000, "10,000 characters"),
        ("what is <image> here", "control token"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_in_one_sentence(uploaded, question, reason):
    with pytest.raises(gr.Error) as error:
        run(uploaded, question)
    assert reason in sentence(error)


def test_running_without_a_photo_says_what_to_do():
    with pytest.raises(gr.Error) as error:
        run(None)
    assert "upload one" in sentence(error)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ((-1.0, 0, 1.0, 1.0, 0, 6), "temperature"),
        ((1.0, 2.5, 1.0, 1.0, 0, 6), "top_k"),
        ((1.0, 0, 1.0, 1.0, None, 6), "seed"),
        ((0.0, 0, 1.0, 1.0, 0, 9_999), "max_new_tokens"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(uploaded, settings, name):
    with pytest.raises(gr.Error) as error:
        run(uploaded, settings=settings)
    assert name in sentence(error)


def test_text_that_looks_like_code_stays_text(uploaded):
    nasty = "<img src=x onerror=alert(1)> ${alert(1)} {{value}}"
    assert compare(uploaded, lines=nasty)[0]["texts"] == [nasty]
    assert answers(uploaded, question=nasty)[-1]["finished"]


def test_several_photos_are_asked_about_together(uploaded, upload, tiny_model):
    other = upload(photo(80, 60, seed=3), "other.png")
    first, *_ = run(uploaded, also=[other])
    trace = tiny_model.encode([vlm.open_image(uploaded), vlm.open_image(other)], QUESTION)
    record = first[0]
    assert len(record["photos"]) == 2 and record["photo_size"][1] > 150
    assert unpacked(record["token_photos"]).tolist() == trace.visual_tokens.photos.tolist()
    assert run(uploaded)[0][0]["run"] != record["run"]


def test_too_many_photos_of_one_question_are_refused(uploaded):
    with pytest.raises(gr.Error) as error:
        run(uploaded, also=[uploaded] * 4)
    assert "There are 5 photos, at most 4" in sentence(error)
