"""The ledger's numbers are those of the processors themselves, on real photos."""

import inspect
import re

import pytest
from PIL import Image

import vlm
from vlm.backends import families
from vlm.token_budget.ledger import FAMILIES, _processor, count_visual_tokens_at

SIZES = [(300, 451), (1080, 1920), (64, 800), (20, 20), (700, 700), (1500, 400)]
# 1 and 3 are numbers of channels too
THIN = [(3, 400), (90, 1)]


@pytest.mark.parametrize("size", SIZES + THIN, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_processor_makes_room_for_as_many_tokens(family, size):
    height, width = size
    processor, image = _processor(family.name), Image.new("RGB", (width, height))
    spent = next(
        each for each in vlm.count_visual_tokens(height, width) if each.family == family.name
    )
    # no places in the sequence: as many as its encoder makes of the tiles
    if family.kind == "mllama":
        made = int(processor(images=[image])["num_tiles"][0][0]) * (40 * 40 + 1)
    elif family.kind == "kosmos-2":
        from transformers import Kosmos2Processor  # once torchvision is mended

        made = (
            inspect.signature(Kosmos2Processor.preprocess_examples)
            .parameters["num_image_tokens"]
            .default
        )
    else:
        inputs = processor(images=image, text=family.prompt, return_tensors="pt")
        made = (
            int(
                (
                    inputs["input_ids"][0] == processor.tokenizer.convert_tokens_to_ids(family.mark)
                ).sum()
            )
            or processor.num_query_tokens
        )
    assert spent.tokens == made


def test_every_family_of_the_program_is_counted():
    assert {family.kind for family in FAMILIES} == set(families.FAMILIES)


def test_the_articles_example():
    llava = next(each for each in vlm.count_visual_tokens(336, 336) if each.family == "LLaVA-1.5")
    assert llava.tokens == 24 * 24 == 576


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_reason_multiplies_to_the_count(size):
    for spent in vlm.count_visual_tokens(*size):
        if spent.family.startswith("Qwen"):
            rows, columns = map(int, re.search(r"; (\d+) x (\d+) squares", spent.why).groups())
        elif spent.family in ("LLaVA-1.5", "ViP-LLaVA", "PaliGemma 2"):
            rows, columns = map(
                int, re.search(r": (\d+) x (\d+) patches, each", spent.why).groups()
            )
        elif spent.family in ("Pixtral", "Mistral 3", "LightOnOCR"):
            rows, columns = map(
                int, re.search(r": (\d+) x (\d+) (?:patches|squares)", spent.why).groups()
            )
        elif spent.family in ("InternVL3", "Aya Vision", "Command A Vision", "SmolVLM", "Idefics3"):
            rows, columns = (
                int(re.search(r"(\d+) picture", spent.why)[1]) + ("cut into" in spent.why),
                int(re.search(r"(\d+) tokens each", spent.why)[1]),
            )
        elif spent.family == "Llama 3.2 Vision":
            rows, columns = (
                int(re.search(r"(\d+) tile", spent.why)[1]),
                int(re.search(r"([\d,]+) tokens each", spent.why)[1].replace(",", "")),
            )
        else:
            continue
        assert rows * columns == spent.tokens, spent


@pytest.mark.parametrize("thickness", [1, 2, 3, 4])
@pytest.mark.parametrize("family", ["Pixtral", "Mistral 3", "LightOnOCR"])
def test_a_photo_of_few_pixels_of_height_is_not_read_sideways(family, thickness):
    """Rows and columns, in words and in number."""

    def grid(height: int, width: int) -> tuple[int, int]:
        [spent] = [each for each in vlm.count_visual_tokens(height, width) if each.family == family]
        rows, columns = re.search(r": (\d+) x (\d+) (?:patches|squares)", spent.why).groups()
        assert int(rows) * int(columns) == spent.tokens
        return int(rows), int(columns)

    flat, tall = grid(thickness, 400), grid(400, thickness)
    assert flat[0] == tall[1] == 1 and flat[1] == tall[0] > 10


@pytest.mark.parametrize("size", [(0, 10), (10, -1), (10, 8_193)])
def test_a_size_that_no_photo_has_is_refused(size):
    with pytest.raises(vlm.ImageError, match="whole number of pixels"):
        vlm.count_visual_tokens(*size)


def test_several_sizes_are_counted_like_each_alone():
    sizes = [(336, 336), (8_192, 1), (700, 500)]
    assert count_visual_tokens_at(sizes) == tuple(vlm.count_visual_tokens(*size) for size in sizes)


def test_a_family_that_takes_no_such_photo_says_so_beside_those_that_do():
    spent = vlm.count_visual_tokens(8_192, 1)
    refused = [each for each in spent if "takes no photo of this shape" in each.why]
    assert {each.family for each in refused} == {
        family.name for family in FAMILIES if family.name.startswith("Qwen")
    } and not any(each.tokens for each in refused)
    assert next(each for each in spent if each.family == "LLaVA-1.5").tokens == 576
