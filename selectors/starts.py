"""k-means++ starts, from scikit-learn, which takes a second and a half to import."""

from typing import Any

import numpy.typing as npt


def kmeans_plusplus(points: npt.NDArray[Any], clusters: int, **options: Any) -> Any:
    """Return what scikit-learn's function of that name does, which is loaded by the first call."""
    from sklearn import cluster

    return cluster.kmeans_plusplus(points, clusters, **options)
