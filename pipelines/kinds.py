"""The kinds of stage that a recipe can name: siftline's own, and those of other packages.

A package adds methods by the entry point group `siftline.methods`, one entry for each kind:

    [project.entry-points."siftline.methods"]
    shortest = "my_package:Shortest"

Its name and version become part of a version's identity, and of the scores that it computes.
"""

import functools
import inspect
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from siftline.contracts.errors import RecipeError
from siftline.contracts.method import Method
from siftline.filters.clear import Clear
from siftline.filters.decontamination import Decontamination
from siftline.filters.exact_duplicates import ExactDuplicates
from siftline.filters.hygiene import Hygiene
from siftline.filters.language import Language
from siftline.filters.personal_data import PersonalDataFilter
from siftline.filters.rules import Rules
from siftline.filters.s3ft import S3ft
from siftline.filters.structure import Structure
from siftline.pipelines.scores.identity import GROUP
from siftline.selectors.baselines import Longest, Random, StratifiedRandom
from siftline.selectors.deita import Deita
from siftline.selectors.diversity import Diversity
from siftline.selectors.dmt import Dmt
from siftline.selectors.facility_location import FacilityLocation
from siftline.selectors.grape import Grape
from siftline.selectors.k_center import KCenter
from siftline.selectors.mixing import Mix
from siftline.selectors.near_duplicates import NearDuplicates
from siftline.selectors.rds import RdsPlus
from siftline.selectors.s2l import S2L
from siftline.selectors.semantic_duplicates import SemanticDuplicates

BUILTIN: tuple[type[Method], ...] = (
    Rules,
    ExactDuplicates,
    NearDuplicates,
    Decontamination,
    Structure,
    Hygiene,
    Language,
    PersonalDataFilter,
    Clear,
    S3ft,
    S2L,
    Grape,
    Diversity,
    Random,
    StratifiedRandom,
    Longest,
    Mix,
    Dmt,
    SemanticDuplicates,
    KCenter,
    FacilityLocation,
    Deita,
    RdsPlus,
)


def kind_of(method: type[Method]) -> str:
    """Return the name of a method in a recipe."""
    return str(method.model_fields["kind"].default)


def known_kinds() -> list[str]:
    """Return the names of all kinds, loading none."""
    return sorted({*_builtin(), *_external()})


def method_of(kind: str) -> type[Method]:
    """Return the method of a kind.

    Raises:
        KeyError: There is none.
        RecipeError: Two packages declare it, or the one cannot be imported, or gives no method.
    """
    if kind in _external():
        return _loaded(_only(kind))
    return _builtin()[kind]


def all_methods() -> tuple[type[Method], ...]:
    """Return the methods of all kinds.

    Raises:
        RecipeError: A package declares one that cannot be used.
    """
    return tuple(method_of(kind) for kind in known_kinds())


@functools.cache
def _builtin() -> Mapping[str, type[Method]]:
    return {kind_of(method): method for method in BUILTIN}


@functools.cache
def _external() -> Mapping[str, tuple[EntryPoint, ...]]:
    """Return what other packages declare, by kind; several where they contend for a name."""
    entries: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=GROUP):
        others = entries.get(entry.name, ())
        if entry.value not in {other.value for other in others}:
            entries[entry.name] = (*others, entry)
    return entries


def _only(kind: str) -> EntryPoint:
    """Return the one package that declares a kind.

    Raises:
        RecipeError: There are several, or it is one of siftline's own.
    """
    entries = _external()[kind]
    owners = [_package(entry) for entry in entries]
    owners = ["siftline", *owners] if kind in _builtin() else owners
    if len(owners) > 1:
        raise RecipeError(
            f"The kind '{kind}' is declared by {' and '.join(repr(owner) for owner in owners)}; "
            "expected one of them. Uninstall the other, or ask its author for another name."
        )
    return entries[0]


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


@functools.cache
def _loaded(entry: EntryPoint) -> type[Method]:
    """Import a method, and hold it to the contract."""
    blame = f"The method '{entry.name}' of the package '{_package(entry)}'"
    try:
        loaded: object = entry.load()
    except (Exception, SystemExit) as error:  # whatever a package does while it is imported
        problem = str(error).removesuffix(".")
        raise RecipeError(
            f"{blame} cannot be loaded: {type(error).__name__}: {problem}. Mend or uninstall it."
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Method)):
        raise RecipeError(
            f"{blame} is {loaded!r}; expected a subclass of siftline.contracts.method.Method."
        )
    if inspect.isabstract(loaded):
        missing = ", ".join(sorted(loaded.__abstractmethods__))
        raise RecipeError(f"{blame} lacks {missing}; expected a method that decides.")
    if kind_of(loaded) != entry.name:
        raise RecipeError(
            f"{blame} has the kind {loaded.model_fields['kind'].default!r}; expected the name of "
            f"its entry point, as in kind: Literal['{entry.name}'] = '{entry.name}'."
        )
    if not isinstance(vars(loaded).get("revision"), int):
        raise RecipeError(
            f"{blame} has no 'revision'; expected 'revision: ClassVar[int] = 1' in the class, a "
            "number that is bumped when its results change."
        )
    return loaded
