"""Where the scores of a run are kept, opened once for each scorer."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Request
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scorer
from siftline.pipelines.scores.cache import ScoreCache
from siftline.pipelines.scores.identity import artifact_identity, identity_hash, scorer_identity


class ScoreStore:
    """The scores that a run may use, and what tells them apart.

    Attributes:
        cache: Folder of the score cache.
        fingerprints: Fingerprint of each model, by role, and of each file, by path.
        runtime: Where and how scores are computed.
    """

    def __init__(
        self, cache: Path, fingerprints: dict[str, dict[str, Any]], runtime: Runtime
    ) -> None:
        self.cache, self.fingerprints, self.runtime = cache, fingerprints, runtime
        self._opened: dict[str, ScoreCache] = {}

    def scores(self, scorer: Scorer) -> ScoreCache:
        """Return what is kept of one scorer, with the parts that have appeared since."""
        opened = self._open(scorer)
        opened.refresh()
        return opened

    def add(self, scorer: Scorer, table: pa.Table) -> None:
        """Keep one piece of a scorer's work; its other parts need not be read for that."""
        self._open(scorer).add(table)

    def _open(self, scorer: Scorer) -> ScoreCache:
        identity = scorer_identity(scorer, self.fingerprints)
        key = identity_hash(identity)
        if key not in self._opened:
            self._opened[key] = ScoreCache(self.cache, identity)
        return self._opened[key]

    def release(self) -> None:
        """Forget what is open: the keys of a million rows take about 40 MB a scorer."""
        self._opened = {}

    def artifact(self, corpus: Corpus, request: Request) -> Path | None:
        """Return the folder of what a request wants trained, finished or not."""
        if request.training is None:
            return None
        identity = artifact_identity(request.training, corpus, self.fingerprints)
        return self.cache / "artifacts" / identity_hash(identity)
