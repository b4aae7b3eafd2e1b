"""What a visitor does and what comes of it, without a server: the handlers on a tiny model."""

import io
import re

import gradio as gr
import numpy as np
import pytest
from PIL import Image

import vlm
from app import handlers, models
from tests.app.conftest import unpacked
from tests.tiny import photo, tiny_clip

GREEDY = (0.0, 0, 1.0, 1.0, 0, 6)  # temperature, top-k, top-p, repetition penalty, seed, max_new_tokens
QUESTION = "What is in this image?"

pytestmark = pytest.mark.usefixtures("tiny_page")


LAYOUT = ("pca", 2, 0, 15, "cosine")  # method, dimensions, seed, neighbours, distance


def run(path, question=QUESTION, settings=GREEDY, layout=LAYOUT):
    """What the page receives, update by update: (record, plane, answer, words)."""
    return list(handlers.run(path, question, *layout, *settings))


def answers(path, **options) -> list[dict]:
    return [update[2] for update in run(path, **options) if not is_skipped(update[2])]


def is_skipped(value) -> bool:
    return value == gr.skip()


def test_the_stage_views_come_first_the_answer_streams_and_the_words_come_last(uploaded):
    first, *middle, last = run(uploaded)
    record, plane, answer, words = first
    assert record["run"] == plane["run"] and answer["steps"] == [] and is_skipped(words)
    assert all(is_skipped(update[0]) and is_skipped(update[1]) and is_skipped(update[3]) for update in middle)
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
        monkeypatch.setattr(type(models.language.get()), name, None)


def test_another_decoding_reuses_the_prefill(uploaded, monkeypatch):
    before = answers(uploaded)[-1]["steps"]
    never(monkeypatch, "see", "ask", "prefill")
    run(uploaded, settings=(1.0, 5, 0.9, 1.2, 3, 4))
    assert answers(uploaded)[-1]["steps"] == before


def test_another_question_reuses_the_encoder(uploaded, monkeypatch):
    run(uploaded)
    never(monkeypatch, "see")
    assert answers(uploaded, question="Where is the cat?")[-1]["finished"]


def test_another_layer_or_projection_does_not_run_the_model(uploaded, monkeypatch):
    key = run(uploaded)[0][0]["run"]
    handlers.rows([key, 3, 1])
    never(monkeypatch, "see", "ask", "prefill", "decode", "encoder_attention")
    assert set(handlers.rows([key, 4, 3])) > {"attention", "cosine"}
    assert handlers.layer([key, 2])["rgb"]["rgb"]["shape"] == [16, 3]
    assert handlers.reproject(uploaded, QUESTION, "pca", 3, 0, 15, "cosine")["points"]["shape"][1] == 3


def test_a_run_begins_with_pca_and_ends_with_the_projection_that_was_asked_for(uploaded):
    updates = run(uploaded, layout=("tsne", 2, 1, 5, "cosine"))
    assert updates[0][1]["method"] == "pca" and updates[-1][1]["method"] == "tsne"
    assert "seed 1, 5 neighbours" in updates[-1][1]["settings"]


@pytest.mark.parametrize("layout", [("pca", 2, None, 15, "cosine"), ("umap", 2, 0, 0, "cosine"), ("umap", 4, 0, 15, "cosine"), ("lda", 2, 0, 15, "cosine"), ("tsne", 2, 0, 15, "x")])
def test_a_projection_that_is_not_to_be_had_is_refused(uploaded, layout):
    with pytest.raises(gr.Error):
        run(uploaded, layout=layout)


