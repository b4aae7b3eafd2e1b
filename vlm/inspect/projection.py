"""Many dimensions to two or three: PCA at once, UMAP and t-SNE on request.

Knows rows of numbers, not what they stand for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

Method = Literal["pca", "umap", "tsne"]
SPECTRAL_LEAST = 10  # rows; UMAP's spectral start has no eigenvectors to take from fewer


@dataclass(frozen=True)
class Projection:
    """Points in the plane or in space, one for each row.

    Attributes:
        points: coordinates.
        method: how they were made.
        explained: for PCA, the share of the variance that each axis carries; for the others,
            nothing.
    """

    points: Float[np.ndarray, "rows dimensions"]
    method: Method
    explained: tuple[float, ...]


@dataclass(frozen=True)
class Colours:
    """The first three principal components of rows as red, green and blue.

    Attributes:
        rgb: each component stretched from its 1st to its 99th percentile; black where `foreground`
            is false.
        foreground: which rows took part.
        explained: the share of the variance that each of the three carries.
    """

    rgb: UInt8[np.ndarray, "rows 3"]
    foreground: Bool[np.ndarray, "rows"]
    explained: tuple[float, ...]


def project(
    rows: Float[np.ndarray, "rows columns"],
    method: Method = "pca",
    seed: int = 0,
    neighbours: int = 15,
    dimensions: int = 2,
    metric: str = "euclidean",
) -> Projection:
    """Project the rows to two or three dimensions.

    The same rows and seed always give the same points.

    PCA's signs are fixed by scikit-learn's rule, so that a picture never flips between runs.

    Args:
        neighbours: UMAP's n_neighbors and t-SNE's perplexity; at most what so many rows allow is
            used.
        metric: what is near for UMAP and t-SNE: "euclidean" or "cosine".
    """
    if len(rows) <= dimensions or (rows == rows[0]).all():  # nothing to spread out
        return Projection(np.zeros((len(rows), dimensions), np.float32), method, ())
    if method == "pca":
        return components(rows, dimensions)
    if method == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(neighbours, (len(rows) - 1) / 3)
        tsne = TSNE(
            n_components=dimensions,
            perplexity=perplexity,
            metric=metric,
            init="pca" if metric == "euclidean" else "random",
            random_state=seed,
        )
        return Projection(np.asarray(tsne.fit_transform(rows), np.float32), "tsne", ())
    from umap import UMAP

    start = "spectral" if len(rows) > SPECTRAL_LEAST else "random"
    umap = UMAP(
        n_components=dimensions,
        n_neighbors=min(neighbours, len(rows) - 1),
        metric=metric,
        init=start,
        random_state=seed,
        n_jobs=1,
    )
    with own_threads():
        return Projection(np.asarray(umap.fit_transform(rows), np.float32), "umap", ())


@contextmanager
def own_threads() -> Iterator[None]:
    """numba, with which UMAP is compiled, starts its threads by telling OpenMP to take as many in
    this thread as there are cores; torch would take them too, and round otherwise than elsewhere.
    """
    import torch  # the page is there before torch is

    count = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(count)


def pca_colours(
    rows: Float[np.ndarray, "rows columns"], edge: Bool[np.ndarray, "rows"] | None = None
) -> Colours:
    """PCA-RGB, as DINOv2's authors show patch features.

    The largest loading of each component is positive, so colours never flip.

    Args:
        edge: with it, the background is left out first: of the two sides of the first component's
            zero, the one on which more than half of the `edge` rows (the patches at the picture's
            border) lie.
    """
    foreground = np.ones(len(rows), bool)
    if edge is not None and len(rows) > 3:
        first = components(rows, 1).points[:, 0]
        above = (first > 0) == ((first[edge] > 0).mean() <= 0.5)
        foreground = above if above.sum() > 3 else foreground
    rgb = np.zeros((len(rows), 3), np.uint8)
    if foreground.sum() <= 3 or (rows == rows[0]).all():
        return Colours(rgb, foreground, ())
    found = components(rows[foreground], 3)
    low, high = np.percentile(found.points, [1, 99], axis=0)
    shares = np.clip((found.points - low) / np.maximum(high - low, 1e-12), 0, 1)
    rgb[foreground, : found.points.shape[1]] = np.rint(255 * shares)
    return Colours(rgb, foreground, found.explained)


def components(rows: Float[np.ndarray, "rows columns"], count: int) -> Projection:
    """The first principal components, without the rest of them.

    Signs as scikit-learn fixes them.
    """
    from sklearn.decomposition import PCA

    few = min(rows.shape) > count
    pca = PCA(
        n_components=min(count, *rows.shape), svd_solver="arpack" if few else "full", random_state=0
    )
    points = pca.fit_transform(rows.astype(np.float64))
    return Projection(
        points.astype(np.float32),
        "pca",
        tuple(float(share) for share in pca.explained_variance_ratio_),
    )
