"""`messages`: Parquet whose turns hold everything, as `datasets` and the trainers read them.

What differs in shape from row to row (the calls of a turn, the tools, the parts of a content with
images) is of Arrow's type `arrow.json`, which `datasets` reads as its `Json` feature: a trainer
sees objects, with their own keys and nulls and no others. As Arrow structs, the arguments of one
tool would appear as nulls in every other. A set without such things has plain types only.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.examples import PARTS, TURN, tools_of
from siftline.pipelines.output.formats.json_texts import dumped, json_for_datasets
from siftline.pipelines.output.survey import Survey

_PROVENANCE = ("id", "prompt_id", "source", "task", "origin", "file", "row", "metadata")
_ORIGINAL = "original_response"
_REPEAT = "repeat"
_LANGUAGE = "language"
_LOSS = "loss"  # what ms-swift reads of a weight
_JSON = pa.json_(pa.string())
_JSONS = pa.list_(_JSON)
_MEDIA = {"text": pa.string(), "texts": pa.list_(pa.string()), "json": _JSON}
_NAMES = {"reasoning": "reasoning_content"}  # as the chat templates of models call it
_READ = {new: old for old, new in _NAMES.items()}

Ints = npt.NDArray[np.int64]


def messages_schema(found: Survey, *, revised: bool, repeated: bool) -> pa.Schema:
    """Return the columns of a dataset.

    Args:
        found: What its rows hold.
        revised: Some row has another response than was read.
        repeated: Some row is written several times.
    """
    columns: list[tuple[str, Any]] = [("messages", pa.list_(_turn_type(found)))]
    columns += [("tools", _JSONS)] if found.tools else []
    columns += [(name, _MEDIA[kind]) for name, kind in found.media.items()]
    columns += [(_ORIGINAL, pa.string())] if revised else []
    columns += [(_REPEAT, pa.int32())] if repeated else []
    columns += [(_LANGUAGE, pa.string())] if found.language else []
    columns += [(name, pa.int64() if name == "row" else pa.string()) for name in _PROVENANCE]
    return pa.schema(columns)


def messages_table(
    rows: pa.Table, schema: pa.Schema, previous: Mapping[str, str], repeat: Ints
) -> pa.Table:
    """Turn examples into rows of the dataset.

    Args:
        rows: Examples, with their language if a stage has told it.
        schema: Of the dataset, of :func:`messages_schema`.
        previous: The response that was read, by id, where it is another one now.
        repeat: [rows] How often the row was written before.
    """
    media = [json.loads(text) if text else {} for text in rows["media"].to_pylist()]
    columns: dict[str, Any] = {}
    for field in schema:
        name = field.name
        if name == "messages":
            columns[name] = _messages(rows[name], field.type, media)
        elif name == "tools":
            offered = [_tools(text) for text in rows[name].to_pylist()]
            columns[name] = _json_lists(offered, str)
        elif name == _ORIGINAL:
            columns[name] = [previous.get(row_id) for row_id in rows["id"].to_pylist()]
        elif name == _REPEAT:
            columns[name] = pa.array(repeat, pa.int32())
        elif name in rows.column_names:
            columns[name] = rows[name]
        else:
            columns[name] = _media_column(field.type, [each.get(name) for each in media])
    return pa.table(columns, schema=schema)


def _turn_type(found: Survey) -> pa.StructType:
    content = _JSONS if found.parts else pa.string()
    fields: list[tuple[str, Any]] = [("role", pa.string()), ("content", content)]
    for name in found.turn_fields:
        kind = _JSONS if name == "tool_calls" else TURN.field(name).type
        fields.append((_NAMES.get(name, name), kind))
    fields += [(_LOSS, pa.bool_())] if "weight" in found.turn_fields else []
    return pa.struct(fields)


def _messages(column: pa.ChunkedArray, kind: pa.ListType, media: Sequence[Any]) -> pa.ListArray:
    """Return the turns of all rows, with the fields of a type only."""
    combined = column.combine_chunks()
    lists = combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
    turns = pc.list_flatten(lists)
    ends = np.cumsum(pc.fill_null(pc.list_value_length(lists), 0).to_numpy())
    fields = list(kind.value_type)
    arrays = [_field(turns, field, ends, media) for field in fields]
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(arrays, fields=fields))


def _field(turns: pa.StructArray, field: pa.Field, ends: Ints, media: Sequence[Any]) -> pa.Array:
    """Return [turns] one field of the turns."""
    if field.name == _LOSS:
        return pc.not_equal(pc.struct_field(turns, "weight"), 0)
    values = pc.struct_field(turns, _READ.get(field.name, field.name))
    if field.name == "tool_calls":
        calls = [json.loads(text) if text else None for text in values.to_pylist()]
        return _json_lists(calls, _called)
    if field.type == _JSONS:
        return _json_lists(_in_parts(turns, ends, media), _readable)
    return values


def _in_parts(turns: pa.StructArray, ends: Ints, media: Sequence[Any]) -> list[list[Any]]:
    """Return [turns] each content as a list of parts; a text is one of them.

    A turn that calls and says nothing has none, since templates ask whether it says something.
    """
    contents = pc.struct_field(turns, "content").to_pylist()
    calling = pc.struct_field(turns, "tool_calls").is_valid().to_pylist()
    parts = [
        [{"type": "text", "text": text}] if text or not calls else []
        for text, calls in zip(contents, calling, strict=True)
    ]
    for row, held in enumerate(media):
        start = int(ends[row - 1]) if row else 0
        for turn, given in held.get(PARTS, {}).items():
            parts[start + int(turn)] = given
    return parts


@functools.lru_cache(maxsize=256)  # rows of one source often offer the same
def _tools(text: str | None) -> list[str] | None:
    """Return the JSON of each tool."""
    if not text:
        return None
    return [_readable(tool) for tool in tools_of(text)]


def _media_column(kind: pa.DataType, values: list[Any]) -> pa.Array:
    if kind != _JSON:
        return pa.array(values, kind)
    texts = [None if value is None else _readable(value) for value in values]
    return pa.ExtensionArray.from_storage(_JSON, pa.array(texts, pa.string()))


def _json_lists(lists: Sequence[list[Any] | None], write: Callable[[Any], str]) -> pa.ListArray:
    """Return lists of JSON, null where a list is."""
    texts = [write(each) for held in lists for each in held or ()]
    ends = np.cumsum([len(held or ()) for held in lists], dtype=np.int32)
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32), pa.int32())
    values = pa.ExtensionArray.from_storage(_JSON, pa.array(texts, pa.string()))
    null = pa.array([held is None for held in lists], pa.bool_())
    return pa.ListArray.from_arrays(offsets, values, mask=null)


def _called(call: dict[str, Any]) -> str:
    """Return the JSON of a call; arguments that `datasets` could not read are a text in it."""
    text = json_for_datasets(call)
    if text is not None:
        return text
    function = call["function"]
    return dumped({**call, "function": {**function, "arguments": dumped(function["arguments"])}})


def _readable(value: Any) -> str:
    """Return the JSON of a value; one that `datasets` could not read is a text."""
    return json_for_datasets(value) or dumped(dumped(value))
