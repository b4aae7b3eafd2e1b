"""What `vlm.load` refuses, each with one sentence, and that what it loads needs no network."""

import json
import shutil
import socket
import subprocess

import pytest
import torch
import transformers
from packaging.version import Version

import vlm
from tests.tiny import SIDE, photo, tiny_llava
from vlm.backends import device


def sentence(name) -> str:
    with pytest.raises(vlm.ModelError) as error:
        vlm.load(name)
    message = str(error.value)
    assert "\n" not in message and len(message) < 600
    return message


@pytest.fixture
def checkpoint(checkpoints, tmp_path):
    """A tiny checkpoint to be spoiled."""
    return shutil.copytree(checkpoints("clip"), tmp_path / "checkpoint")


def change(path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "name",
    [
        "embeded",
        "",
        "../nowhere",
        "a/../b",
        "a/b/c",
        "a--b/c",
        "a/b@x/y",
        "https://example.com/model",
        "null\0character",
    ],
)
def test_an_unknown_name_is_refused_and_the_allowed_ones_named(name):
    message = sentence(name)
    assert repr(name) in message and "'embedded'" in message and "folder" in message


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    assert "config.json" in sentence(tmp_path)


def test_a_folder_can_be_given_as_text_or_path(checkpoint):
    assert vlm.load(str(checkpoint)).name == vlm.load(checkpoint).name == str(checkpoint)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"model_type": "no-such-model"}',
        '{"model_type": "llava", "vision_config": 3}',
    ],
)
def test_a_damaged_configuration_is_refused(checkpoint, content):
    (checkpoint / "config.json").write_text(content)
    sentence(checkpoint)


def test_a_language_model_without_eyes_is_refused(tmp_path):
    import transformers as tf

    tf.LlamaForCausalLM(
        tf.LlamaConfig(
            vocab_size=9,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
        )
    ).save_pretrained(tmp_path)
    sentence(tmp_path)


def test_pickled_weights_are_never_opened(checkpoint):
    class Attack:
        def __reduce__(self):
            return (checkpoint.joinpath("opened").touch, ())

    (checkpoint / "model.safetensors").unlink()
    torch.save({"weight": Attack()}, checkpoint / "pytorch_model.bin")
    assert "safetensors" in sentence(checkpoint)
    assert not (checkpoint / "opened").exists()


def test_code_of_a_checkpoint_is_never_run(checkpoint):
    (checkpoint / "modeling.py").write_text(f"open({str(checkpoint / 'opened')!r}, 'w')\n")
    change(
        checkpoint / "config.json",
        model_type="own",
        auto_map={"AutoConfig": "modeling.C", "AutoModelForImageTextToText": "modeling.M"},
    )
    sentence(checkpoint)
    assert not (checkpoint / "opened").exists()


