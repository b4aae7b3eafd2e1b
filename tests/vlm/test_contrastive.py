"""Photos against texts: the article's formulas computed a second time, in numpy."""

import json
import math

import numpy as np
import pytest
import torch

import vlm
from tests.tiny import photo, tiny_clip

PHOTOS = [photo(90, 150), photo(150, 90, seed=1), photo(60, 60, seed=2)]
TEXTS = ["a photo of a cat", "waves of colour", "七 days 🐈"]


@pytest.fixture(params=["tiny", "embedded", "sigmoid"])
def contrast(request, tmp_path):
    if request.param == "sigmoid":
        return vlm.load_contrastive(tiny_clip(tmp_path, logit_bias=-10.0))
    return request.getfixturevalue(f"{request.param}_contrast")


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    exponents = np.exp(values - values.max(axis, keepdims=True))
    return exponents / exponents.sum(axis, keepdims=True)


def test_the_losses_are_the_articles_formula(contrast):
    m = contrast.similarity(PHOTOS, TEXTS)
    logits, n = m.logits.astype(np.float64), len(PHOTOS)
    loss_image = -sum(math.log(math.exp(logits[i, i]) / sum(math.exp(logits[i, j]) for j in range(n))) for i in range(n)) / n
    loss_text = -sum(math.log(math.exp(logits[i, i]) / sum(math.exp(logits[j, i]) for j in range(n))) for i in range(n)) / n
    assert m.loss_image == pytest.approx(loss_image, rel=1e-5)
    assert m.loss_text == pytest.approx(loss_text, rel=1e-5)
    assert m.loss == pytest.approx((loss_image + loss_text) / 2, rel=1e-5)
    assert abs(loss_image - loss_text) > 1e-6  # else the test could not tell them apart


@pytest.mark.parametrize(("photos", "texts"), [(2, 3), (3, 1), (1, 2)])
def test_without_pairs_there_is_no_loss(contrast, photos, texts):
    m = contrast.similarity(PHOTOS[:photos], TEXTS[:texts])
    assert m.cosine.shape == (photos, texts) and m.loss is m.loss_image is m.loss_text is None


def test_the_logits_are_the_cosines_scaled_and_shifted(contrast):
    m = contrast.similarity(PHOTOS[:2], TEXTS)
    assert m.logit_scale == pytest.approx(math.exp(float(contrast.network.logit_scale)))
    bias = getattr(contrast.network, "logit_bias", None)
    assert m.logit_bias == (0 if bias is None else float(bias))
    np.testing.assert_allclose(m.logits, m.cosine * m.logit_scale + m.logit_bias, rtol=1e-5)


def test_the_sigmoid_model_has_its_bias(tmp_path):
    assert vlm.load_contrastive(tiny_clip(tmp_path, logit_bias=-10.0)).similarity(PHOTOS[:1], TEXTS[:1]).logit_bias == -10


