"""Plain rows in columns: parsed by Arrow, and made into examples without a Python object each.

What comes out is what `shapes` and `contracts/examples` make of the same rows. Arrow's parser
takes some texts for JSON that are none, and the reverse; a block in which that may matter, or whose
rows are not those of the plan, is halved until few rows are left, and these are read one by one. So
is each row that the plan says nothing about, such as one whose prompt is blank.
"""

import functools
import json
import re
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from siftline.contracts.column_hashes import escaped, has_numbered, plain_hashes
from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.examples import MESSAGES, TURN
from siftline.pipelines.ingestion.blocks import Raws
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.plain_columns import Plan
from siftline.pipelines.ingestion.single_turns import NO_INPUT
from siftline.pipelines.ingestion.values import MISSING

Mask: TypeAlias = npt.NDArray[np.bool_]

_FEWEST_ROWS = 64  # of a block that is not halved any more
# A null between rows ends the process in Arrow 26.
_NULL_BETWEEN = re.compile(rb"\}\s*+null")
_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))  # all that Python takes for such
# Of a prompt that is neither blank nor the JSON of turns; what is more unusual is looked at alone.
_BEGINNING = rf"^[ \t\r\n]*[^\[{_SPACE}]"
_EDGE = re.escape("<>[](){}\\. \t\r\n")  # of what `bare` strips
_NO_PASSAGE = rf"(?i)^[{_EDGE}]*({'|'.join(sorted(NO_INPUT))})[{_EDGE}]*$"


class PlainRows(NamedTuple):
    """Rows that became examples.

    Attributes:
        examples: As `EXAMPLES`, with the ids that they want.
        sizes: [rows] Bytes of each one's texts.
        rest: [rows] The texts of each column that is metadata.
        has_passage: [rows] A passage stands behind the prompt.
    """

    examples: pa.Table
    sizes: npt.NDArray[np.int64]
    rest: dict[str, pa.Array]
    has_passage: Mask

    def part(self, start: int, stop: int) -> "PlainRows":
        """Return some of the rows that follow one another."""
        length = stop - start
        return PlainRows(
            self.examples.slice(start, length),
            self.sizes[start:stop],
            {name: texts.slice(start, length) for name, texts in self.rest.items()},
            self.has_passage[start:stop],
        )


class Part(NamedTuple):
    """Rows of a block that follow one another.

    Attributes:
        start: The first of them, counted from 0.
        stop: The row after the last.
        rows: Those that are plain; None where no row is.
        is_plain: [stop - start] Which these are.
    """

    start: int
    stop: int
    rows: PlainRows | None
    is_plain: Mask


class Place(NamedTuple):
    """Where a block is: the input, the name of the file, and the number of its first row."""

    item: Input
    file: str
    number: int


def read_plain(block: Raws, plan: Plan, place: Place) -> list[Part]:
    """Read what is plain in a block.

    Returns:
        Parts in order that hold all rows.
    """
    return _parts(block, 0, len(block.raws), plan, place)


def _parts(block: Raws, start: int, stop: int, plan: Plan, place: Place) -> list[Part]:
    table = _parsed(block.raws[start:stop], block.limit, plan.schema)
    if table is not None:
        first = place._replace(number=place.number + start)
        return [Part(start, stop, *_examples(table, plan, first))]
    if stop - start <= _FEWEST_ROWS:
        return [Part(start, stop, None, np.zeros(stop - start, dtype=bool))]
    middle = (start + stop) // 2
    return [
        *_parts(block, start, middle, plan, place),
        *_parts(block, middle, stop, plan, place),
    ]


def _parsed(raws: list[bytes], limit: int, schema: pa.Schema) -> pa.Table | None:
    """Return rows as Arrow parses them; None where Python might not agree."""
    data = b"\n".join(raws)
    if not _is_safe(raws, data, limit):
        return None
    try:
        table = pj.read_json(
            pa.BufferReader(data),
            pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
            pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        ).combine_chunks()
    except pa.ArrowInvalid:
        return None
    return table if len(table) == len(raws) else None


def _is_safe(raws: list[bytes], data: bytes, limit: int) -> bool:
    """Return whether each text is an object or several, and no control character is in any."""
    if max(map(len, raws)) > limit or not all(raw[0] == 123 and raw[-1] == 125 for raw in raws):
        return False
    controls = np.count_nonzero(np.frombuffer(data, np.uint8) < 32)
    if controls != len(raws) - 1 or _NULL_BETWEEN.search(data):
        return False
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _examples(table: pa.Table, plan: Plan, place: Place) -> tuple[PlainRows, Mask]:
    """Return the examples of plain rows, and which rows these are."""
    columns = {name: _column(table, name, plan) for name in table.column_names}
    has_passage, odd = _looked_at(columns, plan)
    plain = ~odd
    columns = {name: column.filter(pa.array(plain)) for name, column in columns.items()}
    has_passage = has_passage[plain]
    numbers = pa.array(np.flatnonzero(plain) + place.number)
    prompts = _prompts(columns, plan, has_passage)
    responses = columns[plan.response]
    content, asked = plain_hashes(prompts, responses)
    item, rows = place.item, len(numbers)
    task = _told(item.task, plan.tasks, columns, rows)
    origin = _told(item.origin, plan.origins, columns, rows)
    metadata = _metadata(columns, plan, rows)
    ids = columns["id"] if plan.takes_id else None
    wanted = content if ids is None else pc.if_else(_is_filled(ids), ids, content)
    nothing = pa.nulls(rows, pa.string())
    examples = {
        "id": wanted,
        "content_hash": content,
        "prompt_id": asked,
        "messages": _messages(prompts, responses),
        "tools": nothing,
        "media": nothing,
        "source": pa.repeat(pa.scalar(item.source), rows),
        "task": task,
        "origin": origin,
        "metadata": metadata,
        "file": pa.repeat(pa.scalar(place.file), rows),
        "row": numbers,
    }
    sizes = sum(
        pc.binary_length(texts).to_numpy().astype(np.int64)
        for texts in (prompts, responses, metadata)
    )
    rest = {name: columns[name] for name in plan.rest if pa.types.is_string(columns[name].type)}
    made = pa.Table.from_arrays([examples[name] for name in EXAMPLES.names], schema=EXAMPLES)
    return PlainRows(made, np.asarray(sizes), rest, has_passage), plain


