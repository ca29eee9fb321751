"""Where the scores of a run are kept, opened once for each scorer."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from siftline.contracts.computation import Computation
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import ModelError
from siftline.contracts.method import Request
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scorer
from siftline.models.fingerprint import digest_now
from siftline.pipelines.scores.cache import ScoreCache
from siftline.pipelines.scores.identity import (
    artifact_identity,
    computation_identity,
    identity_hash,
    scorer_identity,
)


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

    def require_unchanged(self, computation: Computation) -> None:
        """Check, before its results are kept, that the models it has run are those of the run.

        Raises:
            ModelError: The files of one are others than when the run began.
        """
        now = _PrintsNow(self)
        if computation_identity(computation, now) != computation_identity(
            computation, self.fingerprints
        ):
            changed = [role for role, found in now.items() if found != self.fingerprints[role]]
            names = ", ".join(f"'{self.runtime.models[role].name}'" for role in changed)
            raise ModelError(
                f"The files of {names} changed during the run; expected the model that it began "
                "with. What was scored with it is not kept: run again with the files as they are."
            )

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


class _PrintsNow(dict[str, dict[str, Any]]):
    """The fingerprints of a run, with the digests of the models that are asked for as of now."""

    def __init__(self, store: ScoreStore) -> None:
        super().__init__()
        self._store = store

    def __missing__(self, name: str) -> dict[str, Any]:
        known: dict[str, Any] = self._store.fingerprints[name]
        if name not in self._store.runtime.models or "digest" not in known:
            return known
        self[name] = {**known, "digest": digest_now(self._store.runtime.models[name])}
        return self[name]