def test_a_token_tells_its_rows_at_every_layer(uploaded, tiny_model):
    key = run(uploaded)[0][0]["run"]
    sight = tiny_model.see(vlm.open_image(uploaded))
    attention = tiny_model.encoder_attention(sight)
    rows = handlers.rows([key, 5, 2])
    np.testing.assert_allclose(unpacked(rows["attention"]), attention.weights(2)[:, attention.prefix + 5, attention.prefix :], atol=1e-6)
    np.testing.assert_allclose(unpacked(rows["rollout"]), attention.rollout(2, attention.prefix + 5)[attention.prefix :], atol=1e-6)
    assert rows["elsewhere"] == pytest.approx(1 - unpacked(rows["attention"]).sum(1).mean(), abs=1e-4)
    assert unpacked(rows["cosine"])[5] == pytest.approx(1, abs=1e-5) and unpacked(rows["position_cosine"])[5] == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(unpacked(rows["projection"]) + unpacked(rows["position"]), (sight.projections + sight.position_embeddings)[5], atol=1e-5)
    assert "attention" not in handlers.rows([key, 5, 0])


@pytest.mark.parametrize("asked", [None, {}, [], ["x"], ["gone", 0, 0], ["KEY", 16, 0], ["KEY", -1, 0], ["KEY", 0, 4], ["KEY", True, 0], ["KEY", "0", 0], ["KEY", 0, [1]]])
def test_what_a_script_may_not_ask_is_answered_in_a_sentence(uploaded, asked):
    key = run(uploaded)[0][0]["run"]
    reply = handlers.rows([key if part == "KEY" else part for part in asked] if isinstance(asked, list) else asked)
    assert set(reply) == {"error"} and reply["error"].endswith((".", "it."))


def test_a_word_tells_what_it_looked_at(uploaded):
    key = answers(uploaded)[-1]["key"]
    assert unpacked(handlers.word([key, 2])["visual"]).shape == (3, 16)
    assert set(handlers.word([key, 99])) == set(handlers.word(["gone", 0])) == {"error"}
    assert answers(uploaded, settings=(1.5, 0, 1.0, 1.0, 7, 8))[-1]["key"] != key


def test_the_lens_reads_one_token_at_every_layer_and_a_word_everywhere(uploaded, tiny_model):
    key = run(uploaded)[0][0]["run"]
    trace = tiny_model.encode(vlm.open_image(uploaded), QUESTION)
    hidden = tiny_model.hidden_states(trace)
    assert handlers.lens([key, 5])["layers"] == tiny_model.logit_lens(hidden, int(trace.visual_tokens.positions[5]), 4)
    found = handlers.word_map([key, "dog", 2])
    np.testing.assert_allclose(unpacked(found["values"]), tiny_model.word_map(hidden, 2, trace.visual_tokens.positions, "dog")[1], atol=1e-6)
    for bad in ([key, "", 2], [key, "dog", 9], [key, 7, 2], [key, "dog " * 100, 2]):
        assert set(handlers.word_map(bad)) == {"error"}


def test_another_photo_of_the_same_name_is_encoded_again(upload):
    before = run(upload(photo(80, 60, seed=1), "again.png"))[0][0]
    after = run(upload(photo(80, 60, seed=2), "again.png"))[0][0]
    assert before["photo"] != after["photo"] and before["numbers"]["VT"] != after["numbers"]["VT"]


def test_the_same_seed_gives_the_same_answer(uploaded):
    warm = (1.5, 0, 1.0, 1.0, 7, 8)
    first, second = (answers(uploaded, settings=warm)[-1]["steps"] for _ in range(2))
    assert first == second


def compare(path, more=None, lines="a cat\na dog", template="", ensemble=False, beside=""):
    return handlers.compare(path, more, lines, template, ensemble, models.CONTRASTIVE, beside)


def test_comparing_needs_no_question_and_sends_the_cosines(uploaded, upload, tiny_contrast):
    second = upload(photo(60, 60, seed=5), "second.png")
    payload, other = compare(uploaded, [second], " a cat \n\n a dog ")
    assert payload["texts"] == ["a cat", "a dog"] and len(payload["photos"]) == 2 and other == {}
    record = tiny_contrast.similarity([vlm.open_image(uploaded), vlm.open_image(second)], ["a cat", "a dog"])
    np.testing.assert_allclose(unpacked(payload["cosine"]), record.cosine, atol=1e-5)
    assert payload["losses"]["both"] == pytest.approx(record.loss, abs=1e-4) and payload["logit_bias"] is None


