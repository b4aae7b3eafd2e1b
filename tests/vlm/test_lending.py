"""The answer in another process, on another device: what travels there is all of it, for every
family.
"""

import io
import pickle

import pytest
import torch

import vlm
from tests.families import FAMILIES, tiny_family
from tests.tiny import photo
from vlm.loading.lending import moved


@pytest.fixture(autouse=True)
def threads():
    """`decode_on` is for a process of its own, where it takes all threads but one away."""
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


def tensors(value) -> list[torch.Tensor]:
    """All tensors in it, however deep: found by the way pickle goes."""
    found = []

    class Finder(pickle.Pickler):
        def persistent_id(self, part):
            if isinstance(part, torch.Tensor):
                found.append(part)
                return len(found)

    Finder(io.BytesIO()).dump(value)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trace_travels_and_is_answered_there_as_here(family, tmp_path):
    model, decoding = vlm.load(tiny_family(tmp_path, family)), vlm.Decoding(max_new_tokens=4)
    trace = model.encode(photo(90, 150), "What is it?")
    expected = list(model.decode(trace, decoding))
    travelled = pickle.loads(pickle.dumps((trace, decoding)))
    steps = pickle.loads(pickle.dumps(list(vlm.decode_on("cpu", model, *travelled))))
    assert [step.token_id for step in steps] == [step.token_id for step in expected]
    assert [step.log_probability for step in steps] == pytest.approx(
        [step.log_probability for step in expected], abs=1e-5
    )
    elsewhere = tensors(moved(trace.language_inputs, "meta"))
    assert len(elsewhere) == len(tensors(dict(trace.language_inputs))) and all(
        each.device.type == "meta" for each in elsewhere
    )
