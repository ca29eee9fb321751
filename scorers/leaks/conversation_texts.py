"""All texts of conversations in which a leak may stand, as one column."""

import json
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.scorers.flat_turns import flat_turns


class ConversationTexts(NamedTuple):
    """Texts of some conversations: contents and thoughts of all turns, and what calls pass on.

    Attributes:
        texts: [texts] Strings.
        rows: [texts] Number of the conversation of each, ascending.
    """

    texts: pa.Array
    rows: npt.NDArray[np.int64]


def conversation_texts(rows: pa.Table) -> ConversationTexts:
    """Return the texts of conversations.

    Args:
        rows: Of the examples' schema; only `messages` is read.
    """
    turns = flat_turns(rows)
    parts = [
        turns.select(["row", "content"]),
        *(
            turns.filter(pc.is_valid(turns[name])).select(["row", name])
            for name in ("reasoning", "tool_calls")
        ),
    ]
    called = parts[2]
    parts[2] = pa.table(
        {
            "row": called["row"],
            "tool_calls": pa.array(
                [_said_in(json.loads(text)) for text in called["tool_calls"].to_pylist()],
                pa.string(),
            ),
        }
    )
    number = np.concatenate([part["row"].to_numpy() for part in parts])
    texts = pa.chunked_array([chunk for part in parts for chunk in part[1].chunks], pa.string())
    order = np.argsort(number, kind="stable")
    ordered = texts.cast(pa.large_string()).combine_chunks().take(pa.array(order))
    return ConversationTexts(ordered, number[order])


def _said_in(value: Any) -> str:
    """Return all texts and numbers inside a value that was JSON, one a line, names left out."""
    if isinstance(value, dict):
        return "\n".join(_said_in(each) for each in value.values())
    if isinstance(value, list):
        return "\n".join(map(_said_in, value))
    return str(value)
