"""CLEAR's corrections: how candidates are made, and which of them replace a response.

The candidate is the answer of the model tuned on what passed (or of the untuned one), greedy. It
replaces the response where the untuned model prefers it with enough confidence (arXiv 2403.12776,
section 3). Ours adds a largest share of corrected rows, and gives a candidate to one row only.
"""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from siftline.contracts.config import Config
from siftline.contracts.corpus import Corpus
from siftline.contracts.share import Share
from siftline.models.training.tuning import Tuning

CORRECTED = "corrected"
NOT_IMPROVED = "not_improved"
DUPLICATE_CORRECTION = "duplicate_correction"
OVER_CORRECTION_CAP = "over_correction_cap"


class Correction(Config):
    """How responses that did not pass are corrected.

    Attributes:
        eta: Confidence above which a candidate replaces the response.
        tuning: How the model that writes candidates is tuned on what passed; None lets the
            untuned model write them.
        max_tokens: Of a candidate.
        judgements: Sampled judgements in each order; 0 reads the preference off the letters'
            probabilities, one forward pass, without an explanation.
        judgement_tokens: Of one judgement.
        max_share: Largest share of corrected rows among the rows that are kept.
    """

    eta: float = Field(default=0.8, ge=0, le=1)
    tuning: Tuning | None = None
    max_tokens: int = Field(default=512, ge=1)
    judgements: int = Field(default=5, ge=0, le=64)
    judgement_tokens: int = Field(default=200, ge=1)
    max_share: Share = 0.5


def outcomes(
    correction: Correction,
    corpus: Corpus,
    keep: npt.NDArray[np.bool_],
    preference: npt.NDArray[np.float64],
) -> npt.NDArray[np.object_]:
    """Return [rows] what becomes of each row whose candidate was judged, as a reason; else ''.

    The surest candidates come first, ties by content hash.

    Args:
        correction: Which candidates are good enough, and how many may be taken.
        corpus: Whose rows.
        keep: [rows] True for those that are kept as they are.
        preference: [rows] The confidence that the candidate is better, NaN where there is none.
    """
    reasons = np.full(len(corpus), "", dtype=object)
    reasons[~keep & np.isfinite(preference)] = NOT_IMPROVED
    better = np.flatnonzero(~keep & (preference > correction.eta))
    hashes, ids = (
        np.array(corpus.rows[name].to_pylist(), dtype=object)[better]
        for name in ("content_hash", "id")
    )
    order = better[np.lexsort((ids, hashes, -preference[better]))]
    # Rows of one prompt share a candidate, and a dataset wants it once.
    prompts = np.array(corpus.rows["prompt_id"].to_pylist(), dtype=object)[order].astype(str)
    firsts = np.zeros(len(order), dtype=bool)
    firsts[np.unique(prompts, return_index=True)[1]] = True
    reasons[order[~firsts]] = DUPLICATE_CORRECTION
    order = order[firsts]
    share = correction.max_share
    room = len(order) if share >= 1 else int(share * keep.sum() / (1 - share) + 1e-9)
    reasons[order[:room]] = CORRECTED
    reasons[order[room:]] = OVER_CORRECTION_CAP
    return reasons
