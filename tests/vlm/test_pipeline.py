"""Every stage that is shown is what the model's own forward computes: difference 0 in float32."""

import dataclasses
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import vlm
from tests.tiny import photo
from vlm.backends import architecture
from vlm.backends.device import to_numpy

QUESTION = "What is in this image?"
SHORT = vlm.Decoding(max_new_tokens=8)


@pytest.fixture(params=["clip", "clip-squash", "siglip", "siglip-crop", "dinov2", "embedded"])
def model(request, tiny_models):
    """Tiny models of three encoders and two ways of resizing, and the embedded model."""
    if request.param == "embedded":
        return request.getfixturevalue("embedded_model")
    vision, _, resize = request.param.partition("-")
    return tiny_models(vision, resize or None)


@pytest.fixture
def inputs(model, wide_photo):
    """What transformers' own chat interface makes of the photo and the question."""
    content = [{"type": "image", "image": wide_photo}, {"type": "text", "text": QUESTION}]
    given = model.processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    return model.on_device(given)


@pytest.fixture
def trace(model, wide_photo):
    return model.encode(wide_photo, QUESTION)


@contextmanager
def calls(module: torch.nn.Module):
    """What the module is called with and gives, call by call: (positional, named, output)."""
    seen = []
    handle = module.register_forward_hook(
        lambda module, positional, named, output: seen.append((positional, named, output)),
        with_kwargs=True,
    )
    try:
        yield seen
    finally:
        handle.remove()


def tower(model) -> torch.nn.Module:
    return model.network.get_encoder(modality="image")


def greedy(model, inputs, **options) -> list[int]:
    """transformers' own greedy answer."""
    generated = model.network.generate(**inputs, do_sample=False, **options)
    return generated[0, inputs["input_ids"].shape[1] :].tolist()


def test_the_prompt_is_the_chat_templates(trace, inputs):
    assert trace.input_ids.tolist() == inputs["input_ids"][0].tolist()


def test_the_patches_put_together_are_the_pixels_the_model_gets(trace, inputs):
    assert np.array_equal(
        vlm.unpatchify(trace.patches.pixels, trace.patches.pictures[0].rows, trace.patches.size),
        to_numpy(inputs["pixel_values"][0]),
    )


@torch.inference_mode()
def test_the_linear_projection_of_the_patches_is_the_encoders_convolution(model, trace, inputs):
    convolution = next(
        module for module in tower(model).modules() if isinstance(module, torch.nn.Conv2d)
    )
    expected = to_numpy(convolution(inputs["pixel_values"])[0].flatten(1).T)
    weight, bias = architecture.patch_projection(model.network)
    projected = trace.patches.pixels @ to_numpy(weight).T + (0 if bias is None else to_numpy(bias))
    np.testing.assert_allclose(projected, expected, atol=2e-4 * np.abs(expected).max())


@torch.inference_mode()
def test_the_patch_features_are_the_encoders_hidden_states_after_every_layer(model, trace, inputs):
    expected = to_numpy(
        torch.cat(tower(model)(inputs["pixel_values"], output_hidden_states=True).hidden_states)
    )
    prefix = expected.shape[1] - len(trace.patches.boxes)
    assert len(trace.patch_features) == model.network.config.vision_config.num_hidden_layers + 1
    assert prefix == (
        0 if model.network.config.vision_config.model_type == "siglip_vision_model" else 1
    )
    assert np.array_equal(trace.patch_features, expected[:, prefix:])
    assert np.array_equal(trace.prefix_features, expected[:, :prefix])


def test_the_encoder_output_is_the_layers_that_the_checkpoint_names_side_by_side(model, trace):
    named = model.network.config.vision_feature_layer
    layers = [named] if isinstance(named, int) else named
    assert np.array_equal(
        trace.encoder_output,
        np.concatenate([trace.patch_features[layer] for layer in layers], axis=1),
    )
    assert (
        next(stage for stage in trace.stages if stage.symbol == "X'").shape
        == trace.encoder_output.shape
    )


