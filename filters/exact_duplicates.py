"""Drop every repetition of an example but the first in corpus order.

Two examples are the same when their texts are equal after Unicode NFKC, casefolding and folding of
white space. The response counts along with its prompt, so candidates for one prompt survive.
Run it before any selector: density estimates, ties and budgets all suffer from copies.
"""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Method, verdicts
from siftline.contracts.scorer import Scorer
from siftline.scorers.signature import Signature


class ExactDuplicates(Method):
    """Keeps the first of the examples whose text is the same.

    Reasons: `kept`, `exact_duplicate`.

    Attributes:
        match: `normalised` compares the text without case and white space; `content` compares it
            to the letter, tools included.
    """

    revision: ClassVar[int] = 1

    kind: Literal["exact_duplicates"] = "exact_duplicates"
    match: Literal["normalised", "content"] = "normalised"

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the text signature, when the normalised text counts."""
        return (Signature(),) if self.match == "normalised" else ()

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep the first row of each group of equal texts."""
        if self.match == "normalised":
            keys = corpus.column("signature.text")
        else:
            keys = corpus.rows["content_hash"].combine_chunks()
        codes = pc.dictionary_encode(keys).indices.to_numpy(zero_copy_only=False)
        keep = np.zeros(len(corpus), dtype=bool)
        keep[np.unique(codes, return_index=True)[1]] = True
        return verdicts(corpus, keep, np.where(keep, "kept", "exact_duplicate"))
