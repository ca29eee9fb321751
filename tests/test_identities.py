"""Identities of scores: pinned, so that nobody's cache is lost by accident, and told apart by all.

A hash here changes only with a `revision`, and with a line in the CHANGELOG.
"""

from typing import Any, ClassVar

import pyarrow as pa
import pytest

from siftline.contracts.computation import Computation
from siftline.contracts.config import Config
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.generation import Sampling
from siftline.models.training.proxy import Proxy
from siftline.models.training.tuning import Tuning
from siftline.pipelines.job import all_scorers
from siftline.pipelines.scores.identity import computation_identity, identity_hash, scorer_identity
from siftline.scorers import turn_languages
from siftline.scorers.judges.comparers import Judge

PRINTS = {
    "m": {"digest": "1"},
    "e": {"digest": "2"},
    "n": {"digest": "3"},
    "f.parquet": {"digest": "4"},
    "g.parquet": {"digest": "6"},
    "embedder": {"digest": "5"},
}

BENCHMARKS = [{"name": "f", "path": "f.parquet"}]
ANALYZER = {"model": "en_core_web_sm", "language": "en", "min_confidence": 0.6, "packages": ["x 1"]}


def named(name: str, **fields: Any) -> Any:
    """Return a configuration by the name of its class, wherever it lives."""
    all_scorers()
    found = {each.__name__: each for each in subclasses(Config)}
    return found[name](**fields)


def subclasses(kind: type[Config]) -> list[type[Config]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *subclasses(sub))]


def computations() -> dict[str, Computation]:
    samples = named("Samples", model="m")
    answer = named("Candidate", model="m")
    tuned = named("Candidate", model="m", tuning=Tuning(model="n"), trained_on="x")
    paraphrase = named("Paraphrase", model="m")
    runs_tests = named("Execution", tests="t", allow_execution=True)

    def gold(judge: Computation) -> Any:
        return named("Gold", judge=judge)

    return {
        "statistics": named("ResponseStatistics"),
        "characters": named("CharacterStatistics"),
        "phrases": named("PhraseMatches"),
        "signature": named("Signature"),
        "minhash": named("MinHash"),
        "earlier duplicates": named("EarlierDuplicates", paths=("f.parquet",)),
        "structure": named("StructureFaults"),
        "hygiene": named("HygieneFaults"),
        "turn languages": named("TurnLanguages"),
        "languages": named("Languages"),
        "personal data": named("PersonalData"),
        "personal names": named("PersonalNames", analyzer=ANALYZER),
        "likelihood": named("Likelihood", model="m"),
        "prompt embedding": named("PromptEmbedding", model="e"),
        "prompt context": named("PromptContext"),
        "turn likelihood": named("TurnLikelihood", model="m"),
        "token counts": named("TokenCounts", model="m"),
        "conversation embedding": named("ConversationEmbedding", model="m"),
        "trajectory": named("Trajectory", model="m", proxy=Proxy(model="m"), trained_on="x"),
        "given trajectory": named("GivenTrajectory", file="f.parquet"),
        "membership": named("Membership", file="f.parquet"),
        "benchmark overlap": named("BenchmarkOverlap", benchmarks=BENCHMARKS),
        "benchmark paraphrase": named("BenchmarkParaphrase", benchmarks=BENCHMARKS, model="e"),
        "contamination": named("Contamination", benchmarks=BENCHMARKS, common=(1,)),
        "samples": samples,
        "reflection": named("Reflection", model="m"),
        "consistency": named("Consistency", samples=samples),
        "by nli": named("Consistency", samples=samples, comparer=named("Nli", model="n")),
        "by judge": named("Consistency", samples=samples, comparer=named("Judge", model="m")),
        "by number": named("Consistency", samples=samples, comparer=named("Numeric")),
        "candidate": tuned,
        "preference": named("Preference", model="m", candidate=tuned),
        "gold by number": gold(named("Numeric")),
        "gold by tests": gold(runs_tests),
        "gold by judge": gold(named("Judge", model="n")),
        "own": named("OwnEquivalence", answer=answer, gold=gold(runs_tests)),
        "paraphrase": paraphrase,
        "equal": named("ParaphraseEquivalence", answer=paraphrase, gold=gold(named("Numeric"))),
        "proxy": Proxy(model="m"),
        "tuning": Tuning(model="n"),
    }


