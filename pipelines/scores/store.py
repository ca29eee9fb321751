"""Where the scores of a run are kept, opened once for each scorer."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from siftline.contracts.computation import Computation
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RunError
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
from siftline.pipelines.scores.named_files import digest_of_named


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
        """Check, before results are kept, that they are of the models and files of the run.

        Raises:
            RunError: The files of one are others than when the run began.
        """
        now = _PrintsNow(self)
        if computation_identity(computation, now) != computation_identity(
            computation, self.fingerprints
        ):
            models = self.runtime.models
            names = [
                f"'{models[name].name if name in models else name}'"
                for name, found in now.items()
                if found != self.fingerprints[name]
            ]
            raise RunError(
                f"{', '.join(names)} changed during the run; expected the files that it began "
                "with. What came of it is not kept: run again with the files as they are."
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
    """The fingerprints of a run, with the digests of what is asked for as they are now."""

    def __init__(self, store: ScoreStore) -> None:
        super().__init__()
        self._store = store

    def __missing__(self, name: str) -> dict[str, Any]:
        known: dict[str, Any] = self._store.fingerprints[name]
        if "digest" not in known:  # a server's, whose owner alone knows what it runs
            return known
        runtime = self._store.runtime
        if name in runtime.models:
            now = digest_now(runtime.models[name])
        else:
            now = digest_of_named(runtime.base / name)
        self[name] = {**known, "digest": now}
        return self[name]
