"""What the dataset card says of the columns, and of who can read them."""

from siftline.contracts.examples import PARTS
from siftline.pipelines.manifest import ExportManifest

_FIELDS = {
    "reasoning": "`reasoning_content`, the thought of a turn",
    "tool_calls": "`tool_calls`, whose arguments are objects",
    "tool_call_id": "`tool_call_id`, which call a result answers",
    "name": "`name`, of the tool or the speaker",
    "weight": "`weight`, 0 where the turn is not to be trained on",
}
_LINES = {
    "openai": "`messages` as OpenAI's fine-tuning takes them: arguments of calls are JSON texts. "
    "`tools` where a row offers any. Fields that a turn does not have are left out.",
    "sharegpt": "`conversations` (`from`, `value`), `system` and `tools` (JSON text) as "
    "LLaMA-Factory reads them. Calls are turns of `function_call`; a thought stands before the "
    "text or the call, in a block `<think>`.",
    "alpaca": "`instruction`, `input` (empty), `output`, `system`. A thought stands before the "
    "output, in a block `<think>`.",
    "prompt_completion": "`prompt` and `completion`, texts without any template. A thought stands "
    "before the completion, in a block `<think>`.",
}
_JSON = (
    "{what} JSON: `datasets` from 4.7 on reads objects, pandas and polars read texts of JSON. "
    "An older `datasets` cannot open the files; the format `openai` or `sharegpt` can be read "
    "without it."
)


def column_lines(export: ExportManifest) -> list[str]:
    """Return what a card says of the columns.

    Args:
        export: What was written.
    """
    if export.format in _LINES:
        return [_LINES[export.format]]
    fields = ["role", *(["`content` (a list of parts)"] if PARTS in export.media else ["content"])]
    fields += [_FIELDS[name] for name in export.turn_fields]
    lines = [
        f"`messages` ({', '.join(fields)}), `id`, `prompt_id` (equal for responses to one prompt),",
        "`source`, `task`, `origin` (who wrote the response), `file` and `row` of the input,",
        "`metadata` (JSON of the columns left over).",
    ]
    columns = [name for name in export.media if name != PARTS]
    if columns:
        lines.append(f"Of the input, as they were: {', '.join(f'`{name}`' for name in columns)}.")
    if export.revised:
        lines.append("`original_response` is what was read, where there is another response now.")
    if export.repeated:
        lines.append("`repeat` is 0 where a row stands for the first time, then 1, 2 and so on.")
    if json := _in_json(export):
        what = f"{', '.join(json)} {'are' if len(json) > 1 else 'is'}"
        lines += ["", _JSON.format(what=what)]
    return lines


def _in_json(export: ExportManifest) -> list[str]:
    """Return what differs in shape from row to row."""
    found = ["`tool_calls`"] if "tool_calls" in export.turn_fields else []
    found += ["`tools`"] if export.tools else []
    found += ["the parts of a content"] if PARTS in export.media else []
    return found
