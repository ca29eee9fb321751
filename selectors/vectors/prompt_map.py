"""A map of prompts: each a dot in the plane, near to what is like it, kept or dropped.

By default the plane is that of the two directions in which the prompts differ most (PCA), which
shows large groups and hides small ones; UMAP (arXiv 1802.03426) shows neighbourhoods, but neither
distances nor sizes of its groups mean much.
"""

import importlib
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.contracts.stable_hash import stable_hash
from siftline.models.store.packages import require
from siftline.selectors.quotas.allocation import allocate
from siftline.selectors.vectors.clusters import On, prompts_of

MapKind = Literal["pca", "umap"]

POINTS = 1500
# Where few are kept, or few dropped, at least so many of them are drawn all the same.
FEWEST_POINTS = 300
NEIGHBOURS = 15  # the default of UMAP

Floats = npt.NDArray[np.float64]


class Plane(NamedTuple):
    """Vectors in the plane.

    Attributes:
        places: [rows, 2].
        variance: Share of the vectors' variance along each axis; None where an axis has no meaning.
    """

    places: Floats
    variance: tuple[float, float] | None


def prompt_map(
    corpus: Corpus, decided: pa.Table, how: MapKind = "pca", seed: int = 0, on: On = "prompt"
) -> dict[str, Any]:
    """Return the `map` of :mod:`siftline.reports.pictures`.

    A prompt counts as kept if one of its rows is. A pool of more than 1,500 prompts is drawn as a
    sample, in which the rarer of kept and dropped ones have 300 places, if they are so many.

    Args:
        corpus: The pool, not empty, with the score `prompt_embedding`, or the one of conversations.
        decided: The verdicts on it.
        how: The projection, made of the prompts that are drawn.
        seed: Of the sample and of UMAP.
        on: What is drawn: prompts, or conversations, one for each row.

    Raises:
        ModelError: UMAP is not installed.
    """
    prompts = prompts_of(corpus, on)
    kept = np.zeros(len(prompts.keys), dtype=bool)
    kept[prompts.of_row[decided["keep"].to_numpy()]] = True
    coin = np.argsort(stable_hash(prompts.keys, seed), kind="stable")
    parts = [coin[~kept[coin]], coin[kept[coin]]]
    shown = allocate([len(part) for part in parts], POINTS, tau=1, floor=FEWEST_POINTS)
    drawn = np.concatenate([part[:size] for part, size in zip(parts, shown, strict=True)])
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


def project(vectors: npt.NDArray[np.float32], how: MapKind, seed: int) -> Plane:
    """Return vectors in the plane.

    Args:
        vectors: [rows, dimensions] of length one.
        how: `pca` or `umap`.
        seed: Of UMAP.

    Raises:
        ModelError: UMAP is not installed.
    """
    return principal_plane(vectors) if how == "pca" else Plane(_umap(vectors, seed), None)


def principal_plane(vectors: npt.NDArray[np.float32]) -> Plane:
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


def _umap(vectors: npt.NDArray[np.float32], seed: int) -> Floats:
    check_map("umap")
    if len(vectors) < 4:  # too few for neighbourhoods: a row of dots
        return np.stack([np.arange(len(vectors), dtype=np.float64), np.zeros(len(vectors))], 1)
    neighbours = min(NEIGHBOURS, len(vectors) - 1)
    model = importlib.import_module("umap").UMAP(
        n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1
    )
    places: Floats = np.asarray(model.fit_transform(vectors), dtype=np.float64)
    return places


def _rows_of(
    corpus: Corpus, of_row: npt.NDArray[np.int64], keep: npt.NDArray[np.bool_]
) -> dict[int, str]:
    """Return the id by which each prompt's text is found: the smallest, of a kept row if any."""
    ids = np.array(corpus.rows["id"].to_pylist())
    order = np.lexsort((ids, ~keep))
    _, first = np.unique(of_row[order], return_index=True)
    return dict(enumerate(ids[order[first]].tolist()))
