"""Sinks are found where they were put, in the dimensions they were put in, and nowhere else."""

import numpy as np
import pytest

import vlm
from vlm.inspect import sinks
from vlm.records.visual_tokens import VisualTokens

LAYERS, POSITIONS, WIDTH = 6, 40, 256  # tau is 5 here


@pytest.fixture
def visual():
    boxes = np.array(
        [[row, column, row + 1, column + 1] for row in range(4) for column in range(4)], float
    )
    return VisualTokens(
        np.zeros((16, WIDTH), np.float32),
        boxes,
        np.arange(32).reshape(16, 2),
        ("patch",) * 16,
        np.zeros(16, int),
        np.arange(3, 19),
    )


@pytest.fixture
def hidden():
    return np.random.default_rng(0).normal(size=(LAYERS, POSITIONS, WIDTH)).astype(np.float32)


NO_ENCODER = np.zeros((0, 32, 8), np.float32)


def test_a_sink_shares_the_huge_dimension_of_the_first_token(hidden, visual):
    hidden[2:5, 0, 17] = 400  # the first token
    hidden[3:5, 3 + 7, 17] = -300  # the same dimension: a sink, visual token 7
    hidden[3:5, 3 + 9, 18] = 300  # another dimension: none
    hidden[3:5, 25, 17] = 300  # a text token
    found = sinks.find(hidden, visual, NO_ENCODER)
    assert found.dimensions == (17,) and found.tau == 5
    assert found.tokens == (7,) and found.positions == (0, 10, 25)
    assert np.flatnonzero(found.found[:, 10]).tolist() == [3, 4]
    sentence = found.why(7, 10)
    assert "layers 3 to 4" in sentence and "dimension 17" in sentence and found.why(9, 12) == ""


def test_a_dimension_that_all_positions_carry_makes_nobody_a_sink_but_the_first(hidden, visual):
    hidden[1:5, :, 17] = 30
    hidden[1:5, 0, 17] = 3000
    found = sinks.find(hidden, visual, NO_ENCODER)
    assert (found.phi[2, 1:] > found.tau).any()
    assert found.dimensions == (17,) and found.positions == (0,) and found.tokens == ()


def test_one_dimension_must_be_both_huge_and_unlike_the_others(hidden, visual):
    hidden[1:5, :, 17] = 100  # huge, but so it is everywhere
    hidden[1:5, 0, 17:19] = 3000
    assert sinks.find(hidden, visual, NO_ENCODER).dimensions == (17, 18)
    # unlike the others' here and there, but not huge
    hidden[1:5, 1:, 18] *= np.linspace(0.1, 8, POSITIONS - 1)
    found = sinks.find(hidden, visual, NO_ENCODER)
    assert found.dimensions == (17, 18) and found.positions == (0,) and found.tokens == ()


def test_a_model_without_huge_dimensions_has_no_sinks(hidden, visual):
    found = sinks.find(hidden, visual, NO_ENCODER)
    assert found.dimensions == () and found.positions == () and not found.found.any()


def test_the_last_row_which_is_normed_is_left_out(hidden, visual):
    hidden[-1, 0, 17] = 1000
    found = sinks.find(hidden, visual, NO_ENCODER)
    assert found.dimensions == () and found.phi.shape == (LAYERS - 1, POSITIONS)


def test_an_outlier_of_the_encoder_is_told_apart(hidden, visual):
    features = np.ones((1, 32, 8), np.float32)
    features[0, 9] = 10  # a patch of visual token 4
    found = sinks.find(hidden, visual, features)
    assert found.encoder_tokens == (4,) and found.tokens == ()
    assert "vision encoder" in found.why(4, 7)


def test_patches_of_no_token_flag_nobody(visual):
    features = np.ones((1, 33, 8), np.float32)
    features[0, 32] = 10
    without = VisualTokens(
        visual.embeddings,
        visual.boxes,
        np.where(visual.sources == 31, -1, visual.sources),
        visual.kinds,
        visual.photos,
        visual.positions,
    )
    assert sinks.outliers(without, features) == ()


def test_the_tiny_models_states_go_in(tiny_model, wide_photo):
    trace = tiny_model.trace(wide_photo, "What is in this image?", vlm.Decoding(max_new_tokens=2))
    look = tiny_model.inspect(trace)
    read = trace.patch_features[list(trace.encoded_image.output_layers)]
    found = sinks.find(look.hidden_states(), trace.visual_tokens, read)
    assert look.sinks().positions == found.positions
    assert look.sinks().encoder_tokens == found.encoder_tokens


def test_the_embedded_model_parks_its_attention_at_the_first_position(embedded_model):
    trace = embedded_model.encode(
        vlm.open_image("assets/examples/chelsea.jpg"), "What is in this image?"
    )
    found = embedded_model.inspect(trace).sinks()
    assert 0 in found.positions and found.dimensions == (507,)
    assert found.tokens == ()  # seen in this model: no visual token is a sink
