"""What a value holds in memory: every array, tensor and picture once."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

import vlm

# 4,000 bytes each
ARRAY, TENSOR = np.zeros((10, 100), np.float32), torch.zeros(500, dtype=torch.float64)


@dataclass(frozen=True)
class Record:
    first: object
    second: object = None


def weight(value) -> int:
    return sum(vlm.storages(value).values())


def test_the_bytes_of_arrays_tensors_and_pictures_are_counted():
    assert weight(ARRAY) == weight(TENSOR) == 4000
    # as Pillow lays them
    assert weight(Image.new("RGB", (10, 20))) == 800 and weight(Image.new("L", (10, 20))) == 200
    assert weight([ARRAY, {"there": TENSOR}, "words", 3, None]) == 8000


def test_what_records_share_is_counted_once():
    assert weight(Record(Record(ARRAY), (ARRAY, [ARRAY]))) == 4000
    assert vlm.storages(Record(ARRAY)) | vlm.storages(Record(ARRAY, TENSOR)) == vlm.storages(
        (ARRAY, TENSOR)
    )


def test_a_view_keeps_the_whole_array_and_is_the_same_storage():
    assert vlm.storages(ARRAY[3:4, ::2]) == vlm.storages(ARRAY) and vlm.storages(
        TENSOR[7:]
    ) == vlm.storages(TENSOR)


def test_an_array_over_a_tensor_is_the_tensor():
    assert vlm.storages(TENSOR.numpy()[3:]) == vlm.storages(TENSOR) != {}


def test_objects_of_any_class_are_looked_into_and_circles_end():
    thing = SimpleNamespace(inner=SimpleNamespace(keys=TENSOR))
    thing.itself = thing
    assert weight(thing) == 4000
    assert weight(torch.nn.Linear(10, 10, bias=False)) == 400
    assert weight(np.array([ARRAY, None], dtype=object)) == 4000 + 16
    assert weight(lambda: ARRAY) == weight(Record) == weight(np) == 0  # code owns nothing


def test_a_trace_weighs_what_its_arrays_do(tiny_model, wide_photo):
    trace = tiny_model.trace(wide_photo, "What is it?", vlm.Decoding(max_new_tokens=3))
    found, encoded_image = vlm.storages(trace), vlm.storages(trace.encoded_image)
    assert encoded_image.items() <= found.items()
    for array in (
        trace.inputs_embeds,
        trace.visual_tokens.embeddings,
        trace.patch_features,
        trace.steps[0].attention,
        trace.patches.pixels,
        trace.image,
    ):
        assert vlm.storages(array).items() <= found.items() and weight(array) > 0
    assert vlm.storages(trace.with_steps(trace.steps)) == found
    own = [
        trace.inputs_embeds.nbytes,
        trace.patch_features.nbytes,
        trace.encoder_output.nbytes,
        trace.patches.pixels.nbytes,
        wide_photo.width * wide_photo.height * 4,
    ]
    assert sum(own) < sum(found.values()) < 10 * sum(own)


def test_a_prefill_weighs_its_keys_and_values(tiny_model, wide_photo):
    trace = tiny_model.encode(wide_photo, "What is it?")
    prefill = tiny_model.prefill(trace)
    layers = prefill.cache.layers
    assert weight(prefill) >= sum(each.keys.nbytes + each.values.nbytes for each in layers)
