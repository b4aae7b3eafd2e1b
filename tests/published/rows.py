"""All records of checkpoints, by what they make of a photo."""

from tests.published import fixed, llavas, native, splits, tiles

ROWS = (*llavas.ROWS, *fixed.ROWS, *splits.ROWS, *tiles.ROWS, *native.ROWS)
