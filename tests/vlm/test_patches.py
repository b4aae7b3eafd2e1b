"""x_p: patches put together are the image, boxes tile the photo, and every patch's box is where its
pixels are.
"""

import numpy as np
import pytest
import torch
from PIL import Image

import vlm
from tests.tiny import PATCH, SIDE, photo
from vlm.records.patches import grid_boxes

PHOTOS = [(90, 150), (150, 90), (56, 56), (57, 200), (333, 41), (480, 640), (1, 1), (2, 90)]


@pytest.mark.parametrize(
    ("rows", "columns", "size"), [(3, 5, 4), (5, 3, 4), (1, 7, 2), (4, 1, 3), (2, 2, 1)]
)
def test_unpatchify_undoes_patchify(rows, columns, size):
    image = (
        np.random.default_rng(0).normal(size=(3, rows * size, columns * size)).astype(np.float32)
    )
    patches = vlm.patchify(image, size)
    assert patches.shape == (rows * columns, size * size * 3)
    assert np.array_equal(vlm.unpatchify(patches, rows, size), image)


def test_patches_come_in_raster_order_each_as_height_width_channels():
    image = np.arange(3 * 6 * 10, dtype=np.float32).reshape(3, 6, 10)
    patches = vlm.patchify(image, 2)
    for index in range(15):
        top, left = 2 * (index // 5), 2 * (index % 5)
        assert np.array_equal(
            patches[index], image[:, top : top + 2, left : left + 2].transpose(1, 2, 0).ravel()
        )


@pytest.mark.parametrize(("height", "width"), [(3, 8), (8, 3)])
def test_an_image_smaller_than_a_patch_is_refused(height, width):
    with pytest.raises(vlm.ModelError, match=f"{height} x {width}"):
        vlm.patchify(np.zeros((3, height, width), np.float32), 4)


@pytest.mark.parametrize(("height", "width"), [(8, 12), (11, 12), (8, 15), (11, 13)])
def test_pixels_that_fill_no_patch_are_left_out_as_a_convolution_leaves_them_out(height, width):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, height, width, generator=generator, dtype=torch.float64)
    kernel = torch.rand(5, 3, 4, 4, generator=generator, dtype=torch.float64)
    expected = torch.nn.functional.conv2d(image[None], kernel, stride=4)[0].flatten(1).T
    patches = vlm.patchify(image.numpy(), 4)
    np.testing.assert_allclose(patches @ kernel.permute(0, 2, 3, 1).flatten(1).T.numpy(), expected)
    assert np.array_equal(vlm.unpatchify(patches, 2, 4), image[:, :8, :12])


@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize(("height", "width"), PHOTOS)
def test_the_boxes_tile_the_received_part_of_the_photo_with_no_gap_and_no_overlap(
    tiny_models, resize, height, width
):
    patches = tiny_models("clip", resize).encode(photo(height, width), "hi").patches
    [picture] = patches.pictures
    boxes = patches.boxes.reshape(picture.rows, picture.columns, 4)
    top, left, bottom, right = picture.box
    assert (
        (boxes[0, :, 0] == top).all()
        and (boxes[-1, :, 2] == bottom).all()
        and (boxes[:, 0, 1] == left).all()
        and (boxes[:, -1, 3] == right).all()
    )
    assert np.array_equal(boxes[1:, :, 0], boxes[:-1, :, 2]) and np.array_equal(
        boxes[:, 1:, 1], boxes[:, :-1, 3]
    )
    assert (boxes[..., 2] > boxes[..., 0]).all() and (boxes[..., 3] > boxes[..., 1]).all()
    areas = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    assert areas.sum() == pytest.approx((bottom - top) * (right - left))


@pytest.mark.parametrize(("height", "width"), PHOTOS)
def test_what_is_received_is_the_whole_photo_or_the_middle_of_its_longer_side(
    tiny_models, height, width
):
    assert tiny_models("clip", "squash").encode(photo(height, width), "hi").patches.pictures[
        0
    ].box == (0, 0, height, width)
    top, left, bottom, right = (
        tiny_models("clip", "crop").encode(photo(height, width), "hi").patches.pictures[0].box
    )
    short = min(height, width)
    within = 1.0 * short / SIDE + 1e-9  # resized sides are whole: one received pixel
    assert abs(bottom - top - short) <= within and abs(right - left - short) <= within
    assert abs((top + bottom) - height) <= 2 * within and abs((left + right) - width) <= 2 * within
    assert min(top, left) >= 0 and bottom <= height and right <= width


@pytest.mark.parametrize("vision", ["clip", "siglip", "dinov2"])
def test_a_photo_of_the_models_own_size_is_received_as_it_is(tiny_models, vision):
    image = photo(SIDE, SIDE)
    assert np.array_equal(
        tiny_models(vision).encode(image, "hi").patches.pictures[0].received, np.asarray(image)
    )


