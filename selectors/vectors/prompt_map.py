"""A map of prompts: each a dot in the plane, near to what is like it, kept or dropped.

By default the plane is that of the two directions in which the prompts differ most (PCA), which
shows large groups and hides small ones; UMAP (arXiv 1802.03426) shows neighbourhoods, but neither
distances nor sizes of its groups mean much.
"""

import importlib
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.models.store.packages import require
from siftline.selectors.arrays import Bools, Float32s, Float64s, Ints
from siftline.selectors.choices import random_order, stratified
from siftline.selectors.vectors.clusters import prompts_of
from siftline.selectors.vectors.embeddings import On

MapKind = Literal["pca", "umap"]

POINTS = 1500
# Where few are kept, or few dropped, at least so many of them are drawn all the same.
FEWEST_POINTS = 300
NEIGHBOURS = 15  # the default of UMAP


class Plane(NamedTuple):
    """Vectors in the plane.

    Attributes:
        places: [rows, 2] Coordinates of each.
        variance: Share of the vectors' variance along each axis; None where an axis has no meaning.
    """

    places: Float64s
    variance: tuple[float, float] | None


def prompt_map(
    corpus: Corpus, decided: pa.Table, how: MapKind = "pca", seed: int = 0, on: On = "prompt"
) -> dict[str, Any]:
    """Return the `map` of :mod:`siftline.reports.pictures`.

    A prompt counts as kept if one of its rows is. A pool of more than 1,500 prompts is drawn as a
    sample, in which the rarer of kept and dropped ones have 300 places, if they are so many.

    Args:
        corpus: The pool, with the score `prompt_embedding`, or the one of conversations, for every
            row.
        decided: The verdicts on it.
        how: The projection, made of the prompts that are drawn.
        seed: Seeds the sample and UMAP.
        on: What is drawn: prompts, or conversations, one for each row.

    Raises:
        ModelError: UMAP is not installed.
    """
    if not len(corpus):
        return {}
    prompts = prompts_of(corpus, on)
    kept = np.zeros(len(prompts.keys), dtype=bool)
    kept[prompts.of_row[decided["keep"].to_numpy()]] = True
    order = random_order(prompts.keys, seed)
    drawn = stratified(order, kept.astype(np.int64), POINTS, floor=FEWEST_POINTS)
    plane = project(prompts.vectors[drawn], how, seed)
    named = _rows_of(corpus, prompts.of_row, decided["keep"].to_numpy())
    points = [
        {"id": named[prompt], "kept": bool(kept[prompt]), "x": float(x), "y": float(y)}
        for prompt, (x, y) in zip(drawn, plane.places.round(4), strict=True)
    ]
    return {
        "how": how,
        "of": f"{on}s",
        "variance": plane.variance and [round(share, 4) for share in plane.variance],
        "kept": int(kept.sum()),
        "dropped": int((~kept).sum()),
        "points": points,
    }


def project(vectors: Float32s, how: MapKind, seed: int) -> Plane:
    """Return vectors in the plane.

    Args:
        vectors: [rows, dimensions] of length one.
        how: `pca` or `umap`.
        seed: Seeds UMAP.

    Raises:
        ModelError: UMAP is not installed.
    """
    return principal_plane(vectors) if how == "pca" else Plane(_umap(vectors, seed), None)


def principal_plane(vectors: Float32s) -> Plane:
    """Return vectors along the two directions in which they differ most.

    Each direction points to where its largest component is positive, so that no picture is the
    mirror image of another run's.
    """
    centred = vectors.astype(np.float64)
    centred -= centred.mean(axis=0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    two = np.zeros((2, centred.shape[1]))
    two[: len(axes)] = axes[:2]
    largest = np.abs(two).round(9).argmax(axis=1)
    two *= np.where(two[[0, 1], largest] < 0, -1.0, 1.0)[:, None]
    variance = np.zeros(2)
    variance[: len(lengths)] = lengths[:2] ** 2
    first, second = variance / (float((lengths**2).sum()) or 1.0)
    return Plane(centred @ two.T, (float(first), float(second)))


def check_map(how: MapKind | None) -> None:
    """Check that a map can be drawn.

    Raises:
        ModelError: UMAP is not installed.
    """
    if how == "umap":
        require("umap", extra="umap", purpose="`map: umap`")


def _umap(vectors: Float32s, seed: int) -> Float64s:
    check_map("umap")
    if len(vectors) < 4:  # too few for neighbourhoods: a row of dots
        return np.stack([np.arange(len(vectors), dtype=np.float64), np.zeros(len(vectors))], 1)
    neighbours = min(NEIGHBOURS, len(vectors) - 1)
    model = importlib.import_module("umap").UMAP(
        n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1
    )
    places: Float64s = np.asarray(model.fit_transform(vectors), dtype=np.float64)
    return places


def _rows_of(corpus: Corpus, of_row: Ints, keep: Bools) -> dict[int, str]:
    """Return the id by which each prompt's text is found: the smallest, of a kept row if any."""
    ids = np.array(corpus.rows["id"].to_pylist())
    order = np.lexsort((ids, ~keep))
    _, first = np.unique(of_row[order], return_index=True)
    return dict(enumerate(ids[order[first]].tolist()))
