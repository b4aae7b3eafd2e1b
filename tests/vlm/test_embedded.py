"""The embedded model: base weights and our parts joined as documented, into a checkpoint like any
other.
"""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import vlm
from tests.tiny import photo
from vlm.backends.towers import normalised
from vlm.embedded import assembly


@pytest.fixture(scope="module")
def folder():
    return assembly.language_checkpoint()


@pytest.fixture(scope="module")
def contrastive_folder():
    return assembly.contrastive_checkpoint()


def test_merge_adds_the_scaled_product_of_the_low_rank_deltas():
    generator = np.random.default_rng(0)
    weight, down, up = (
        torch.from_numpy(generator.normal(size=shape).astype(np.float32))
        for shape in [(6, 8), (2, 8), (6, 2)]
    )
    untouched = torch.ones(3)
    state = {"layer.weight": weight, "other.weight": untouched}
    merged = assembly.merge(state, {"layer.lora_A": down, "layer.lora_B": up}, lora_scale=0.5)
    np.testing.assert_allclose(
        merged["layer.weight"],
        weight.numpy() + 0.5 * up.numpy() @ down.numpy(),
        rtol=1e-5,
        atol=1e-6,
    )
    assert (
        merged["other.weight"] is untouched
        and state["layer.weight"] is weight
        and set(merged) == set(state)
    )


def test_merge_gives_the_same_bits_whatever_the_order_of_the_sum():
    """CPUs sum in orders of their own.

    The index of phrases belongs to weights that are the same on all of them.
    """
    generator = torch.Generator().manual_seed(0)
    weight, down, up = (
        torch.randn(shape, generator=generator) for shape in [(600, 500), (16, 500), (600, 16)]
    )
    order = torch.randperm(16, generator=generator)
    merged = [
        assembly.merge({"a.weight": weight}, {"a.lora_A": down[by], "a.lora_B": up[:, by]}, 2.0)[
            "a.weight"
        ]
        for by in (torch.arange(16), order)
    ]
    assert torch.equal(*merged) and not torch.equal(up @ down, up[:, order] @ down[order])


def test_merge_replaces_whole_tensors_and_uses_only_its_prefix():
    state = {"a.weight": torch.zeros(2), "b.weight": torch.zeros(2)}
    merged = assembly.merge(
        state,
        {"text.a.weight": torch.ones(2, dtype=torch.float16), "image.b.weight": torch.ones(2)},
        1.0,
        "text.",
    )
    assert (
        merged["a.weight"].tolist() == [1, 1]
        and merged["a.weight"].dtype == torch.float32
        and merged["b.weight"].tolist() == [0, 0]
    )


def test_merge_refuses_a_part_that_fits_nowhere():
    for part in ("b.weight", "b.lora_A"):
        with pytest.raises(KeyError):
            assembly.merge(
                {"a.weight": torch.zeros(2, 2)},
                {part: torch.ones(2, 2), "b.lora_B": torch.ones(2, 2)},
                1.0,
            )


def test_the_checkpoint_loads_with_transformers_alone(folder, embedded_model):
    from transformers import AutoProcessor, LlavaForConditionalGeneration, LlavaProcessor

    model, info = LlavaForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert model.dtype == torch.bfloat16
    for name, weight in embedded_model.network.named_parameters():
        assert torch.equal(weight, model.get_parameter(name).float()), name
    processor = AutoProcessor.from_pretrained(folder)
    assert isinstance(processor, LlavaProcessor)
    assert processor.tokenizer.convert_tokens_to_ids("<image>") == model.config.image_token_id


def test_nothing_of_the_checkpoint_came_by_chance(embedded_model):
    """The one row that no file holds is <image>'s, which transformers draws.

    The index of phrases belongs to weights that are the same everywhere.
    """
    network, image = (
        embedded_model.network,
        embedded_model.processor.tokenizer.convert_tokens_to_ids("<image>"),
    )
    table = network.get_input_embeddings().weight
    assert (
        image == len(table) - 1 == network.config.image_token_id
        and not table[image].any()
        and table[:image].any(1).all()
    )


def test_the_checkpoint_holds_the_connector_of_our_parts(folder):
    weights = load_file(folder / "model.safetensors")
    parts, _ = assembly.read_parts(assembly.PARTS / "vlm.safetensors")
    connector = {name: part for name, part in parts.items() if name.startswith("connector.")}
    assert len(connector) == 4
    for name, part in connector.items():
        stored = next(
            weight
            for key, weight in weights.items()
            if key.endswith("multi_modal_projector." + name.removeprefix("connector."))
        )
        assert torch.equal(stored, part.to(torch.bfloat16))