@pytest.mark.parametrize(
    ("height", "width"), [(SIDE, 95), (SIDE, 96), (SIDE, 97), (98, SIDE), (99, SIDE)]
)
def test_the_centre_crop_shows_exactly_the_pixels_of_its_box(tiny_models, height, width):
    image = photo(height, width)  # the shorter side is the model's: cropped, not resized
    [picture] = tiny_models("clip", "crop").encode(image, "hi").patches.pictures
    top, left, bottom, right = (int(edge) for edge in picture.box)
    assert (top, left, bottom, right) == picture.box
    assert np.array_equal(picture.received, np.asarray(image)[top:bottom, left:right])


@pytest.mark.parametrize(("height", "width"), [(90, 150), (480, 640)])
@pytest.mark.parametrize("vision", ["clip", "siglip", "dinov2"])
def test_a_squashed_photo_is_received_as_pillow_resizes_it(tiny_models, vision, height, width):
    image = photo(height, width)
    model = tiny_models(vision, "squash")
    resized = np.asarray(
        image.resize((SIDE, SIDE), Image.Resampling(int(model.processor.image_processor.resample)))
    )
    assert (
        np.abs(model.encode(image, "hi").patches.pictures[0].received.astype(int) - resized).max()
        <= 2
    )


@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize(("height", "width"), [(448, 840), (840, 448), (900, 601)])
def test_what_is_painted_into_a_box_of_the_photo_changes_that_patch_and_no_other(
    tiny_models, resize, height, width
):
    model, image = tiny_models("clip", resize), photo(height, width)
    before = model.encode(image, "hi").patches
    for index, (top, left, bottom, right) in enumerate(before.boxes):
        # keeps clear of the neighbours that resizing mixes in at the edge
        down, across = (bottom - top) / 4, (right - left) / 4
        area = tuple(
            round(edge) for edge in (left + across, top + down, right - across, bottom - down)
        )
        painted = image.copy()
        painted.paste((255, 0, 255), area)
        changed = np.abs(model.encode(painted, "hi").patches.pixels - before.pixels).max(axis=1)
        assert np.flatnonzero(changed > 1e-4).tolist() == [index]
        kept = Image.new("RGB", image.size, (255, 0, 255))
        area = tuple(
            round(edge)
            for edge in (
                max(0, left - across),
                max(0, top - down),
                min(width, right + across),
                min(height, bottom + down),
            )
        )
        kept.paste(image.crop(area), area)
        same = np.abs(model.encode(kept, "hi").patches.pixels - before.pixels).max(axis=1)
        assert same[index] < 1e-4 and np.delete(same, index).min() > 0.1


def test_the_boxes_of_the_visual_tokens_are_those_of_the_patches(tiny_model, wide_photo):
    trace = tiny_model.encode(wide_photo, "hi")
    assert np.array_equal(trace.visual_tokens.boxes, trace.patches.boxes)


def test_a_patch_of_the_received_image_is_its_pixels_without_the_normalisation(
    tiny_model, wide_photo
):
    trace = tiny_model.encode(wide_photo, "hi")
    processor, patches = tiny_model.processor.image_processor, trace.patches
    for index in (0, 5, 15):
        top, left = PATCH * patches.places[index, 1:]
        levels = (
            patches.pixels[index].reshape(PATCH, PATCH, 3) * processor.image_std
            + processor.image_mean
        ) * 255
        assert (
            np.abs(
                patches.pictures[0].received[top : top + PATCH, left : left + PATCH] - levels
            ).max()
            <= 0.5 + 1e-3
        )


def test_grid_boxes_count_rows_before_columns():
    boxes = grid_boxes((0.0, 0.0, 20.0, 30.0), rows=2, columns=3)
    assert boxes.tolist() == [
        [0, 0, 10, 10],
        [0, 10, 10, 20],
        [0, 20, 10, 30],
        [10, 0, 20, 10],
        [10, 10, 20, 20],
        [10, 20, 20, 30],
    ]


def test_the_embedded_model_cuts_the_whole_photo_into_256_patches(embedded_model):
    image = photo(300, 500)
    patches = embedded_model.encode(image, "hi").patches
    [picture] = patches.pictures
    assert (picture.rows, picture.columns, picture.box) == (16, 16, (0, 0, 300, 500))
    top, left, bottom, right = patches.boxes[37]
    painted = image.copy()
    painted.paste(
        (255, 0, 255), (round(left + 8), round(top + 5), round(right - 8), round(bottom - 5))
    )
    changed = np.abs(embedded_model.encode(painted, "hi").patches.pixels - patches.pixels).max(
        axis=1
    )
    assert np.flatnonzero(changed > 1e-4).tolist() == [37]
