"""Kinds from other packages: an installed one works end to end, a bad one is one sentence."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pytest

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError
from siftline.contracts.method import Method
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.pipelines import kinds
from siftline.pipelines.kinds import BUILTIN, kind_of, known_kinds, method_of
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.scores import identity
from siftline.pipelines.scores.identity import GROUP
from siftline.selectors.baselines import Random

EXAMPLE = Path(__file__).parent / "example_package"


class Decided(Method):
    """A method that is complete."""

    revision: ClassVar[int] = 1
    kind: Literal["decided"] = "decided"

    def decide(self, corpus: Corpus) -> pa.Table:
        raise NotImplementedError


class Counted(Scorer):
    """A scorer that is complete."""

    table: ClassVar[str] = "counted"
    revision: ClassVar[int] = 1

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        raise NotImplementedError


class WithoutRevision(Method):
    """A method that inherits what it should state."""

    kind: Literal["unrevised"] = "unrevised"

    def decide(self, corpus: Corpus) -> pa.Table:
        raise NotImplementedError


class Undecided(Method):
    """A method that lacks the one verb that it needs."""

    revision: ClassVar[int] = 1
    kind: Literal["undecided"] = "undecided"


NO_METHOD = 3


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Declare entry points as installed packages would."""

    def declare(**entries: str) -> None:
        points = [EntryPoint(name, value, GROUP) for name, value in entries.items()]
        monkeypatch.setattr(kinds, "entry_points", lambda group: points)
        kinds._external.cache_clear()
        kinds._loaded.cache_clear()

    yield declare
    monkeypatch.undo()
    kinds._external.cache_clear()
    kinds._loaded.cache_clear()


def with_stage(**stage: Any) -> Any:
    return parse_recipe({"name": "r", "inputs": [{"path": "a"}], "stages": [stage]}, "r")


def test_siftline_s_own_kinds_are_known() -> None:
    assert set(known_kinds()) >= {kind_of(method) for method in BUILTIN}
    assert method_of("random") is Random


def test_an_entry_point_adds_a_kind(declared: Any) -> None:
    declared(decided=f"{__name__}:Decided")
    assert "decided" in known_kinds()
    assert with_stage(kind="decided").stages == (Decided(),)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"decided": "nowhere_at_all:X"}, "cannot be loaded: ModuleNotFoundError"),
        ({"decided": f"{__name__}:NO_METHOD"}, "is 3; expected a subclass of .*Method"),
        ({"other": f"{__name__}:Decided"}, "has the kind 'decided'; expected the name of"),
        ({"undecided": f"{__name__}:Undecided"}, "lacks decide; expected a method that decides"),
        ({"unrevised": f"{__name__}:WithoutRevision"}, "has no 'revision'; expected 'revision: C"),
    ],
)
def test_a_bad_kind_is_one_sentence(declared: Any, entries: dict[str, str], expected: str) -> None:
    declared(**entries)
    (kind,) = entries
    with pytest.raises(RecipeError, match=expected):
        with_stage(kind=kind)
    assert with_stage(kind="random", budget=3).stages  # other kinds are not touched by it


def test_a_name_that_is_taken_is_refused(declared: Any) -> None:
    declared(random=f"{__name__}:Decided")
    with pytest.raises(RecipeError, match="The kind 'random' is declared by 'siftline' and"):
        with_stage(kind="random", budget=3)
    assert with_stage(kind="longest", budget=3).stages  # it is in nobody else's way


def test_a_misspelt_kind_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"unknown kind 'randon'\. Did you mean 'random'\?"):
        with_stage(kind="randon", budget=3)
    with pytest.raises(RecipeError, match=r"stages\[0\]: no 'kind'; expected the name of a method"):
        with_stage(budget=3)


