"""Every family, exactly: what is shown is what the model's own forward computes, and every token's
box is where its pixels are.
"""

import copy
import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import transformers
from packaging.version import Version
from PIL import ImageOps

import vlm
from tests.attending import attending
from tests.families import CROSSED, FAMILIES, tiny_family, with_rest
from tests.tiny import photo
from vlm.backends import architecture, attention, generation, text_model
from vlm.backends.device import to_numpy
from vlm.backends.families import FAMILIES as ROWS
from vlm.backends.family_words import DESCRIBED
from vlm.backends.hooks import capture_inputs
from vlm.inspect import self_check
from vlm.pipeline.prompt import render_prompt
from vlm.records.patches import grid_boxes
from vlm.records.visual_tokens import boxes_around

QUESTION = "What is in this image?"
PHOTOS = [photo(90, 150), photo(150, 60, seed=1), photo(112, 112, seed=2)]
SHAPES = {
    "square": (112, 112),
    "wide": (60, 170),
    "tall": (170, 60),
    "tiny": (9, 14),
    "huge": (330, 420),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(name):
        if name not in made:
            made[name] = tiny_family(tmp_path_factory.mktemp(name), name)
        return made[name]

    return folder


@pytest.fixture(scope="module", params=[*FAMILIES, *CROSSED])
def model(request, folders):
    """A tiny model of every family, saved and loaded again."""
    return vlm.load(folders(request.param))


@pytest.fixture(scope="module")
def trace(model):
    return model.trace(photo(90, 150), QUESTION, vlm.Decoding(max_new_tokens=6))


@pytest.fixture(scope="module")
def inputs(model):
    """What transformers' own processor and template make of photo and question."""
    prompt = render_prompt(model.network, model.processor, QUESTION)
    given = model.processor(images=[photo(90, 150)], text=prompt, return_tensors="pt")
    given.pop("labels", None)
    return model.on_device(given)


def test_the_stages_are_the_models_own_forward(model, trace):
    assert [check.difference for check in model.check(trace)] == [0, 0]


def test_a_greedy_answer_is_that_of_generate(model, trace, inputs):
    generated = model.network.generate(**inputs, do_sample=False, max_new_tokens=6)[0].tolist()
    asked = inputs["input_ids"][0].tolist()
    # BLIP's gives the answer alone
    expected = generated[len(asked) :] if generated[: len(asked)] == asked else generated
    assert [step.token_id for step in trace.steps] == expected


def test_a_photo_is_processed_and_encoded_once_a_run_as_the_processor_does_it(
    model, inputs, monkeypatch
):
    kind, image = type(model.processor.image_processor), photo(90, 150)
    work, tower, looks, passes = kind.__call__, architecture.vision_tower(model.network), [], []
    monkeypatch.setattr(
        kind, "__call__", lambda self, *given, **more: looks.append(1) or work(self, *given, **more)
    )
    handle = tower.register_forward_pre_hook(lambda *given: passes.append(1))
    own = model.trace(image, QUESTION, vlm.Decoding(max_new_tokens=1))
    handle.remove()
    assert len(looks) == 1 and len(passes) == 1
    assert "question" in own.roles
    # the page hands such models the question when they see the photo
    early = (
        model.encode_image(image, f" {QUESTION} ")
        if model.reads_question
        else model.encode_image(image)
    )
    assert model.ask(early, QUESTION).roles == own.roles
    again = model.on_device(model.inputs([image], QUESTION, own.encoded_image.processed))
    assert len(looks) == 2 and set(again) == set(inputs)
    assert all(torch.equal(again[name], inputs[name]) for name in inputs)


def test_a_greedy_answer_obeys_the_checkpoints_settings_as_that_of_generate_does(
    model, trace, inputs, monkeypatch
):
    settings = generation.generator(model.network).generation_config
    plain = [step.token_id for step in trace.steps]
    for name, value in {
        "repetition_penalty": 1.3,
        "no_repeat_ngram_size": 2,
        "suppress_tokens": plain[1:2],
        "begin_suppress_tokens": plain[:1],
        "min_new_tokens": 4,
    }.items():
        monkeypatch.setattr(settings, name, value)
    generated = model.network.generate(**inputs, do_sample=False, max_new_tokens=6)[0].tolist()
    asked = inputs["input_ids"][0].tolist()
    expected = generated[len(asked) :] if generated[: len(asked)] == asked else generated
    steps = model.decode(trace, vlm.Decoding(max_new_tokens=6))
    assert [step.token_id for step in steps] == expected != plain


def test_every_word_is_as_probable_as_the_whole_forward_says(model, trace, inputs):
    said = torch.tensor([[step.token_id for step in trace.steps]], device=model.network.device)
    given = dict(inputs) | {"input_ids": torch.cat([inputs["input_ids"], said[:, :-1]], 1)}
    # what the last position may look at, the words after it may
    if "cross_attention_mask" in given:
        mask = given["cross_attention_mask"]
        given["cross_attention_mask"] = torch.cat(
            [mask, mask[:, -1:].expand(-1, said.shape[1] - 1, -1, -1)], 1
        )
    for name in (
        "attention_mask",
        "token_type_ids",
        "mm_token_type_ids",
        "image_embeds_position_mask",
    ):
        if name in given:
            # whose answers are of type 1: read causally
            is_one = (
                name == "attention_mask" or architecture.family(model.network).name == "PaliGemma"
            )
            given[name] = torch.cat(
                [given[name], torch.full((1, said.shape[1] - 1), int(is_one), device=said.device)],
                1,
            )
    with torch.inference_mode():
        expected = (
            model.network(**given)
            .logits[0, -said.shape[1] :]
            .log_softmax(-1)
            .gather(1, said[0][:, None])[:, 0]
            .cpu()
        )
    np.testing.assert_allclose([step.log_probability for step in trace.steps], expected, atol=2e-5)
    np.testing.assert_allclose(model.score(trace, said[0].tolist()), expected, atol=2e-5)


def test_what_a_prefill_keeps_is_what_a_pass_of_its_own_gives(model, trace):
    read = model.prefill(trace, hidden=True)
    alone = text_model.hidden_states(model.network, model.language_inputs(trace))
    np.testing.assert_array_equal(read.hidden, alone)
    np.testing.assert_array_equal(to_numpy(read.logits), to_numpy(model.prefill(trace).logits))
    assert model.prefill(trace).hidden is None


def test_the_last_row_of_the_lens_is_the_models_own_distribution(model, trace):
    said = model.inspect(trace).logit_lens(position=len(trace.input_ids) - 1)
    assert len(said) == model.language_layers + 1
    [*_, (best, *_)] = said
    assert best[1] == pytest.approx(trace.steps[0].alternatives[0].probability, abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_as_many_visual_tokens_are_counted_as_are_made(model, shape):
    image = photo(*SHAPES[shape])
    if shape == "tiny" and architecture.family(model.network).least > 1:
        with pytest.raises(vlm.ModelError, match="14 x 9 pixels becomes too few"):
            model.encode_image(image)
        return
    trace = model.encode(image, QUESTION)
    visual, patches = trace.visual_tokens, trace.patches
    assert (
        len(visual.embeddings)
        == len(visual.boxes)
        == len(visual.sources)
        == len(visual.kinds)
        == len(visual.photos)
    )
    crossed = architecture.family(model.network).crossed
    assert visual.positions is None if crossed else len(visual.positions) == len(visual.embeddings)
    assert trace.roles.count("visual") == (0 if crossed else len(visual.embeddings))
    assert (
        len(patches.places)
        == sum(picture.rows * picture.columns for picture in patches.pictures)
        == len(trace.encoder_output)
    )
    placed = [kind == "patch" for kind in visual.kinds]
    assert (
        np.isfinite(visual.boxes).all(1).tolist() == placed == (visual.sources >= 0).any(1).tolist()
    )
    assert trace.encoded_image.stages[-1].shape == visual.embeddings.shape


def test_the_whole_photo_is_covered_or_what_is_lost_is_a_margin(model):
    """Boxes of one picture tile it; pictures lie inside the photo but for margins."""
    patches = model.encode_image(photo(90, 150)).patches
    for number, picture in enumerate(patches.pictures):
        boxes = patches.boxes[patches.places[:, 0] == number]
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        top, left, bottom, right = picture.box
        assert areas.sum() == pytest.approx((bottom - top) * (right - left))
        assert picture.received.shape == (
            picture.rows * patches.size,
            picture.columns * patches.size,
            3,
        )


@pytest.fixture(scope="module")
def near_sighted(model):
    """The model with its encoder's layers silenced, so that a patch's vector depends on its own
    pixels alone (or, of convolutions, on those mostly).
    """
    return silence_the_encoder(model)


def silence_the_encoder(model):
    """A copy of a model in which no patch of the encoder looks at another."""
    copied = copy.deepcopy(model)
    if not architecture.encoder_layers(copied.network):
        for module in architecture.vision_tower(copied.network).modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.abs_()  # what lies nearest counts most, as after training
    for layer in architecture.encoder_layers(copied.network):
        for name, module in layer.named_modules():
            if (
                isinstance(module, torch.nn.Linear)
                and name.split(".")[-1]
                in ("out_proj", "o_proj", "proj", "projection", "projection_layer")
                and "mlp" not in name
            ):
                torch.nn.init.zeros_(module.weight)
                if module.bias is not None:
                    torch.nn.init.zeros_(module.bias)
    return copied


def test_what_is_painted_into_a_tokens_box_changes_that_token_most(near_sighted):
    if not architecture.encoder_layers(near_sighted.network):
        pytest.skip("convolutions look far: see the next test")
    tried, kinds = paint_into_boxes(near_sighted)
    assert tried or "query" in kinds


def paint_into_boxes(model) -> tuple[int, tuple[str, ...]]:
    """Paint into the boxes of some tokens of a model whose patches see nothing but themselves.

    How many were tried, and the kinds of all its tokens.
    """
    image = photo(170, 250)
    before = model.encode_image(image)
    visual = before.visual_tokens
    placed = np.array([token for token, kind in enumerate(visual.kinds) if kind == "patch"], int)
    # the same place can be in a tile and in the small copy of the whole
    pictures = before.patches.places[visual.sources.max(1)][:, 0]
    tried = 0
    for token in (
        placed[np.unique(np.linspace(0, len(placed) - 1, 11).astype(int))] if len(placed) else ()
    ):
        top, left, bottom, right = visual.boxes[token]
        # keeps clear of the neighbours that resizing mixes in at the edge
        across, down = (right - left) / 4, (bottom - top) / 4
        inside = (
            max(0, round(left + across)),
            max(0, round(top + down)),
            min(image.width, round(right - across)),
            min(image.height, round(bottom - down)),
        )
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            continue  # all margin
        painted = image.copy()
        painted.paste((255, 0, 255), inside)
        change = np.linalg.norm(
            model.encode_image(painted).visual_tokens.embeddings - visual.embeddings, axis=1
        )
        mine = placed[pictures[placed] == pictures[token]]
        assert change[token] > 0 and mine[change[mine].argmax()] == token
        far = [
            other
            for other in range(len(change))
            if visual.kinds[other] != "patch" or not near(visual.boxes[other], inside)
        ]
        assert change[far].max(initial=0) <= 1e-5
        tried += 1
    return tried, visual.kinds


# Pictures whose sides are no multiples of the patch, as SigLIP's 384 pixels of 14 are.

REST = 13  # pixels; 4 patches of 14 beside them, so that a box of a quarter of 69 is a patch off
WITH_REST = sorted(
    {*FAMILIES, *CROSSED}
    - {"fast_vlm", "mistral3", "lighton_ocr", "pixtral"}
    - {name for name in FAMILIES if name.startswith("qwen")}
)


@pytest.fixture(scope="module", params=WITH_REST)
def rest_model(request, tmp_path_factory):
    with with_rest(REST):
        return vlm.load(tiny_family(tmp_path_factory.mktemp(request.param), request.param))


def test_what_fills_no_patch_is_not_seen_and_boxes_are_where_the_pixels_are(rest_model):
    model, image = rest_model, photo(345, 483)
    trace = model.encode(image, QUESTION)
    assert [check.difference for check in model.check(trace)] == [0, 0]
    before = trace.patches
    for picture in before.pictures:
        height, width, _ = picture.received.shape
        assert (picture.rows, picture.columns) == (height // before.size, width // before.size)
        assert height % before.size and width % before.size
    within = np.flatnonzero(
        (before.boxes[:, :2] >= 0).all(1)
        & (before.boxes[:, 2] <= image.height)
        & (before.boxes[:, 3] <= image.width)
    )
    for index in within[np.linspace(0, len(within) - 1, 3).astype(int)]:
        white, black = (
            model.encode_image(self_check.filled(image, before.boxes[index], level)).patches
            for level in (255, 0)
        )
        # the same place can be in a tile and in the small copy of the whole
        mine = np.flatnonzero(before.places[:, 0] == before.places[index, 0])
        changed = np.abs(white.pixels - black.pixels)[mine].mean(1)
        assert mine[changed.argmax()] == index
        assert not (np.delete(changed, changed.argmax()) > changed.max() / 4).any()
    bottom, right = (
        max(
            before.covered_box(picture)[side + 2]
            + 8 * (picture.box[side + 2] - picture.box[side]) / picture.received.shape[side]
            for picture in before.pictures
        )
        for side in (0, 1)
    )
    for rim in ((bottom, 0, image.height, image.width), (0, right, image.height, image.width)):
        if rim[0] < rim[2] and rim[1] < rim[3]:
            again = model.encode_image(self_check.filled(image, np.array(rim), 255)).patches
            assert np.abs(again.pixels - before.pixels).max() < 1e-5


def test_tokens_of_pictures_with_a_rest_answer_to_their_boxes(rest_model):
    tried, kinds = paint_into_boxes(silence_the_encoder(rest_model))
    assert tried or "query" in kinds


@pytest.mark.parametrize(
    "rest_model",
    ["vipllava", "llava_next", "llava_onevision_thinned", "idefics3", "aya_vision", "mllama"],
    indirect=True,
)
def test_the_self_check_proves_boxes_to_the_pixel(rest_model):
    trace = rest_model.encode(photo(345, 483), QUESTION)
    visual, patches = trace.visual_tokens, trace.patches
    proven, _ = self_check.boxes(rest_model, trace)
    assert proven.holds
    # as if the patches filled the whole picture
    stretched = np.concatenate(
        [grid_boxes(picture.box, picture.rows, picture.columns) for picture in patches.pictures]
    )
    wrong = dataclasses.replace(
        visual, boxes=boxes_around(stretched, visual.sources).astype(visual.boxes.dtype)
    )
    noticed, _ = self_check.boxes(rest_model, dataclasses.replace(trace, visual_tokens=wrong))
    assert not noticed.holds


def test_where_convolutions_are_changed_follows_where_the_photo_is(near_sighted):
    """They mix far places, so the token of the box need not change most.

    But the middle of all change moves with the box.
    """
    model, image = near_sighted, photo(128, 192)
    if architecture.encoder_layers(model.network):
        pytest.skip("an encoder of patches: see the test before")
    before = model.encode_image(image)
    changes = []
    for top, left, bottom, right in before.visual_tokens.boxes.round().astype(int):
        painted = image.copy()
        painted.paste((255, 0, 255), (left, top, right, bottom))
        changes.append(
            np.linalg.norm(
                model.encode_image(painted).encoder_output - before.encoder_output, axis=1
            )
        )
    shares = np.array(changes) / np.mean(changes, axis=0)  # some tokens change with everything
    shares /= shares.sum(1, keepdims=True)
    for axis in (1, 2):  # rows, columns
        places = before.patches.places[:, axis]
        assert np.corrcoef(shares @ places, places)[0, 1] > 0.9
        assert abs(np.corrcoef(shares @ places, before.patches.places[:, 3 - axis])[0, 1]) < 0.3


def near(box, area) -> bool:
    """Whether a box touches an area (left, top, right, bottom) with the few pixels around it that
    resizing mixes in.
    """
    reach = 0.6 * max(box[2] - box[0], box[3] - box[1])
    return (
        box[0] - reach < area[3]
        and box[2] + reach > area[1]
        and box[1] - reach < area[2]
        and box[3] + reach > area[0]
    )


def test_the_encoders_attention_is_that_of_its_own_queries_and_keys(model, trace):
    """Rows of recorded weights, against softmax(q k^T) of a picture or window, written out."""
    layers = architecture.encoder_layers(model.network)
    if not layers:
        with pytest.raises(vlm.ModelError, match="convolutions"):
            model.inspect(trace).encoder_attention()
        return
    recorded = model.inspect(trace).encoder_attention()
    assert len(recorded.layers) == len(layers)
    explicit = explicit_attention(model, trace.encoded_image)
    for layer in (1, len(layers)):
        for patch in (0, 5, len(trace.patches.places) - 1):
            row = recorded.row(layer, patch)
            np.testing.assert_allclose(
                row.sum(1).mean() + recorded.elsewhere(layer, patch), 1, atol=1e-5
            )
            np.testing.assert_allclose(row, explicit[layer - 1][:, patch], atol=1e-5)
            assert recorded.rollout(layer, patch).shape == (len(trace.patches.places),)


def explicit_attention(model, encoded_image) -> list[np.ndarray]:
    """For every layer heads x N x N, by transformers' own explicit attention function.

    The patches are where the encoder's positions are: found by what the first layer reads there.
    """
    from transformers.models.siglip.modeling_siglip import eager_attention_forward

    layers = architecture.encoder_layers(model.network)
    of = {module: number for number, layer in enumerate(layers) for module in layer.modules()}
    maps = [[] for _ in layers]

    def attend(module, query, key, value, mask, **named):
        if module in of:
            if mask is not None and mask.dtype == torch.bool:
                mask = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, float("-inf"))
            scaling = named.get("scaling") or query.shape[-1] ** -0.5
            maps[of[module]] += eager_attention_forward(
                module, query, key, value, mask, scaling=scaling
            )[1]
        return attention.as_always(module, query, key, value, mask, **named)

    with (
        attention.replace_attention(attend),
        torch.inference_mode(),
        capture_inputs(layers[0]) as entered,
    ):
        # KOSMOS-2, whose own forward runs its encoder, is given what is meant for the text as well
        whole = architecture.family(model.network).given_as
        run = model.network if whole else model.network.get_image_features
        run(**model.on_device(encoded_image.inputs))
    read = to_numpy(entered[0][0].flatten(0, -2))
    order: list[int] = []
    for patch in encoded_image.patch_features[0]:  # two of a margin can be the same
        order.append(
            next(
                place
                for place in np.flatnonzero((read == patch).all(1)).tolist()
                if place not in order
            )
        )
    return [
        np.stack(
            [
                to_numpy(torch.block_diag(*[each[head] for each in layer]))
                for head in range(len(layer[0]))
            ]
        )[:, order][:, :, order]
        for layer in maps
    ]


def test_the_language_models_attention_is_that_of_eager_attention(model, trace, inputs):
    """The weights of the last word, layer by layer."""
    kind = model.network.config.model_type
    if kind == "kosmos-2" and Version(transformers.__version__) < Version("5.23"):
        pytest.skip("before 5.23 transformers computes KOSMOS-2 otherwise with eager attention")
    with attending(model), torch.inference_mode():
        whole = model.network(**inputs, output_attentions=True)
    explicit = (
        whole.attentions if "attentions" in whole else whole.language_model_outputs.attentions
    )
    # they look beside the sequence
    crossing = getattr(model.network.config.get_text_config(), "cross_attention_layers", ())
    explicit = [weights for layer, weights in enumerate(explicit) if layer not in crossing]
    recorded = trace.steps[0].attention
    assert len(recorded) == len(explicit)
    for row, weights in zip(recorded, explicit):
        np.testing.assert_allclose(row, to_numpy(weights[0, :, -1].mean(0)), atol=1e-5)


def test_an_answer_without_visual_tokens_knows_nothing_of_the_photo(model, trace):
    """All of them at zero, what is added to them at later layers too: two photos of one size are
    answered alike, bit for bit.
    """
    other = model.encode(photo(90, 150, seed=1), QUESTION)
    assert (model.prefill(trace).logits != model.prefill(other).logits).any()
    without = [
        vlm.token_changes.remove(each, range(len(each.visual_tokens.embeddings)), "zero")
        for each in (trace, other)
    ]
    np.testing.assert_array_equal(*(to_numpy(model.prefill(each).logits) for each in without))


def test_visual_tokens_beside_the_sequence_take_no_place_in_it(model, trace):
    if not architecture.family(model.network).crossed:
        pytest.skip("its visual tokens have positions")
    assert trace.inputs_embeds.shape == trace.text_tokens.embeddings.shape
    assert trace.stages[4].axes == ("S: TT alone", "D")
    assert trace.visual_tokens.kinds.count("class") == len(trace.patches.pictures) > 1


def test_two_photos_in_one_question_stay_apart_or_are_refused(model):
    first, second, other = photo(90, 150), photo(120, 80), photo(120, 80, seed=1)
    if not model.processor.chat_template:
        with pytest.raises(vlm.ModelError, match="about one photo; 2 were given"):
            model.encode([first, second], QUESTION)
        return
    both = model.encode([first, second], QUESTION)
    assert [check.difference for check in model.check(both)] == [0, 0]
    photos, boxes = both.visual_tokens.photos, model.encode_image(first).visual_tokens.boxes
    if model.network.config.model_type == "llava_onevision":  # cuts a photo that comes alone
        twice = model.encode_image([first, first]).visual_tokens
        boxes = twice.boxes[twice.photos == 0]
    assert (photos == 0).sum() == len(boxes) and sorted(photos) == list(photos)
    np.testing.assert_allclose(both.visual_tokens.boxes[photos == 0], boxes)
    changed = (
        model.encode_image([first, other]).visual_tokens.embeddings
        != both.encoded_image.visual_tokens.embeddings
    )
    kinds = np.array(both.visual_tokens.kinds)
    assert changed.any(1).tolist() == ((photos == 1) & (kinds != "newline")).tolist()


def test_the_table_of_families_has_every_family():
    told = {each.kind: each for each in DESCRIBED if each.kind}
    assert set(told) == set(ROWS)
    for kind, row in ROWS.items():
        words = told[kind]
        assert words.exact.startswith("tested")
        assert ("no token has a place" in words.connector or "Q-Former" in words.connector) == (
            row.tokens == "queries"
        )
        assert ("cross-attention" in words.connector) == row.crossed
        assert ("one photo" in words.exact) == (row.prompt is not None)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_the_model_is_given_is_what_transformers_own_chat_call_gives(model, count):
    """Ids, pixels and all else, of one photo and of several."""
    if not model.processor.chat_template:
        with pytest.raises(vlm.ModelError, match="one photo") if count > 1 else nullcontext():
            model.inputs(PHOTOS[:count], QUESTION)
        return
    words = {"type": "text", "text": QUESTION}
    message = {
        "role": "user",
        "content": [*({"type": "image", "image": image} for image in PHOTOS[:count]), words],
    }
    expected = model.processor.apply_chat_template(
        [message], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    given = model.inputs(PHOTOS[:count], QUESTION)
    assert set(given) == set(expected)
    for name, value in given.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_several_photos_are_read_as_the_models_own_forward_reads_them(model):
    if not model.processor.chat_template:
        pytest.skip("answers questions about one photo")
    trace = model.encode(PHOTOS, QUESTION)
    assert [check.difference for check in model.check(trace)] == [0, 0]
    assert sorted(set(trace.visual_tokens.photos.tolist())) == [0, 1, 2]
    for number in range(len(PHOTOS)):  # of the photo that changed, only its own patches change
        others = [*PHOTOS]
        others[number] = ImageOps.invert(PHOTOS[number])
        changed = (
            np.abs(model.encode_image(others).patches.pixels - trace.patches.pixels).max(1) > 1e-5
        )
        photos = np.array([picture.photo for picture in trace.patches.pictures])
        assert set(photos[trace.patches.places[changed, 0]].tolist()) == {number}
