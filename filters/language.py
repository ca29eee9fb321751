"""Tell the language of each row, and keep the languages that the recipe wants.

Two detectors tell the language of each turn (:mod:`siftline.scorers.turn_languages`), and a row has
that of its response. What neither is certain of has none: it is counted, and kept unless the
recipe says otherwise. Certainties are stored, so another `min_certainty` is decided without
detecting again.
"""

from collections import Counter
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import nearest
from siftline.contracts.method import Method, verdicts
from siftline.contracts.names import shown_name
from siftline.contracts.scorer import Scorer
from siftline.filters.faults import picture_faults
from siftline.models.language_codes import CODES
from siftline.scorers.languages import Languages
from siftline.scorers.turn_languages import TurnLanguages

Action = Literal["keep", "report", "drop"]
Bools = npt.NDArray[np.bool_]

_LISTED = 30  # languages in the report, of all rows and of each source


class Language(Method):
    """Tells languages, and drops rows in others than the recipe wants.

    A row has the language of its response: `Bonjour !` is French, whatever was asked. A response
    without words, such as `42` or a block of code, leaves the row the language of its prompt. Code,
    addresses, formulas, numbers and thoughts do not count.

    Reasons: `kept`; for what is reported or dropped `other_language`, `undetermined_language`,
    `no_language`, `language_mismatch`. The first in this order that drops a row is its reason, or
    else the first that is reported.

    Attributes:
        keep: Codes (ISO 639-1, such as `en`; `zh` is Chinese in both scripts) of the languages that
            are wanted. With `keep: [en, de]`, `Bonjour !` is `other_language`.
        drop: Codes of those that are not wanted; in place of `keep`.
        other_language: What becomes of rows in a language that is not wanted.
        undetermined: What becomes of rows with words in a language of which nobody is certain, such
            as `Paris` (`undetermined_language`).
        wordless: What becomes of rows without any words, such as `1 + 1` with `2` (`no_language`).
        mismatch: What becomes of rows whose response is in another language than their prompt, such
            as `Wie geht es dir?` with `I am fine, thank you.` (`language_mismatch`). So are
            translations and lessons, as `Say good morning in French.` with `Bonjour !`, which is
            why they are reported unless stated.
        min_certainty: A turn has a language if it is at least this certain, from 0 to 1.
        ask_below: Lingua is asked about turns of which the fast detector is less certain.
        short: Lingua is asked about turns of fewer letters, whatever the certainty.
        languages: Codes of the languages that lingua chooses among, at least two: a few need less
            memory than all it knows (1 GB), and less time to load (10 s). It does not know others.
    """

    revision: ClassVar[int] = 1

    kind: Literal["language"] = "language"
    keep: tuple[str, ...] | None = Field(default=None, min_length=1)
    drop: tuple[str, ...] = ()
    other_language: Literal["report", "drop"] = "drop"
    undetermined: Action = "report"
    wordless: Action = "keep"
    mismatch: Action = "report"
    min_certainty: float = Field(default=0.6, ge=0, le=1)
    ask_below: float = Field(default=0.6, ge=0, le=1)
    short: int = Field(default=25, ge=0)
    languages: tuple[str, ...] | None = None

    @field_validator("keep", "drop")
    @classmethod
    def _are_codes(cls, codes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for code in codes or ():
            if code not in CODES:
                raise ValueError(
                    f"got '{code}'; expected the code of a language, such as 'en' or 'zh'."
                    f"{nearest(code, CODES)}"
                )
        return codes

    @model_validator(mode="after")
    def _fits_together(self) -> "Language":
        if self.keep is not None and self.drop:
            raise ValueError("drop: got 'keep' too; expected one of them.")
        self._languages()  # whose own fields are checked there
        return self

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the language of each row."""
        return (self._languages(),)

    def decide(self, corpus: Corpus) -> pa.Table:
        """Give each row the first reason that drops it, or else the first that is reported."""
        reasons = np.full(len(corpus), "kept", dtype=object)
        keep = np.ones(len(corpus), dtype=bool)
        found = self._found(corpus)
        for wanted in ("report", "drop"):
            for slug, (action, rows) in reversed(found.items()):
                if action == wanted:
                    reasons[rows] = slug
                    keep[rows] = action == "report"
        return verdicts(corpus, keep, reasons)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Count rows by language and source, what differs, and what lingua was asked."""
        languages = corpus.column("language.language").to_pylist()
        counts = {slug: int(rows.sum()) for slug, (_, rows) in self._found(corpus).items()}
        return {
            "rows_by_language": _by_name(languages),
            "rows_by_source_and_language": _by_source(corpus, languages),
            "rows_found": counts,
            "rows_by_prompt_and_response": _pairs(corpus),
            "rows_whose_turns_differ": int(_true(corpus, "language.turns_differ").sum()),
            "turns_that_lingua_was_asked": {
                name: pc.sum(corpus.column(f"turn_languages.{name}")).as_py() or 0
                for name in ("asked", "agreed", "overruled")
            },
            "warnings": self._warnings(decided),
        }

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Name a few rows of each reason that is reported, the smallest ids."""
        return picture_faults(decided)

    def _languages(self) -> Languages:
        turns = TurnLanguages(ask_below=self.ask_below, short=self.short, languages=self.languages)
        return Languages(turns=turns, min_certainty=self.min_certainty)

    def _found(self, corpus: Corpus) -> dict[str, tuple[Action, Bools]]:
        """Return for each reason what becomes of its rows, and [rows] which they are."""
        language = corpus.column("language.language")
        known = language.is_valid().to_numpy(zero_copy_only=False)
        words = _true(corpus, "language.words")
        wanted = pc.is_in(language, value_set=pa.array(self.keep or self.drop, pa.string()))
        other = known & (wanted.to_numpy(zero_copy_only=False) == (self.keep is None))
        return {
            "other_language": (self.other_language, other),
            "undetermined_language": (self.undetermined, words & ~known),
            "no_language": (self.wordless, ~words),
            "language_mismatch": (self.mismatch, _true(corpus, "language.mismatch")),
        }

    def _warnings(self, decided: pa.Table) -> list[str]:
        """Say which reasons are reported, and what would drop their rows."""
        kept = Counter(decided.filter(decided["keep"])["reason"].to_pylist())
        fields = {
            "other_language": "other_language",
            "undetermined_language": "undetermined",
            "no_language": "wordless",
            "language_mismatch": "mismatch",
        }
        return [
            f"{kept[slug]:,} of {len(decided):,} rows are {slug} and kept; '{field}: drop' leaves "
            f"such rows out, and '{field}: keep' says no more of them."
            for slug, field in fields.items()
            if kept[slug]
        ]


def _true(corpus: Corpus, name: str) -> Bools:
    """Return [rows] where a score is true."""
    values: Bools = pc.fill_null(corpus.column(name), False).to_numpy(zero_copy_only=False)
    return values


def _by_name(names: list[str | None]) -> dict[str, int]:
    """Return rows by language, the most frequent first, and how many languages are not listed."""
    counts = Counter(shown_name(name or "") for name in names)
    order = sorted(counts, key=lambda name: (-counts[name], name))
    listed = {name: counts[name] for name in order[:_LISTED]}
    rest = sum(counts[name] for name in order[_LISTED:])
    return listed | ({"others": rest} if rest else {})


def _by_source(corpus: Corpus, names: list[str | None]) -> dict[str, dict[str, int]]:
    """Return rows by language, for each source."""
    of_source: dict[str, list[str | None]] = {}
    for source, name in zip(corpus.rows["source"].to_pylist(), names, strict=True):
        of_source.setdefault(source, []).append(name)
    return {source: _by_name(of_source[source]) for source in sorted(of_source)}


def _pairs(corpus: Corpus) -> dict[str, int]:
    """Return rows by the languages of prompt and response, where these differ."""
    rows = pa.array(_true(corpus, "language.mismatch"))
    asked, said = (
        corpus.column(f"language.{name}").filter(rows).to_pylist()
        for name in ("prompt", "response")
    )
    return _by_name([f"{a} > {b}" for a, b in zip(asked, said, strict=True)])
