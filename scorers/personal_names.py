"""Where a conversation holds names of people and postal addresses, which a model of language tells.

`presidio-analyzer` runs a model of spaCy. A name is what it takes for a person; an address begins
with a street and a house number, and goes on through the places that follow. A place alone is none.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import re2

from siftline.contracts import progress
from siftline.contracts.config import Config
from siftline.contracts.errors import RecipeError
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.scorers.personal.finds import NAME_KINDS, Find
from siftline.scorers.personal.scanning import found_in

_CHUNK = 50_000  # characters that are read at once; spaCy refuses a million
_CAPITAL = (
    r"[A-Z\x{C0}-\x{DE}]"  # few classes and no counts, or the automaton outgrows RE2's memory
)
_STREET = re2.compile(
    rf"\b[0-9]+[A-Za-z]? +(?:{_CAPITAL}[^\s,;:]* +){{1,4}}(?:Street|St|Avenue|Ave|Road|Rd|Lane|"
    r"Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Square|Sq|Terrace|Place|Pl|Way|Parkway|Highway|Close|"
    r"Crescent)\b\.?|"
    rf"\b{_CAPITAL}[^\s,;:]+(?:stra(?:ß|ss)e|str\.|weg|gasse|platz|allee|ring|damm|ufer) "
    r"[0-9]+[a-z]?\b|"
    r"\b[0-9]+,? (?:rue|avenue|boulevard|place|chemin|impasse) (?:[^\s,;:]+ ){0,4}"
    rf"{_CAPITAL}[^\s,;:]+"
)
_BETWEEN = re2.compile(r"[\s,]{1,4}(?:[A-Z]{0,2}[0-9][A-Z0-9 -]{2,8}[\s,]{1,3})?")
_POSTCODE = re2.compile(r"[\s,]{0,3}[A-Z]{0,2} ?[0-9][A-Z0-9 -]{2,8}\b")

Finder = Callable[[str, str], Mapping[str, list[Find]]]


class Analyzer(Config):
    """A model of spaCy, as presidio runs it.

    Attributes:
        model: Name of an installed package, or a folder.
        language: That the model is of.
        min_confidence: Of what counts.
        packages: Names and versions of what it is run by.
    """

    model: str
    language: str
    min_confidence: float
    packages: tuple[str, ...]

    @classmethod
    def installed(cls, model: str, language: str, min_confidence: float) -> "Analyzer":
        """Return it as it is on this machine.

        Raises:
            RecipeError: The extra `personal` or the model is not installed.
        """
        if find_spec("presidio_analyzer") is None:
            raise RecipeError(
                "'name' and 'address' of personal_data need presidio-analyzer, which is not "
                "installed: pip install 'siftline[personal]', or set both to 'ignore'."
            )
        if find_spec(model) is None if model.isidentifier() else not Path(model).is_dir():
            raise RecipeError(
                f"The language model '{model}' of personal_data is no installed package and no "
                "folder, and nothing is downloaded: install it (python -m spacy download "
                "en_core_web_sm), or name another with 'language_model'."
            )
        names = ("presidio-analyzer", "spacy", model)
        packages = tuple(f"{each} {_version(each)}" for each in names)
        return cls(model=model, language=language, min_confidence=min_confidence, packages=packages)

    def finder(self) -> Finder:
        """Return what finds names and addresses in a text; the model is loaded once."""
        return functools.partial(_names_and_addresses, self)


class PersonalNames(Scorer):
    """Places of names and addresses, in the table `personal_names`: columns `name`, `address`.

    They are written as those of :class:`siftline.scorers.personal_data.PersonalData`.

    Attributes:
        analyzer: What finds them.
    """

    table: ClassVar[str] = "personal_names"
    revision: ClassVar[int] = 1

    analyzer: Analyzer

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Read turns, calls, tools and media of each row."""
        texts = rows.select(["messages", "tools", "media"])
        everyone = np.ones(len(rows), dtype=bool)
        found = found_in(texts, everyone, self.analyzer.finder(), NAME_KINDS)
        progress.advance(len(rows))
        return Scored(pa.table({"content_hash": rows["content_hash"], **found}))


def _version(package: str) -> str:
    """Return the version of a package; of a folder, nothing."""
    try:
        return version(package)
    except (PackageNotFoundError, ValueError):
        return ""


@functools.lru_cache(maxsize=1)
def _engine(analyzer: Analyzer) -> Any:
    """Load a model, and the one recogniser that reads it."""
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    engine = SpacyNlpEngine([{"lang_code": analyzer.language, "model_name": analyzer.model}])
    engine.nlp = {analyzer.language: spacy.load(analyzer.model)}  # or it would download one
    registry = RecognizerRegistry(
        recognizers=[SpacyRecognizer(supported_language=analyzer.language)],
        supported_languages=[analyzer.language],
    )
    return AnalyzerEngine(
        registry=registry, nlp_engine=engine, supported_languages=[analyzer.language]
    )


def _names_and_addresses(analyzer: Analyzer, text: str, key: str) -> dict[str, list[Find]]:
    """Return the names and addresses of a text that has a letter.

    Args:
        analyzer: The model.
        text: The text.
        key: Of the JSON value that it is; not read.
    """
    if not any(c.isupper() for c in text):
        return {}
    people: list[Find] = []
    places: list[Find] = []
    for start, chunk in _chunks(text):
        found = _engine(analyzer).analyze(
            chunk,
            analyzer.language,
            entities=["PERSON", "LOCATION"],
            score_threshold=analyzer.min_confidence,
        )
        for each in found:
            group = people if each.entity_type == "PERSON" else places
            group.append(Find(start + each.start, start + each.end))
    addresses = [_whole(text, Find(*match.span()), places) for match in _STREET.finditer(text)]
    names = [
        each
        for each in sorted(people)
        if not any(each.start < a.end and each.end > a.start for a in addresses)
    ]
    found_kinds = {"name": names, "address": addresses}
    return {kind: finds for kind, finds in found_kinds.items() if finds}


def _whole(text: str, street: Find, places: list[Find]) -> Find:
    """Return an address with the places and the code that follow its street."""
    end = street.end
    for place in sorted(places):
        if (
            place.start >= end and _BETWEEN.fullmatch(text[end : place.start])
        ) or place.start < end < place.end:
            end = place.end
    code = _POSTCODE.match(text[end : end + 16]) if end > street.end else None
    return Find(street.start, end + (code.end() if code else 0))


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """Yield a text in pieces that end at white space, each with where it begins."""
    start = 0
    while start < len(text):
        end = start + _CHUNK
        if end < len(text):
            space = text.rfind(" ", start, end)
            end = space if space > start else end
        yield start, text[start:end]
        start = end