def test_losses_need_pairs(uploaded):
    assert compare(uploaded)[0]["losses"] is None


def test_one_more_sentence_costs_one_text_and_no_photo(uploaded, tiny_contrast, monkeypatch):
    compare(uploaded, lines="a cat\na dog")
    texts, embed = [], type(tiny_contrast).embed_texts
    monkeypatch.setattr(type(tiny_contrast), "embed_images", None)
    monkeypatch.setattr(type(tiny_contrast), "embed_texts", lambda self, given: texts.extend(given) or embed(self, given))
    payload, _ = compare(uploaded, lines="a cat\na dog\na quite new sentence")
    assert texts == ["a quite new sentence"] and unpacked(payload["cosine"]).shape == (1, 3)


def test_an_unreadable_photo_among_good_ones_is_left_out_and_named(uploaded, upload):
    broken = upload(b"no image", "broken.png")
    payload, _ = compare(uploaded, [broken, upload(photo(50, 50, seed=3), "third.png")])
    assert len(payload["photos"]) == 2 and len(payload["notes"]) == 1 and payload["notes"][0].startswith("Photo 2 was left out.")


def test_a_sentence_that_is_too_long_for_the_model_is_told(uploaded):
    payload, _ = compare(uploaded, lines="a cat\n" + "dog " * 74)
    assert unpacked(payload["cosine"]).shape == (1, 2) and payload["notes"] == []
    payload, _ = compare(uploaded, lines="a cat\n" + "q " * 149)
    assert len(payload["notes"]) == 1 and "longer than this model reads" in payload["notes"][0]


def test_a_template_makes_labels(uploaded, tiny_contrast):
    image = vlm.open_image(uploaded)
    one, _ = compare(uploaded, lines="cat\ndog", template="a photo of a {}")
    many, _ = compare(uploaded, lines="cat\ndog", template="a photo of a {}", ensemble=True)
    np.testing.assert_allclose(unpacked(one["cosine"]), tiny_contrast.zero_shot([image], ["cat", "dog"]).cosine, atol=1e-5)
    np.testing.assert_allclose(unpacked(many["cosine"]), tiny_contrast.zero_shot([image], ["cat", "dog"], vlm.TEMPLATES).cosine, atol=1e-5)
    with pytest.raises(gr.Error, match="no place for the label"):
        compare(uploaded, template="a photo")


def test_two_models_stand_side_by_side(uploaded, tmp_path, monkeypatch):
    monkeypatch.setenv("VISUAL_TOKEN_EXPLORER_MODELS", str(tmp_path))
    folder = tiny_clip(tmp_path / "sigmoid", seed=1, logit_bias=-10.0)
    first, second = compare(uploaded, beside=str(folder))
    assert first["key"] != second["key"] and second["logit_bias"] == -10 and second["model"] == str(folder)
    assert not np.allclose(unpacked(first["cosine"]), unpacked(second["cosine"]))


@pytest.mark.parametrize("name", ["/etc", "local-dir:/etc", ".", "tests", "nobody/knows", "ViT-B-32", "ViT-B-32/laion3b"])
def test_a_model_that_is_not_to_be_had_is_refused(uploaded, name):
    with pytest.raises(gr.Error) as error:
        compare(uploaded, beside=name)
    assert sentence(error)


def test_a_cell_tells_its_patches_and_words(uploaded, tiny_contrast):
    payload, _ = compare(uploaded, lines="a red cat\na dog")
    cell = handlers.cell([payload["key"], 0, 0])
    scores = tiny_contrast.patch_scores(vlm.open_image(uploaded), "a red cat")
    np.testing.assert_allclose(unpacked(cell["patches"]), scores.patches, atol=1e-5)
    np.testing.assert_allclose(unpacked(cell["corrected"]), scores.corrected, atol=1e-5)
    assert [word for word, _ in cell["words"]] == ["a", "red", "cat"]
    assert set(handlers.cell([payload["key"], 1, 0])) == set(handlers.cell(["gone", 0, 0])) == set(handlers.cell([payload["key"], 0, 2])) == {"error"}


