"""A family without a row is worked out from the model itself, exactly, or declined with what could
not be found or proven.
"""

import copy

import numpy as np
import pytest

import vlm
from tests.families import WITHOUT_ROW, tiny_family
from tests.tiny import photo
from vlm.backends import architecture
from vlm.backends.families import FAMILIES, TOWERS
from vlm.loading import infer_family

QUESTION = "What is in this image?"


@pytest.mark.parametrize("name", WITHOUT_ROW)
def test_a_family_in_no_table_is_worked_out_and_proven(tmp_path, name):
    told = []
    model = vlm.load(tiny_family(tmp_path, name), lambda fraction, words: told.append(words))
    assert model.network.config.model_type not in FAMILIES and "working out" in told[-1]
    assert (
        architecture.family(model.network).name
        == f"{name} (worked out from the model itself)"
        == model.versions()["family"]
    )
    trace = model.trace(photo(90, 150), QUESTION, vlm.Decoding(max_new_tokens=4))
    assert [check.difference for check in model.check(trace)] == [0, 0]
    inputs = model.on_device(model.inputs([photo(90, 150)], QUESTION))
    generated = model.network.generate(**inputs, do_sample=False, max_new_tokens=4)[
        0, inputs["input_ids"].shape[1] :
    ].tolist()
    assert [step.token_id for step in trace.steps] == generated
    assert model.inspect(trace).encoder_attention().row(1, 0).sum() > 0


@pytest.mark.parametrize("name", ["gemma3", "internvl", "qwen2_5_vl", "qwen3_vl"])
def test_what_is_worked_out_is_what_the_tables_say(tmp_path, monkeypatch, name):
    folder = tiny_family(tmp_path, name)
    config = vlm.load(folder).network.config
    family, tower = FAMILIES[config.model_type], TOWERS[config.vision_config.model_type]
    monkeypatch.delitem(FAMILIES, config.model_type)
    monkeypatch.delitem(TOWERS, config.vision_config.model_type)
    found, encoder = vlm.load(folder).network.worked_out
    assert encoder == tower
    assert found.merge(config) == family.merge(config)
    assert {**vars(found), "name": 0, "merge": 0} == {**vars(family), "name": 0, "merge": 0}


def test_a_known_family_with_a_vision_encoder_in_no_table_keeps_its_row(tmp_path, monkeypatch):
    folder = tiny_family(tmp_path, "llava_next")
    tower = TOWERS["clip_vision_model"]
    monkeypatch.delitem(TOWERS, "clip_vision_model")
    assert vlm.load(folder).network.worked_out == (FAMILIES["llava_next"], tower)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        # before transformers 5.24 its class cannot run its encoder alone
        ("kosmos_2", "(cannot run its vision encoder by itself|no chat template)"),
        ("llava_next", "none of its parts gives the visual tokens"),
        ("fast_vlm", "does not cut the photo by one convolution"),
        ("paligemma", "no chat template"),
    ],
)
def test_what_cannot_be_worked_out_is_declined_in_a_sentence(tmp_path, monkeypatch, name, reason):
    folder = tiny_family(tmp_path, name)
    network = vlm.load(folder).network
    monkeypatch.delitem(FAMILIES, network.config.model_type)
    with pytest.raises(
        vlm.ModelError, match=f"has no row .* {reason}.*It can be opened once it has a row"
    ) as declined:
        vlm.load(folder)
    assert "\n" not in str(declined.value)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return vlm.load(tiny_family(tmp_path_factory.mktemp("gemma3"), "gemma3"))


def test_a_row_that_puts_tokens_elsewhere_is_not_proven(model, monkeypatch):
    """Boxes left and right exchanged: everything else still holds, the change in a box does not."""
    from vlm.pipeline import model as pipeline

    lay_tokens = pipeline.lay_tokens
    infer_family._prove(model, infer_family.photo(90, 150))

    def mirrored(*arguments):
        layout = lay_tokens(*arguments)
        return type(layout)(layout.sources[::-1].copy(), layout.kinds, layout.photos)

    monkeypatch.setattr(pipeline, "lay_tokens", mirrored)
    with pytest.raises(
        vlm.ModelError, match="in the box of visual token 0 changes another one more"
    ):
        infer_family._prove(model, infer_family.photo(90, 150))


def test_a_row_that_counts_wrongly_is_not_proven(model):
    wrong = copy.deepcopy(model)
    family, tower = FAMILIES["gemma3"], TOWERS["siglip_vision_model"]
    wrong.network.worked_out = copy.copy(family), tower
    object.__setattr__(wrong.network.worked_out[0], "merge", lambda config: 1)
    with pytest.raises(vlm.ModelError, match="16 are expected"):
        infer_family._prove(wrong, infer_family.photo(90, 150))


def test_attention_of_each_to_itself_lets_no_patch_look_at_another(model):
    first = photo(90, 150)
    with infer_family.replace_attention(infer_family._alone):
        before = model.encode_image(first)
        changed = model.encode_image(
            infer_family.self_check.changed(first, before.patches.boxes[5])
        )
    different = (before.patch_features[-1] != changed.patch_features[-1]).any(1)
    # resizing mixes neighbours
    near = np.abs(before.patches.places[:, 1:] - before.patches.places[5, 1:]).max(1) <= 1
    assert different[5] and not different[~near].any()
