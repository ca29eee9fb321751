"""Personal data: addresses, numbers and keys of people, reported, masked, or a reason to drop.

Patterns propose, checks decide: a checksum, a plan of numbers, a range of addresses, an entropy
(:mod:`siftline.scorers.personal`). Names and postal addresses need a model of language, which
`presidio-analyzer` runs. A mask is put everywhere in the row: contents, thoughts, calls and their
results, tools, media and metadata; the same value gets the same mark.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from siftline.contracts.corpus import Corpus
from siftline.contracts.method import MASKED, Method, verdicts
from siftline.contracts.scorer import Scorer
from siftline.filters.faults import picture_faults
from siftline.filters.masking import PREVIOUS, mark_of, masked
from siftline.filters.personal_figures import figures
from siftline.scorers.personal.finding import find_all
from siftline.scorers.personal.finds import KINDS, NAME_KINDS, PATTERN_KINDS, Options, Region
from siftline.scorers.personal.scanning import found_in, rows_with_signs
from siftline.scorers.personal.spans import Span, spans_of
from siftline.scorers.personal_data import PersonalData
from siftline.scorers.personal_names import Analyzer, PersonalNames

Action = Literal["flag", "mask", "drop", "ignore"]
_BESIDE = "personal_metadata"  # the table of what is no part of a row's content
_STRENGTH = ("flag", "mask", "drop")


class PersonalDataFilter(Method):
    """Reports, masks or drops rows with personal data.

    Each kind is `flag` (kept and reported), `mask`, `drop` or `ignore`. The reason of a row is its
    kind of the strongest action, of several the first in this order, or `kept`: `secret`, `email`,
    `iban`, `credit_card`, `ip`, `phone`, `name`, `address`. Without an action stated, kinds that
    patterns find are masked, and the two that need a model are ignored.

    Attributes:
        secret: Keys, tokens and passwords: `ghp_` and 36 letters, a JWT, `token = ...`.
        email: `anna.k@uni-jena.de`.
        iban: Of a country's length and form, with its checksum: `DE02 1203 0000 0000 2020 51`.
        credit_card: Of a network's prefix and length, right by Luhn: `4539 5787 6362 1486`.
        ip: Of a machine on the internet: `84.12.7.201`, not a version, and not `10.0.0.1`.
        phone: That can be dialled: `+49 30 901820`, `(415) 867-5309`.
        name: Of a person, `Anna Kowalski`: with the extra `personal`.
        address: Where somebody may live, `12 Baker Street, London`: likewise.
        placeholders: `keep` leaves what stands for any alone: `user@example.com`, 555-0123,
            192.0.2.1, test numbers of cards, keys of documentation; `find` takes it for real.
        local_ips: The same for addresses of private networks.
        regions: Countries whose national forms of telephone numbers are known; a number that
            begins with + needs none.
        mark: What stands in the place of a value, with `{kind}`, and with `{number}`, which tells
            the values of a row apart.
        language_model: Of spaCy, for names and addresses: an installed package or a folder.
        language: That of the language model.
        min_confidence: Of a name or an address, from 0 to 1.
    """

    revision: ClassVar[int] = 2

    kind: Literal["personal_data"] = "personal_data"
    secret: Action = "mask"
    email: Action = "mask"
    iban: Action = "mask"
    credit_card: Action = "mask"
    ip: Action = "mask"
    phone: Action = "mask"
    name: Action = "ignore"
    address: Action = "ignore"
    placeholders: Literal["keep", "find"] = "keep"
    local_ips: Literal["keep", "find"] = "keep"
    regions: tuple[Region, ...] = ("US", "GB", "DE", "FR")
    mark: str = Field(default="[{kind}_{number}]", max_length=60)
    language_model: str = "en_core_web_sm"
    language: str = Field(default="en", pattern=r"^[a-z]{2}$")
    min_confidence: float = Field(default=0.6, ge=0, le=1)

    @field_validator("mark")
    @classmethod
    def _is_a_mark(cls, mark: str) -> str:
        bare = mark.replace("{kind}", "").replace("{number}", "")
        odd = [c for c in bare if c in '{}"\\' or not c.isprintable()]
        if "{kind}" not in mark or "{number}" not in mark or odd:
            raise ValueError(
                f"got {mark!r}; expected '{{kind}}' and '{{number}}', such as in "
                "'[{kind}_{number}]', and no braces, quotes or backslashes beside them."
            )
        return mark

    @model_validator(mode="after")
    def _marks_are_nothing_personal(self) -> "PersonalDataFilter":
        everything = Options(placeholders=True, local_ips=True, regions=self.regions)
        for kind in KINDS:
            for number in (1, 23):
                mark = mark_of(self.mark, kind, number)
                if any(find_all(f"{before}{mark}.", "", everything) for before in ("", "key: ")):
                    raise ValueError(
                        f"'mark: {self.mark}' makes {mark!r}, which is personal data itself; "
                        "expected one such as '[{kind}_{number}]'."
                    )
        return self

    def scorers(self) -> tuple[Scorer, ...]:
        """Return where personal data of the wanted kinds stands."""
        asked = set(self._actions())
        patterns = PersonalData(
            placeholders=self._options.placeholders,
            local_ips=self._options.local_ips,
            regions=self.regions,
        )
        names = PersonalNames(analyzer=self._analyzer) if asked & set(NAME_KINDS) else None
        return (patterns, names) if names else (patterns,)

    def derive(self, corpus: Corpus) -> dict[str, pa.Table]:
        """Return the same of metadata, and of responses that were replaced: no scores have them."""
        columns: dict[str, list[pa.Array]] = {kind: [] for kind in KINDS}
        order = []
        for number in np.unique(corpus.rows["shard"].to_numpy()).tolist():
            mine = pc.equal(corpus.rows["shard"], number)
            order.append(np.flatnonzero(mine.to_numpy()))
            rows = corpus.shard(number, columns=["id", "metadata"]).select(["metadata"])
            for kind, found in self._found_beside(rows).items():
                columns[kind].append(found)
        place = pa.array(np.argsort(np.concatenate(order)))
        table = {kind: pa.chunked_array(each).take(place) for kind, each in columns.items()}
        return {_BESIDE: self._with_previous(corpus, pa.table(table))}

    def decide(self, corpus: Corpus) -> pa.Table:
        """Give each row the kind of its strongest action as its reason."""
        reasons = np.full(len(corpus), "kept", dtype=object)
        keep = np.ones(len(corpus), dtype=bool)
        for action in _STRENGTH:
            for kind in reversed([k for k, each in self._actions().items() if each == action]):
                rows = _found(corpus, kind)
                reasons[rows] = kind
                keep[rows] = action != "drop"
        return verdicts(corpus, keep, reasons)

    def mask(self, corpus: Corpus, decided: pa.Table) -> Iterator[pa.Table]:
        """Yield the masked rows; of those that are flagged or dropped what readers may see."""
        actions = self._actions()
        kept = decided["keep"].to_numpy()
        hit = np.logical_or.reduce([_found(corpus, kind) for kind in actions], initial=False)
        hit = np.broadcast_to(hit, len(corpus))
        for number in np.unique(corpus.rows["shard"].filter(pa.array(hit)).to_numpy()).tolist():
            mine = hit & pc.equal(corpus.rows["shard"], number).to_numpy()
            part = corpus.filter(mine)
            given = zip(part.shard(number).to_pylist(), self._spans(part), kept[mine], strict=True)
            rows = [row for each in given for row in self._masked(*each)]
            yield pa.Table.from_pylist(rows, schema=MASKED)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Count rows and finds of each kind, in all and of each source."""
        columns = {kind: _columns(corpus, kind) for kind in self._actions()}
        return figures(corpus, decided, columns, self._actions(), self._options)

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Name a few rows of each kind that is flagged."""
        flagged = [kind for kind, action in self._actions().items() if action == "flag"]
        return picture_faults(decided, flagged)

    def _masked(
        self, row: Mapping[str, Any], found: Mapping[str, list[Span]], kept: bool
    ) -> Iterator[dict[str, Any]]:
        """Yield a row as it is from now on, if it is masked, and as readers may see it, if not."""
        actions = self._actions()
        to_mask = {kind: spans for kind, spans in found.items() if actions[kind] == "mask"}
        if kept and to_mask:
            yield {**masked(row, to_mask, self.mark), "replaces": True}
        if not kept or len(to_mask) < len(found):  # what is flagged stays in the data
            yield {**masked(row, found, self.mark), "replaces": False}

    def _spans(self, corpus: Corpus) -> list[dict[str, list[Span]]]:
        """Return [rows] by kind, where personal data stands."""
        found: list[dict[str, list[Span]]] = [{} for _ in range(len(corpus))]
        for kind in self._actions():
            for column in _columns(corpus, kind):
                for row, text in zip(found, column.to_pylist(), strict=True):
                    if text is not None:
                        row.setdefault(kind, []).extend(spans_of(text))
        return found

    def _found_beside(self, rows: pa.Table) -> dict[str, pa.Array]:
        """Return, by kind, where rows hold personal data outside their content."""
        names = bool(set(self._actions()) & set(NAME_KINDS))
        look = self._look()
        wanted = rows_with_signs(rows) | names
        return found_in(rows, wanted, look, KINDS)

    def _look(self) -> Any:
        options = self._options
        asked = set(self._actions()) & set(NAME_KINDS)
        named = self._analyzer.finder() if asked else None

        def look(text: str, key: str) -> dict[str, Any]:
            found: dict[str, Any] = dict(find_all(text, key, options))
            return found | (dict(named(text, key)) if named else {})

        return look

    def _with_previous(self, corpus: Corpus, table: pa.Table) -> pa.Table:
        """Add what stands in responses that were replaced, and would be exported beside them."""
        previous = corpus.previous_responses()
        if not previous:
            return table
        ids = corpus.rows["id"].to_pylist()
        rows = [row for row, row_id in enumerate(ids) if row_id in previous]
        look = self._look()
        columns = {kind: table[kind].to_pylist() for kind in KINDS}
        for row in rows:
            for kind in look(previous[ids[row]], ""):
                columns[kind][row] = columns[kind][row] or f"{PREVIOUS} 0-0"
        return pa.table({kind: pa.array(each, pa.string()) for kind, each in columns.items()})

    def _actions(self) -> dict[str, Action]:
        """Return the actions by kind, without those that are ignored."""
        every = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: action for kind, action in every.items() if action != "ignore"}

    @property
    def _options(self) -> Options:
        return Options(self.placeholders == "find", self.local_ips == "find", self.regions)

    @property
    def _analyzer(self) -> Analyzer:
        return Analyzer.installed(self.language_model, self.language, self.min_confidence)


def _columns(corpus: Corpus, kind: str) -> list[pa.Array]:
    """Return the columns that say where rows hold personal data of a kind."""
    table = "personal_data" if kind in PATTERN_KINDS else "personal_names"
    return [corpus.column(f"{name}.{kind}") for name in (table, _BESIDE)]


def _found(corpus: Corpus, kind: str) -> npt.NDArray[np.bool_]:
    """Return [rows] true for those that hold personal data of a kind."""
    valid = [pc.is_valid(each).to_numpy(zero_copy_only=False) for each in _columns(corpus, kind)]
    found: npt.NDArray[np.bool_] = np.logical_or.reduce(valid)
    return found
