"""The files of a dataset, in the format that is wanted.

They lie in a folder of their own, `data`, beside the card: pandas, Arrow and polars take every file
of a folder that they are given for Parquet.
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts import progress
from siftline.contracts.corpus import Corpus
from siftline.contracts.parquet import write_table
from siftline.contracts.records import states_of
from siftline.pipelines.output.formats.fitting import MisfitError, refusal
from siftline.pipelines.output.formats.json_texts import dumped
from siftline.pipelines.output.formats.known import LINES, Layout, suffix_of
from siftline.pipelines.output.formats.messages import messages_schema, messages_table
from siftline.pipelines.output.gathering import gathered, pieces, with_thoughts_inside
from siftline.pipelines.output.splits import Split
from siftline.pipelines.output.survey import Survey, survey

DATA = "data"  # the folder of the data, and of nothing else


class Written(NamedTuple):
    """What a dataset has become.

    Attributes:
        files: By split, their paths in the folder of the dataset.
        digest: Of the files' bytes.
        found: What the rows hold.
        revised: Some row has another response than was read, and that is beside it.
        masked: Rows whose personal data was replaced.
        repeated: Some row is written several times.
    """

    files: dict[str, list[str]]
    digest: str
    found: Survey
    revised: bool
    masked: int
    repeated: bool


def write_dataset(corpus: Corpus, splits: list[Split], layout: Layout, folder: Path) -> Written:
    """Write some rows.

    Args:
        corpus: Whose rows.
        splits: Which, and in which order.
        layout: What the rows look like.
        folder: Of the dataset; what was written there is useless when this raises.

    Raises:
        RunError: The format cannot hold a row; they are counted.
    """
    (folder / DATA).mkdir(parents=True)
    found = survey(corpus)
    if layout.reasoning == "inline":
        fields = tuple(each for each in found.turn_fields if each != "reasoning")
        found = found._replace(turn_fields=fields)
    progress.start("export", sum(len(split.rows) for split in splits))
    write = _write_lines if layout.format in LINES else _write_parquet
    files = write(corpus, splits, layout, found, folder)
    progress.finish()
    digest = _digest(folder)
    revised, repeated = bool(_previous(corpus)), _any_repeated(splits)
    return Written(files, digest, found, revised, _count_masked(corpus), repeated)


def _write_parquet(
    corpus: Corpus, splits: list[Split], layout: Layout, found: Survey, folder: Path
) -> dict[str, list[str]]:
    previous = _previous(corpus)
    schema = messages_schema(found, revised=bool(previous), repeated=_any_repeated(splits))
    files: dict[str, list[str]] = {}
    for split in splits:
        parts = pieces(split, found)
        names = [
            f"{DATA}/{split.name}-{n:05d}-of-{len(parts):05d}.parquet" for n in range(len(parts))
        ]
        for path, part in zip(names, parts, strict=True):
            # Not named, so that it is gone before the next one is gathered.
            write_table(
                messages_table(_read(corpus, part, layout), schema, previous, part.repeat),
                folder / path,
            )
            progress.advance(len(part.rows))
        files[split.name] = names
    return files


def _read(corpus: Corpus, part: Split, layout: Layout) -> pa.Table:
    rows = gathered(corpus, part)
    return with_thoughts_inside(rows) if layout.reasoning == "inline" else rows


def _previous(corpus: Corpus) -> dict[str, str]:
    """Return the responses that were read, by id, of the rows that have another one now."""
    previous = corpus.previous_responses()
    ids = set(corpus.rows["id"].to_pylist()) if previous else set()
    return {row_id: text for row_id, text in previous.items() if row_id in ids}


def _count_masked(corpus: Corpus) -> int:
    masked = corpus.revised.filter(corpus.revised["masked"])["id"]
    return int(pc.sum(pc.is_in(corpus.rows["id"], value_set=masked)).as_py() or 0)


def _digest(folder: Path) -> str:
    """Return 16 hex digits for the names and the bytes of the files of a dataset."""
    states = states_of(folder)
    told = "\n".join(f"{name} {state.sha256}" for name, state in states.items())
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _any_repeated(splits: list[Split]) -> bool:
    return any(bool(split.repeat.any()) for split in splits)


def _write_lines(
    corpus: Corpus, splits: list[Split], layout: Layout, found: Survey, folder: Path
) -> dict[str, list[str]]:
    """Write one file a split."""
    files: dict[str, list[str]] = {}
    misfits: Counter[str] = Counter()
    for split in splits:
        path = f"{DATA}/{split.name}{suffix_of(layout.format)}"
        with (folder / path).open("w", encoding="utf-8", newline="\n") as file:
            for part in pieces(split, found):
                misfits += _write_part(corpus, part, layout, file)
                progress.advance(len(part.rows))
        files[split.name] = [path]
    if misfits:
        raise refusal(layout.format, misfits, sum(len(split.rows) for split in splits))
    return files


def _write_part(corpus: Corpus, part: Split, layout: Layout, file: IO[str]) -> Counter[str]:
    """Write the lines of some rows, and return how many of them have no place in the format."""
    misfits: Counter[str] = Counter()
    for row in _read(corpus, part, layout).to_pylist():
        try:
            file.write(dumped(LINES[layout.format](row)) + "\n")
        except MisfitError as misfit:
            misfits[misfit.slug] += 1
    return misfits
