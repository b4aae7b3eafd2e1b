"""What the page receives of tiles, merged patches, row ends, queries, margins and several photos,
and of encoders without this or that.
"""

import json

import numpy as np
import pytest
from PIL import Image

import vlm
from app import payloads
from app.payloads.preprocessing import at_the_edge
from app.uploads import EXAMPLES
from tests.app import layouts
from tests.app.conftest import unpacked
from tests.tiny import photo

IMAGE, SECOND = photo(48, 96), photo(60, 40, seed=1)


class Looks:
    """The attention of an encoder, drawn by chance; nobody looks into another picture."""

    def __init__(self, patches: vlm.Patches) -> None:
        same = patches.places[:, :1] == patches.places[:, 0]
        self.weights = np.random.default_rng(2).random((2, *same.shape)).astype(np.float32) * same

    def row(self, layer: int, patch: int) -> np.ndarray:
        return self.weights[:, patch]

    def elsewhere(self, layer: int, patch: int) -> float:
        return 0.25

    def rollout(self, layer: int, patch: int) -> np.ndarray:
        return self.weights[0, patch]


def one(
    sequence: bool = True, others: dict | None = None, image: Image.Image = IMAGE, **options
) -> vlm.Trace:
    patches = layouts.patches(layouts.whole(image, 4, 8))
    return layouts.run(
        patches, layouts.tokens(patches, **options), [image], sequence, **others or {}
    )


def tiled(**options) -> vlm.Trace:
    patches = layouts.patches(*layouts.tiles(IMAGE, 2, 3, 4, 4), layouts.whole(IMAGE, 4, 4))
    return layouts.run(patches, layouts.tokens(patches, **options), [IMAGE])


def two_photos() -> vlm.Trace:
    patches = layouts.patches(layouts.whole(IMAGE, 4, 8), layouts.whole(SECOND, 6, 4, number=1))
    return layouts.run(patches, layouts.tokens(patches, merge=2), [IMAGE, SECOND])


def padded() -> vlm.Trace:
    """A margin above and below, as LLaVA-NeXT adds it; the patches in it become no token."""
    patches = layouts.patches(layouts.shown(IMAGE, "whole photo", 0, (-24, 0, 72, 96), 8, 8))
    tokens = layouts.tokens(patches)
    kept = slice(16, 48)
    return layouts.run(
        patches,
        vlm.VisualTokens(
            tokens.embeddings[kept],
            tokens.boxes[kept],
            tokens.sources[kept],
            tokens.kinds[kept],
            tokens.photos[kept],
        ),
        [IMAGE],
    )


def with_rest() -> vlm.Trace:
    """The last row and column of pixels fill no patch."""
    patches = layouts.patches(layouts.shown(IMAGE, "whole photo", 0, (0, 0, 48, 96), 4, 8, (1, 1)))
    return layouts.run(patches, layouts.tokens(patches), [IMAGE])


TRACES = {
    "one": one(),
    "with rest": with_rest(),
    "merged": one(merge=2),
    "queries": one(queries=5),
    "row ends": one(row_ends=True),
    "tiled": tiled(),
    "tiled, merged": tiled(merge=2, row_ends=True),
}
TRACES |= {"two photos": two_photos(), "padded": padded(), "cross-attention": one(sequence=False)}
WITHOUT = dict(projections=None, position_embeddings=None)


