"""The board: every picture that the encoder received, laid out on one grid whose cell is one patch.

A single picture is its own board. The tiles of a photo stand next to each other as in the photo,
the small copy of the whole beside or below them, photos after each other, one free cell between
pictures. A token that ends a row stands at the end of that row; tokens without any place stand on a
shelf below. Knows records and numbers, nothing of the page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

import vlm

GAP = 1  # free cells between pictures
ASPECT = 4 / 3  # of the place where the page shows the board
SIDE = 1024  # pixels, for the wire only


@dataclass(frozen=True)
class Board:
    """Cells are counted left to right, top to bottom.

    Attributes:
        rows, columns: of the whole board, in cells.
        cells: the cell of each patch, N of them.
        token_cells: the cells of each token, V x merged; -1 fills up.
        corners: row and column of the top left cell of each picture.
        shelf: the row in which the shelf begins; None where every token has its place.
    """

    rows: int
    columns: int
    cells: np.ndarray
    token_cells: np.ndarray
    corners: tuple[tuple[int, int], ...]
    shelf: int | None


@dataclass(frozen=True)
class Block:
    """Pictures that stand together: the size in cells, and the corner of each picture by its
    number.
    """

    rows: int
    columns: int
    corners: dict[int, tuple[int, int]]

    def at(self, row: int, column: int) -> dict[int, tuple[int, int]]:
        """The corners once the block stands there."""
        return {
            number: (row + down, column + across) for number, (down, across) in self.corners.items()
        }


def lay_out(patches: vlm.Patches, tokens: vlm.VisualTokens) -> Board:
    """Where every patch and every token stands."""
    ends = row_ends(patches, tokens)
    groups: dict[tuple[int, bool], list[int]] = {}  # the tiles of each photo, and its whole
    for number, picture in enumerate(patches.pictures):
        groups.setdefault((picture.photo, not is_tile(picture)), []).append(number)
    whole = all_photos(patches.pictures, groups, {number for number, _ in ends.values()})

    corners = [whole.corners[number] for number in range(len(patches.pictures))]
    edges = {
        number: max(corners[other][1] + patches.pictures[other].columns for other in numbers)
        for numbers in groups.values()
        for number in numbers
    }
    first = {
        (corners[number][0] + row, edges[number]): token
        for token, (number, row) in reversed(ends.items())
    }
    # should a row end twice, the second token has no place
    stands = {token: place for place, token in first.items()}
    homeless = [
        token
        for token, sources in enumerate(tokens.sources)
        if (sources < 0).all() and token not in stands
    ]
    columns, shelf = (
        max(whole.columns, math.ceil(math.sqrt(ASPECT * len(homeless)))),
        whole.rows + GAP,
    )
    stands |= {
        token: (shelf + place // columns, place % columns) for place, token in enumerate(homeless)
    }

    places = np.array(corners)[patches.places[:, 0]] + patches.places[:, 1:]
    cells = places[:, 0] * columns + places[:, 1]
    token_cells = np.full((len(tokens.sources), max(1, tokens.sources.shape[1])), -1)
    if tokens.sources.size:
        token_cells[:] = np.where(tokens.sources < 0, -1, cells[tokens.sources])
    for token, (row, column) in stands.items():
        token_cells[token, 0] = row * columns + column
    rows = shelf + math.ceil(len(homeless) / columns) if homeless else whole.rows
    return Board(rows, columns, cells, token_cells, tuple(corners), shelf if homeless else None)


def all_photos(
    pictures: Sequence, groups: dict[tuple[int, bool], list[int]], ended: set[int]
) -> Block:
    """The photos one after the other, each its tiles and its whole.

    A free column behind pictures whose rows are `ended` by a token.
    """
    photos: dict[int, list[Block]] = {}
    for (photo, _), numbers in sorted(groups.items()):
        block = tiled([pictures[number] for number in numbers], numbers)
        photos.setdefault(photo, []).append(
            Block(block.rows, block.columns + bool(ended & set(numbers)), block.corners)
        )
    return arrange([arrange(blocks) for blocks in photos.values()])


def is_tile(picture) -> bool:
    """Whether it shows a part of the photo in more detail, not the whole."""
    return picture.name.startswith("tile")


def row_ends(patches: vlm.Patches, tokens: vlm.VisualTokens) -> dict[int, tuple[int, int]]:
    """For each token that ends a row: the picture and the row of the patch before it."""
    ends, last = {}, None
    for token, (kind, sources) in enumerate(zip(tokens.kinds, tokens.sources, strict=True)):
        if (sources >= 0).any():
            last = tuple(int(part) for part in patches.places[sources[sources >= 0][-1]][:2])
        elif kind == "newline" and last is not None:
            ends[token] = last
    return ends


def tiled(pictures: Sequence, numbers: Sequence[int]) -> Block:
    """Pictures of one photo side by side as the parts they show lie in it."""
    tops, lefts = ([round(picture.box[side], 3) for picture in pictures] for side in (0, 1))
    down, across = (
        [sorted(set(values)).index(value) for value in values] for values in (tops, lefts)
    )
    heights, widths = [0] * (max(down) + 1), [0] * (max(across) + 1)
    for picture, i, j in zip(pictures, down, across, strict=True):
        heights[i], widths[j] = max(heights[i], picture.rows), max(widths[j], picture.columns)
    row, column = (
        [sum(sizes[:i]) + GAP * i for i in range(len(sizes))] for sizes in (heights, widths)
    )
    corners = {
        number: (row[i], column[j]) for number, i, j in zip(numbers, down, across, strict=True)
    }
    return Block(row[-1] + heights[-1], column[-1] + widths[-1], corners)


def arrange(blocks: Sequence[Block]) -> Block:
    """Blocks one after the other in lines, in as many lines as let them be shown the largest."""

    def in_lines(most: int) -> Block:
        row, columns, corners = 0, 0, {}
        for start in range(0, len(blocks), most):
            line, column = blocks[start : start + most], 0
            for block in line:
                corners |= block.at(row, column)
                column += block.columns + GAP
            columns = max(columns, column - GAP)
            row += max(block.rows for block in line) + GAP
        return Block(row - GAP, columns, corners)

    return min(
        (in_lines(most) for most in range(1, len(blocks) + 1)),
        key=lambda block: max(block.columns, ASPECT * block.rows),
    )


def picture(patches: vlm.Patches, board: Board) -> Image.Image:
    """The board as a picture: what the encoder received, as far as patches cover it, every patch
    the same whole number of pixels wide; gaps and shelf are clear.
    """
    side = max(1, min(patches.size, SIDE // max(board.rows, board.columns)))
    full = len(board.cells) == board.rows * board.columns
    shown = Image.new("RGB" if full else "RGBA", (board.columns * side, board.rows * side))
    for each, (row, column) in zip(patches.pictures, board.corners, strict=True):
        received = Image.fromarray(patches.covered_pixels(each))
        shown.paste(
            received.resize((each.columns * side, each.rows * side), Image.Resampling.BOX),
            (column * side, row * side),
        )
    return shown