def test_truncated_weights_are_refused(checkpoint):
    path = checkpoint / "model.safetensors"
    for size in (path.stat().st_size // 2, 100, 0):
        with path.open("r+b") as file:
            file.truncate(size)
        sentence(checkpoint)


def test_weights_of_another_size_are_refused(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    config["vision_config"]["hidden_size"] = 64
    (checkpoint / "config.json").write_text(json.dumps(config))
    sentence(checkpoint)


def test_missing_weights_are_refused_and_not_made_up(checkpoint):
    from safetensors.torch import load_file, save_file

    path = checkpoint / "model.safetensors"
    weights = {
        name: weight
        for name, weight in load_file(path).items()
        if "multi_modal_projector" not in name
    }
    save_file(weights, path, metadata={"format": "pt"})
    assert "projector" in sentence(checkpoint)


def test_a_checkpoint_without_its_processor_is_refused(checkpoint):
    for path in checkpoint.iterdir():
        if path.name not in ("config.json", "generation_config.json", "model.safetensors"):
            path.unlink()
    sentence(checkpoint)


def test_a_checkpoint_without_a_chat_template_says_so_when_asked(checkpoint):
    (checkpoint / "chat_template.jinja").unlink()
    model = vlm.load(checkpoint)
    with pytest.raises(vlm.ModelError, match="chat template"):
        model.encode(photo(30, 40), "hi")


@pytest.mark.parametrize("kind", ["gptj", "mpt"])
def test_a_language_model_that_computes_its_attention_by_itself_is_declined(tmp_path, kind):
    """It takes other masks than it would be given: its answers would be wrong, and silently."""
    if kind == "gptj" and Version(transformers.__version__) >= Version("5.24"):
        pytest.skip("from 5.24 on transformers' GPT-J hands out its queries and keys")
    settings = {"model_type": "llava", "text_config": {"model_type": kind}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert "Model) computes its attention by itself" in sentence(tmp_path)


@pytest.mark.parametrize("kind", ["blip-2", "instructblip"])
@pytest.mark.parametrize("said", [{}, {"is_encoder_decoder": True}])
def test_a_language_model_with_an_encoder_is_declined_before_anything_is_read(tmp_path, kind, said):
    """As BLIP-2 and InstructBLIP on flan-t5 have it."""
    text = {"model_type": "t5", **said}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "text_config": text}))
    found = sentence(tmp_path)
    assert "kind t5, an encoder and a decoder" in found and "with OPT" in found


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"do_pad": True, "pad_size": {"height": SIDE, "width": SIDE}}, "do_pad"),
        ({"do_resize": False}, "no resizing"),
        ({"size": {"shortest_edge": SIDE // 2}}, "crop"),
    ],
)
def test_an_image_processor_whose_boxes_would_be_wrong_is_refused(checkpoint, step, reason):
    processor = json.loads((checkpoint / "processor_config.json").read_text())
    processor["image_processor"] |= step
    (checkpoint / "processor_config.json").write_text(json.dumps(processor))
    model = vlm.load(checkpoint)
    with pytest.raises(vlm.ModelError, match=reason):
        model.encode(photo(SIDE, SIDE), "hi")


def test_an_encoder_with_another_patch_size_than_the_processor_is_refused(checkpoint):
    processor = json.loads((checkpoint / "processor_config.json").read_text())
    processor["image_processor"]["crop_size"] = {"height": SIDE, "width": SIDE + 5}
    (checkpoint / "processor_config.json").write_text(json.dumps(processor))
    with pytest.raises(vlm.ModelError):
        vlm.load(checkpoint).encode(photo(300, 400), "hi")


def test_a_device_that_is_not_there_is_named_with_the_allowed_ones(monkeypatch):
    for name in ("cuda:99", "gpu", "meta-physics"):
        monkeypatch.setenv(device.VARIABLE, name)
        with pytest.raises(vlm.ModelError, match=f"{name}.*cpu, cuda or mps"):
            device.placement.__wrapped__()


def test_the_processor_uses_float32(tiny_model):
    assert {parameter.dtype for parameter in tiny_model.network.parameters()} == {torch.float32}
    assert (
        not any(parameter.requires_grad for parameter in tiny_model.network.parameters())
        and not tiny_model.network.training
    )


def test_nothing_is_fetched_to_load_a_model_that_is_there(
    embedded_model, embedded_contrast, checkpoints, monkeypatch
):
    def refuse(*arguments, **options):
        raise AssertionError("a model that is there was fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    vlm.load("embedded")
    vlm.load_contrastive("embedded")
    vlm.load(checkpoints("clip"))


def test_two_loads_of_a_checkpoint_give_the_same_answer(tmp_path, wide_photo):
    first, second = (
        vlm.load(tiny_llava(tmp_path / name, seed=3)).trace(
            wide_photo, "hi", vlm.Decoding(max_new_tokens=6)
        )
        for name in "ab"
    )
    assert [step.token_id for step in first.steps] == [step.token_id for step in second.steps]
