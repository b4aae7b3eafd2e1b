"""Photos against texts: the article's formulas computed a second time, in numpy."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

import vlm
from tests.tiny import photo, tiny_clip
from vlm.backends.device import exact_placement, to_numpy
from vlm.backends.hooks import capture_outputs
from vlm.hub.catalogue import LISTED
from vlm.inspect import self_check

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
    "coca": {
        "image_size": 64,
        "layers": 2,
        "width": 64,
        "head_width": 16,
        "patch_size": 16,
        "attentional_pool": True,
        "attn_pooler_heads": 4,
        "output_tokens": True,
    },
    "resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
}
TEXT_TOWER = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2}


def pair_with(kind: str, size: tuple[int, int] = (64, 64), mode: str = "shortest"):
    """A model with this image tower, which is given `size` pixels; "siglip" with the bias of the
    sigmoid loss.
    """
    import open_clip

    from vlm.contrastive.model import ContrastiveModel

    torch.manual_seed(0)
    width = 192 if kind == "siglip" else 32
    text = TEXT_TOWER | ({"embed_cls": True, "output_tokens": True} if kind == "coca" else {})
    options = {
        "embed_dim": width,
        "vision_cfg": TOWERS[kind] | {"image_size": size if size[0] != size[1] else size[0]},
        "text_cfg": text,
        **({"init_logit_bias": -10.0} if kind == "siglip" else {}),
        **({"multimodal_cfg": TEXT_TOWER} if kind == "coca" else {}),
    }
    classes = {
        "average": open_clip.CustomTextCLIP,
        "siglip": open_clip.CustomTextCLIP,
        "coca": open_clip.CoCa,
    }
    network = classes.get(kind, open_clip.CLIP)(**options).eval().requires_grad_(False)
    if "timm_model_name" in TOWERS[kind]:
        network.visual.trunk.set_input_size(size)
    preprocess = open_clip.image_transform(
        network.visual.image_size, is_train=False, resize_mode=mode
    )
    return ContrastiveModel(
        kind,
        network.to(exact_placement().device),
        preprocess,
        open_clip.get_tokenizer("ViT-B-32"),
        mode,
    )


@pytest.fixture(params=TOWERS)
def tower(request):
    return request.param, pair_with(request.param)


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
    if kind != "coca":  # whose class has no such method
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
    if kind in ("resnet", "coca"):
        with pytest.raises(vlm.ModelError, match="no patches"):
            model.patch_scores(PHOTOS[0], TEXTS[0])
        return
    scores = model.patch_scores(PHOTOS[0], TEXTS[0])
    assert not scores.exact and scores.cls == 0 and np.abs(scores.patches).max() <= 1 + 1e-5
    assert len(scores.patches) == len(scores.boxes) == scores.rows * scores.columns == 16
    # of 90 x 150 pixels, resized to 64 x 106, the transform keeps the square in the middle
    assert scores.boxes[0, :2].tolist() == [0, 21 * 150 / 106]
    assert scores.boxes[-1, 2:].tolist() == [90, 85 * 150 / 106]
    assert len(scores.corrected) == 16 and np.abs(scores.corrected - scores.patches).max() > 1e-4


MODES = ("squash", "shortest", "longest")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(64, 64), (79, 79), (64, 96), (61, 95)])
def test_the_box_is_the_part_of_the_photo_that_the_transform_keeps(size, mode):
    """On photos whose level of grey is the number of the row, and of the column."""
    model = pair_with("clip", size, mode)
    for height, width in ((230, 250), (120, 251), (251, 77)):
        levels = np.mgrid[:height, :width].astype(np.uint8)
        image = Image.fromarray(np.stack([*levels, levels[0]], axis=2))
        normalise = model.preprocess.transforms[-1]
        pixels = model.preprocess(image) * torch.tensor(normalise.std)[:, None, None]
        pixels = 255 * (pixels + torch.tensor(normalise.mean)[:, None, None])
        box = model._received_box(image, size)
        for axis, count in ((0, size[0]), (1, size[1])):
            edge, scale = box[axis], (box[axis + 2] - box[axis]) / count
            expected = edge + (np.arange(count) + 0.5) * scale - 0.5
            inner = (expected > 3 * scale) & (expected < (height, width)[axis] - 1 - 3 * scale)
            line = pixels[axis].numpy()
            line = line[:, size[1] // 2] if axis == 0 else line[size[0] // 2]
            assert inner.sum() > 10
            assert np.abs(line - expected)[inner].max() < 0.75


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(64, 96), (79, 79), (61, 95)])
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_what_is_painted_into_a_patchs_box_changes_that_token_of_open_clips_tower(kind, size, mode):
    """Also where the sides are no multiples of the patch, as 384 pixels are none of 14."""
    model, image = pair_with(kind, size, mode), photo(300, 420)
    [embedding] = model.embed_images([image])
    assert (embedding.rows, embedding.columns) == (size[0] // 16, size[1] // 16)
    tower = model.network.visual
    projection = tower.conv1 if kind == "clip" else tower.trunk.patch_embed.proj

    def tokens(level: int, box) -> np.ndarray:
        with capture_outputs(projection) as projected, torch.inference_mode():
            tower(model.preprocess(self_check.filled(image, box, level))[None].to(model._weight))
        return to_numpy(projected[0][0].flatten(1).T)

    boxes = embedding.boxes  # those in the photo: some lie where the transform fills up
    inside = (boxes.min(1) >= 0) & (boxes[:, 2] <= image.height) & (boxes[:, 3] <= image.width)
    placed = np.flatnonzero(inside)
    assert len(placed) >= 4
    for index in placed[np.linspace(0, len(placed) - 1, 4).astype(int)]:
        box = boxes[index]
        change = np.linalg.norm(tokens(255, box) - tokens(0, box), axis=1)
        assert change.argmax() == index
        assert np.delete(change, index).max() < change[index] / 4


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


NARROW = {"layers": 1, "width": 32, "head_width": 16}


@pytest.fixture(scope="module")
def loaded_pairs():
    """Every pair of open_clip's list, as our road to it builds and prepares it: open_clip's own
    classes with narrow towers, without weights. The constructor's arguments, the kinds of modules
    that it is made of, its transform and the mode in which that resizes.
    """
    import open_clip

    made, patch = {}, pytest.MonkeyPatch()

    def narrow(of):
        def build(**options):
            asked.append(options)
            vision, text = dict(options["vision_cfg"]), dict(options["text_cfg"])
            side = vision["image_size"]
            if isinstance(vision.get("layers"), list):
                vision = {"image_size": side, "layers": [1] * 4, "width": 8}
            else:
                vision = {"image_size": side, "patch_size": side // 8, **NARROW}
            text = {key: text[key] for key in ("context_length",) if key in text}
            text |= {"width": 32, "heads": 2, "layers": 1, "vocab_size": 64}
            kept = {
                key: value
                for key, value in options.items()
                if key not in ("vision_cfg", "text_cfg", "multimodal_cfg")
            }
            return of(**kept | {"vision_cfg": vision, "text_cfg": text})

        return build

    for name in ("CLIP", "CustomTextCLIP"):
        patch.setattr(open_clip.factory, name, narrow(getattr(open_clip, name)))
    patch.setattr(open_clip.factory, "CoCa", narrow(open_clip.CustomTextCLIP))
    patch.setattr(open_clip.factory, "download_pretrained", lambda *given, **named: "weights")
    patch.setattr(open_clip.factory, "load_checkpoint", lambda *given, **named: None)
    patch.setattr(open_clip, "get_tokenizer", lambda name: list)
    for pair in open_clip.list_pretrained():
        asked: list[dict] = []
        model = vlm.load_contrastive("/".join(pair))
        kinds = {type(module) for module in model.network.modules()}
        made[pair] = asked[0], kinds, model.preprocess, model.resize_mode
    patch.undo()
    return made


def test_every_pair_is_computed_with_the_activation_that_its_weights_were_trained_with(
    loaded_pairs,
):
    import open_clip

    wanted = set()
    for (name, tag), (options, kinds, *_) in loaded_pairs.items():
        quick = open_clip.get_pretrained_cfg(name, tag).get("quick_gelu")
        if quick is None:  # the weights' own entry says nothing: what the model says
            quick = bool(open_clip.get_model_config(name).get("quick_gelu"))
        assert options["quick_gelu"] is quick, (name, tag)
        assert (open_clip.transformer.QuickGELU in kinds) is quick, (name, tag)
        assert (torch.nn.GELU in kinds) is not quick, (name, tag)
        wanted |= {(name, tag)} if quick else set()
    assert ("ViT-B-32", "openai") in wanted and len(loaded_pairs) > len(wanted) > 50


def test_every_pair_is_given_photos_as_its_weights_were_trained_with_them(loaded_pairs):
    import open_clip

    for (name, tag), (options, _, preprocess, mode) in loaded_pairs.items():
        of_weights = open_clip.get_pretrained_cfg(name, tag)
        side = options["vision_cfg"]["image_size"]
        steps = {type(step).__name__: step for step in preprocess.transforms}
        assert tuple(steps["Normalize"].mean) == tuple(of_weights["mean"]), (name, tag)
        assert tuple(steps["Normalize"].std) == tuple(of_weights["std"]), (name, tag)
        assert mode == of_weights["resize_mode"], (name, tag)
        assert steps["Resize"].interpolation.value == of_weights["interpolation"], (name, tag)
        assert preprocess(PHOTOS[2]).shape == (3, side, side), (name, tag)
        squashed = of_weights["resize_mode"] == "squash"
        assert ("CenterCrop" in steps) is not squashed, (name, tag)


def test_a_pair_without_its_weights_is_refused(monkeypatch):
    """open_clip would go on with random ones where the hub gives none."""
    import open_clip

    from vlm.contrastive import loading

    config = {"model_cfg": open_clip.get_model_config("ViT-B-32") | {"embed_dim": 32}}
    config["model_cfg"]["vision_cfg"] |= {"layers": 1, "width": 64}
    config["model_cfg"]["text_cfg"] |= {"layers": 1, "width": 64, "heads": 1}

    def missing(*given, **named):
        raise FileNotFoundError("no weights")

    monkeypatch.setattr(loading, "_configuration_of", lambda name: None)
    monkeypatch.setattr(loading, "_check_configuration", lambda name, path: None)
    monkeypatch.setattr(open_clip.factory, "_get_hf_config", lambda *given, **named: config)
    monkeypatch.setattr(open_clip.factory, "download_pretrained_from_hf", missing)
    with pytest.raises(vlm.ModelError, match="could not be loaded"):
        vlm.load_contrastive("hf-hub:owner/name")


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
