"""Folders of photos with text: what is read, what is skipped and named, and what is held out."""

import pytest
from PIL import Image

from vlm.training.datasets import DataError, dataset_folders, read_dataset
from vlm.training.splits import held_out, is_held_out


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "zoo" / "images").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 6), "red").save(tmp_path / "zoo" / "images" / name)
    (tmp_path / "zoo" / "captions.csv").write_text(
        "image,caption\na.png,A cat.\na.png,\nmissing.png,A dog.\nb.png,A bird.\n"
    )
    return tmp_path


def test_bad_rows_are_counted_and_named(folder):
    photos, bad = read_dataset(dataset_folders([folder])[0])
    assert [(photo.key, photo.captions) for photo in photos] == [
        ("zoo/a.png", ("A cat.",)),
        ("zoo/b.png", ("A bird.",)),
    ]
    assert [str(row).split("captions.csv")[1] for row in bad] == [
        ":3: caption is empty",
        ":4: there is no image 'missing.png'",
    ]


def test_a_folder_without_a_data_set_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(DataError, match="holds no data set"):
        dataset_folders([tmp_path])


def test_near_duplicates_are_held_out_together():
    import torch

    keys = [f"zoo/{number}.png" for number in range(200)]
    features = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    features[1::2] = features[::2] * 1.01  # every second photo is a copy of the one before
    out = held_out(keys, features, share=0.3)
    assert 0 < len(out) < 200
    assert all((keys[number] in out) == (keys[number + 1] in out) for number in range(0, 200, 2))


def test_nothing_of_an_evaluation_data_set_is_ever_trained_on():
    assert all(is_held_out(f"imagen_200x5/{number}.jpg") for number in range(50))
