"""BSDetector's confidence in each response, put together from the tables of its scorers.

With O the consistency and S the reflection, C = beta * O + (1 - beta) * S (arXiv 2308.16175). All
results are [rows], NaN where a part is missing.
"""

import numpy as np
import numpy.typing as npt

from siftline.contracts.columns import to_float
from siftline.contracts.corpus import Corpus
from siftline.models.likelihood import EMPTY_RESPONSE, OK

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def consistency(corpus: Corpus, alpha: float) -> Floats:
    """Return O: alpha times the agreement plus (1 - alpha) times the share of exact matches."""
    if "consistency" not in corpus.tables:
        return np.full(len(corpus), np.nan)
    agreement = to_float(corpus.column("consistency.agreement"))
    return alpha * agreement + (1 - alpha) * to_float(corpus.column("consistency.match"))


def reflection(corpus: Corpus) -> Floats:
    """Return S: the mean of the two looks."""
    first = to_float(corpus.column("reflection.first"))
    second = to_float(corpus.column("reflection.second"))
    return (first + second) / 2


def confidence(corpus: Corpus, alpha: float, beta: float, gated: bool) -> Floats:
    """Return C; 0 for an empty response.

    Args:
        corpus: With the tables `reflection` and, where samples were drawn, `consistency`.
        alpha: Weight of the comparer's agreement in O.
        beta: Weight of O in C.
        gated: Where no samples were drawn of a response that can be judged, C is S.
    """
    observed, reflected = consistency(corpus, alpha), reflection(corpus)
    value = beta * observed + (1 - beta) * reflected
    status = status_of(corpus)
    if gated:
        unsampled = (status == OK) & ~sampled(corpus)
        value[unsampled] = reflected[unsampled]
    value[status == EMPTY_RESPONSE] = 0.0
    return value


def preference(corpus: Corpus, beta: float) -> Floats:
    """Return the confidence that the candidate is better; 0 where the two orders disagree.

    Args:
        corpus: With the table `preference`, or without where nothing was judged.
        beta: Weight of the share of judgements against the reflection on them.
    """
    if "preference" not in corpus.tables:
        return np.full(len(corpus), np.nan)
    orders = []
    agreed = np.ones(len(corpus), dtype=bool)
    for order in ("first", "second"):
        share = to_float(corpus.column(f"preference.share_{order}"))
        doubt = to_float(corpus.column(f"preference.reflection_{order}"))
        orders.append(beta * share + (1 - beta) * doubt)
        agreed &= ~(share <= 0.5)
    confident: Floats = np.where(agreed, sum(orders) / 2, 0.0)
    return confident


def sampled(corpus: Corpus) -> Bools:
    """Return [rows] true where samples were drawn."""
    if "consistency" not in corpus.tables:
        return np.zeros(len(corpus), dtype=bool)
    drawn: Bools = corpus.column("consistency.status").is_valid().to_numpy(zero_copy_only=False)
    return drawn


def status_of(corpus: Corpus) -> npt.NDArray[np.object_]:
    """Return [rows] `ok`, or why one of the two parts is missing."""
    status = np.array(corpus.column("reflection.status").to_pylist(), dtype=object)
    if "consistency" in corpus.tables:
        other = np.array(corpus.column("consistency.status").to_pylist(), dtype=object)
        worse = (status == OK) & (other != OK) & (other != None)  # noqa: E711
        status[worse] = other[worse]
    return status
