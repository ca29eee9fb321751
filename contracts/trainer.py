"""The contract of a trainer: how a model is trained for a method, before a scorer can run."""

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.contracts.computation import RunsModel
from siftline.contracts.corpus import Corpus
from siftline.contracts.runtime import Runtime, Usage


class Trainer(RunsModel):
    """How a model is trained for a method: a frozen configuration.

    Attributes:
        revision: Bumped when the algorithm changes.
        model: Role of the model that is trained.
    """

    revision: ClassVar[int]
    local: ClassVar[bool] = True

    @abstractmethod
    def fit(self, corpus: Corpus, runtime: Runtime, folder: Path) -> Usage:
        """Train on a corpus.

        The result depends on the set of rows, not on their order.

        Args:
            corpus: The rows to learn from.
            runtime: Where and how.
            folder: What was learned is written there. It may hold what a call that was interrupted
                has left, which is of the same configuration and rows.
        """


class Training(NamedTuple):
    """A model to be trained before a scorer can run.

    Attributes:
        trainer: How.
        rows: [rows] True for the rows to learn from.
    """

    trainer: Trainer
    rows: npt.NDArray[np.bool_]


def rows_digest(corpus: Corpus, rows: npt.NDArray[np.bool_]) -> str:
    """Return 16 hex digits for a set of rows, whatever their order."""
    digest = hashlib.sha256()
    for key in sorted(corpus.rows["content_hash"].filter(pa.array(rows)).to_pylist()):
        digest.update(key.encode())
    return digest.hexdigest()[:16]
