"""A job: everything that the steps of one run need to know, small enough to be passed around."""

import contextlib
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import yaml

from siftline import scorers
from siftline.contracts.config import Config
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RunError
from siftline.contracts.method import roles_of
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.revisions import REVISIONS_FOLDER
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scorer, in_order
from siftline.models.fingerprint import fingerprint
from siftline.pipelines.ingestion.inputs import digest
from siftline.pipelines.recipe import Recipe
from siftline.pipelines.run_directory import INGEST, check_place, open_version
from siftline.pipelines.scores.identity import identity_hash, method_packages, package_of
from siftline.pipelines.scores.named_files import digest_of_named
from siftline.pipelines.scores.store import ScoreStore

# Fields of a recipe that change nothing of what is written.
_NO_IDENTITY = ("name", "engine", "allow_empty")
# Bumped when ingestion or export would write other bytes from the same input.
MACHINERY_REVISION = 7  # 7: every spelling of a turn and of its calls becomes one


class Job(Config):
    """One version of one recipe in a run directory.

    Attributes:
        recipe: What is to be done.
        base: Folder that the recipe's paths are relative to.
        version: Folder of the version.
        cache: Folder of the score cache.
        runtime: Where and how it is computed.
        fingerprints: Fingerprint of each model that a stage uses, by role, and of each file that a
            scorer reads, by its path.
        data: Digest of each input, in the order of the recipe.
    """

    recipe: Recipe
    base: Path
    version: Path
    cache: Path
    runtime: Runtime
    fingerprints: dict[str, dict[str, Any]]
    data: tuple[str, ...] = ()

    @property
    def runs(self) -> Path:
        """The run directory."""
        return self.version.parent.parent

    @property
    def ingest_folder(self) -> Path:
        """Where examples and quarantine lie."""
        return self.version / INGEST

    @property
    def examples_folder(self) -> Path:
        """Where the examples lie."""
        return self.ingest_folder / "examples"

    def open_corpus(self) -> Corpus:
        """Open everything that was ingested."""
        return Corpus.open(self.examples_folder)

    def revisions_before(self, stage: int) -> tuple[Path, ...]:
        """Return the folders of what the stages before one have revised, in their order."""
        return tuple(self.stage_folder(number) / REVISIONS_FOLDER for number in range(stage))

    def store(self) -> ScoreStore:
        """Open the scores that the job may use."""
        return ScoreStore(self.cache, self.fingerprints, self.runtime)

    def stage_folder(self, number: int) -> Path:
        """Where the results of a stage lie, counted from 0."""
        return self.version / f"{number + 1:02d}-{self.recipe.stages[number].kind}"

    @property
    def curated_folder(self) -> Path:
        """Where the dataset lies."""
        return self.version / "curated"


@contextlib.contextmanager
def locked(recipe: Recipe, runs: Path) -> Iterator[None]:
    """Hold the recipe's folder, so that no other run writes to it meanwhile.

    Raises:
        RecipeError: The run directory is an address, or its name is not UTF-8.
        RunError: Another run holds it, or it cannot be written to.
    """
    check_place(runs)
    folder = runs / recipe.name
    lock = filelock.FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise RunError(
            f"Another run of '{recipe.name}' is writing to '{folder}'; expected to be alone there. "
            "Wait for it to end, or give this recipe another name."
        ) from error
    except OSError as error:
        raise RunError(
            f"Cannot write to '{folder}': {error.strerror}. Expected a folder, or room for one; "
            "name another with --runs, or change its permissions."
        ) from error
    try:
        yield
    finally:
        lock.release()


