"""The board: every patch and every token has a cell of its own, and pictures stand as their parts
lie in the photo.
"""

import numpy as np
import pytest

from app.payloads import board
from tests.app import layouts
from tests.app.layouts import SIZE
from tests.tiny import photo

IMAGE = photo(48, 96)
SECOND = photo(60, 40, seed=1)


def one(**options):
    patches = layouts.patches(layouts.whole(IMAGE, 4, 8))
    return patches, layouts.tokens(patches, **options)


def tiled(**options):
    patches = layouts.patches(*layouts.tiles(IMAGE, 2, 3, 4, 4), layouts.whole(IMAGE, 4, 4))
    return patches, layouts.tokens(patches, **options)


def two_photos(**options):
    pictures = [
        *layouts.tiles(IMAGE, 1, 2, 4, 4),
        layouts.whole(IMAGE, 4, 4),
        layouts.whole(SECOND, 6, 4, number=1),
    ]
    patches = layouts.patches(*pictures)
    return patches, layouts.tokens(patches, **options)


LAYOUTS = {
    "one": one(),
    "merged": one(merge=2),
    "queries": one(queries=5),
    "row ends": one(row_ends=True),
    "tiled": tiled(),
    "tiled and merged": tiled(merge=2),
}
LAYOUTS |= {
    "tiled with row ends": tiled(row_ends=True, merge=2),
    "two photos": two_photos(merge=2),
    "two photos with row ends": two_photos(row_ends=True),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_cell_is_used_once(layout):
    patches, tokens = LAYOUTS[layout]
    laid = board.lay_out(patches, tokens)
    homeless = laid.token_cells[(tokens.sources < 0).all(1)]
    used = np.concatenate([laid.cells, homeless[homeless >= 0]])
    assert len(laid.cells) == len(patches.places) and len(set(used.tolist())) == len(used)
    assert used.min() >= 0 and used.max() < laid.rows * laid.columns
    assert (laid.token_cells[:, 0] >= 0).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_token_stands_where_its_patches_stand(layout):
    patches, tokens = LAYOUTS[layout]
    laid = board.lay_out(patches, tokens)
    for sources, cells in zip(tokens.sources, laid.token_cells, strict=True):
        if (sources >= 0).any():
            assert cells.tolist() == laid.cells[sources].tolist()


@pytest.mark.parametrize("options", [{}, {"merge": 2}])
def test_a_single_picture_is_its_own_board(options):
    patches, tokens = one(**options)
    laid = board.lay_out(patches, tokens)
    assert (laid.rows, laid.columns, laid.shelf) == (4, 8, None)
    assert laid.cells.tolist() == list(range(32))
    np.testing.assert_array_equal(
        np.array(board.picture(patches, laid)), patches.pictures[0].received
    )


def test_tiles_stand_as_in_the_photo_and_the_small_copy_beside_or_below():
    patches, tokens = tiled()
    laid = board.lay_out(patches, tokens)
    assert laid.corners[:6] == ((0, 0), (0, 5), (0, 10), (5, 0), (5, 5), (5, 10))
    # 14 x 14 is nearer to the screen's shape than 9 x 19
    assert laid.corners[6] == (10, 0) and (laid.rows, laid.columns) == (14, 14)
    high = layouts.patches(*layouts.tiles(IMAGE, 2, 1, 4, 4), layouts.whole(IMAGE, 4, 4))
    assert board.lay_out(high, layouts.tokens(high)).corners == ((0, 0), (5, 0), (0, 5))


def test_photos_stand_apart():
    patches, tokens = two_photos()
    laid = board.lay_out(patches, tokens)
    taken = np.full((laid.rows, laid.columns), -1)
    for number, (picture, (row, column)) in enumerate(
        zip(patches.pictures, laid.corners, strict=True)
    ):
        area = taken[
            max(row - 1, 0) : row + picture.rows + 1,
            max(column - 1, 0) : column + picture.columns + 1,
        ]
        assert (area == -1).all()  # one free cell on every side
        taken[row : row + picture.rows, column : column + picture.columns] = number


def test_a_token_that_ends_a_row_stands_at_its_end():
    patches, tokens = tiled(row_ends=True)
    laid = board.lay_out(patches, tokens)
    for token, kind in enumerate(tokens.kinds):
        if kind == "newline":
            before, (row, column) = (
                laid.token_cells[token - 1, 0],
                divmod(laid.token_cells[token, 0], laid.columns),
            )
            assert row == before // laid.columns and column > before % laid.columns
    assert laid.shelf is None


def test_tokens_without_a_place_stand_on_the_shelf_in_their_order():
    patches, tokens = one(queries=9)
    laid = board.lay_out(patches, tokens)
    assert laid.shelf == 5 and laid.rows == 7
    assert laid.token_cells[:, 0].tolist() == list(range(5 * 8, 5 * 8 + 9))


@pytest.mark.parametrize(
    "layout", ["one", "merged", "tiled", "tiled and merged", "queries", "two photos"]
)
def test_a_pixel_of_the_photo_is_found_again_on_the_board(layout):
    patches, tokens = LAYOUTS[layout]
    laid = board.lay_out(patches, tokens)
    shown = np.array(board.picture(patches, laid)).astype(float)
    side = shown.shape[0] // laid.rows
    photos = [np.array(IMAGE).astype(float), np.array(SECOND).astype(float)]
    for patch, (top, left, bottom, right) in enumerate(patches.boxes.round().astype(int)):
        row, column = divmod(laid.cells[patch], laid.columns)
        on_board = shown[
            row * side : (row + 1) * side, column * side : (column + 1) * side, :3
        ].mean((0, 1))
        in_photo = photos[patches.pictures[patches.places[patch, 0]].photo][
            top:bottom, left:right
        ].mean((0, 1))
        np.testing.assert_allclose(on_board, in_photo, atol=6)


def test_gaps_and_shelf_are_clear():
    patches, tokens = LAYOUTS["queries"]
    shown = np.array(board.picture(patches, board.lay_out(patches, tokens)))
    assert (shown[: 4 * SIZE, :, 3] == 255).all() and (shown[4 * SIZE :, :, 3] == 0).all()


def test_a_large_board_is_made_smaller_by_whole_pixels():
    patches = layouts.patches(layouts.whole(IMAGE, 300, 600))
    laid = board.lay_out(patches, layouts.tokens(patches))
    assert board.picture(patches, laid).size == (600, 300)
