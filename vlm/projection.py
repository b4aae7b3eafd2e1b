"""Many dimensions to two: PCA at once, UMAP on request. Knows rows of numbers, not what they stand for."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

SPECTRAL_LEAST = 10  # rows; UMAP's spectral start has no eigenvectors to take from fewer


@dataclass(frozen=True)
class Projection:
    """Points in the plane, one for each row.

    Attributes:
        points: two coordinates a row.
        method: how they were made.
        explained: for PCA, the share of the variance that each axis carries; for UMAP, nothing.
    """

    points: Float[np.ndarray, "rows 2"]
    method: Literal["pca", "umap"]
    explained: tuple[float, ...]


def project(rows: Float[np.ndarray, "rows columns"], method: Literal["pca", "umap"] = "pca", seed: int = 0, neighbours: int = 15) -> Projection:
    """Project the rows to two dimensions; the same rows and seed always give the same points.

    PCA's signs are fixed by scikit-learn's rule, so that a picture never flips between runs.

    Args:
        neighbours: UMAP's n_neighbors; at most the number of rows less one is used.
    """
    if len(rows) < 3 or (rows == rows[0]).all():  # nothing to spread out
        return Projection(np.zeros((len(rows), 2), np.float32), method, ())
    if method == "pca":
        from sklearn.decomposition import PCA

        pca = PCA(n_components=2, svd_solver="full", random_state=seed)
        points = pca.fit_transform(rows.astype(np.float64))
        return Projection(points.astype(np.float32), "pca", tuple(float(share) for share in pca.explained_variance_ratio_))
    from umap import UMAP

    start = "spectral" if len(rows) > SPECTRAL_LEAST else "random"
    umap = UMAP(n_components=2, n_neighbors=min(neighbours, len(rows) - 1), init=start, random_state=seed, n_jobs=1)
    points = umap.fit_transform(rows)
    return Projection(np.asarray(points, np.float32), "umap", ())
