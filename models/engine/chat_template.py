"""The chat template of a tokenizer, on a day that never changes.

Templates may ask for the time (`strftime_now`), and would render another text tomorrow. So a macro
of that name, which formats one constant day, stands in front of those that do. `transformers`
passes no functions of a caller to a template, so it cannot be handed over.
"""

import functools
from typing import TYPE_CHECKING

from siftline.models.chat_rendering import TEMPLATE_DATE

if TYPE_CHECKING:  # an optional dependency, and slow to import
    from transformers import PreTrainedTokenizerBase

# The letters behind a percent sign that say a part of a date, as Python's documentation lists them,
# and those of C that templates use besides.
_CODES = "aAwdbBmyYHIMpSfzZjUWcxXGuV" + "eFDTR"
# As `transformers` compiles templates, the line break behind a block is no part of the text.
_MACRO = "{{% macro strftime_now(format) %}}{{{{ format{replaced} }}}}{{% endmacro %}}\n"


def chat_template_of(tokenizer: "PreTrainedTokenizerBase", tools: bool = False) -> str | None:
    """Return the template that renders conversations; None if there is none.

    Args:
        tokenizer: It may have a template of its own for conversations with tools.
        tools: Whether the conversation offers tools.
    """
    template: str | dict[str, str] | None = tokenizer.chat_template
    if isinstance(template, dict):
        default = template.get("default")
        text = template.get("tool_use", default) if tools else default
    else:
        text = template
    return _on_one_day(text) if text else None


@functools.cache  # by content
def _on_one_day(template: str) -> str:
    if "strftime_now" not in template:
        return template
    parts = [(f"%{letter}", TEMPLATE_DATE.strftime(f"%{letter}")) for letter in _CODES]
    short = [(f"%-{code[1:]}", text.lstrip("0") or "0") for code, text in parts if text.isdigit()]
    replaced = "".join(f".replace({code!r}, {text!r})" for code, text in (*short, *parts))
    return _MACRO.format(replaced=replaced) + template