@torch.inference_mode()
def test_every_row_of_patch_features_comes_out_of_that_layer_of_the_encoder(model, trace, inputs):
    """hidden_states might be shifted by one or normed at the end: here the layers themselves are
    asked.
    """
    layers = next(
        module
        for module in tower(model).modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == len(trace.patch_features) - 1
    )
    with_hooks = []
    handles = [
        layer.register_forward_hook(lambda module, positional, output: with_hooks.append(output))
        for layer in layers
    ]
    try:
        tower(model)(inputs["pixel_values"])
    finally:
        for handle in handles:
            handle.remove()
    for number, output in enumerate(with_hooks, start=1):
        output = output[0] if isinstance(output, tuple) else output
        assert np.array_equal(
            to_numpy(output[0, -len(trace.patches.boxes) :]), trace.patch_features[number]
        )


@torch.inference_mode()
def test_the_visual_tokens_are_the_models_image_features(model, trace, inputs):
    expected = model.network.get_image_features(pixel_values=inputs["pixel_values"]).pooler_output
    assert np.array_equal(trace.visual_tokens.embeddings, to_numpy(torch.cat(list(expected))))


@torch.inference_mode()
def test_the_fused_sequence_is_what_the_language_model_gets_in_the_models_own_forward(
    model, trace, inputs
):
    with calls(model.network.get_decoder()) as seen:
        model.network(**inputs)
    assert np.array_equal(to_numpy(seen[0][1]["inputs_embeds"][0]), trace.inputs_embeds)


def test_the_fused_sequence_holds_the_two_kinds_of_token_each_at_its_positions(trace):
    visual, text = trace.visual_tokens, trace.text_tokens
    assert np.array_equal(trace.inputs_embeds[visual.positions], visual.embeddings)
    assert np.array_equal(trace.inputs_embeds[text.positions], text.embeddings)
    assert np.array_equal(trace.input_ids[text.positions], text.token_ids)
    assert sorted([*visual.positions, *text.positions]) == list(range(len(trace.inputs_embeds)))
    assert len(text.token_strings) == len(text.token_ids)


@torch.inference_mode()
def test_the_first_answer_token_is_chosen_from_the_logits_of_the_models_own_forward(
    model, trace, inputs
):
    # as in generate: the product for one row rounds otherwise
    logits = model.network(**inputs, logits_to_keep=1).logits[0, -1]
    expected = logits.log_softmax(-1)
    assert torch.equal(model.prefill(trace).logits, logits)
    step = next(model.decode(trace))
    for alternative in step.alternatives:
        assert alternative.log_probability == float(expected[alternative.token_id])
    assert [alternative.token_id for alternative in step.alternatives] == expected.topk(
        len(step.alternatives)
    ).indices.tolist()
    assert (
        step.alternatives[0].token_id == step.token_id
        and step.alternatives[0].log_probability == step.log_probability
    )


def test_the_models_own_check_finds_no_difference(model, trace):
    checks = model.check(trace)
    assert len(checks) == 2 and all(check.difference == 0 for check in checks)


def test_the_check_notices_a_changed_visual_token(tiny_model, wide_photo):
    trace = tiny_model.encode(wide_photo, QUESTION)
    trace.visual_tokens.embeddings[3] += 0.25
    trace.inputs_embeds[trace.visual_tokens.positions[3]] += 0.25
    assert all(check.difference > 0 for check in tiny_model.check(trace))


def test_a_greedy_trace_gives_the_tokens_of_generate(model, inputs, wide_photo):
    trace = model.trace(wide_photo, QUESTION, SHORT)
    assert [step.token_id for step in trace.steps] == greedy(
        model, inputs, max_new_tokens=SHORT.max_new_tokens
    )


def test_with_a_repetition_penalty_it_still_does(model, inputs, wide_photo):
    trace = model.trace(wide_photo, QUESTION, dataclasses.replace(SHORT, repetition_penalty=1.7))
    tokens = [step.token_id for step in trace.steps]
    assert tokens == greedy(
        model, inputs, max_new_tokens=SHORT.max_new_tokens, repetition_penalty=1.7
    )


