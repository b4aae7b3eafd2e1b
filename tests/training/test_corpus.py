"""From folders to training entries: what is held out is never trained on, whatever the batch."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny import photo, tiny_tokenizer
from vlm.embedded.assembly import FEATURE_LAYERS
from vlm.training import corpus
from vlm.training.features import Features
from vlm.training.mixing import Mixture

SIDE = 4  # of the patch grid
WIDTH = 8 * len(FEATURE_LAYERS)


def encode(images: list[Image.Image]) -> torch.Tensor:
    """Features that depend on the pixels alone: the same for the same photo, others for another."""
    rows = []
    for image in images:
        seed = int(np.asarray(image.resize((4, 4)), dtype=np.int64).ravel() @ np.arange(1, 49))
        rows.append(
            torch.randn(1 + SIDE * SIDE, WIDTH, generator=torch.Generator().manual_seed(seed))
        )
    return torch.stack(rows)


def write(folder, count: int, seed: int) -> None:
    (folder / "images").mkdir(parents=True)
    with (folder / "captions.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "caption"))
        for number in range(count):
            photo(40, 40, seed=seed + number).save(folder / "images" / f"{number}.png")
            rows.writerow((f"{number}.png", f"A photo of number {number}."))


@pytest.fixture
def gathered(tmp_path):
    write(tmp_path / "data" / "own", 60, seed=0)
    write(tmp_path / "data" / "imagen_200x5", 5, seed=40)  # five of the sixty once more
    return corpus.gather([tmp_path / "data"], tmp_path / "cache", lambda: encode, views=("flip",))


def test_a_batch_never_holds_a_photo_that_is_held_out(gathered, monkeypatch):
    drawn = set()
    row = Features.row
    monkeypatch.setattr(
        Features,
        "row",
        lambda self, index: drawn.add(f"{self.dataset}/{self.names[index]}") or row(self, index),
    )
    tokenizer = tiny_tokenizer()
    mixture = Mixture(
        gathered.entries(None), lambda text: tuple(tokenizer.encode(text, add_special_tokens=False))
    )
    for number in range(60):
        mixture.step(number, {2: 0.5, 4: 0.5}, 300)
    assert gathered.held_out and not drawn & gathered.held_out
    assert drawn == {photo.key for photo in gathered.training()}


def test_a_copy_of_an_evaluation_photo_is_held_out_too(gathered):
    assert {f"own/{number}.png" for number in range(40, 45)} <= gathered.held_out
    assert gathered.names() == ["own"]


def test_a_part_keeps_what_is_held_out_and_a_larger_part_holds_the_smaller(gathered):
    quarter, half = (
        {photo.key for photo in gathered.part(share).training()} for share in (0.25, 0.5)
    )
    assert 0 < len(quarter) < len(half) < len(gathered.training()) and quarter < half
    assert gathered.part(0.25).evaluation() == gathered.evaluation()


def test_features_are_computed_once(gathered, tmp_path):
    def fail():
        raise AssertionError("the encoder was loaded again")

    again = corpus.gather([tmp_path / "data"], tmp_path / "cache", fail, views=("flip",))
    assert again.held_out == gathered.held_out and again.photos == gathered.photos


def test_a_damaged_image_is_named_and_skipped(tmp_path):
    write(tmp_path / "data" / "own", 4, seed=0)
    (tmp_path / "data" / "own" / "images" / "2.png").write_bytes(b"not an image")
    gathered = corpus.gather([tmp_path / "data"], tmp_path / "cache", lambda: encode)
    assert len(gathered.photos) == 3
    assert [str(row).split(": ", 1)[0].rsplit("/", 1)[-1] for row in gathered.bad] == ["2.png:0"]