def test_the_checkpoint_is_safetensors_in_bfloat16(folder):
    assert {weight.dtype for weight in load_file(folder / "model.safetensors").values()} == {
        torch.bfloat16
    }
    assert not [
        path.name
        for path in folder.iterdir()
        if path.suffix in (".bin", ".pt", ".pth", ".pkl", ".py", ".onnx", ".gguf")
    ]


@pytest.mark.parametrize("name", ["folder", "contrastive_folder"])
def test_no_path_of_the_machine_is_written_into_a_checkpoint(name, request):
    folder = request.getfixturevalue(name)

    def strings(value):
        if isinstance(value, dict):
            for entry in value.values():
                yield from strings(entry)
        elif isinstance(value, list):
            for entry in value:
                yield from strings(entry)
        elif isinstance(value, str):
            yield value

    for path in folder.glob("*.json"):
        if path.name != "tokenizer.json":
            assert [
                text
                for text in strings(json.loads(path.read_text()))
                if text.startswith(("/", "~", "C:\\")) or str(folder.parent) in text
            ] == []


@torch.inference_mode()
def test_both_halves_see_with_the_same_encoder(embedded_model, embedded_contrast, wide_photo):
    pixels = embedded_model.processor(images=wide_photo, text="<image>", return_tensors="pt")[
        "pixel_values"
    ]
    ours = embedded_model.network.get_encoder(modality="image")(pixels).last_hidden_state
    timms = embedded_contrast.network.visual.trunk.forward_features(pixels)
    assert ours.shape == timms.shape == (1, 257, 384)
    assert float((ours - timms).abs().max()) < 1e-3 * float(ours.abs().max())


@torch.inference_mode()
def test_both_halves_read_the_same_layers_of_it(embedded_model, embedded_contrast, wide_photo):
    pixels = embedded_model.processor(images=wide_photo, text="<image>", return_tensors="pt")[
        "pixel_values"
    ]
    read = []
    handle = embedded_model.network.model.multi_modal_projector.register_forward_pre_hook(
        lambda module, given: read.append(given[0])
    )
    embedded_model.network.get_image_features(pixel_values=pixels)
    handle.remove()
    ours = normalised(read[0].flatten(0, -2), len(assembly.FEATURE_LAYERS))
    assert ours.shape == (256, 384 * len(assembly.FEATURE_LAYERS))
    assert float(
        (ours - embedded_contrast.network.visual.tokens(pixels)[0, 1:]).abs().max()
    ) < 1e-3 * float(ours.abs().max())


def test_both_halves_get_the_same_pixels(embedded_model, embedded_contrast, wide_photo):
    ours = embedded_model.processor(images=wide_photo, text="<image>", return_tensors="pt")[
        "pixel_values"
    ][0]
    theirs = embedded_contrast.preprocess(wide_photo)
    # one of 255 levels is 0.017
    assert ours.shape == theirs.shape and float((ours - theirs).abs().max()) < 0.05


def test_the_weights_are_pretrained_and_not_random(embedded_model):
    """SmolLM2 knows how this sentence ends, whatever our parts are."""
    tokenizer = embedded_model.processor.tokenizer
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        best = embedded_model.network(input_ids=ids).logits[0, -1].topk(3).indices
    assert "Paris" in [tokenizer.decode(token).strip() for token in best]


@torch.inference_mode()
def test_the_encoder_tells_photos_apart_as_a_pretrained_one_does(embedded_model):
    """DINOv2: a photo is nearer to its mirror image and to a darker copy than to another photo."""

    def cls(image):
        pixels = embedded_model.processor(images=image, text="<image>", return_tensors="pt")[
            "pixel_values"
        ]
        return torch.nn.functional.normalize(
            embedded_model.network.get_encoder(modality="image")(pixels).last_hidden_state[0, 0],
            dim=0,
        )

    from PIL import ImageEnhance, ImageOps

    first, second = photo(200, 300, seed=1), photo(200, 300, seed=2)
    near = min(
        float(cls(first) @ cls(other))
        for other in (ImageOps.mirror(first), ImageEnhance.Brightness(first).enhance(0.8))
    )
    assert near > 0.8 and near > float(cls(first) @ cls(second))


def test_the_answer_ends_with_the_models_end_token(embedded_model, wide_photo):
    trace = embedded_model.trace(
        wide_photo, "What is in this image?", vlm.Decoding(max_new_tokens=48)
    )
    assert trace.answer and trace.answer.isprintable()
    assert "<|" not in trace.answer
    assert not trace.steps[-1].is_end or trace.steps[-1].token_string == "<|im_end|>"


def test_a_checkpoint_belongs_to_the_parts_it_was_made_of(folder, contrastive_folder):
    from vlm.hub.store import sha256

    for made, name in [(folder, "vlm"), (contrastive_folder, "contrastive")]:
        digest = sha256(assembly.PARTS / f"{name}.safetensors")[:12]
        assert made.name == f"embedded-{name}-{assembly.RECIPE}-{digest}"
