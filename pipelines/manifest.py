"""What each finished folder of a run says about itself, and the summary of the whole run."""

from typing import Any

from siftline.contracts.config import Config
from siftline.contracts.records import FileState
from siftline.pipelines.ingestion.ingest import IngestSummary
from siftline.pipelines.ingestion.remarks import remarks

PAGE = "report.html"  # beside what is stated here: made of it, and made again when it is missing


class IngestManifest(Config):
    """What ingestion has read.

    Attributes:
        summary: Rows, examples and quarantined rows by source.
        seconds: Wall time.
        files: What the files of its folder are; stated in that folder only.
    """

    summary: IngestSummary
    seconds: float
    files: dict[str, FileState] = {}

    @property
    def remarks(self) -> list[str]:
        """Sentences about what was done to the rows as they were read."""
        return remarks(self.summary)

    @property
    def warnings(self) -> list[str]:
        """Sentences about columns that a prompt may need and does not hold, by source."""
        sources = self.summary.sources.items()
        return [f"{name}: {each}." for name, source in sources for each in source.warnings]


class SourceCount(Config):
    """Rows of one source that reached a stage, and those it kept, each by reason."""

    rows: int
    kept: int
    reasons_kept: dict[str, int] = {}
    reasons_dropped: dict[str, int] = {}


class StageManifest(Config):
    """What one stage has decided, and what it has cost in the process that finished it.

    Attributes:
        folder: Name of its folder, such as `03-grape`.
        kind: Of the method.
        rows: Examples that reached it.
        kept: Examples that it kept.
        revised: Examples that got a new response.
        masked: Examples whose personal data was replaced.
        reasons_kept: Kept examples by reason.
        reasons_dropped: Dropped examples by reason.
        sources: Counts by source.
        scored: Scores computed.
        cached: Scores taken from the cache.
        model_calls: Forward passes.
        tokens: Tokens through models, padding not counted.
        seconds: Wall time.
        statuses: Rows by status of each score table that was asked for, if it has statuses.
        warnings: Sentences that the terminal and the report show: of statuses, and the method's.
        models: How each model was run, for as much as was scored in the process that finished it.
        diagnosis: What the method says of its own work, for the report.
        pictures: What the report draws of it (:mod:`siftline.reports.pictures`).
        files: What the files of its folder are; stated in that folder only.
    """

    folder: str
    kind: str
    rows: int
    kept: int
    revised: int
    masked: int = 0
    reasons_kept: dict[str, int]
    reasons_dropped: dict[str, int]
    sources: dict[str, SourceCount]
    scored: int
    cached: int
    model_calls: int
    tokens: int
    seconds: float
    statuses: dict[str, dict[str, int]] = {}
    warnings: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    diagnosis: dict[str, Any] = {}
    pictures: dict[str, Any] = {}
    files: dict[str, FileState] = {}


class ExportManifest(Config):
    """What has been written for training.

    Attributes:
        format: Of the files, as the recipe names it.
        reasoning: `inline` where thoughts were written into the contents.
        files: The files, relative to the folder of the dataset.
        digest: Of the files' bytes.
        rows: Rows in them.
        examples: Examples in them: a row that is written several times counts once.
        splits: Rows by split, in the order of training.
        turn_fields: Fields of turns, beside role and content, that some row has.
        tools: Some row offers tools.
        json_fields: What is written as JSON, since it differs in shape from row to row.
        media: What some row has of images, sounds and files: `parts` of contents, and columns.
        revised: Some row has another response than was read, and that is beside it.
        masked: Rows whose personal data was replaced.
        repeated: Some row is written several times.
        languages: Rows by language, where a stage has told it; `not stated` has those without one.
        seconds: Wall time.
    """

    format: str
    reasoning: str = "field"
    files: tuple[str, ...]
    digest: str
    rows: int
    examples: int
    splits: dict[str, int]
    turn_fields: tuple[str, ...] = ()
    tools: bool = False
    json_fields: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    revised: bool = False
    masked: int = 0
    repeated: bool = False
    languages: dict[str, int] = {}
    seconds: float


class Summary(Config):
    """The report of a run, `report.json`.

    Attributes:
        recipe: Its name.
        version: Such as `v0001`.
        siftline: Version of this package.
        ingest: What has been read.
        stages: What each stage has decided.
        export: What has been written.
        models: Fingerprint of each model in use, by role, and of each file that a stage reads.
        model_calls: Forward passes of all stages, and of the score that orders the dataset.
        tokens: Tokens through models, likewise.
        scored: Scores computed, likewise.
        cached: Scores taken from the cache.
        files: What all files of the version are but this one and the page, by their path in it.
    """

    recipe: str
    version: str
    siftline: str
    ingest: IngestManifest
    stages: tuple[StageManifest, ...]
    export: ExportManifest
    models: dict[str, dict[str, Any]]
    model_calls: int
    tokens: int
    scored: int
    cached: int
    files: dict[str, FileState] = {}