def test_the_gap_is_the_distance_of_the_means(uploaded, upload, tiny_contrast):
    paths = [uploaded, upload(photo(60, 60, seed=5), "second.png")]
    space = compare(paths[0], paths[1:])[0]["space"]
    images = np.stack([tiny_contrast.embed_image(vlm.open_image(path)) for path in paths])
    texts = tiny_contrast.embed_texts(["a cat", "a dog"])
    assert space["gap"] == pytest.approx(np.linalg.norm(images.mean(0) - texts.mean(0)), abs=1e-3)
    assert space["spread"][1] == pytest.approx(np.linalg.norm(texts - texts.mean(0), axis=1).mean(), abs=1e-3)


def test_the_page_agrees_with_the_models_own_forward(uploaded):
    assert all(difference == "0 (identical)" or float(difference) < 1e-4 for _, difference in handlers.check(uploaded, QUESTION))


def test_the_status_ends_when_everything_is_there():
    *_, last = handlers.status()
    assert {job["state"] for job in last["jobs"]} == {"ready"}


def test_a_model_that_cannot_be_loaded_says_why_and_is_tried_again():
    attempts = []

    def make(progress):
        attempts.append(1)
        if len(attempts) == 1:
            raise vlm.FetchError("The cable is out; plug it in.")
        return "model"

    job = models.Background("model", make)
    with pytest.raises(vlm.FetchError, match="plug it in"):
        job.get()
    assert job.status.state == "failed" and job.status.message == "The cable is out; plug it in."
    assert job.get() == "model"


def test_only_the_last_few_values_are_kept():
    recent, made = models.Recent(2), []
    for key in (1, 2, 1, 3, 1, 2):
        recent.get(key, lambda key=key: made.append(key))
    assert made == [1, 2, 3, 2]


# Photos of every kind. What a handler accepts it shows; what it refuses it refuses in one sentence, before anything is sent.