def _column(table: pa.Table, name: str, plan: Plan) -> pa.Array:
    """Return a column in one piece, of texts where it is of ids or has held nothing so far."""
    chunks = table[name].chunks
    column = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
    is_told = pa.types.is_null(column.type) or (plan.takes_id and name == "id")
    return column.cast(pa.string()) if is_told else column


def _looked_at(columns: dict[str, pa.Array], plan: Plan) -> tuple[Mask, Mask]:
    """Return [rows] which have a passage, and which are to be read one by one."""
    prompt, response = columns[plan.prompt], columns[plan.response]
    odd = _true(pc.is_null(response)) | ~_true(pc.match_substring_regex(prompt, _BEGINNING))
    has_passage = np.zeros(len(odd), dtype=bool)
    if plan.passage is not None:
        passage = columns[plan.passage]
        has_passage = has_content(passage)
        odd |= _true(pc.is_in(passage, value_set=pa.array(sorted(MISSING))))
        odd |= _true(pc.match_substring_regex(passage, _NO_PASSAGE))
    for column in columns.values():
        if pa.types.is_string(column.type):
            odd |= _true(has_numbered(column))
    return has_passage, odd


def _true(mask: pa.Array) -> Mask:
    """Return a mask of Arrow's, false where it is null."""
    true: Mask = mask.fill_null(False).to_numpy(zero_copy_only=False)
    return true


def has_content(texts: pa.Array) -> Mask:
    """Return [rows] whether there is a text that is not blank."""
    return _true(pc.greater(pc.binary_length(pc.utf8_ltrim(texts, _SPACE)), 0))


def _is_filled(texts: pa.Array) -> pa.Array:
    return pc.greater(pc.binary_length(texts), 0).fill_null(False)


def _prompts(columns: dict[str, pa.Array], plan: Plan, has_passage: Mask) -> pa.Array:
    """Return what the user says: the prompt, and behind it the passage."""
    prompts = columns[plan.prompt]
    if plan.passage is None or not has_passage.any():
        return prompts
    both = pc.binary_join_element_wise(prompts, columns[plan.passage], "\n\n")
    return pc.if_else(pa.array(has_passage), both, prompts)


def _messages(prompts: pa.Array, responses: pa.Array) -> pa.Array:
    """Return conversations of two turns."""
    rows = len(prompts)
    order = np.arange(2 * rows).reshape(2, rows).T.ravel()
    contents = pa.concat_arrays([prompts, responses]).take(pa.array(order))
    turns = pa.StructArray.from_arrays(
        [_roles(rows), contents, *(pa.nulls(2 * rows, field.type) for field in list(TURN)[2:])],
        fields=list(TURN),
    )
    return pa.ListArray.from_arrays(
        pa.array(np.arange(0, 2 * rows + 1, 2, dtype=np.int32)), turns
    ).cast(MESSAGES)


def _roles(rows: int) -> pa.Array:
    return pa.array(["user", "assistant"]).take(pa.array(np.tile([0, 1], rows)))


def _metadata(columns: dict[str, pa.Array], plan: Plan, rows: int) -> pa.Array:
    """Return the JSON of the columns left over, without those that hold nothing."""
    members = []
    for name in plan.rest:
        column = columns[name]
        is_text = pa.types.is_string(column.type)
        written = escaped(column) if is_text else column.cast(pa.string())
        quote = '"' if is_text else ""
        before, after = pa.scalar(f", {_key(name)}: {quote}"), pa.scalar(quote)
        member = pc.binary_join_element_wise(before, written, after, "")
        members.append(member.fill_null(""))  # Arrow 26 loses rows in which it skips all
    if not members:
        return pa.repeat(pa.scalar("{}"), rows)
    inside = pc.binary_join_element_wise(*members, "")
    opened = pc.binary_replace_slice(inside, 0, len(", "), "{")
    return pc.binary_join_element_wise(opened, pa.scalar("}"), "")


@functools.lru_cache(maxsize=256)
def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _told(
    stated: str | None, names: tuple[str, ...], columns: dict[str, pa.Array], rows: int
) -> pa.Array:
    """Return what the recipe states of all rows, or take what the first filled column says."""
    told = pa.repeat(pa.scalar(stated or None, pa.string()), rows)
    for name in names:
        texts = columns[name]
        taken = pc.and_(pa.array(has_content(texts)), pc.is_null(told))
        told = pc.if_else(taken, texts, told)
        columns[name] = pc.if_else(taken, pa.scalar(None, pa.string()), texts)
    return told
