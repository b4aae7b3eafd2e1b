"""For every family: each finding gets a verdict, each comparison holds or says why not, and the
contextual lens can be built.
"""

import pytest

import vlm
from tests.families import CROSSED, FAMILIES, tiny_family
from tests.tiny import photo
from vlm import findings
from vlm.inspect import contextual_lens


@pytest.fixture(params=[*FAMILIES, *CROSSED])
def model(request, tmp_path):
    return vlm.load(tiny_family(tmp_path, request.param))


def test_findings_comparisons_and_lenses(model):
    trace = model.encode(photo(90, 150), "What is in this image?")
    look = model.inspect(trace)
    found = list(findings.check(look, tokens=[0, 1], words=["cat"]))
    assert [each.fact.id for each in found] == [fact.id for fact in findings.FACTS]
    assert all(each.sentence for each in found)
    compared = list(look.self_check())
    # what an untrained encoder makes of a change may reach any token: that the right ones answer is
    # proven on real weights
    assert [
        each.name
        for each in compared
        if each.holds is False and each.name != "visual tokens in their boxes"
    ] == []
    if trace.visual_tokens.positions is None:
        with pytest.raises(vlm.ModelError, match="by cross-attention"):
            contextual_lens.build(model, ["a photo of a cat"])
        return
    index = contextual_lens.build(model, ["a photo of a cat", "a dog on the grass"])
    hidden, positions = look.hidden_states(), trace.visual_tokens.positions
    assert len(look.contextual_lens(0, count=2, index=index)) == len(hidden) - 1
    _, maps = look.word_map("cat")
    assert (
        maps.shape == (len(hidden), len(positions)) and (maps >= 0).all() and (maps <= 1.001).all()
    )