def test_a_misspelt_verb_is_no_class() -> None:
    with pytest.raises(TypeError, match=r"diagnosis.*Did you mean 'diagnose'"):

        class Misspelt(Decided):
            def diagnosis(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
                return {}


@pytest.mark.parametrize("wrong", ["file", "need", "scores"])
def test_a_misspelt_verb_of_a_scorer_is_no_class(wrong: str) -> None:
    """A file or a scorer that is needed would silently be no part of the identity."""
    with pytest.raises(TypeError, match=f"{wrong}: there is no verb of this name"):
        type("Wrong", (Counted,), {wrong: property(lambda self: ()), "__module__": __name__})


@pytest.mark.parametrize(
    ("base", "body", "expected"),
    [
        ("Counted", {"score": lambda self, rows: None}, r"got \(self, rows\), expected \(self, r"),
        ("Counted", {"files": lambda self: ()}, "files: expected a property"),
        ("Counted", {"__annotations__": {"model": str}}, "model: without 'role' the model would"),
        ("Counted", {"__annotations__": {"score": int}, "score": 3}, "have the name of a verb"),
        ("Unnamed", {"score": lambda self, rows, runtime: None}, "no 'table'; expected it in the"),
        ("Decided", {"decide": staticmethod(lambda self, corpus: None)}, "expected a plain method"),
        ("Decided", {"__annotations__": {"pool": int}, "pool": 3}, "have the name of a verb"),
    ],
)
def test_what_would_break_a_contract_is_no_class(
    base: str, body: dict[str, Any], expected: str
) -> None:
    bases = {"Counted": Counted, "Unnamed": Scorer, "Decided": Decided}
    with warnings.catch_warnings():  # pydantic warns of a field that shadows a verb
        warnings.simplefilter("ignore")
        with pytest.raises(TypeError, match=expected):
            type("Wrong", (bases[base],), {**body, "__module__": __name__})


def test_a_mixin_s_misspelt_verb_is_found() -> None:
    class Mixin:
        def pictures(self) -> None:
            """Nobody calls it."""

    with pytest.raises(TypeError, match="Did you mean 'picture'"):
        type("Mixed", (Mixin, Decided), {"__module__": __name__})


def test_a_verb_with_other_arguments_is_no_class() -> None:
    with pytest.raises(
        TypeError, match=r"got \(self, corpus\), expected \(self, corpus, decided\)"
    ):

        class Changed(Decided):
            def diagnose(self, corpus: Corpus) -> dict[str, Any]:  # type: ignore[override]
                return {}


def installed(folder: Path, name: str, version: str, requires: str = "siftline") -> None:
    """Write what says that a package is installed, without a list of its modules."""
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir()
    lines = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: {requires}\n"
    (place / "METADATA").write_text(lines, encoding="utf-8")


def test_what_a_package_builds_on_is_part_of_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method may ask for another package's scorer as it learns, which nobody knows before."""
    installed(tmp_path, "above", "1.0", requires="beneath (>=1)")
    entry = f"[{GROUP}]\nabove = above_module:Above\n"
    (tmp_path / "above-1.0.dist-info" / "entry_points.txt").write_text(entry, encoding="utf-8")
    installed(tmp_path, "beneath", "2.0")
    installed(tmp_path, "unrelated", "3.0", requires="numpy")
    monkeypatch.syspath_prepend(str(tmp_path))
    remembered = (identity._required, identity._distributions)
    for function in remembered:
        function.cache_clear()
    assert identity.method_packages() == {"above": "1.0", "beneath": "2.0"}
    # An install that lists no modules is found by its entry point.
    above = type("Above", (), {"__module__": "above_module"})
    assert identity.package_of(above) == {"above": "1.0"}
    for function in remembered:
        function.cache_clear()


def test_an_installed_package_curates(tmp_path: Path) -> None:
    """Install the example as its users would, and run a recipe that names its kind."""
    here = tmp_path / "site"
    source = tmp_path / "source"
    source.mkdir()
    for path in EXAMPLE.glob("*.*"):
        (source / path.name).write_bytes(path.read_bytes())
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    install += ["--no-build-isolation", "--target", str(here), str(source)]
    subprocess.run(install, check=True)
    rows = [{"prompt": f"Question {n}?", "completion": "line\n" * (n + 1)} for n in range(6)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(
        "name: outside\ninputs: [{path: data.jsonl}]\nstages: [{kind: shortest, budget: 2}]\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-c", "from siftline.cli import main; main()"]
    command += ["run", str(tmp_path / "recipe.yaml"), "--runs", str(tmp_path / "runs")]
    command += ["--no-prefect", "--json"]

    def curate() -> dict[str, Any]:
        paths = [str(here), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    first = curate()
    assert (first["version"], first["export"]["rows"], first["scored"]) == ("v0001", 2, 6)
    assert curate()["reused"]
    (told,) = (tmp_path / "runs" / "cache" / "lines").glob("*/identity.json")
    assert json.loads(told.read_text())["identity"]["package"] == {"siftline-shortest": "1.2.0"}
    (metadata,) = here.glob("siftline_shortest-*.dist-info/METADATA")
    metadata.write_text(metadata.read_text().replace("Version: 1.2.0", "Version: 1.3.0"))
    after = curate()  # another version of the package may give other results
    assert (after["version"], after["scored"]) == ("v0002", 6)
