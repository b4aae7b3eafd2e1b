"""The ledger's numbers are those of the processors themselves, on real photos."""

import re

import pytest
from PIL import Image

import vlm
from vlm.token_ledger import FAMILIES, _processor

SIZES = [(300, 451), (1080, 1920), (64, 800), (20, 20), (700, 700), (1500, 400)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_processor_makes_room_for_as_many_tokens(family, size):
    height, width = size
    processor = _processor(family.name)
    inputs = processor(images=Image.new("RGB", (width, height)), text=family.prompt, return_tensors="pt")
    spent = next(each for each in vlm.ledger(height, width) if each.family == family.name)
    made = int((inputs["input_ids"][0] == processor.tokenizer.convert_tokens_to_ids(family.mark)).sum())
    assert spent.tokens == (made or processor.num_query_tokens)


def test_the_articles_example():
    llava = next(each for each in vlm.ledger(336, 336) if each.family == "LLaVA-1.5")
    assert llava.tokens == 24 * 24 == 576


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_reason_multiplies_to_the_count(size):
    for spent in vlm.ledger(*size):
        if spent.family in ("Qwen2.5-VL", "Qwen3-VL"):
            rows, columns = map(int, re.search(r"; (\d+) x (\d+) squares", spent.why).groups())
        elif spent.family in ("LLaVA-1.5", "PaliGemma 2"):
            rows, columns = map(int, re.search(r": (\d+) x (\d+) patches, each", spent.why).groups())
        elif spent.family == "Pixtral":
            rows, columns = map(int, re.search(r": (\d+) x (\d+) patches", spent.why).groups())
        elif spent.family in ("InternVL3", "SmolVLM"):
            rows, columns = int(re.search(r"(\d+) picture", spent.why)[1]) + (spent.family == "SmolVLM"), int(re.search(r"(\d+) tokens each", spent.why)[1])
        else:
            continue
        assert rows * columns == spent.tokens, spent


@pytest.mark.parametrize("size", [(0, 10), (10, -1), (10, 8_193)])
def test_a_size_that_no_photo_has_is_refused(size):
    with pytest.raises(vlm.ImageError, match="whole number of pixels"):
        vlm.ledger(*size)