def encoded(mode_or_image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    mode_or_image.save(buffer, kind, **options)
    return buffer.getvalue()


def rotated(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(photo(60, 90), "JPEG", exif=exif)


GOOD = {
    "one-pixel.png": (lambda: encoded(photo(1, 1), "PNG"), (1, 1)),
    "one-pixel-high.png": (lambda: encoded(photo(1, 200), "PNG"), (1, 200)),
    "wide.jpg": (lambda: encoded(photo(40, 12_000), "JPEG"), (40, 12_000)),
    "animated.gif": (lambda: encoded(photo(50, 70), "GIF", save_all=True, append_images=[photo(50, 70, seed=1)]), (50, 70)),
    "deep.png": (lambda: encoded(Image.fromarray(np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(np.uint16)), "PNG"), (60, 80)),
    "print.jpg": (lambda: encoded(photo(60, 80).convert("CMYK"), "JPEG"), (60, 80)),
    "glass.png": (lambda: encoded(Image.new("RGBA", (80, 60), (255, 0, 0, 0)), "PNG"), (60, 80)),
    "turned.jpg": (lambda: rotated(6), (90, 60)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_photo_of_an_unusual_kind_is_shown(name, upload):
    content, (height, width) = GOOD[name]
    updates = run(upload(content(), name))
    assert updates[0][0]["photo_size"] == [height, width]
    assert updates[-2][2]["finished"]


def test_transparent_is_white_and_not_the_colour_underneath(upload):
    assert handlers.open_upload(upload(GOOD["glass.png"][0](), "glass.png")).getpixel((3, 3)) == (255, 255, 255)


def test_sixteen_bits_keep_their_shades(upload):
    values = np.asarray(handlers.open_upload(upload(GOOD["deep.png"][0](), "deep.png")))[..., 0]
    assert values.min() == 0 and values.max() == 255 and abs(values.mean() - 127.5) < 1


def one_bit_bomb() -> bytes:
    return encoded(Image.new("1", (9_800, 9_800)), "PNG")


BAD = {
    "text.png": lambda: b"this is not an image",
    "empty.png": lambda: b"",
    "truncated.jpg": lambda: encoded(photo(400, 400), "JPEG")[:3_000],
    "bomb.png": one_bit_bomb,
    "drawing.svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
}


def sentence(error) -> str:
    """The message, which is one line that says what is wrong and what to do."""
    text = error.value.message
    assert re.fullmatch(r"[\w'].*\w.*[.a-z?]", text) and "Traceback" not in text, text
    return text


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_photo_is_refused_in_one_sentence(name, upload):
    path = upload(BAD[name](), name)
    with pytest.raises(gr.Error) as error:
        run(path)
    assert "/" not in sentence(error)  # nothing about this machine's folders


def test_a_photo_elsewhere_on_this_machine_is_refused(tmp_path):
    photo(50, 50).save(tmp_path / "private.png")
    with pytest.raises(gr.Error) as error:
        run(str(tmp_path / "private.png"))
    assert "upload" in sentence(error)


def test_a_link_out_of_the_uploads_is_refused(tmp_path, uploads):
    photo(50, 50).save(tmp_path / "private.png")
    link = uploads / "link.png"
    link.symlink_to(tmp_path / "private.png")
    with pytest.raises(gr.Error, match="upload"):
        run(str(link))


@pytest.mark.parametrize("path", ["/etc/hostname", "/etc/no-such-file", "../app.py", str(handlers.EXAMPLES / ".." / "screenshot.png")])
def test_a_path_of_this_machine_is_refused(path):
    with pytest.raises(gr.Error, match="upload"):
        run(path)


def test_every_example_photo_can_be_opened():
    names = sorted(path.name for path in handlers.EXAMPLES.glob("*.jpg"))
    assert len(names) >= 4
    sizes = [handlers.open_upload(str(handlers.EXAMPLES / name)).size for name in names]
    assert any(width != height for width, height in sizes)
    credits = (handlers.EXAMPLES / "CREDITS.md").read_text()
    for name in names:
        assert name in credits and (handlers.EXAMPLES / name).stat().st_size < 150_000


@pytest.mark.parametrize(
    ("question", "reason"),
    [("", "empty"), (" \n ", "empty"), ("why? " * 2_000, "10,000 characters"), ("what is <image> here", "control token")],
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
    [((-1.0, 0, 1.0, 1.0, 0, 6), "temperature"), ((1.0, 2.5, 1.0, 1.0, 0, 6), "top_k"), ((1.0, 0, 1.0, 1.0, None, 6), "seed"), ((0.0, 0, 1.0, 1.0, 0, 9_999), "max_new_tokens")],
)
def test_a_setting_out_of_range_is_refused_by_name(uploaded, settings, name):
    with pytest.raises(gr.Error) as error:
        run(uploaded, settings=settings)
    assert name in sentence(error)


@pytest.mark.parametrize(
    ("lines", "reason"), [("", "no text"), ("\n \n", "no text"), ("a cat\n" * 65, "65 lines"), ("a " * 400, "799 characters")]
)
def test_texts_that_cannot_be_compared_are_refused_in_one_sentence(uploaded, lines, reason):
    with pytest.raises(gr.Error) as error:
        compare(uploaded, lines=lines)
    assert reason in sentence(error)


def test_too_many_photos_are_refused_before_they_are_opened(uploaded):
    with pytest.raises(gr.Error) as error:
        compare(uploaded, [uploaded] * 32)
    assert "33 photos" in sentence(error)


def test_text_that_looks_like_code_stays_text(uploaded):
    nasty = "<img src=x onerror=alert(1)> ${alert(1)} {{value}}"
    assert compare(uploaded, lines=nasty)[0]["texts"] == [nasty]
    assert answers(uploaded, question=nasty)[-1]["finished"]