def test_the_repetition_penalty_changes_the_answer(tiny_model, wide_photo):
    plain, punished = (
        tiny_model.trace(
            wide_photo, QUESTION, vlm.Decoding(max_new_tokens=24, repetition_penalty=penalty)
        )
        for penalty in (1.0, 3.0)
    )
    assert [step.token_id for step in plain.steps] != [step.token_id for step in punished.steps]


def test_an_end_token_ends_both(tiny_model, wide_photo, monkeypatch):
    tokens = [step.token_id for step in tiny_model.trace(wide_photo, QUESTION, SHORT).steps]
    monkeypatch.setattr(tiny_model.network.generation_config, "eos_token_id", [tokens[4], 5])
    trace = tiny_model.trace(wide_photo, QUESTION, SHORT)
    inputs = tiny_model.on_device(
        tiny_model.processor(images=wide_photo, text=trace.prompt, return_tensors="pt")
    )
    assert (
        [step.token_id for step in trace.steps]
        == greedy(tiny_model, inputs, max_new_tokens=8)
        == tokens[: tokens.index(tokens[4]) + 1]
    )
    assert [step.is_end for step in trace.steps] == [False] * (len(trace.steps) - 1) + [True]
    assert trace.answer == trace.steps[-2].answer  # the end token is not part of the text


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0},
        {"temperature": 0.7, "top_k": 9},
        {"temperature": 1.4, "top_p": 0.8},
        {"temperature": 1.2, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.3},
    ],
)
def test_a_sampled_trace_gives_the_tokens_of_generate_from_the_same_seed(
    tiny_model, wide_photo, options
):
    if tiny_model.network.device.type != "cpu":
        pytest.skip(
            "generate draws with the GPU's own generator there; a trace draws on the CPU, so that"
            " one seed gives one answer everywhere"
        )
    trace = tiny_model.trace(
        wide_photo, QUESTION, vlm.Decoding(max_new_tokens=20, seed=7, **options)
    )
    inputs = tiny_model.on_device(
        tiny_model.processor(images=wide_photo, text=trace.prompt, return_tensors="pt")
    )
    torch.manual_seed(7)
    generated = tiny_model.network.generate(
        **inputs, do_sample=True, max_new_tokens=20, **{"top_k": 0, **options}
    )
    assert [step.token_id for step in trace.steps] == generated[
        0, inputs["input_ids"].shape[1] :
    ].tolist()


def test_the_photo_and_the_question_change_the_answer(tiny_model, wide_photo):
    answers = {
        tuple(step.token_id for step in tiny_model.trace(image, question, SHORT).steps)
        for image, question in [
            (wide_photo, QUESTION),
            (photo(90, 150, seed=1), QUESTION),
            (wide_photo, "a dog?"),
        ]
    }
    assert len(answers) == 3


def test_one_encoder_pass_and_one_prefill_make_a_trace(model, wide_photo):
    with calls(tower(model)) as encoder, calls(model.network.get_decoder()) as language:
        trace = model.trace(wide_photo, QUESTION, SHORT)
    lengths = [named["inputs_embeds"].shape[1] for _, named, _ in language]
    assert len(encoder) == 1
    assert lengths == [len(trace.input_ids)] + [1] * (len(trace.steps) - 1)


def test_decode_reads_the_recorded_sequence_and_not_the_photo_again(tiny_model, wide_photo):
    trace = tiny_model.encode(wide_photo, QUESTION)
    with calls(tower(tiny_model)) as encoder, calls(tiny_model.network.get_decoder()) as language:
        next(tiny_model.decode(trace))
    assert encoder == []
    assert np.array_equal(to_numpy(language[0][1]["inputs_embeds"][0]), trace.inputs_embeds)


def test_the_streamed_steps_are_those_of_the_trace(tiny_model, wide_photo):
    decoding = vlm.Decoding(max_new_tokens=12, temperature=1.3, seed=4)
    trace = tiny_model.trace(wide_photo, QUESTION, decoding)
    streamed = tuple(tiny_model.decode(tiny_model.encode(wide_photo, QUESTION), decoding))
    timeless = [
        [dataclasses.replace(step, milliseconds=0) for step in steps]
        for steps in (trace.steps, streamed)
    ]
    assert timeless[0] == timeless[1] and len(streamed) == 12


