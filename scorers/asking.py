"""A language model is asked to go on with conversations, and its answers are to be texts.

A model that is offered tools may call one instead. Such an answer has the status `tool_calls`: it
is no text that could take the place of a response, or be held against one.
"""

import re
from collections.abc import Sequence

from siftline.models.chat_messages import Tools, name_of
from siftline.models.generation import Generations, Generator, Sample, Sampling
from siftline.models.likelihood import OnBatch
from siftline.models.remote.answers import TOOL_CALLS
from siftline.models.rendered_parts import objects_in
from siftline.models.rendering import Template
from siftline.models.talks import Talk

# Where JSON has the name of what is called, and what other syntaxes write right before it.
_NAME_KEYS = ("name", "tool_name", "function")
_BEFORE_NAMES = re.compile(
    r"(?:<function=|\bfunctions\.|<tool_call>\s*|\[TOOL_CALLS\]\s*)(\w[\w.-]*)"
)


def answers_to(
    model: Generator,
    talks: Sequence[Talk | str],
    sampling: Sampling,
    template: Template,
    on_batch: OnBatch,
) -> Generations:
    """Sample answers to conversations.

    Args:
        model: Who answers.
        talks: What it goes on with; a status stands for one that it is not asked about.
        sampling: How many answers are drawn, and how.
        template: How conversations are rendered.
        on_batch: As for :meth:`siftline.models.generation.Generator.generate`.
    """
    asked = [talk for talk in talks if isinstance(talk, Talk)]
    if len(asked) < len(talks):
        on_batch(len(talks) - len(asked), 0)
    offered = {"tools": [talk.tools for talk in asked]} if any(t.tools for t in asked) else {}
    generated = model.generate(
        [talk.messages for talk in asked],
        sampling,
        template=template,
        on_batch=on_batch,
        **offered,
    )
    answers = iter(generated.rows)
    rows = [talk if isinstance(talk, str) else _texts(next(answers), talk.tools) for talk in talks]
    return Generations(rows, generated.usage)


def _texts(samples: list[Sample] | str, tools: Tools) -> list[Sample] | str:
    """Return samples, or `tool_calls` where one of them calls what is offered."""
    names = {name for tool in tools if (name := name_of(tool))}
    if isinstance(samples, str) or not names:
        return samples
    return TOOL_CALLS if any(_called_in(each.text) & names for each in samples) else samples


def _called_in(text: str) -> set[str]:
    """Return what a text calls, in any syntax that we know."""
    objects = [each for each in objects_in(text) if isinstance(each, dict)]
    named = {each.get(key) for each in objects for key in _NAME_KEYS}
    found = {name for name in named if isinstance(name, str)} if objects else set()
    return found | set(_BEFORE_NAMES.findall(text))
