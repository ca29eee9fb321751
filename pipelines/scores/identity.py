"""What tells scores apart: the identity of a scorer, and of what was trained for it."""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import re
from collections.abc import Mapping
from typing import Any

from siftline.contracts.computation import Computation
from siftline.contracts.config import Config
from siftline.contracts.corpus import Corpus
from siftline.contracts.scorer import Scorer
from siftline.contracts.trainer import Training, rows_digest

GROUP = "siftline.methods"  # the entry points by which other packages add methods


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
    for name, value in computation:
        if isinstance(value, Computation):
            fields[name] = _part_identity(value, fingerprints)
        elif _holds_computation(value):
            raise TypeError(
                f"{type(computation).__qualname__}.{name} holds computations inside another value, "
                "whose models and revisions would be lost; expected each as a field of its own."
            )
    model = None
    if computation.role is not None:
        fields.pop("model")  # the role is only a name
        model = fingerprints[computation.role]
    identity: dict[str, Any] = {"fields": fields, "model": model}
    if computation.files:
        identity["files"] = [fingerprints[name] for name in computation.files]
    if package := package_of(type(computation)):
        identity["package"] = package
    if built_on := dict(computation.built_on):
        identity["built_on"] = built_on
    return identity


def _part_identity(part: Computation, fingerprints: dict[str, Any]) -> dict[str, Any]:
    """Return the identity of a computation that is a field of another."""
    if isinstance(part, Scorer):
        return scorer_identity(part, fingerprints)
    identity = computation_identity(part, fingerprints)
    return identity if part.revision is None else {**identity, "revision": part.revision}


def _holds_computation(value: object) -> bool:
    """Return whether a computation stands somewhere inside a value."""
    if isinstance(value, Computation):
        return True
    if isinstance(value, Config):
        return any(_holds_computation(each) for _, each in value)
    if isinstance(value, Mapping):
        return any(_holds_computation(each) for each in value.values())
    return isinstance(value, tuple | list) and any(_holds_computation(each) for each in value)


def package_of(kind: type) -> dict[str, str]:
    """Return name and version of the package that a class is from; empty for siftline's own.

    A class of no installed package, such as a script's, has the name of its module and no version.
    """
    module = kind.__module__.partition(".")[0]
    if module == "siftline":
        return {}
    names = _distributions().get(module, ())
    return {name: importlib.metadata.version(name) for name in names} or {module: ""}


def method_packages() -> dict[str, str]:
    """Return name and version of the packages that add methods, and of what they build on.

    They build on the packages that they require, directly or not, which require siftline too.
    """
    entries = importlib.metadata.entry_points(group=GROUP)
    names = [entry.dist.name for entry in entries if entry.dist is not None]
    versions: dict[str, str] = {}
    while names:
        name = names.pop()
        if name not in versions and name != "siftline":
            versions[name] = importlib.metadata.version(name)
            names += [each for each in _required(name) if "siftline" in _required(each)]
    return dict(sorted(versions.items()))


@functools.cache
def _required(name: str) -> tuple[str, ...]:
    """Return the names of the packages that an installed one requires; none if it is missing."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        stated = importlib.metadata.requires(name) or ()
        return tuple(re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0] for each in stated)
    return ()


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """Return the names of the packages that bring each top-level module.

    An editable install may not say which modules it brings; its entry points do.
    """
    packages = dict(importlib.metadata.packages_distributions())
    for entry in importlib.metadata.entry_points(group=GROUP):
        if entry.dist is not None:
            packages.setdefault(entry.module.partition(".")[0], [entry.dist.name])
    return packages


def identity_hash(identity: object) -> str:
    """Return 16 hex digits for a JSON-able identity."""
    canonical = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
