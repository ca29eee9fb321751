"""The formats of a dataset by name, and what their files are called."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from siftline.pipelines.output.formats.openai import openai_row
from siftline.pipelines.output.formats.sharegpt import sharegpt_row
from siftline.pipelines.output.formats.single_turn import alpaca_row, prompt_completion_row

FormatName = Literal["messages", "openai", "sharegpt", "alpaca", "prompt_completion"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)

# What a line of a format's file holds of an example; `messages` is Parquet.
LINES: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "openai": openai_row,
    "sharegpt": sharegpt_row,
    "alpaca": alpaca_row,
    "prompt_completion": prompt_completion_row,
}


def suffix_of(name: str) -> str:
    """Return the suffix of a format's files, with its dot."""
    return ".jsonl" if name in LINES else ".parquet"
