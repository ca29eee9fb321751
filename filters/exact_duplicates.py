"""Drop every repetition of an example: one of those that are the same is kept.

Two examples are the same when they differ in form only: their texts are equal after Unicode NFKC,
casefolding and folding of white space, and so are their thoughts, calls, tools, images and what is
trained on (:mod:`siftline.scorers.signature`). The response counts along with its prompt, so
candidates for one prompt survive.
Run it before any selector: density estimates, ties and budgets all suffer from copies. Which one is
kept is a matter of their content (:func:`siftline.contracts.corpus.one_of_each`), not of the order
of the rows.
"""

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import Corpus, one_of_each
from siftline.contracts.method import Method, verdicts
from siftline.contracts.scorer import Scorer
from siftline.scorers.signature import Signature


class ExactDuplicates(Method):
    """Keeps one of the examples that are the same.

    Reasons: `kept`, `exact_duplicate`. A row that is dropped matches the row that stays, with the
    similarity 1.

    Attributes:
        match: `normalised` leaves out what is form: case, white space, ids of tool calls, where a
            thought stands; `content` compares all that is trained on to the letter.
    """

    revision: ClassVar[int] = 3  # 2: the order of the rows decides nothing; 3: names the match

    kind: Literal["exact_duplicates"] = "exact_duplicates"
    match: Literal["normalised", "content"] = "normalised"

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the text signature, when the normalised text counts."""
        return (Signature(),) if self.match == "normalised" else ()

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep one row of each group of equal texts."""
        if self.match == "normalised":
            keys = corpus.column("signature.text")
        else:
            keys = corpus.rows["content_hash"].combine_chunks()
        keep = one_of_each(corpus, keys, np.ones(len(corpus), dtype=bool))
        return verdicts(
            corpus,
            keep,
            np.where(keep, "kept", "exact_duplicate"),
            match=_kept_twin(corpus, keys, keep),
            similarity=np.where(keep, np.nan, 1.0),
        )


def _kept_twin(corpus: Corpus, keys: pa.Array, keep: npt.NDArray[np.bool_]) -> pa.Array:
    """Return [rows] the id of the row that stays for a row that does not; null where it stays."""
    kept = pa.array(keep)
    place = pc.index_in(keys, value_set=keys.filter(kept))
    ids = corpus.rows["id"].combine_chunks().filter(kept)
    return pc.if_else(kept, pa.scalar(None, pa.string()), ids.take(place))
