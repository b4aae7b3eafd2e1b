"""Made scenes: what is said about them is where it was pasted."""

import random
from pathlib import Path

import pytest
from PIL import Image

from vlm.training import scenes
from vlm.training.datasets import DataError, read_dataset
from vlm.training.scenes import CutOut, Placed


@pytest.fixture
def stamps(tmp_path):
    folder = tmp_path / "stamps" / "food"
    folder.mkdir(parents=True)
    for name, colour, text in (
        ("apple", (220, 10, 10), "A red apple."),
        ("leaf", (10, 160, 20), "A leaf.\nde=Ein Blatt."),
        ("no_text", (0, 0, 255), None),
    ):
        image = Image.new("RGBA", (60, 60))
        image.paste((*colour, 255), (10, 10, 50, 50))
        image.save(folder / f"{name}.png")
        if text:
            (folder / f"{name}.txt").write_text(text)
    return tmp_path / "stamps"


def test_cut_outs_are_named_by_their_line_and_coloured_by_their_pixels(stamps):
    assert [(thing.name, thing.colour) for thing in scenes.cut_outs(stamps)] == [
        ("red apple", "red"),
        ("leaf", "green"),
    ]


def test_a_folder_without_cut_outs_is_refused(tmp_path):
    with pytest.raises(DataError, match="no cut-out"):
        scenes.cut_outs(tmp_path)


@pytest.mark.parametrize(
    "where, half",
    [
        ("left", (0, 0, 112, 224)),
        ("right", (112, 0, 224, 224)),
        ("top", (0, 0, 224, 112)),
        ("bottom", (0, 112, 224, 224)),
    ],
)
def test_a_thing_is_in_the_half_that_is_said(stamps, where, half):
    apple = scenes.cut_outs(stamps)[0]
    image = scenes.compose(
        [Placed(apple, 2, where)], Image.new("RGB", (30, 30), "blue"), random.Random(0)
    )
    red = [(x, y) for x in range(224) for y in range(224) if image.getpixel((x, y))[0] > 200]
    assert red and all(half[0] <= x <= half[2] and half[1] <= y <= half[3] for x, y in red)


def test_as_many_are_pasted_as_are_counted(stamps):
    apple = scenes.cut_outs(stamps)[0]
    image = scenes.compose(
        [Placed(apple, 4, "")], Image.new("RGB", (30, 30), "blue"), random.Random(0)
    )
    corners = [
        image.crop(box)
        for box in ((0, 0, 112, 112), (112, 0, 224, 112), (0, 112, 112, 224), (112, 112, 224, 224))
    ]
    assert all(any(pixel[0] > 200 for pixel in corner.get_flattened_data()) for corner in corners)


def test_questions_are_answered_as_pasted():
    things = [
        CutOut(Path(), "cat", "black"),
        CutOut(Path(), "box", None),
        CutOut(Path(), "berry", None),
    ]
    asked = dict(
        scenes.questions(
            [Placed(things[0], 1, "left"), Placed(things[1], 3, "right")], things, random.Random(0)
        )
    )
    assert (
        asked["How many boxes are there?"] == "Three."
        and asked["Where is the cat?"] == "On the left."
        and asked["What is on the right?"] == "Three boxes."
    )
    assert (
        asked["What color is the cat?"] == "Black."
        and asked["Is there a berry in the image?"] == "No."
        and asked["Is there a cat in the image?"] == "Yes."
    )


def test_scenes_are_an_ordinary_data_set_and_the_same_for_the_same_seed(stamps, tmp_path):
    Image.new("RGB", (40, 40), "blue").save(tmp_path / "background.jpg")
    for name in ("one", "two"):
        scenes.make(stamps, [tmp_path / "background.jpg"], tmp_path / name, 5, seed=3)
    photos, bad = read_dataset(tmp_path / "one")
    assert (
        len(photos) == 5 and not bad and all(photo.captions and photo.questions for photo in photos)
    )
    assert [(photo.captions, photo.questions) for photo in photos] == [
        (photo.captions, photo.questions) for photo in read_dataset(tmp_path / "two")[0]
    ]
    assert all(
        first.path.read_bytes() == (tmp_path / "two" / "images" / first.name).read_bytes()
        for first in photos
    )
