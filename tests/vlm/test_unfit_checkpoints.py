"""Photos that no model can take and checkpoints whose files do not fit together: each ends in one
sentence that says which shape or which setting, or in the right result where there is one.
"""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import vlm
from tests.families import CROSSED, FAMILIES, tiny_family
from tests.tiny import SIDE, photo, tiny_llava
from vlm.backends import architecture
from vlm.loading import load

QUESTION = "What is in this image?"
# one for each kind of processor
KINDS = (
    "vipllava",
    "llava_next",
    "llava_onevision",
    "idefics3",
    "smolvlm",
    "qwen2_vl",
    "qwen3_vl",
    "internvl",
    "paligemma",
    "gemma3",
    "mistral3",
    "pixtral",
    "lighton_ocr",
    "aya_vision",
    "cohere2_vision",
    "blip_2",
    "instructblip",
    "kosmos_2",
    "mllama",
)
# width and height
ODD = [(900, 3), (3, 900), (1, 1), (1, 700), (600, 3), (601, 3)]
PARTS = "{% for c in messages[0]['content'] %}"
TEMPLATES = {  # what each does, and what its sentence says
    "{{ 'user: ' + messages[0]['content'] }}": "concatenate str",
    "{{ raise_exception('Only text is supported.') }}": "Only text is supported",
    "\n{% for m in messages %}{{ m['role'] }": "TemplateSyntaxError in line 2",
    "{{ messages[0]['content'][0]['image']['url'] }}": "UndefinedError",
    PARTS + "{% if c['type'] == 'image' %}MARK{% endif %}{% endfor %}": "leaves the question out",
    PARTS + "{% if c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}": "0 times",
    PARTS + "{{ c['text'] if c['type'] == 'text' else '<another mark>' }}{% endfor %}": "0 times",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of checkpoints by family (or the encoder of a LLaVA), made on first use."""
    made = {}

    def folder(name):
        if name not in made:
            path = tmp_path_factory.mktemp(name)
            is_family = name in FAMILIES | CROSSED
            made[name] = tiny_family(path, name) if is_family else tiny_llava(path, name)
        return made[name]

    return folder


@pytest.fixture(scope="module", params=KINDS)
def model(request, folders):
    return vlm.load(folders(request.param))


@pytest.fixture
def spoil(folders, tmp_path):
    """A copy of a checkpoint with settings changed: a dict changes those below, None removes."""

    def change(settings: dict, changes: dict) -> None:
        for name, value in changes.items():
            if value is None:
                settings.pop(name, None)
            elif isinstance(value, dict) and isinstance(settings.get(name), dict):
                change(settings[name], value)
            else:
                settings[name] = value

    def spoiled(name: str, file: str, changes: dict):
        folder = shutil.copytree(folders(name), tmp_path / "spoiled")
        settings = json.loads((folder / file).read_text())
        change(settings, changes)
        (folder / file).write_text(json.dumps(settings))
        return folder

    return spoiled


def blank(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), "teal")


def refusal(call) -> str:
    with pytest.raises(vlm.VLMError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message and 10 < len(message) < 600 and message.endswith(".")
    return message


@pytest.mark.long
@pytest.mark.parametrize(("width", "height"), ODD)
def test_a_photo_of_any_shape_is_taken_or_told_which_shape_would_be(model, width, height):
    try:
        model.encode(blank(width, height), QUESTION)
        return
    except vlm.VLMError as error:
        said = str(error)
    assert f"{width:,} x {height:,} pixels" in said
    if "too few" in said:
        return
    least = int(re.search(r"at least ([\d,]+)\.", said)[1].replace(",", ""))

    def shape(side: int) -> tuple[int, int]:
        return (max(width, height), side) if width >= height else (side, max(width, height))

    assert model.encode_image(blank(*shape(least)))
    assert f"at least {least:,}." in refusal(lambda: model.encode_image(blank(*shape(least - 1))))


def test_of_several_photos_the_one_that_is_not_taken_is_named(folders):
    model = vlm.load(folders("qwen2_vl"))
    assert "Photo 2 has 900 x 3" in refusal(
        lambda: model.encode_image([blank(60, 40), blank(900, 3)])
    )


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_chat_template_that_gives_no_prompt_is_named(model, template, monkeypatch):
    mark = str(getattr(model.processor, "image_token", None))
    if not model.processor.chat_template:
        pytest.skip("this family has words of its own")
    monkeypatch.setattr(model.processor, "chat_template", template.replace("MARK", mark))
    said = refusal(lambda: model.encode(photo(60, 90), QUESTION))
    assert "chat_template.jinja" in said and TEMPLATES[template] in said


def test_a_template_that_only_the_tokenizer_has_is_used(model, monkeypatch):
    template = model.processor.chat_template
    if not template:
        pytest.skip("this family has words of its own")
    before = model.encode(photo(60, 90), QUESTION)
    monkeypatch.setattr(model.processor, "chat_template", None)
    monkeypatch.setattr(
        model.processor.tokenizer, "chat_template", {"default": template, "tools": "{{ 1 / 0 }}"}
    )
    after = model.encode(photo(60, 90), QUESTION)
    assert after.prompt == before.prompt and after.roles == before.roles
    monkeypatch.setattr(
        model.processor.tokenizer, "chat_template", "{{ messages[0]['content'] + '' }}"
    )
    said = refusal(lambda: model.encode(photo(60, 90), QUESTION))
    assert "chat_template in tokenizer_config.json" in said


def test_a_template_in_the_tokenizers_file_is_read(folders, tmp_path):
    folder = shutil.copytree(folders("clip"), tmp_path / "moved")
    path, settings = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    template = path.read_text()
    path.unlink()
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"chat_template": template}))
    moved, whole = (
        vlm.load(each).encode(photo(60, 90), QUESTION) for each in (folder, folders("clip"))
    )
    np.testing.assert_array_equal(moved.input_ids, whole.input_ids)


def test_a_photo_that_is_not_rescaled_is_shown_as_the_model_receives_it(model, monkeypatch):
    monkeypatch.setattr(model.processor.image_processor, "do_rescale", False)
    for picture in model.encode_image(blank(120, 90)).patches.pictures:
        inside = picture.received[picture.received.any(2)]  # beside it a margin may be black
        assert np.abs(inside.astype(int) - (0, 128, 128)).max() <= 1


@pytest.mark.parametrize("name", ["clip", "siglip", "dinov2", "vipllava", "llava_next"])
def test_what_the_processor_leaves_out_the_model_says(name, spoil, folders):
    left_out = ("patch_size", "vision_feature_select_strategy", "num_additional_image_tokens")
    model = vlm.load(spoil(name, "processor_config.json", dict.fromkeys(left_out)))
    whole = vlm.load(folders(name))
    trace = model.encode(photo(60, 90), QUESTION)
    np.testing.assert_array_equal(trace.input_ids, whole.encode(photo(60, 90), QUESTION).input_ids)
    assert [check.difference for check in model.check(trace)] == [0, 0]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("clip", 9),
        ("clip", -9),
        ("clip", [1, 9]),
        ("vipllava", [1, -9]),
        ("llava_next", 9),
        ("llava_onevision", -9),
        ("internvl", 9),
        ("mistral3", -9),
        ("aya_vision", 9),
    ],
)
def test_a_feature_layer_that_does_not_exist_is_named(name, layer, spoil):
    folder = spoil(name, "config.json", {"vision_feature_layer": layer})
    said = refusal(lambda: vlm.load(folder))
    assert f"vision_feature_layer in config.json is {layer}" in said and "-4 to 3" in said


@pytest.mark.parametrize("name", ["clip", "internvl", "aya_vision", "fast_vlm"])
def test_layers_side_by_side_where_one_is_taken_are_named(name, spoil):
    folder = spoil(name, "config.json", {"vision_feature_layer": [-1, -2]})
    said = refusal(lambda: vlm.load(folder).encode(photo(60, 90), QUESTION))
    assert "vision_feature_layer" in said or "vision feature layer" in said
    assert "[-1, -2]" in said


@pytest.mark.parametrize("name", ["clip", "vipllava", "internvl", "mistral3", "aya_vision"])
def test_an_unknown_strategy_is_named(name, spoil):
    folder = spoil(name, "config.json", {"vision_feature_select_strategy": "cls_patch"})
    said = refusal(lambda: vlm.load(folder).encode(photo(60, 90), QUESTION))
    assert "vision_feature_select_strategy" in said and "cls_patch" in said


LARGER = {"height": SIDE + 14, "width": SIDE + 14}
CROPPED = ("clip", "llava_next", "kosmos_2")


@pytest.mark.parametrize(
    "name",
    [
        "clip",
        "siglip",
        "llava_next",
        "llava_onevision",
        "paligemma",
        "gemma3",
        "internvl",
        "aya_vision",
        "cohere2_vision",
        "blip_2",
        "kosmos_2",
        "mllama",
    ],
)
def test_pictures_of_another_size_than_the_encoders_are_named(name, spoil):
    images = {"size": {"shortest_edge": SIDE + 14} if name in CROPPED else LARGER}
    images |= {"crop_size": LARGER} if name in CROPPED else {}
    model = vlm.load(spoil(name, "processor_config.json", {"image_processor": images}))
    said = refusal(lambda: model.encode(photo(60, 90), QUESTION))
    assert "70 x 70 pixels by size" in said and "56 x 56 by vision_config.image_size" in said


@pytest.mark.parametrize(
    ("name", "setting", "value", "said"),
    [
        ("clip", "num_additional_image_tokens", 0, "the encoder has 1 positions"),
        ("clip", "vision_feature_select_strategy", "full", "'full' in processor_config.json"),
        ("clip", "patch_size", 7, "patch_size is 7 in processor_config.json and 14"),
        ("llava_onevision", "num_image_tokens", 5, "num_image_tokens = 5"),
        ("idefics3", "image_seq_len", 5, "image_seq_len = 5"),
        ("internvl", "image_seq_length", 5, "image_seq_length = 5"),
        ("gemma3", "image_seq_length", 5, "image_seq_length = 5"),
        ("pixtral", "patch_size", None, "patch_size is 16 in processor_config.json and 14"),
    ],
)
def test_a_setting_by_which_the_processor_counts_wrongly_is_named(
    name, setting, value, said, spoil
):
    model = vlm.load(spoil(name, "processor_config.json", {setting: value}))
    assert said in refusal(lambda: model.encode(photo(90, 150), QUESTION))


def test_an_image_token_that_is_not_the_models_is_named(model):
    row = architecture.family(model.network)
    if row.crossed or row.marked_by:
        pytest.skip("no token of the sequence stands for a visual token")
    right = model.network.config.image_token_id
    model.network.config.image_token_id = 7 if right != 7 else 8
    try:
        said = refusal(lambda: model.encode(photo(60, 90), QUESTION))
    finally:
        model.network.config.image_token_id = right
    assert f"image_token_id is {right} in the tokenizer and" in said


def test_too_little_memory_is_not_taken_for_a_setting(tiny_model, monkeypatch):
    def full(*arguments, **named):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(architecture.connector(tiny_model.network), "forward", full)
    with pytest.raises(torch.OutOfMemoryError):
        tiny_model.encode_image(photo(60, 90))


GIVEN = {  # in place of a photo, and what is said of it
    "nothing": ([], "There is no photo"),
    "None": (None, "A NoneType was given"),
    "a path": ("cat.jpg", "vlm.open_image"),
    "an array": (np.zeros((8, 8, 3), np.uint8), "fromarray"),
    "a tensor": (torch.zeros(3, 8, 8), "fromarray"),
    "a path among photos": ([Image.new("RGB", (9, 9)), "cat.jpg"], "vlm.open_image"),
    "no pixels": (Image.new("RGB", (0, 9)), "0 x 9 pixels"),
    "no rows": ([Image.new("I;16", (9, 0))], "9 x 0 pixels"),
}


@pytest.mark.parametrize("given", GIVEN)
def test_what_is_no_photo_is_told_what_it_is(given, tiny_model, tiny_contrast):
    value, words = GIVEN[given]
    of_several = (
        tiny_model.encode_image,
        lambda images: tiny_model.encode(images, QUESTION),
        lambda images: tiny_model.trace(images, QUESTION),
        tiny_contrast.embed_images,
        lambda images: tiny_contrast.similarity(images, ["a cat"]),
        lambda images: tiny_contrast.zero_shot(images, ["cat"]),
    )
    of_one = (tiny_contrast.embed_image, lambda image: tiny_contrast.patch_scores(image, "a cat"))
    for call in of_several:
        with pytest.raises(vlm.ImageError, match=words):
            call(value)
    for call in of_one:
        with pytest.raises(vlm.ImageError, match="A list" if isinstance(value, list) else words):
            call(value)
    assert "photo that was seen" in refusal(lambda: tiny_model.ask(value, QUESTION))


@pytest.mark.parametrize("given", [None, 3, ["What?"]])
def test_a_question_that_is_no_text_is_told_so(given, tiny_model):
    with pytest.raises(vlm.QuestionError, match="no text"):
        tiny_model.encode(photo(60, 90), given)


@pytest.mark.parametrize("given", ["a cat", None, [3], b"cat"])
def test_texts_that_are_no_list_of_texts_are_told_so(given, tiny_contrast):
    with pytest.raises(vlm.QuestionError):
        tiny_contrast.embed_texts(given)
    with pytest.raises(vlm.QuestionError):
        tiny_contrast.similarity([photo(60, 90)], given)
    with pytest.raises(vlm.QuestionError):
        tiny_contrast.zero_shot([photo(60, 90)], given)


@pytest.mark.parametrize("version", ["5.20.0", "5.21.0"])
def test_a_smolvlm_that_old_transformers_cannot_run_says_which_to_install(version, monkeypatch):
    monkeypatch.setattr(load.metadata, "version", lambda package: version)
    settings = {
        "model_type": "smolvlm",
        "scale_factor": 3,
        "vision_config": {"image_size": 384, "patch_size": 14},
    }
    fits = settings | {"scale_factor": 4, "vision_config": {"image_size": 512, "patch_size": 16}}
    load.check_kind("a/b", fits)  # 64 tokens a tile
    if version == "5.21.0":
        load.check_kind("a/b", settings)
        return
    with pytest.raises(vlm.ModelError, match=r"81 visual tokens a tile.*install tr.* 5\.21"):
        load.check_kind("a/b", settings)
