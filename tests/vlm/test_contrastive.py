"""Photos against texts: the article's formulas computed a second time, in numpy."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest
import torch

import vlm
from tests.tiny import photo, tiny_clip
from vlm.catalogue import LISTED
from vlm.device import exact_placement, to_numpy

PHOTOS = [photo(90, 150), photo(150, 90, seed=1), photo(60, 60, seed=2)]
TEXTS = ["a photo of a cat", "waves of colour", "七 days 🐈"]


@pytest.fixture(params=["tiny", "embedded", "sigmoid"])
def contrast(request, tmp_path):
    if request.param == "sigmoid":
        return vlm.load_contrastive(tiny_clip(tmp_path, logit_bias=-10.0))
    return request.getfixturevalue(f"{request.param}_contrast")


def device_of(contrast) -> torch.device:
    return next(contrast.network.parameters()).device


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    exponents = np.exp(values - values.max(axis, keepdims=True))
    return exponents / exponents.sum(axis, keepdims=True)


def test_the_losses_are_the_articles_formula(contrast):
    m = contrast.similarity(PHOTOS, TEXTS)
    logits, n = m.logits.astype(np.float64), len(PHOTOS)
    loss_image = (
        -sum(
            math.log(math.exp(logits[i, i]) / sum(math.exp(logits[i, j]) for j in range(n)))
            for i in range(n)
        )
        / n
    )
    loss_text = (
        -sum(
            math.log(math.exp(logits[i, i]) / sum(math.exp(logits[j, i]) for j in range(n)))
            for i in range(n)
        )
        / n
    )
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
    assert (
        vlm.load_contrastive(tiny_clip(tmp_path, logit_bias=-10.0))
        .similarity(PHOTOS[:1], TEXTS[:1])
        .logit_bias
        == -10
    )


def test_the_softmaxes_are_each_over_its_own_axis_and_sum_to_one(contrast):
    m = contrast.similarity(PHOTOS[:2], TEXTS)
    np.testing.assert_allclose(m.image_to_text, softmax(m.logits, 1), rtol=1e-4)
    np.testing.assert_allclose(m.text_to_image, softmax(m.logits, 0), rtol=1e-4)
    np.testing.assert_allclose(m.image_to_text.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(m.text_to_image.sum(0), 1, rtol=1e-5)


@torch.inference_mode()
def test_the_logits_are_those_of_open_clips_own_forward(tiny_contrast):
    where = device_of(tiny_contrast)
    pixels = torch.stack([tiny_contrast.preprocess(image) for image in PHOTOS]).to(where)
    image_features, text_features, scale, *_ = tiny_contrast.network(
        pixels, tiny_contrast.tokenizer(TEXTS).to(where)
    )
    m = tiny_contrast.similarity(PHOTOS, TEXTS)
    assert np.array_equal(m.cosine, (image_features.cpu() @ text_features.cpu().T).numpy())
    assert m.logit_scale == float(scale)


def test_rows_follow_the_photos_and_columns_the_texts(contrast):
    m, turned = contrast.similarity(PHOTOS, TEXTS), contrast.similarity(PHOTOS[::-1], TEXTS[::-1])
    np.testing.assert_allclose(m.cosine, turned.cosine[::-1, ::-1], atol=1e-5)
    alone = contrast.similarity([PHOTOS[1]], [TEXTS[2]])
    # no padding or batch leaks in
    np.testing.assert_allclose(m.cosine[1, 2], alone.cosine[0, 0], atol=1e-5)
    assert np.ptp(m.cosine) > 1e-4


def test_vectors_have_unit_length_and_cosines_lie_between_minus_one_and_one(contrast):
    for vectors in (
        np.stack([each.vector for each in contrast.embed_images(PHOTOS)]),
        contrast.embed_texts(TEXTS),
    ):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert np.abs(contrast.similarity(PHOTOS, TEXTS).cosine).max() <= 1 + 1e-6


@pytest.mark.parametrize("image", PHOTOS)
def test_a_cosine_is_the_class_share_and_the_mean_of_the_patch_shares(embedded_contrast, image):
    for text, cosine in zip(TEXTS, embedded_contrast.similarity([image], TEXTS).cosine[0]):
        scores = embedded_contrast.patch_scores(image, text)
        assert scores.exact and scores.cls + scores.patches.mean() == pytest.approx(
            scores.cosine, abs=1e-5
        )
        assert scores.cosine == pytest.approx(cosine, abs=1e-5)
        assert len(scores.patches) == scores.rows * scores.columns == 256
    assert scores.boxes[0, :2].tolist() == [0, 0] and scores.boxes[-1, 2:].tolist() == [
        image.height,
        image.width,
    ]


@torch.inference_mode()
def test_a_patch_share_is_that_patchs_feature_through_the_linear_map(embedded_contrast):
    network, image = embedded_contrast.network, PHOTOS[0]
    blocks, outputs = network.visual.trunk.blocks, []
    handles = [
        blocks[layer - 1].register_forward_hook(
            lambda module, given, output: outputs.append(output[0].double())
        )
        for layer in network.visual.layers
    ]
    network.visual.trunk.forward_features(
        embedded_contrast.preprocess(image)[None].to(device_of(embedded_contrast))
    )
    for handle in handles:
        handle.remove()
    tokens = (
        torch.cat(
            [
                (each - each.mean(1, keepdim=True)) / each.std(1, keepdim=True, correction=0)
                for each in outputs
            ],
            dim=1,
        )
        .cpu()
        .numpy()
    )
    weight, bias = (
        to_numpy(network.visual.proj.weight).astype(np.float64),
        to_numpy(network.visual.proj.bias),
    )
    text = embedded_contrast.embed_text(TEXTS[0])
    whole = weight @ np.concatenate([tokens[0], tokens[1:].mean(0)]) + bias
    expected = text @ (weight[:, tokens.shape[1] :] @ tokens[1 + 77]) / np.linalg.norm(whole)
    assert embedded_contrast.patch_scores(image, TEXTS[0]).patches[77] == pytest.approx(
        expected, abs=1e-4
    )


# Every kind of tower that open_clip has, tiny and random.

TOWERS = {
    "clip": {"image_size": 64, "layers": 2, "width": 64, "head_width": 16, "patch_size": 16},
    "average": {
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 64,
    },
    "siglip": {
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
        "image_size": 64,
    },
    "resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
}
TEXT_TOWER = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2}


@pytest.fixture(params=TOWERS)
def tower(request):
    """A model with this image tower; "siglip" with the bias of the sigmoid loss."""
    import open_clip

    from vlm.contrastive import ContrastiveModel

    torch.manual_seed(0)
    kind = request.param
    width = 192 if kind == "siglip" else 32
    options = {
        "embed_dim": width,
        "vision_cfg": TOWERS[kind],
        "text_cfg": TEXT_TOWER,
        **({"init_logit_bias": -10.0} if kind == "siglip" else {}),
    }
    network = (
        (open_clip.CustomTextCLIP if kind in ("average", "siglip") else open_clip.CLIP)(**options)
        .eval()
        .requires_grad_(False)
    )
    if "timm_model_name" in TOWERS[kind]:
        network.visual.trunk.set_input_size((64, 64))
    preprocess = open_clip.image_transform(64, is_train=False, resize_mode="shortest")
    return kind, ContrastiveModel(
        kind,
        network.to(exact_placement().device),
        preprocess,
        open_clip.get_tokenizer("ViT-B-32"),
        "shortest",
    )


@torch.inference_mode()
def test_embeddings_logits_and_losses_are_open_clips_own(tower):
    import open_clip

    kind, model = tower
    pixels, tokens = (
        torch.stack([model.preprocess(image) for image in PHOTOS]).to(device_of(model)),
        model.tokenizer(TEXTS).to(device_of(model)),
    )
    images, texts = (
        model.network.encode_image(pixels, normalize=True),
        model.network.encode_text(tokens, normalize=True),
    )
    np.testing.assert_array_equal(
        np.stack([each.vector for each in model.embed_images(PHOTOS)]), to_numpy(images)
    )
    np.testing.assert_array_equal(model.embed_texts(TEXTS), to_numpy(texts))
    m = model.similarity(PHOTOS, TEXTS)
    np.testing.assert_allclose(
        m.logits, to_numpy(model.network.get_logits(pixels, tokens)[0]), atol=1e-4
    )
    # a bias that every logit shares changes no softmax
    assert m.loss == pytest.approx(
        float(open_clip.loss.ClipLoss()(images, texts, model.network.logit_scale.exp())), rel=1e-5
    )
    if kind == "siglip":
        expected = open_clip.loss.SigLipLoss()(
            images, texts, model.network.logit_scale.exp(), model.network.logit_bias
        )
        assert m.loss_sigmoid == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(m.sigmoid, 1 / (1 + np.exp(-m.logits.astype(np.float64))), rtol=1e-4)


def test_a_map_has_a_patch_for_every_box_and_the_tower_is_heard_only(tower):
    kind, model = tower
    if kind == "resnet":
        with pytest.raises(vlm.ModelError, match="no patches"):
            model.patch_scores(PHOTOS[0], TEXTS[0])
        return
    scores = model.patch_scores(PHOTOS[0], TEXTS[0])
    assert not scores.exact and scores.cls == 0 and np.abs(scores.patches).max() <= 1 + 1e-5
    assert len(scores.patches) == len(scores.boxes) == scores.rows * scores.columns == 16
    height, width = 90, 150  # the transform keeps the square in the middle
    assert scores.boxes[0, :2].tolist() == [0, (width - height) / 2] and scores.boxes[
        -1, 2:
    ].tolist() == [height, (width + height) / 2]
    assert len(scores.corrected) == 16 and np.abs(scores.corrected - scores.patches).max() > 1e-4


def test_in_the_corrected_map_a_patch_depends_on_its_own_last_layer_only(tower):
    kind, model = tower
    if kind != "clip":
        pytest.skip("only open_clip's own transformer")
    with torch.inference_mode():
        block = model.network.visual.transformer.resblocks[-1]
        before = torch.randn(1, 17, 64).to(device_of(model))
        alone = torch.full((17, 17), float("-inf"), device=before.device).fill_diagonal_(0)
        normed = block.ln_1(before)
        value = torch.nn.functional.linear(
            normed, block.attn.in_proj_weight[128:], block.attn.in_proj_bias[128:]
        )
        expected = before + block.attn.out_proj(value)
        expected = expected + block.mlp(block.ln_2(expected))
        torch.testing.assert_close(block(before, attn_mask=alone), expected, atol=1e-5, rtol=1e-5)


def test_many_photos_are_one_pass(tiny_contrast, monkeypatch):
    passes, forward = [], tiny_contrast.network.visual.forward
    monkeypatch.setattr(
        tiny_contrast.network.visual,
        "forward",
        lambda pixels: passes.append(len(pixels)) or forward(pixels),
    )
    tiny_contrast.similarity([photo(40, 50, seed=seed) for seed in range(32)], TEXTS)
    assert passes == [32]


def test_zero_shot_is_the_softmax_over_the_labels(contrast):
    labels, templates = ["cat", "dog", "七"], ("a photo of a {}", "{}")
    record = contrast.zero_shot(PHOTOS[:2], labels, templates)
    vectors = np.stack(
        [
            np.mean([contrast.embed_text(template.format(label)) for template in templates], axis=0)
            for label in labels
        ]
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    images = np.stack([contrast.embed_image(image) for image in PHOTOS[:2]])
    np.testing.assert_allclose(record.cosine, images @ vectors.T, atol=1e-5)
    np.testing.assert_allclose(
        record.probabilities, softmax(record.cosine * contrast.logit_scale, 1), atol=1e-4
    )
    for bad in ((), ("no place",)):
        with pytest.raises(vlm.QuestionError, match="template"):
            contrast.zero_shot(PHOTOS[:1], labels, bad)


def test_a_word_left_out_changes_the_score_by_the_difference(embedded_contrast):
    image = embedded_contrast.embed_image(PHOTOS[0])
    changes = embedded_contrast.leave_one_out(image, "a  red cat")
    assert [word for word, _ in changes] == ["a", "red", "cat"]
    whole, without = embedded_contrast.embed_texts(["a red cat", "a cat"]) @ image
    assert changes[1][1] == pytest.approx(float(without - whole), abs=1e-5)
    assert embedded_contrast.leave_one_out(image, "cat") == (("cat", 0.0),)


def cut_by_hand(contrast, text: str) -> bool:
    """Whether another last word (of one token) makes no difference to what is read."""
    return (contrast.tokenizer([text + " dog"]) == contrast.tokenizer([text + " bird"])).all()


@pytest.mark.parametrize("mode", [None, "clips"])
def test_a_sentence_that_is_cut_is_known_and_one_that_just_fits(contrast, mode):
    if mode and not hasattr(contrast.tokenizer, "tokenizer_mode"):
        pytest.skip("a tokenizer of open_clip's own has no modes")
    if mode:
        tokenizer = copy.copy(contrast.tokenizer)
        tokenizer.tokenizer_mode = mode
        tokenizer.tokenizer = copy.deepcopy(tokenizer.tokenizer)
        tokenizer.tokenizer.bos_token = tokenizer.tokenizer.cls_token
        tokenizer.tokenizer.eos_token = tokenizer.tokenizer.sep_token
        contrast = dataclasses.replace(contrast, tokenizer=tokenizer)
    assert contrast.is_cut("word " * 2000) and not contrast.is_cut("a cat")
    length = contrast.tokenizer(["a"]).shape[1]
    for start in ("", "! !!?! "):  # CLIP's filling is the token of an exclamation mark
        texts = [start + "cat " * count for count in range(length - 9, length + 2)]
        by_hand = [cut_by_hand(contrast, text.strip()) for text in texts]
        assert [contrast.is_cut(text.strip() + " dog") for text in texts] == by_hand
        assert True in by_hand and False in by_hand


def test_without_a_network_the_sentence_says_so(monkeypatch):
    import open_clip

    def unreachable(*arguments, **named):
        raise URLError("no route")

    from urllib.error import URLError

    monkeypatch.setattr(open_clip, "create_model_and_transforms", unreachable)
    for name in ("ViT-B-32/openai", "hf-hub:owner/name"):
        with pytest.raises(vlm.FetchError, match="'embedded', which needs none"):
            vlm.load_contrastive(name)


@pytest.mark.parametrize("listed", LISTED, ids=lambda each: f"{each.name}/{each.pretrained}")
def test_the_list_tells_the_size_and_names_weights_that_exist(listed):
    import open_clip

    assert listed.pretrained in open_clip.list_pretrained_tags_by_model(listed.name)
    config = open_clip.get_model_config(listed.name)
    custom = config.pop("custom_text", False) or "timm_model_name" in config["vision_cfg"]
    with torch.device("meta"):  # shapes without weights
        network = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config)
    assert (
        round(sum(parameter.numel() for parameter in network.parameters()) / 1e6)
        == listed.parameters
    )


def test_related_sentences_are_nearer_than_unrelated_ones(embedded_contrast):
    vectors = embedded_contrast.embed_texts(
        ["a dog runs on the grass", "a puppy is playing in a meadow", "a plate of pasta"]
    )
    near, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    assert near > far + 0.1


def test_photos_are_turned_to_rgb_before_they_are_compared(contrast):
    image = PHOTOS[0]
    clear = image.convert("RGBA")
    np.testing.assert_array_equal(
        contrast.similarity([clear], TEXTS).cosine, contrast.similarity([image], TEXTS).cosine
    )


def test_texts_beyond_the_longest_are_cut_and_not_refused(contrast):
    assert np.isfinite(contrast.similarity(PHOTOS[:1], ["word " * 2000]).cosine).all()


@pytest.mark.parametrize("size", [(1, 1), (40, 12_000)])
def test_photos_of_extreme_shape_are_compared(contrast, size):
    assert np.isfinite(contrast.similarity([photo(*size)], TEXTS).cosine).all()


def test_no_photo_no_text_or_an_empty_text_is_refused(contrast):
    for images, texts, error in [
        ([], TEXTS, vlm.ImageError),
        (PHOTOS, [], vlm.QuestionError),
        (PHOTOS, ["a cat", "  "], vlm.QuestionError),
    ]:
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


@pytest.mark.parametrize(
    "damage",
    [
        "no config",
        "no weights",
        "cut weights",
        "empty config",
        "unknown setting",
        "other size",
        "pickle",
    ],
)
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