def test_two_answers_streamed_in_turn_do_not_disturb_each_other(tiny_model, wide_photo):
    traces = [tiny_model.encode(image, QUESTION) for image in (wide_photo, photo(40, 60, seed=1))]
    alone = [[step.token_id for step in tiny_model.decode(trace, SHORT)] for trace in traces]
    together = list(zip(*(tiny_model.decode(trace, SHORT) for trace in traces), strict=True))
    assert [[step.token_id for step in steps] for steps in zip(*together)] == alone


def hooks(model) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in model.network.modules()
    )


def test_no_hook_stays_behind_even_if_the_encoding_fails(tiny_model, wide_photo, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("out of memory")

    tiny_model.trace(wide_photo, QUESTION, SHORT)
    before = hooks(tiny_model)  # transformers puts some of its own there in the first run
    tiny_model.trace(wide_photo, QUESTION, SHORT)
    monkeypatch.setattr(tower(tiny_model), "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        tiny_model.encode(wide_photo, QUESTION)
    assert hooks(tiny_model) == before


def test_the_stages_name_the_shapes_that_are_there(model, wide_photo):
    trace = model.trace(wide_photo, QUESTION, SHORT)
    shapes = {stage.symbol: stage.shape for stage in trace.stages}
    config = model.network.config
    assert shapes == {
        "X": (90, 150, 3),
        "x_p": trace.patches.pixels.shape,
        "X'": trace.encoder_output.shape,
        "VT": (len(trace.patches.boxes), config.text_config.hidden_size),
        "VT + TT": (len(trace.input_ids), config.text_config.hidden_size),
        "answer": (len(trace.steps),),
    }
    assert all(
        len(stage.axes) == len(stage.shape) and stage.milliseconds >= 0 for stage in trace.stages
    )
    assert trace.stages[-1].milliseconds == sum(step.milliseconds for step in trace.steps)


def test_decoding_a_trace_again_replaces_its_answer(tiny_model, wide_photo):
    trace = tiny_model.trace(wide_photo, QUESTION, SHORT)
    again = trace.with_steps(tiny_model.decode(trace, vlm.Decoding(max_new_tokens=3)))
    assert len(again.steps) == 3 and [stage.symbol for stage in again.stages].count("answer") == 1
    assert len(trace.steps) == 8  # the first record is untouched


def test_records_are_frozen(tiny_model, wide_photo):
    trace = tiny_model.trace(wide_photo, QUESTION, SHORT)
    for record, field in [
        (trace, "question"),
        (trace.patches, "rows"),
        (trace.visual_tokens, "boxes"),
        (trace.steps[0], "token_id"),
        (SHORT, "seed"),
        (tiny_model, "name"),
    ]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field, None)


def test_the_same_photo_and_question_give_the_same_numbers(tiny_model, wide_photo):
    first, second = (tiny_model.encode(wide_photo, QUESTION) for _ in range(2))
    assert np.array_equal(first.inputs_embeds, second.inputs_embeds) and np.array_equal(
        first.patch_features, second.patch_features
    )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (40, 12_000), (3000, 2)])
@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_photos_of_extreme_shape_go_through_the_whole_pipeline(tiny_models, resize, height, width):
    model = tiny_models("clip", resize)
    trace = model.trace(photo(height, width), QUESTION, vlm.Decoding(max_new_tokens=2))
    boxes = trace.patches.boxes
    assert len(trace.steps) == 2 and np.isfinite(trace.inputs_embeds).all()
    assert boxes[:, :2].min() >= 0 and boxes[:, 2].max() <= height and boxes[:, 3].max() <= width
    assert all(check.difference == 0 for check in model.check(trace))


def test_a_bfloat16_model_answers_too(checkpoints, wide_photo):
    model = vlm.load(checkpoints("clip"))
    half = dataclasses.replace(model, network=model.network.to(torch.bfloat16))
    trace = half.trace(wide_photo, QUESTION, SHORT)
    assert trace.inputs_embeds.dtype == np.float32 and len(trace.steps) == 8
    assert half.check(trace)[0].difference == 0
