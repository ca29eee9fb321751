"""What tells scores apart: the identity of a scorer, and of what was trained for it."""

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any

from siftline.contracts.computation import Computation
from siftline.contracts.corpus import Corpus
from siftline.contracts.scorer import Scorer
from siftline.contracts.trainer import Training, rows_digest


def scorer_identity(scorer: Scorer, fingerprints: dict[str, Any]) -> dict[str, Any]:
    """Return everything that a scorer's results depend on, apart from the row itself.

    Args:
        scorer: Its fields count, except the role of its model, which is only a name.
        fingerprints: Fingerprint of each model, by role, and of each file that scorers read.
    """
    return {
        "table": scorer.table,
        "revision": scorer.revision,
        "key": scorer.key,
        **computation_identity(scorer, fingerprints),
    }


def artifact_identity(training: Training, corpus: Corpus, prints: dict[str, Any]) -> dict[str, Any]:
    """Return everything that a trained model depends on.

    Args:
        training: How, and on which rows of the corpus.
        corpus: Its rows count by content.
        prints: Fingerprint of each model, by role.
    """
    return {
        "trainer": type(training.trainer).__name__,
        "revision": training.trainer.revision,
        "rows": rows_digest(corpus, training.rows),
        **computation_identity(training.trainer, prints),
    }


def computation_identity(computation: Computation, fingerprints: dict[str, Any]) -> dict[str, Any]:
    """Return the fields, the model and the files of a computation, and of those inside it."""
    fields = computation.model_dump(mode="json")
    for name in fields:
        value = getattr(computation, name)
        if isinstance(value, Scorer):
            fields[name] = scorer_identity(value, fingerprints)
        elif isinstance(value, Computation):
            fields[name] = computation_identity(value, fingerprints)
            if value.revision is not None:
                fields[name]["revision"] = value.revision
    model = None
    if computation.role is not None:
        fields.pop("model")  # the role is only a name
        model = fingerprints[computation.role]
    identity: dict[str, Any] = {"fields": fields, "model": model}
    if computation.files:
        identity["files"] = [fingerprints[name] for name in computation.files]
    if package := package_of(type(computation)):
        identity["package"] = package
    return identity


def package_of(kind: type) -> dict[str, str]:
    """Return name and version of the package that a class is from; empty for siftline's own.

    A class of no installed package, such as a script's, has the name of its module and no version.
    """
    module = kind.__module__.partition(".")[0]
    if module == "siftline":
        return {}
    names = _distributions().get(module, ())
    return {name: importlib.metadata.version(name) for name in names} or {module: ""}


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def identity_hash(identity: object) -> str:
    """Return 16 hex digits for a JSON-able identity."""
    canonical = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
