"""Many dimensions to two: a picture that tells the truth about distances and never changes between
runs.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vlm

UMAP = pytest.param("umap", marks=pytest.mark.long)  # compiles itself for half a minute


def cloud(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def test_pca_keeps_the_distances_of_points_that_lie_in_a_plane():
    plane, _ = np.linalg.qr(cloud(40, 2))
    flat = 10 * cloud(30, 2, seed=1) @ plane.T.astype(np.float32) + 3
    np.testing.assert_allclose(
        distances(vlm.project(flat).points), distances(flat), rtol=1e-3, atol=1e-4
    )


def test_pca_is_the_two_largest_singular_directions():
    rows = cloud(50, 20) * np.linspace(5, 0.1, 20, dtype=np.float32)
    left, values, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    projection = vlm.project(rows)
    np.testing.assert_allclose(
        np.abs(projection.points), np.abs(left[:, :2] * values[:2]), atol=1e-3
    )
    np.testing.assert_allclose(projection.explained, values[:2] ** 2 / (values**2).sum(), rtol=1e-4)
    assert projection.method == "pca" and projection.explained[0] >= projection.explained[1]


def test_two_groups_lie_apart():
    rows = cloud(40, 64)
    rows[20:] += 5
    points = vlm.project(rows).points
    assert (
        max(distances(points[:20]).max(), distances(points[20:]).max())
        < distances(points)[:20, 20:].min()
    )


def test_the_same_rows_give_the_same_points_whatever_the_seed():
    rows = cloud(60, 30)
    assert np.array_equal(vlm.project(rows, seed=1).points, vlm.project(rows.copy(), seed=2).points)


@pytest.mark.parametrize("method", ["pca", UMAP])
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5])
def test_few_rows_give_as_many_finite_points(method, rows):
    projection = vlm.project(cloud(rows, 16), method)
    assert (
        projection.points.shape == (rows, 2)
        and np.isfinite(projection.points).all()
        and projection.method == method
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", [3, 10])
def test_rows_that_are_all_the_same_lie_on_one_point(rows):
    projection = vlm.project(np.ones((rows, 16), np.float32))
    assert (projection.points == 0).all() and np.isfinite(projection.explained).all()


@pytest.mark.long
def test_umap_gives_the_same_points_from_the_same_seed_and_keeps_groups_apart():
    rows = cloud(40, 32)
    rows[20:] += 10
    first, second = (vlm.project(rows, "umap", seed=5).points for _ in range(2))
    assert np.array_equal(first, second) and first.shape == (40, 2)
    centres = first[:20].mean(0), first[20:].mean(0)
    assert (
        np.linalg.norm(first[:20] - centres[0], axis=1).max()
        < np.linalg.norm(first[:20] - centres[1], axis=1).min()
    )


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_three_dimensions_are_to_be_had(method):
    first, second = (
        vlm.project(cloud(30, 8), method, seed=1, dimensions=3).points for _ in range(2)
    )
    assert first.shape == (30, 3)
    np.testing.assert_array_equal(first, second)


def test_the_colours_are_the_components_and_never_flip():
    rows = cloud(60, 12) * np.linspace(4, 0.1, 12, dtype=np.float32)
    colours, points = vlm.pca_colours(rows), vlm.project(rows, dimensions=3)
    for channel in range(3):
        assert np.corrcoef(colours.rgb[:, channel], points.points[:, channel])[0, 1] > 0.95
    assert colours.explained == pytest.approx(points.explained)
    np.testing.assert_array_equal(vlm.pca_colours(rows[::-1]).rgb[::-1], colours.rgb)


def test_the_background_is_the_side_that_the_border_is_on():
    rows = 0.1 * cloud(36, 8)
    middle = np.zeros((6, 6), bool)
    middle[2:4, 1:5] = True
    rows[middle.ravel()] += 3
    edge = np.ones((6, 6), bool)
    edge[1:-1, 1:-1] = False
    colours = vlm.pca_colours(rows, edge.ravel())
    np.testing.assert_array_equal(colours.foreground, middle.ravel())
    assert not colours.rgb[~colours.foreground].any() and colours.rgb[colours.foreground].any()


def test_rows_that_are_all_alike_are_black():
    colours = vlm.pca_colours(np.ones((9, 4), np.float32))
    assert not colours.rgb.any() and colours.explained == ()


@pytest.mark.long
def test_umap_leaves_the_threads_of_its_caller_as_they_were():
    """Asked in another process: numba starts its threads once."""
    code = (
        "import numpy, torch, vlm; before = torch.get_num_threads();"
        " vlm.project(numpy.random.rand(40, 8).astype('f4'), 'umap'); print(before,"
        " torch.get_num_threads())"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["1", "1"], done.stderr
