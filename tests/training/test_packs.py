"""Photos that travel, and how well features find their own kind."""

import numpy as np
import pytest
import torch
from PIL import Image

from vlm.training import encoder_commands, packs
from vlm.training.__main__ import main, parser
from vlm.training.datasets import DataError
from vlm.training.neighbours import count_right_by_probe, count_right_neighbours, summarise_layers
from vlm.training.splits import is_held_out


def paint(path, seed):
    """A photo of nine soft fields of chance, 50 x 40."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = np.random.RandomState(seed).randint(0, 255, (3, 3, 3), np.uint8)
    Image.fromarray(fields).resize((50, 40), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def data(tmp_path):
    """A data set with classes and an official test, one for choices, one that is for evaluation,
    photos with no text at all, and a file that is no photo.
    """
    folder = tmp_path / "data"
    for number in range(30):
        paint(folder / "own" / "images" / f"{number}.png", number)
    rows = [
        f"{number}.png,Is it red?,yes,{'test' if number < 3 else 'train'}" for number in range(30)
    ]
    (folder / "own" / "qa.csv").write_text(
        "\n".join(["image,question,answer,official_split", *rows])
    )
    (folder / "own" / "images" / "broken.png").write_bytes(b"no photo")
    for seed, name in ((100, packs.CHOICE), (200, "imagen_200x5")):
        for number in range(4):
            paint(folder / name / "images" / f"{number}.png", seed + number)
        rows = [f"{number}.png,{'cat' if number % 2 else 'dog'}" for number in range(4)]
        (folder / name / "labels.csv").write_text("\n".join(["image,label", *rows]))
    for number in range(5):
        paint(folder / "boxes" / "images" / f"{number}.png", 300 + number)
    paint(folder / "boxes" / "images" / "same.png", 200)  # as one for evaluation
    return folder


def test_every_photo_of_every_data_set_is_found_with_or_without_text(data, tmp_path):
    sources = {source.key: source for source in packs.find_photos([data])}
    assert len(sources) == 30 + 1 + 4 + 4 + 6
    assert sources["own/2.png"].tested and not sources["own/3.png"].tested
    assert sources["imagen_200x5/1.png"].label == "cat" and not sources["boxes/1.png"].label
    loose = tmp_path / "wallpapers"
    paint(loose / "deep" / "one.png", 7)
    (loose / "readme.txt").write_text("no photo")
    assert [source.key for source in packs.find_photos([loose])] == ["wallpapers/deep/one.png"]
    with pytest.raises(DataError, match="is not a folder"):
        packs.find_photos([tmp_path / "nowhere"])


def test_what_is_held_out_elsewhere_is_not_trained_on_nor_its_copies(data):
    packed = list(packs.squash_all(packs.find_photos([data])))
    keys = {one.source.key for one in packed}
    assert "own/broken.png" not in keys and len(keys) == 44
    out = packs.split(packed)
    expected = {f"own/{number}.png" for number in range(3)} | {"boxes/same.png"}
    expected |= {key for key in keys if is_held_out(key)}
    expected |= {key for key in keys if key.split("/")[0] in ("imagen_200x5", packs.CHOICE)}
    assert out == expected and len(out) < len(keys)


def test_packed_photos_come_back_squashed_in_parts(data, tmp_path, monkeypatch):
    packed = list(packs.squash_all(packs.find_photos([data / "imagen_200x5"])))
    monkeypatch.setattr(packs, "PART_BYTES", 2 * len(packed[0].file) + 50)
    assert len(packs.save_photos(tmp_path, "photos", packed)) > 1
    photos = packs.load_photos(tmp_path, "photos")
    assert sorted(photos.keys) == sorted(one.source.key for one in packed)
    assert dict(zip(photos.keys, photos.labels))["imagen_200x5/1.png"] == "cat"
    pixels = photos.pixels(range(len(photos)))
    assert torch.equal(photos.all_pixels(threads=2), pixels)
    for key, found in zip(photos.keys, pixels, strict=True):
        with Image.open(data / "imagen_200x5" / "images" / key.split("/")[1]) as image:
            wanted = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC), np.float32)
        # WebP loses some
        assert np.abs(found.permute(1, 2, 0).numpy() - wanted).mean() < 6
    with pytest.raises(DataError, match=r"holds no other-00\.safetensors"):
        packs.load_photos(tmp_path, "other")


def test_nearest_neighbours_leave_the_photo_itself_out():
    third = 2 * torch.pi / 3
    angles = torch.tensor([0.0, 0.1, third, third + 0.1, 2 * third, 2 * third + 0.1])
    # what all share says nothing
    features = torch.stack([angles.cos(), angles.sin()], dim=1) + torch.tensor([30.0, -7.0])
    assert count_right_neighbours(features, list("aabbcc")) == (1.0, 1.0)
    one, five = count_right_neighbours(features, list("abcabc"))
    assert (one, five) == (0.0, 1.0)
    assert count_right_neighbours(features, list("abcdef")) == (0.0, 0.0)
    assert count_right_neighbours(features, list("ababab"), count=2) == (0.0, 0.0)
    assert count_right_neighbours(features, list("ababab"), count=3) == (0.0, 1.0)


def test_a_linear_probe_names_what_is_linear_and_nothing_else():
    torch.manual_seed(0)
    labels = [str(number % 4) for number in range(40)]
    centres = torch.eye(4, 50)
    features = torch.stack([centres[int(label)] for label in labels]) + 0.05 * torch.randn(40, 50)
    assert count_right_by_probe(features, labels) == 1.0
    assert count_right_by_probe(torch.randn(40, 50), labels) < 0.6


def test_a_summary_is_the_class_token_and_the_mean_of_the_patches():
    tokens = torch.randn(2, 5, 8) * 3 + 1
    normed = torch.nn.functional.layer_norm(tokens, (8,))
    (found,) = summarise_layers([tokens])
    assert torch.allclose(found, torch.cat([normed[:, 0], normed[:, 1:].mean(1)], 1), atol=1e-6)


def test_the_table_of_neighbours_names_its_command(data, monkeypatch, capsys):
    from transformers import Dinov2Config, Dinov2Model

    from vlm.embedded.assembly import image_processor

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=1)
    asked = []
    monkeypatch.setattr(
        encoder_commands.base,
        "vision",
        lambda parts: asked.append(list(parts)) or (Dinov2Model(config).eval(), image_processor()),
    )
    assert main(["neighbours", "--data", str(data), "--seed", "3"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert asked == [[]]
    assert "seed 3, python -m vlm.training neighbours --data data --seed 3" in "\n".join(printed)
    assert sum(line.startswith(("| 1 |", "| 2 |")) for line in printed) == 2
    assert any("imagen_200x5, 2 classes, 4 photos" in line for line in printed)
    assert main(["neighbours", "--data", str(data), "--sets", "other"]) == 2
    assert main(["neighbours", "--data", str(data), "--from", str(data)]) == 2  # no deltas there


def test_the_encoders_commands_have_defaults():
    options = parser().parse_args(["encoder", "--minutes", "9"])
    assert options.stage in encoder_commands.RUN and options.parts is None and not options.resume
    assert parser().parse_args(["pack", "--data", "photos"]).work == options.work
