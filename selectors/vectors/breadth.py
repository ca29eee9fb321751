"""How broad a selection is: figures of the pool, the selection, and a random one of equal budget.

Vendi score: Friedman and Dieng, TMLR 2023 (arXiv 2210.02410): the exponential of the entropy of
the eigenvalues of K / n, K the cosines of n vectors; n for vectors at right angles to one another,
1 for equal ones. It grows with n, so all are measured on samples of one size.

Coverage: the mean cosine distance from a row of the pool to the nearest selected one, 0 when all
are selected.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.contracts.columns import text_column, to_float
from siftline.contracts.corpus import Corpus
from siftline.contracts.figures import DECIMALS, quartiles, shares
from siftline.selectors.arrays import Bools, Float32s, Ints
from siftline.selectors.budget import Unit, unit_codes, unit_keys
from siftline.selectors.choices import random_order
from siftline.selectors.vectors.clusters import Prompts, prompts_of, sampled_clusters
from siftline.selectors.vectors.embeddings import On
from siftline.selectors.vectors.units import nearest_similarity

# The standard error of a mean of 4,096 distances is 1/64 of their deviation.
COVERAGE_ROWS = 4096
VENDI_ROWS = 2048
SHOWN_GROUPS = 30


def diversity_figures(
    corpus: Corpus,
    decided: pa.Table,
    *,
    unit: Unit = "row",
    on: On = "prompt",
    seed: int = 0,
    clusters: Ints | None = None,
) -> dict[str, Any]:
    """Return the figures of the pool, the selection and a random choice.

    Args:
        corpus: The pool, not empty, with the embeddings. The figures have lengths where it has the
            table `statistics`, and tasks where a row has one.
        decided: The verdicts on it.
        unit: What the budget counts. The random choice has as many units as the selection, those
            that a stage `random` of this seed would keep.
        on: What is compared: prompts, or conversations, one for each row.
        seed: Seeds the random choice and samples.
        clusters: [rows] Number of each row's cluster; None clusters a sample, for the figures.
    """
    prompts = prompts_of(corpus, on)
    picks = _picks(corpus, decided["keep"].to_numpy(), unit, seed)
    # Another stream than that of the random choice, which would be a part of the sample.
    sample = random_order([f"sample {each}" for each in corpus.rows["id"].to_pylist()], seed)
    if clusters is None:
        clusters = _clusters_of(prompts, seed)
    figures = _cluster_figures(clusters, picks)
    figures["vendi_score"] = _vendi_scores(prompts, picks, sample)
    figures["coverage"] = _coverage(prompts, picks, sample[:COVERAGE_ROWS])
    for name in ("source", "task"):
        labels = np.array(text_column(corpus, name), dtype=str)
        if name == "source" or (labels != "").any():
            figures[f"{name}_share"] = _group_shares(labels, picks)
    if "statistics" in corpus.tables:
        chars = to_float(corpus.column("statistics.response_chars"))
        figures["response_chars_quartiles"] = {
            name: quartiles(chars[rows]) for name, rows in picks.items()
        }
    return figures


def effective_number(labels: Ints) -> float:
    """Return exp of the entropy of the groups' shares: how many even groups it amounts to."""
    if not len(labels):
        return 0.0
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(np.exp(-(share * np.log(share)).sum()))


def vendi_score(vectors: Float32s) -> float:
    """Return the Vendi score of unit vectors.

    Args:
        vectors: [rows, dimensions] of length one. Where there are more rows than dimensions, the
            eigenvalues are those of their covariance, which are the same.
    """
    if not len(vectors):
        return 0.0
    exact = vectors.astype(np.float64)
    kernel = exact.T @ exact if len(exact) > exact.shape[1] else exact @ exact.T
    share = np.linalg.eigvalsh(kernel / len(exact))
    share = share[share > 1e-12]  # rounding leaves zeros a little above or below
    return float(np.exp(-(share * np.log(share)).sum()))


def mean_distance(pool: Float32s, chosen: Float32s) -> float:
    """Return the mean cosine distance from vectors to the nearest of some others.

    Args:
        pool: [rows, dimensions] of length one.
        chosen: [others, dimensions] of length one; at least one.
    """
    nearest = nearest_similarity(pool, chosen).astype(np.float64)
    return float(np.maximum(0.0, 1 - nearest).mean())


def _picks(corpus: Corpus, keep: Bools, unit: Unit, seed: int) -> Mapping[str, Ints]:
    """Return the rows of each choice that has any."""
    codes = unit_codes(corpus, unit)
    drawn = random_order(unit_keys(corpus, unit), seed)[: len(np.unique(codes[keep]))]
    picks = {
        "pool": np.arange(len(corpus)),
        "selected": np.flatnonzero(keep),
        "random": np.flatnonzero(np.isin(codes, drawn)),
    }
    return {name: rows for name, rows in picks.items() if len(rows)}


def _clusters_of(prompts: Prompts, seed: int) -> Ints:
    """Return [rows] the cluster of each row's prompt."""
    order = random_order(prompts.keys, seed)
    return sampled_clusters(prompts.vectors, order, seed)[prompts.of_row]


def _cluster_figures(clusters: Ints, picks: Mapping[str, Ints]) -> dict[str, Any]:
    labels = {name: clusters[rows] for name, rows in picks.items()}
    return {
        "clusters": len(np.unique(clusters)),
        "effective_clusters": {n: round(effective_number(each), 2) for n, each in labels.items()},
        "clusters_covered": {name: len(np.unique(each)) for name, each in labels.items()},
        "largest_cluster_share": {
            name: round(float(np.unique(each, return_counts=True)[1].max()) / len(each), DECIMALS)
            for name, each in labels.items()
        },
    }


def _vendi_scores(prompts: Prompts, picks: Mapping[str, Ints], sample: Ints) -> dict[str, Any]:
    """Return the scores, all on so many rows as the smallest choice has, and their number."""
    size = min(VENDI_ROWS, *(len(rows) for rows in picks.values()))
    scores: dict[str, Any] = {"sampled_rows": size}
    for name, rows in picks.items():
        drawn = sample[np.isin(sample, rows)][:size]
        scores[name] = round(vendi_score(prompts.vectors[prompts.of_row[drawn]]), 2)
    return scores


def _coverage(prompts: Prompts, picks: Mapping[str, Ints], sample: Ints) -> dict[str, float]:
    pool = prompts.vectors[prompts.of_row[sample]]
    return {
        name: round(mean_distance(pool, prompts.vectors[np.unique(prompts.of_row[rows])]), DECIMALS)
        for name, rows in picks.items()
        if name != "pool"
    }


def _group_shares(
    labels: npt.NDArray[np.str_], picks: Mapping[str, Ints]
) -> dict[str, dict[str, float]]:
    """Return each choice's shares of the largest groups of the pool, and of the others together."""
    names, counts = np.unique(labels, return_counts=True)
    large = set(names[np.argsort(-counts, kind="stable")[:SHOWN_GROUPS]].tolist())
    if len(names) > SHOWN_GROUPS:
        rest = f"{len(names) - SHOWN_GROUPS} others"
        labels = np.array([name if name in large else rest for name in labels])
    return {name: shares(labels[rows]) for name, rows in picks.items()}