@pytest.mark.parametrize("name", TRACES)
def test_every_layout_is_plain_json_and_points_at_what_is_there(name):
    trace = TRACES[name]
    record = payloads.record("key", trace)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    n, v = len(trace.patches.places), len(trace.visual_tokens.sources)
    cells, token_cells, sources = (
        unpacked(record[name]) for name in ("cells", "token_cells", "token_patches")
    )
    assert (
        cells.shape == (n,)
        and len(token_cells)
        == len(sources)
        == len(unpacked(record["token_kinds"]))
        == len(unpacked(record["colours"]))
        == v
    )
    assert max(cells.max(), token_cells.max()) < record["rows"] * record["columns"]
    assert [record["kinds"][kind] for kind in unpacked(record["token_kinds"])] == list(
        trace.visual_tokens.kinds
    )
    assert unpacked(record["layers"]["norms"]).shape == (layouts.LAYERS + 1, n)
    assert record["connector"]["before"]["rgb"]["shape"] == [n, 3] and record["connector"]["after"][
        "rgb"
    ]["shape"] == [v, 3]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("one", "Each patch becomes one visual token: V = N = 32."),
        ("merged", "2 × 2 patches merge into one visual token: N = 32 patches, V = 8 tokens."),
        (
            "queries",
            (
                "5 learned queries each read all 32 patches: V = 5 tokens, which have no place of"
                " their own in the photo."
            ),
        ),
        (
            "row ends",
            (
                "Each visual token is made of one patch: N = 32 patches, V = 36 tokens. 4 of the"
                " tokens are newlines, the same learned vector at the end of each row."
            ),
        ),
        (
            "tiled",
            (
                "it was cut into 2 × 3 tiles of 8 × 8 pixels; a small copy of the whole stands"
                " beside them, 8 × 8; then each picture was cut into 4 × 4 = 16 patches of 2 × 2"
                " pixels."
            ),
        ),
        (
            "padded",
            (
                "Your photo of 96 × 48 pixels was scaled to 16 × 8; nothing was cut off; margins"
                " without photo were added up to 16 × 16, 50 % of that;"
            ),
        ),
        (
            "with rest",
            (
                "than it is; 16 % of it, the dark margins, was cut off; then it was cut into"
                " 4 × 8 = 32 patches of 2 × 2 pixels; the last pixel at the bottom and the last"
                " pixel on the right fill no patch, so that the model does not see them."
            ),
        ),
        ("padded", "N = 64 patches, V = 32 tokens. 32 patches become no token."),
        (
            "two photos",
            (
                "Photo 1 of 96 × 48 pixels was scaled to 16 × 8; nothing was cut off; then it was"
                " cut into 4 × 8 = 32 patches of 2 × 2 pixels. Photo 2 of 40 × 60"
            ),
        ),
    ],
)
def test_what_happened_to_the_photo_is_told_in_words(name, words):
    assert words in payloads.record("key", TRACES[name])["transform"]


def test_photos_stand_side_by_side_and_boxes_with_them():
    trace = TRACES["two photos"]
    record = payloads.record("key", trace)
    left = record["photos"][1]["left"]
    assert left > IMAGE.width and record["photo_size"] == [60, left + SECOND.width]
    boxes, photos = unpacked(record["boxes"]), unpacked(record["token_photos"])
    np.testing.assert_allclose(
        boxes[photos == 0], trace.visual_tokens.boxes[photos == 0], atol=1e-3
    )
    np.testing.assert_allclose(
        boxes[photos == 1], trace.visual_tokens.boxes[photos == 1] + [0, left, 0, left], atol=1e-3
    )
    assert record["pictures"][1]["box"] == [0, left, 60, left + 40] and record["photos"][1][
        "seen"
    ] == [0, left, 60, left + 40]


def test_what_fills_no_patch_is_shown_as_not_seen_and_boxes_are_where_the_pixels_are():
    trace = TRACES["with rest"]
    record = payloads.record("key", trace)
    seen = [0, 0, 48 * 8 / 9, 96 * 16 / 17]
    np.testing.assert_allclose(record["photos"][0]["seen"], seen, atol=1e-3)
    np.testing.assert_allclose(record["pictures"][0]["box"], seen, atol=1e-3)
    row, column = np.divmod(np.arange(32), 8)
    edges = np.stack([row / 4.5, column / 8.5, (row + 1) / 4.5, (column + 1) / 8.5], axis=1)
    np.testing.assert_allclose(unpacked(record["boxes"]), edges * [48, 96, 48, 96], rtol=1e-5)
    received = trace.patches.pictures[0].received.astype(float)
    means = received[:8, :16].reshape(4, 2, 8, 2, 3).mean((1, 3)).reshape(-1, 3)
    np.testing.assert_array_equal(unpacked(record["colours"]), np.rint(means))
    assert record["received_size"] == [8, 16]
    edge = at_the_edge(trace.patches).reshape(4, 8)
    assert edge[[0, -1]].all() and edge[:, [0, -1]].all() and not edge[1:-1, 1:-1].any()