def test_the_softmaxes_are_each_over_its_own_axis_and_sum_to_one(contrast):
    m = contrast.similarity(PHOTOS[:2], TEXTS)
    np.testing.assert_allclose(m.image_to_text, softmax(m.logits, 1), rtol=1e-4)
    np.testing.assert_allclose(m.text_to_image, softmax(m.logits, 0), rtol=1e-4)
    np.testing.assert_allclose(m.image_to_text.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(m.text_to_image.sum(0), 1, rtol=1e-5)


@torch.inference_mode()
def test_the_logits_are_those_of_open_clips_own_forward(tiny_contrast):
    pixels = torch.stack([tiny_contrast.preprocess(image) for image in PHOTOS])
    image_features, text_features, scale, *_ = tiny_contrast.network(pixels, tiny_contrast.tokenizer(TEXTS))
    m = tiny_contrast.similarity(PHOTOS, TEXTS)
    assert np.array_equal(m.cosine, (image_features @ text_features.T).numpy())
    assert m.logit_scale == float(scale)


def test_rows_follow_the_photos_and_columns_the_texts(contrast):
    m, turned = contrast.similarity(PHOTOS, TEXTS), contrast.similarity(PHOTOS[::-1], TEXTS[::-1])
    np.testing.assert_allclose(m.cosine, turned.cosine[::-1, ::-1], atol=1e-5)
    alone = contrast.similarity([PHOTOS[1]], [TEXTS[2]])
    np.testing.assert_allclose(m.cosine[1, 2], alone.cosine[0, 0], atol=1e-5)  # no padding or batch leaks in
    assert np.ptp(m.cosine) > 1e-4


def test_vectors_have_unit_length_and_cosines_lie_between_minus_one_and_one(contrast):
    for vectors in (contrast.encode_images(PHOTOS), contrast.encode_texts(TEXTS)):
        np.testing.assert_allclose(vectors.norm(dim=1), 1, rtol=1e-5)
    assert np.abs(contrast.similarity(PHOTOS, TEXTS).cosine).max() <= 1 + 1e-6


@pytest.mark.parametrize("image", PHOTOS)
def test_a_cosine_is_the_class_share_and_the_mean_of_the_patch_shares(embedded_contrast, image):
    shares = embedded_contrast.patch_shares(image, TEXTS)
    np.testing.assert_allclose(shares.cosine, shares.class_share + shares.patch_shares.mean(1), atol=1e-5)
    np.testing.assert_allclose(shares.cosine, embedded_contrast.similarity([image], TEXTS).cosine[0], atol=1e-5)
    assert shares.patch_shares.shape == (3, shares.rows * shares.columns) == (3, 256)
    assert shares.boxes[0, :2].tolist() == [0, 0] and shares.boxes[-1, 2:].tolist() == [image.height, image.width]


@torch.inference_mode()
def test_a_patch_share_is_that_patchs_feature_through_the_linear_map(embedded_contrast):
    network, image = embedded_contrast.network, PHOTOS[0]
    blocks, outputs = network.visual.trunk.blocks, []
    handles = [blocks[layer - 1].register_forward_hook(lambda module, given, output: outputs.append(output[0].double())) for layer in network.visual.layers]
    network.visual.trunk.forward_features(embedded_contrast.preprocess(image)[None])
    for handle in handles:
        handle.remove()
    tokens = torch.cat([(each - each.mean(1, keepdim=True)) / each.std(1, keepdim=True, correction=0) for each in outputs], dim=1).numpy()
    weight, bias = network.visual.proj.weight.numpy().astype(np.float64), network.visual.proj.bias.numpy()
    text = embedded_contrast.encode_texts(TEXTS).numpy()
    whole = weight @ np.concatenate([tokens[0], tokens[1:].mean(0)]) + bias
    expected = text @ (weight[:, tokens.shape[1] :] @ tokens[1 + 77]) / np.linalg.norm(whole)
    np.testing.assert_allclose(embedded_contrast.patch_shares(image, TEXTS).patch_shares[:, 77], expected, atol=1e-4)


def test_a_model_whose_vector_is_no_sum_over_patches_has_no_shares(tiny_contrast, embedded_contrast):
    assert embedded_contrast.has_shares and not tiny_contrast.has_shares
    with pytest.raises(vlm.ModelError, match="embedded"):
        tiny_contrast.patch_shares(PHOTOS[0], TEXTS)


def test_related_sentences_are_nearer_than_unrelated_ones(embedded_contrast):
    vectors = embedded_contrast.encode_texts(["a dog runs on the grass", "a puppy is playing in a meadow", "a plate of pasta"])
    near, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    assert near > far + 0.1


def test_photos_are_turned_to_rgb_before_they_are_compared(contrast):
    image = PHOTOS[0]
    clear = image.convert("RGBA")
    np.testing.assert_array_equal(contrast.similarity([clear], TEXTS).cosine, contrast.similarity([image], TEXTS).cosine)


def test_texts_beyond_the_longest_are_cut_and_not_refused(contrast):
    assert np.isfinite(contrast.similarity(PHOTOS[:1], ["word " * 2000]).cosine).all()


@pytest.mark.parametrize("size", [(1, 1), (40, 12_000)])
def test_photos_of_extreme_shape_are_compared(contrast, size):
    assert np.isfinite(contrast.similarity([photo(*size)], TEXTS).cosine).all()


def test_no_photo_no_text_or_an_empty_text_is_refused(contrast):
    for images, texts, error in [([], TEXTS, vlm.ImageError), (PHOTOS, [], vlm.QuestionError), (PHOTOS, ["a cat", "  "], vlm.QuestionError)]:
        with pytest.raises(error, match=r"\.$"):
            contrast.similarity(images, texts)


@pytest.mark.parametrize("name", ["embeded", "ViT-B-33", "", "../nowhere"])
def test_an_unknown_contrastive_model_is_refused_and_the_allowed_ones_named(name):
    with pytest.raises(vlm.ModelError) as error:
        vlm.load_contrastive(name)
    assert repr(name) in str(error.value) and "'embedded'" in str(error.value)


def test_unknown_weights_of_a_known_model_are_refused_and_the_allowed_ones_named():
    for pretrained in (None, "laion3b"):
        with pytest.raises(vlm.ModelError, match="openai"):
            vlm.load_contrastive("ViT-B-32", pretrained=pretrained)


@pytest.mark.parametrize("damage", ["no config", "no weights", "cut weights", "empty config", "unknown setting", "other size", "pickle"])
def test_a_damaged_contrastive_checkpoint_is_refused(tmp_path, damage):
    folder = tiny_clip(tmp_path)
    config, weights = folder / "open_clip_config.json", folder / "open_clip_model.safetensors"
    if damage == "no config":
        config.unlink()
    elif damage == "no weights":
        weights.unlink()
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif damage == "empty config":
        config.write_text("{}")
    elif damage == "unknown setting":
        content = json.loads(config.read_text())
        content["model_cfg"]["vision_cfg"]["no_such_setting"] = 1
        config.write_text(json.dumps(content))
    elif damage == "other size":
        content = json.loads(config.read_text())
        content["model_cfg"]["embed_dim"] = 16
        config.write_text(json.dumps(content))
    else:
        torch.save({}, folder / "open_clip_pytorch_model.bin")
        weights.unlink()
    with pytest.raises(vlm.ModelError) as error:
        vlm.load_contrastive(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)
