"""Photos against texts, without a server: the lab's handlers on a tiny model."""

import gradio as gr
import numpy as np
import pytest

import vlm
from tests.app.asking import compare, sentence, server
from tests.app.conftest import unpacked
from tests.tiny import photo, tiny_clip

pytestmark = pytest.mark.usefixtures("tiny_page")


def test_comparing_needs_no_question_and_sends_the_cosines(uploaded, upload, tiny_contrast):
    second = upload(photo(60, 60, seed=5), "second.png")
    payload, other = compare(uploaded, [second], " a cat \n\n a dog ")
    assert payload["texts"] == ["a cat", "a dog"] and len(payload["photos"]) == 2 and other == {}
    record = tiny_contrast.similarity(
        [vlm.open_image(uploaded), vlm.open_image(second)], ["a cat", "a dog"]
    )
    np.testing.assert_allclose(unpacked(payload["cosine"]), record.cosine, atol=1e-5)
    assert (
        payload["losses"]["both"] == pytest.approx(record.loss, abs=1e-4)
        and payload["logit_bias"] is None
    )


def test_losses_need_pairs(uploaded):
    assert compare(uploaded)[0]["losses"] is None


def test_one_more_sentence_costs_one_text_and_no_photo(uploaded, tiny_contrast, monkeypatch):
    compare(uploaded, lines="a cat\na dog")
    texts, embed = [], type(tiny_contrast).embed_texts
    monkeypatch.setattr(type(tiny_contrast), "embed_images", None)
    monkeypatch.setattr(
        type(tiny_contrast),
        "embed_texts",
        lambda self, given: texts.extend(given) or embed(self, given),
    )
    payload, _ = compare(uploaded, lines="a cat\na dog\na quite new sentence")
    assert texts == ["a quite new sentence"] and unpacked(payload["cosine"]).shape == (1, 3)


def test_an_unreadable_photo_among_good_ones_is_left_out_and_named(uploaded, upload):
    broken = upload(b"no image", "broken.png")
    payload, _ = compare(uploaded, [broken, upload(photo(50, 50, seed=3), "third.png")])
    assert (
        len(payload["photos"]) == 2
        and len(payload["notes"]) == 1
        and payload["notes"][0].startswith("Photo 2 was left out.")
    )


def test_a_sentence_that_is_too_long_for_the_model_is_told(uploaded):
    payload, _ = compare(uploaded, lines="a cat\n" + "dog " * 74)
    assert unpacked(payload["cosine"]).shape == (1, 2) and payload["notes"] == []
    payload, _ = compare(uploaded, lines="a cat\n" + "dog " * 75)
    assert payload["notes"] == []  # it just fits
    payload, _ = compare(uploaded, lines="a cat\n" + "dog " * 75, template="a photo of {}")
    assert len(payload["notes"]) == 1 and "longer than this model reads" in payload["notes"][0]
    payload, _ = compare(uploaded, lines="a cat\n" + "q " * 149)
    assert len(payload["notes"]) == 1 and "longer than this model reads" in payload["notes"][0]


def test_a_template_makes_labels(uploaded, tiny_contrast):
    image = vlm.open_image(uploaded)
    one, _ = compare(uploaded, lines="cat\ndog", template="a photo of a {}")
    many, _ = compare(uploaded, lines="cat\ndog", template="a photo of a {}", ensemble=True)
    np.testing.assert_allclose(
        unpacked(one["cosine"]), tiny_contrast.zero_shot([image], ["cat", "dog"]).cosine, atol=1e-5
    )
    np.testing.assert_allclose(
        unpacked(many["cosine"]),
        tiny_contrast.zero_shot([image], ["cat", "dog"], vlm.TEMPLATES).cosine,
        atol=1e-5,
    )
    with pytest.raises(gr.Error, match="no place for the label"):
        compare(uploaded, template="a photo")


def test_two_models_stand_side_by_side(uploaded, tmp_path, configure):
    configure(models=str(tmp_path))
    folder = tiny_clip(tmp_path / "sigmoid", seed=1, logit_bias=-10.0)
    first, second = compare(uploaded, beside=str(folder))
    assert (
        first["key"] != second["key"]
        and second["logit_bias"] == -10
        and second["model"] == str(folder)
    )
    assert not np.allclose(unpacked(first["cosine"]), unpacked(second["cosine"]))


@pytest.mark.parametrize(
    "name", ["/etc", "local-dir:/etc", ".", "tests", "nobody/knows", "ViT-B-32", "ViT-B-32/laion3b"]
)
def test_a_model_that_is_not_to_be_had_is_refused(uploaded, name):
    with pytest.raises(gr.Error) as error:
        compare(uploaded, beside=name)
    assert sentence(error)


def test_a_cell_tells_its_patches_and_words(uploaded, tiny_contrast):
    payload, _ = compare(uploaded, lines="a red cat\na dog")
    cell = server.cell([payload["key"], 0, 0])
    scores = tiny_contrast.patch_scores(vlm.open_image(uploaded), "a red cat")
    np.testing.assert_allclose(unpacked(cell["patches"]), scores.patches, atol=1e-5)
    np.testing.assert_allclose(unpacked(cell["corrected"]), scores.corrected, atol=1e-5)
    assert [word for word, _ in cell["words"]] == ["a", "red", "cat"]
    assert (
        set(server.cell([payload["key"], 1, 0]))
        == set(server.cell(["gone", 0, 0]))
        == set(server.cell([payload["key"], 0, 2]))
        == {"error"}
    )


def test_the_gap_is_the_distance_of_the_means(uploaded, upload, tiny_contrast):
    paths = [uploaded, upload(photo(60, 60, seed=5), "second.png")]
    space = compare(paths[0], paths[1:])[0]["space"]
    images = np.stack([tiny_contrast.embed_image(vlm.open_image(path)) for path in paths])
    texts = tiny_contrast.embed_texts(["a cat", "a dog"])
    assert space["gap"] == pytest.approx(np.linalg.norm(images.mean(0) - texts.mean(0)), abs=1e-3)
    assert space["spread"][1] == pytest.approx(
        np.linalg.norm(texts - texts.mean(0), axis=1).mean(), abs=1e-3
    )


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("", "no text"),
        ("\n \n", "no text"),
        ("a cat\n" * 65, "65 lines"),
        ("a " * 400, "799 characters"),
    ],
)
def test_texts_that_cannot_be_compared_are_refused_in_one_sentence(uploaded, lines, reason):
    with pytest.raises(gr.Error) as error:
        compare(uploaded, lines=lines)
    assert reason in sentence(error)


def test_too_many_photos_are_refused_before_they_are_opened(uploaded):
    with pytest.raises(gr.Error) as error:
        compare(uploaded, [uploaded] * 32)
    assert "33 photos" in sentence(error)
