"""What the dataset card says of the columns, and of who can read them."""

from siftline.contracts.examples import PARTS
from siftline.pipelines.manifest import ExportManifest

_FIELDS = {
    "reasoning": "`reasoning_content` (its thought)",
    "tool_calls": "`tool_calls` (arguments are objects)",
    "tool_call_id": "`tool_call_id` (which call a result answers)",
    "name": "`name` (of the tool, or the speaker)",
    "weight": "`weight` (0: not to be trained on) and `loss` (the same, for ms-swift)",
}
_LINES = {
    "openai": "`messages` as OpenAI's fine-tuning takes them: arguments of calls are JSON texts. "
    "`tools` where a row offers any. Fields that a turn does not have are left out. `datasets` "
    "before 4.8 gives each tool the keys of all others, as nulls: read the lines as JSON.",
    "sharegpt": "`conversations` (`from`, `value`), `system` and `tools` (JSON text) as "
    "LLaMA-Factory reads them. Calls are turns of `function_call`; a thought stands before the "
    "text or the call, in a block `<think>`.",
    "alpaca": "`instruction`, `input` (empty), `output`, `system`. A thought stands before the "
    "output, in a block `<think>`.",
    "prompt_completion": "`prompt` and `completion`, texts without any template. A thought stands "
    "before the completion, in a block `<think>`.",
}
_JSON = (
    "JSON: {what}. `datasets` from 4.7 on reads objects, pandas and polars read texts of JSON. "
    "An older `datasets` cannot open the files; the format `openai` or `sharegpt` can be read "
    "without it."
)


def column_lines(export: ExportManifest) -> list[str]:
    """Return what a card says of the columns.

    Args:
        export: What was written.
    """
    if export.format in _LINES:
        return [_LINES[export.format], *_masked(export.masked)]
    content = "`content`, a list of parts" if PARTS in export.media else "`content`"
    fields = [_FIELDS[name] for name in export.turn_fields]
    lines = [f"- `messages`: turns with `role` and {content}."]
    if fields:
        lines.append(f"  Where a turn has them: {', '.join(fields)}.")
    lines += ["- `tools`: what the conversation may call."] if export.tools else []
    lines += [
        "- `id`; `prompt_id`, equal for responses to one prompt; `source`, `task`; `origin`, who",
        "  wrote the response; `file` and `row` of the input; `metadata`, JSON of other columns.",
    ]
    if export.languages:
        lines.append("- `language` of the response; null where nobody is certain.")
    columns = [name for name in export.media if name != PARTS]
    if columns:
        named = ", ".join(f"`{name}`" for name in columns)
        lines.append(
            f"- {named}: as the input had them. Some trainers want them for models of images."
        )
    if export.revised:
        lines.append("- `original_response` is what was read, where there is another response now.")
    lines += [f"- {each}" for each in _masked(export.masked)]
    if export.repeated:
        lines.append("- `repeat` is 0 where a row stands for the first time, then 1, 2 and so on.")
    if export.json_fields:
        what = ", ".join(f"`{name}`" for name in export.json_fields)
        lines += ["", _JSON.format(what=what)]
    return lines


def _masked(rows: int) -> list[str]:
    there = "row has" if rows == 1 else "rows have"
    return [f"{rows} {there} marks in the place of personal data."] if rows else []