def test_each_photo_has_its_place_in_the_prompt():
    patches = layouts.patches(layouts.whole(IMAGE, 4, 8), layouts.whole(SECOND, 6, 4, number=1))
    assert payloads.record("key", layouts.run(patches, layouts.tokens(patches), [IMAGE, SECOND]))[
        "prompt"
    ] == ["user:", 32, "", 24, "What?"]
    assert payloads.record("key", TRACES["cross-attention"])["prompt"] == ["user:What?"]


def test_tokens_without_a_place_have_no_box_and_a_neutral_colour():
    record = payloads.record("key", TRACES["queries"])
    assert (
        np.isnan(unpacked(record["boxes"])).all()
        and (unpacked(record["token_patches"]) == -1).all()
    )
    assert set(unpacked(record["colours"]).ravel().tolist()) == {128} and record["shelf"] == 5
    assert payloads.rounded(TRACES["queries"].visual_tokens.boxes)[0] == [None] * 4


@pytest.mark.parametrize(
    ("others", "kind"),
    [
        ({}, "learned"),
        ({"rotation": np.zeros((32, 4), np.float32)}, "learned and rotary"),
        ({"position_embeddings": None, "rotation": np.zeros((32, 4), np.float32)}, "rotary"),
        (WITHOUT, "none"),
    ],
)
def test_how_the_encoder_knows_a_place(others, kind):
    trace = one(others=others)
    assert payloads.record("key", trace)["positions_kind"] == kind
    rows = payloads.rows(trace, 3, 0)
    assert (rows["position"] is None) == ("learned" not in kind) and (rows["rotation"] is None) == (
        "rotary" not in kind
    )
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_rotations_are_compared_by_the_cosine_of_their_angles():
    angles = np.random.default_rng(3).uniform(-9, 9, (32, 4)).astype(np.float32)
    rows = payloads.rows(one(others={"rotation": angles}), 5, 0)
    np.testing.assert_array_equal(unpacked(rows["rotation"]), angles[5])
    expected = [np.mean([np.cos(a - b) for a, b in zip(angles[5], other)]) for other in angles]
    np.testing.assert_allclose(unpacked(rows["rotation_cosine"]), expected, atol=1e-5)


def test_an_encoder_without_projection_or_attention_says_so():
    trace = one(others=WITHOUT)
    record, rows = (
        payloads.record("key", trace),
        payloads.rows(trace, 3, 1, without="This encoder is made of convolutions."),
    )
    assert record["numbers"]["projection"] is None and rows["projection"] is None
    assert (
        "attention" not in rows
        and rows["without_attention"] == "This encoder is made of convolutions."
    )
    assert unpacked(rows["cosine"]).shape == (32,)


def test_attention_is_sent_for_the_picture_it_stays_in():
    trace = TRACES["tiled"]
    looks = Looks(trace.patches)
    rows = payloads.rows(trace, 37, 2, looks)
    assert rows["among"] == [32, 16] and rows["elsewhere"] == 0.25 and rows["prefix"] == 1
    np.testing.assert_array_equal(unpacked(rows["attention"]), looks.row(2, 37)[:, 32:48])
    np.testing.assert_array_equal(unpacked(rows["rollout"]), looks.rollout(2, 37)[32:48])


def test_words_of_a_cross_attention_model_do_not_pretend():
    trace = TRACES["cross-attention"]
    step = vlm.Step(
        0, 1, "a", -0.1, 1.0, 0.5, (), False, "a", 1.0, np.full((2, 4), 0.25, np.float32)
    )
    with pytest.raises(vlm.ModelError, match="cross-attention"):
        payloads.word(trace.with_steps([step]), 0)


def test_a_record_of_576_tokens_is_small(monkeypatch):
    """As LLaVA-1.5 makes it: 24 layers, a real photo larger than what is sent of it."""
    monkeypatch.setattr(layouts, "SIZE", 14)
    image = vlm.open_image(EXAMPLES / "china.jpg").resize((1600, 1200))
    patches = layouts.patches(layouts.whole(image, 24, 24))
    features = np.random.default_rng(4).normal(size=(25, 576, 8)).astype(np.float32)
    record = payloads.record(
        "key",
        layouts.run(
            patches,
            layouts.tokens(patches),
            [image],
            patch_features=features,
            prefix_features=features[:, :1],
        ),
    )
    assert len(json.dumps(record)) < 400_000
