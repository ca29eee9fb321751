"""The rows of an earlier dataset: prompts and responses, from Parquet or JSON lines.

It may be the folder of a curated dataset, a folder of Parquet files, or one file. Its rows are read
by their columns: `messages` or `conversations`, `prompt` and `completion` or `response`, or
`instruction`, `input` and `output`. A row with images, sounds or videos is left out: how siftline
would have kept them is not known any more, so that no row could be held to be like it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from siftline.contracts.errors import InputError
from siftline.contracts.examples import MESSAGES, TURN
from siftline.contracts.parquet import dataset_files

EXPECTED = (
    "'messages' or 'conversations', 'prompt' and 'completion' or 'response', or 'instruction' and "
    "'output'"
)
SCHEMA = pa.schema(
    [("name", pa.string()), ("messages", MESSAGES), ("tools", pa.string()), ("media", pa.string())]
)
ROWS_AT_ONCE = 4096

_MEDIA = ("image", "images", "audio", "audios", "video", "videos")
_NAMES = {"reasoning": ("reasoning", "reasoning_content"), "content": ("content", "value")}


class _UnlikeError(ValueError):
    """A row is not of the expected form."""


class EarlierFile(NamedTuple):
    """A file of an earlier dataset.

    Attributes:
        path: Where it lies.
        name: As the recipe names it, and in a folder its own name behind.
    """

    path: Path
    name: str


def earlier_files(base: Path, named: str) -> list[EarlierFile]:
    """Return the files of a dataset, as :func:`siftline.contracts.parquet.dataset_files`.

    Args:
        base: What the name is relative to.
        named: As the recipe has it.
    """
    path = base / named
    if not path.is_dir():
        return [EarlierFile(path, named)]
    return [EarlierFile(each, f"{named}/{each.name}") for each in dataset_files(path)]


def read_earlier(file: EarlierFile) -> Iterator[pa.Table]:
    """Yield the rows of a file, some thousands at once, in its order.

    Returns:
        Tables with the columns of :data:`SCHEMA`; `name` is the file's with the row's id or number.

    Raises:
        InputError: It cannot be read, or a row has none of the expected columns.
    """
    batch: list[dict[str, Any]] = []
    for number, record in enumerate(_records(file), start=1):
        try:
            row = _row(record)
        except _UnlikeError as error:
            raise InputError(
                f"'{file.name}', row {number}: {error}. Expected {EXPECTED}, as texts or turns."
            ) from error
        if row is not None:
            own = record.get("id")
            batch.append({"name": f"{file.name}#{number if own is None else own}", **row})
        if len(batch) == ROWS_AT_ONCE:
            yield pa.Table.from_pylist(batch, schema=SCHEMA)
            batch = []
    yield pa.Table.from_pylist(batch, schema=SCHEMA)


def _records(file: EarlierFile) -> Iterable[Mapping[str, Any]]:
    try:
        if file.path.suffix.lower() == ".parquet":
            for batch in pq.ParquetFile(file.path).iter_batches(ROWS_AT_ONCE):
                yield from batch.to_pylist()
        else:
            yield from _json_lines(file)
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        told = str(error).rstrip(".")
        raise InputError(
            f"'{file.name}' cannot be read: {told}. Expected Parquet, or JSON lines "
            "in UTF-8; replace it, or take it out of 'against'."
        ) from error


def _json_lines(file: EarlierFile) -> Iterator[Mapping[str, Any]]:
    with file.path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"'{file.name}', line {number} is no JSON: {error}. Expected one object a line."
                ) from error
            if not isinstance(record, dict):
                raise InputError(f"'{file.name}', line {number} is no object; expected one a line.")
            yield record


def _row(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what is compared of a row; None for one that holds more than texts."""
    turns = [_turn(turn) for turn in _turns(record)]
    if not turns:
        raise _UnlikeError("it has no turn")
    if any(record.get(name) for name in _MEDIA) or None in turns:
        return None
    return {"messages": turns, "tools": _json_list(record.get("tools")), "media": None}


def _turns(record: Mapping[str, Any]) -> list[Any]:
    for name in ("messages", "conversations"):
        if isinstance(record.get(name), list):
            return list(record[name])
    answers = (record.get(name) for name in ("completion", "response", "output"))
    answer = next((text for text in answers if text is not None), None)
    if record.get("prompt") is not None and answer is not None:
        return [*_as_turns(record["prompt"]), *_as_turns(answer)]
    if record.get("instruction") is not None and answer is not None:
        asked = "\n\n".join(t for t in (record["instruction"], record.get("input")) if t)
        system = record.get("system")
        return [*(_as_turns(system) if system else []), *_as_turns(asked), *_as_turns(answer)]
    raise _UnlikeError(f"it has the columns {', '.join(map(str, record))}")


def _as_turns(said: Any) -> list[Any]:
    return list(said) if isinstance(said, list) else [{"content": said}]


def _turn(turn: Any) -> dict[str, Any] | None:
    """Return a turn; None where a part of it is no text."""
    if not isinstance(turn, dict):
        raise _UnlikeError("a turn is no object")
    held: dict[str, Any] = {}
    for field in TURN.names:
        names = _NAMES.get(field, (field,))
        held[field] = next((turn[name] for name in names if turn.get(name) is not None), None)
    content = held["content"] or ""
    if isinstance(content, list):
        parts = _parts(content)
        if any(not isinstance(part, dict) or "text" not in part for part in parts):
            return None
        content = "".join(str(part["text"]) for part in parts)
    if not isinstance(content, str):
        raise _UnlikeError("the content of a turn is no text")
    held |= {"content": content, "tool_calls": _json_list(held["tool_calls"])}
    return {**held, "role": str(turn.get("role") or turn.get("from"))}


def _parts(content: list[Any]) -> list[Any]:
    try:
        return [json.loads(part) if isinstance(part, str) else part for part in content]
    except ValueError as error:
        raise _UnlikeError("a part of a turn is no text") from error


def _json_list(value: Any) -> str | None:
    """Return a list as JSON; its elements may be JSON by themselves, and so may the whole."""
    if not value:
        return None
    if isinstance(value, str):
        return value
    return json.dumps([json.loads(each) if isinstance(each, str) else each for each in value])
