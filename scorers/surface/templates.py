"""What chat templates and prompt formats leave behind in a response: their special marks.

A mark that begins with a letter or `#` counts at the beginning of a line; `<s>` and `</s>`, which
are HTML's too, where a text begins and ends; any other wherever it stands. None counts in code, or
where a turn before it speaks of it.
"""

from collections.abc import Sequence

from siftline.contracts.patterns import linear_pattern
from siftline.scorers.fault_places import quoted
from siftline.scorers.surface.check import Check, Turn, escaped, without_code

TEMPLATE_MARKS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|return|>",
    "<|channel|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<\uff5cUser\uff5c>",
    "<\uff5cAssistant\uff5c>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "<s>",
    "</s>",
    "### Response:",
    "### Instruction:",
    "### Input:",
    "### Human:",
    "### Assistant:",
    "### User:",
    "Human:",
    "Assistant:",
    "USER:",
    "ASSISTANT:",
    "GPT4 Correct Assistant:",
)
_WHOLE = {"<s>": r"\A\s*<s>", "</s>": r"</s>\s*\z"}


def template_leftover(marks: Sequence[str]) -> Check:
    """Return the search for some marks."""
    lines = [mark for mark in marks if mark[:1].isalpha() or mark.startswith("#")]
    inside = [mark for mark in marks if mark not in lines and mark not in _WHOLE]
    parts = [f"(?m:^[ \t]*(?:{escaped(lines)}))"] if lines else []
    parts += [escaped(inside)] if inside else []
    parts += [_WHOLE[mark] for mark in marks if mark in _WHOLE]
    either = "|".join(parts) or r"[^\s\S]"
    pattern = linear_pattern(either)

    def find(turn: Turn) -> str | None:
        spoken_of: dict[str, bool] = {}  # by mark, so that each is looked for once
        for match in pattern.finditer(without_code(turn.text)):
            mark = match.group().strip()
            if mark not in spoken_of:
                spoken_of[mark] = _is_spoken_of(mark, turn)
            if not spoken_of[mark]:
                return quoted(turn.text, *match.span())
        return None

    return Check(either, find, thoughts=True)


def _is_spoken_of(mark: str, turn: Turn) -> bool:
    """Return whether a turn before has a mark, or, of a role such as `Human:`, its word."""
    word = mark.rstrip(":") if mark[:1].isalpha() else mark
    return any(word.casefold() in message["content"].casefold() for message in turn.earlier)