PINNED = {
    "statistics": "98d6729868b0c39a",
    "characters": "c5f5f6e0cb2d0244",
    "phrases": "582f337ec51892b0",
    "earlier duplicates": "c6d1a48c021135bd",
    "minhash": "29cc3ffecc3d7192",
    "signature": "35a2b2eb0df1db33",
    "structure": "8d6c20c38376d085",
    "hygiene": "8ac3f8aa9284c206",
    "turn languages": "dbe94472404e4379",
    "languages": "8cd13258f267b143",
    "personal data": "d8ebea27f5ee1d6a",
    "personal names": "926055acc6ba5d39",
    "likelihood": "5692aa80e27d8771",
    "prompt embedding": "ada7f55c9b50cf07",
    "prompt context": "8a6ba6bdc72c7671",
    "turn likelihood": "399353b75ade2d07",
    "token counts": "dc26dab8ddf879f2",
    "conversation embedding": "7161448cb415b679",
    "trajectory": "10ca218d33adde93",
    "given trajectory": "db2875b17bdb36bf",
    "membership": "43a6394056c91d4e",
    "benchmark overlap": "9df4f066a1bda12e",
    "benchmark paraphrase": "eb3da4cb678c8cd7",
    "contamination": "96d88fa6342fa2ad",
    "samples": "93ab85c3bc3cba03",
    "reflection": "780a7e041affdbc4",
    "consistency": "d792bdb86c9e6c20",
    "by nli": "8a02ae29b438b01f",
    "by judge": "069ff34b4e8985ea",
    "by number": "79513f0744889ea4",
    "candidate": "957104b5b021182e",
    "preference": "9c31500529149921",
    "gold by number": "acfd2f3860c330e4",
    "gold by tests": "7d1d08ebb2088b9f",
    "gold by judge": "e77d8e1a1a81d99d",
    "own": "3de6ec0eb53ad363",
    "paraphrase": "eb16b1dcb1a7e048",
    "equal": "50db1c82ba3e4201",
    "proxy": "86ca5c6ec8469889",
    "tuning": "5349a9d391ad6a50",
}


@pytest.fixture(autouse=True)
def detectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pin what languages are told by, which is not the same everywhere."""
    monkeypatch.setattr(turn_languages, "detectors_built_on", lambda: {"detector": "1"})


def hashed(computation: Computation, prints: dict[str, Any] | None = None) -> str:
    prints = prints or PRINTS
    if isinstance(computation, Scorer):
        return identity_hash(scorer_identity(computation, prints))
    trained = {"trainer": type(computation).__name__, "revision": computation.revision}
    return identity_hash({**trained, "rows": "r", **computation_identity(computation, prints)})


@pytest.mark.parametrize("name", sorted(PINNED))
def test_identities_stay(name: str) -> None:
    assert hashed(computations()[name]) == PINNED[name]


def test_every_scorer_is_pinned() -> None:
    assert {type(each) for each in computations().values()} >= set(all_scorers())


UNSET = {
    "sampling": Sampling(n=2),
    "tuning": Tuning(model="n"),
    "template": "chat",
    "reading": "letter",
    "tests": "x",
    "pattern": "x",
    "languages": ("de", "en"),
    "trained_on": "x",
}


def other(field: str, value: Any) -> Any:
    """Return another value of a field, of a type that it may have."""
    if value is None:
        return UNSET.get(field, 3)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.5
    if isinstance(value, str):
        choices = {"chat": "plain", "plain": "chat", "letter": "probabilities"}
        choices |= {"probabilities": "letter", "lora": "full", "f.parquet": "g.parquet"}
        return choices.get(value, value + "x")
    assert isinstance(value, tuple), field
    return value[1:] if value else ("x",)


@pytest.mark.parametrize("name", sorted(PINNED))
def test_every_field_is_told_apart(name: str) -> None:
    """Each field that is no part of its own changes the identity; the name of a role does not."""
    computation = computations()[name]
    renamed = {f"{role}2": prints for role, prints in PRINTS.items()} | PRINTS
    for field, value in computation:
        if field == "model":
            changed = computation.model_copy(update={"model": f"{value}2"})
            assert hashed(changed, renamed) == hashed(computation)
            assert hashed(changed, {**renamed, f"{value}2": {"digest": "another"}}) != hashed(
                computation
            )
        elif field != "kind":
            update = others(value) if isinstance(value, Config) else other(field, value)
            changed = computation.model_copy(update={field: update})
            assert hashed(changed) != hashed(computation), field


def others(part: Config) -> Config:
    """Return a part of a configuration with one other field."""
    for field, value in part:
        if field not in ("model", "kind") and not isinstance(value, Config):
            return part.model_copy(update={field: other(field, value)})
    return Judge(model="m")


def test_other_versions_of_what_it_is_built_on_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {name: hashed(computations()[name]) for name in ("turn languages", "languages")}
    monkeypatch.setattr(turn_languages, "detectors_built_on", lambda: {"detector": "2"})
    assert all(hashed(computations()[name]) != each for name, each in before.items())


def test_a_changed_file_is_told_apart() -> None:
    given = computations()["membership"]
    assert hashed(given, {**PRINTS, "f.parquet": {"digest": "another"}}) != hashed(given)


class Several(Scorer):
    """A scorer whose parts stand in a tuple, where their models would be lost."""

    table: ClassVar[str] = "several"
    revision: ClassVar[int] = 1

    parts: tuple[Judge, ...]

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        raise NotImplementedError


def test_parts_that_would_be_lost_are_refused() -> None:
    with pytest.raises(TypeError, match=r"Several.parts holds computations inside another value"):
        hashed(Several(parts=(Judge(model="m"),)))