def open_job(recipe: Recipe, base: Path, runs: Path, runtime: Runtime) -> Job:
    """Find the version of a recipe on the data as it is now, or make the next one.

    Args:
        recipe: What is to be done.
        base: Folder that the recipe's paths are relative to.
        runs: The run directory.
        runtime: Where and how it is computed; the recipe's models are filled in.

    Raises:
        InputError: An input, or a file that a stage reads, is missing or empty.
        ModelError: A model that a stage uses cannot be found, or a package that one needs.
    """
    built_on = _built_on(recipe)  # first: nothing is read or downloaded where a package is missing
    roles = sorted(set().union(*(roles_of(stage) for stage in recipe.stages)))
    prints = {role: fingerprint(recipe.models[role], runtime.devices[0]) for role in roles}
    data = tuple(digest(item, base, runs) for item in recipe.inputs)
    prints |= {name: {"digest": digest_of_named(base / name)} for name in _files(recipe)}
    resolved = recipe.model_dump(mode="json")
    identity = {
        "recipe": {key: value for key, value in resolved.items() if key not in _NO_IDENTITY},
        "data": data,
        "models": prints,
        "revisions": _revisions(),
        "machinery": MACHINERY_REVISION,
    }
    if outside := _outside(recipe):
        identity["outside"] = outside
    if built_on:
        identity["built_on"] = built_on
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    version = open_version(runs / recipe.name, identity_hash(identity), text)
    return Job(
        recipe=recipe,
        base=base,
        version=version,
        cache=runs / "cache",
        runtime=runtime.model_copy(update={"models": _pinned(recipe, prints), "base": base}),
        fingerprints=prints,
        data=data,
    )


def _pinned(recipe: Recipe, prints: dict[str, dict[str, Any]]) -> dict[str, ModelSpec]:
    """Return the models of a recipe, those of the Hub at the commit that was found.

    A branch that moves during a run does not change the model, and the Hub is asked once.
    """
    return {
        role: spec.model_copy(update={"revision": commit})
        if (commit := prints.get(role, {}).get("revision"))
        else spec
        for role, spec in recipe.models.items()
    }


def _revisions() -> dict[str, int]:
    """Return the revisions of all methods, scorers and trainers of siftline, by name.

    A bump of any makes the next version, also where a recipe does not use it: what a method asks
    for as it learns is not known before. It costs little, because scores stay in the cache.
    """
    all_scorers()
    revisions = {
        kind.__name__: vars(kind).get("revision")
        for kind in _subclasses(Config)
        if kind.__module__.startswith("siftline.")
    }
    return {name: number for name, number in sorted(revisions.items()) if number is not None}


def all_scorers() -> list[type[Scorer]]:
    """Return siftline's own scorers, all of them and not those that happen to be imported."""
    for module in pkgutil.walk_packages(scorers.__path__, "siftline.scorers."):
        importlib.import_module(module.name)
    kinds = [kind for kind in _subclasses(Scorer) if kind.__module__.startswith("siftline.")]
    return [kind for kind in kinds if issubclass(kind, Scorer)]


def _subclasses(kind: type[Config]) -> list[type[Config]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *_subclasses(sub))]


def _outside(recipe: Recipe) -> list[dict[str, Any]]:
    """Return package, version and revision of what a recipe uses of other packages."""
    used: list[tuple[type[Config], int]] = [(type(each), each.revision) for each in recipe.stages]
    for stage in recipe.stages:
        used += [(type(each), each.revision) for each in in_order(stage.scorers())]
    classes = [
        {"class": kind.__name__, "revision": revision, "package": package}
        for kind, revision in used
        if (package := package_of(kind))
    ]
    # What a method asks for as it learns is not known before, nor from which package it is.
    return [*classes, method_packages()] if classes else []


def _built_on(recipe: Recipe) -> dict[str, str]:
    """Return the versions and digests of what the scorers of a recipe are built on."""
    scorers = [scorer for stage in recipe.stages for scorer in in_order(stage.scorers())]
    return {name: each for scorer in scorers for name, each in sorted(scorer.built_on.items())}


def _files(recipe: Recipe) -> list[str]:
    """Return the paths of all files that scorers read beside the rows."""
    scorers = [scorer for stage in recipe.stages for scorer in in_order(stage.scorers())]
    return sorted({name for scorer in scorers for name in scorer.files})
