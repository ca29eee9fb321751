"""The formats of a dataset by name, and what their files are called."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from siftline.contracts.config import Config
from siftline.pipelines.output.formats.openai import openai_row
from siftline.pipelines.output.formats.sharegpt import sharegpt_row
from siftline.pipelines.output.formats.single_turn import alpaca_row, prompt_completion_row

FormatName = Literal["messages", "openai", "sharegpt", "alpaca", "prompt_completion"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)
ReasoningPlace = Literal["field", "inline"]


class Layout(Config):
    """What the rows of a dataset look like.

    Attributes:
        format: `messages` (Parquet, with everything), `openai`, `sharegpt`, `alpaca` or
            `prompt_completion` (JSON lines).
        reasoning: Where the thought of a turn stands in `messages` and `openai`: in a `field` of
            its own, which the chat template must know, or `inline`: in the content, in a block
            `<think>`. In the other formats it always is in the content.
    """

    format: FormatName = "messages"
    reasoning: ReasoningPlace = "field"


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
