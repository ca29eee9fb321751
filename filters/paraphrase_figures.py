"""What the report says of paraphrases of benchmarks: how many there are from which cosine on."""

from typing import Any

import numpy as np

from siftline.contracts.columns import to_float
from siftline.contracts.corpus import Corpus
from siftline.models.likelihood import OK

_STEPS = tuple(step / 100 for step in range(60, 100, 5))


def paraphrase_figures(corpus: Corpus) -> dict[str, Any]:
    """Return how many rows have a question of a benchmark near them, and how many none can have.

    Args:
        corpus: With the scores of decontamination; without those of paraphrases there is nothing.
    """
    if "benchmark_paraphrase.cosine" not in corpus.score_columns:
        return {}
    cosines = to_float(corpus.column("benchmark_paraphrase.cosine"))
    statuses = corpus.column("benchmark_paraphrase.status").value_counts().to_pylist()
    return {
        "rows_by_cosine_at_least": {
            f"{step:.2f}": int(np.count_nonzero(cosines >= step)) for step in _STEPS
        },
        "rows_without_a_vector": {
            str(each["values"]): each["counts"] for each in statuses if each["values"] != OK
        },
    }
