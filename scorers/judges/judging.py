"""How a language model is asked to judge: the questions, and the letters that answer them.

A judgement is the weight of each of a few letters. `probabilities` reads it off the distribution
of the next token, one forward pass and no sampling; `letter` lets the model write an explanation
and a letter, for servers that report no probabilities.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from siftline.contracts import progress
from siftline.contracts.examples import Message, tools_of
from siftline.contracts.runtime import Usage
from siftline.models.generation import STOP, Conversation, Generator, Sample, Sampling
from siftline.models.plain_rendering import plain_tools, plain_turn
from siftline.models.rendering import Template
from siftline.models.thoughts import after_thought
from siftline.scorers.statuses import TRUNCATED

Reading = Literal["probabilities", "letter"]
REPLY_TOKENS = 256  # of an explanation and a letter; a judge that thinks needs more

YES_NO_UNSURE = ("A", "B", "C")  # the letters of :func:`is_correct`

# With less of the next token's probability on its letters, the model did not answer the question
# (ours; SmolLM2 has 0.15 to 0.18 with its chat template, 0.004 to 0.018 with a plain one).
LEAST_MASS = 0.0001
# Of several sampled replies, those that must have a letter (as of samples: BSDetector's average is
# taken over the valid ones).
FEWEST_REPLIES = 2

# "Answer: B", "the answer is (B)"; not "I answer. A cat ...", "Answer: a cat", "Answer: A or B".
_MARKED = re.compile(
    r"(?<![^\W_])answer(?:[\s*_]*[:=\uff1a]|\s+is\b:?)"
    r"(?:[\W_]*(?:boxed|text|option|choice)\b)?[\W_]*"
    r"([a-z])(?![^\W_]|['\u2019/&+#]|-\w)(?![^\S\n]+(?!(?:is|because|since|as)\b)[^\W_])",
    re.IGNORECASE,
)
# Lines such as "(B) Incorrect", or of a letter alone: "B", "Option B".
_ALONE = re.compile(
    r"^(?:[^\w\n]|_)*(?:([A-Z])[).:](?![^\W_])"
    r"|(?:(?i:answer|option|choice)[^\w\n]+)?([A-Za-z])(?![+#])(?:[^\w\n]|_)*$)",
    re.MULTILINE,
)

_FORMS = {
    "probabilities": "Reply with one letter only.",
    "letter": (
        "First explain in one or two sentences, then end with a line of the form "
        "'Answer: <letter>'."
    ),
}


class Judgements(NamedTuple):
    """The result of :func:`weigh`.

    Attributes:
        rows: By question: the weight of each letter, summing to one; None where the reply had no
            letter that counts; or the status that says why there is no reply, `truncated` where it
            was cut or ends in its thought.
        usage: What it has cost.
        masses: By question: what the letters had of the next token's probability; None where that
            was not asked for.
    """

    rows: list[list[float] | str | None]
    usage: Usage
    masses: list[float | None]


def question_of(turns: Sequence[Message], tools: str | None = None) -> str:
    """Write what precedes a response as text: a lone question bare, a dialogue with its roles.

    Thoughts stand before what their turn says, calls below it, and the tools before all turns, as
    in the template `plain`.

    Args:
        turns: The turns before the response.
        tools: JSON of the tools that the conversation offers.
    """
    offered = plain_tools(tools_of(tools))
    if len(turns) == 1 and not offered:
        return turns[0]["content"]
    return "\n".join([*offered, *(f"{turn['role']}: {plain_turn(turn)}" for turn in turns)])


def ask(text: str) -> list[Message]:
    """Return a conversation of one question."""
    return [{"role": "user", "content": text}]


def is_correct(question: str, answer: str, reading: Reading, again: bool = False) -> str:
    """Ask whether an answer is correct: A yes, B no, C not sure.

    Args:
        question: The task.
        answer: The proposed answer.
        reading: How the letter will be read.
        again: Ask as a second look does.
    """
    doubt = (
        "Look at it once more, and be strict. Are you really sure that the proposed answer is "
        "correct?"
        if again
        else "Is the proposed answer correct?"
    )
    return (
        f"Question:\n{question}\n\nProposed answer:\n{answer}\n\n{doubt}\n"
        f"(A) Correct\n(B) Incorrect\n(C) I am not sure\n{_FORMS[reading]}"
    )


def is_consistent(question: str, one: str, two: str, reading: Reading) -> str:
    """Ask whether two answers agree: A yes, B no."""
    return (
        f"Question:\n{question}\n\nFirst answer:\n{one}\n\nSecond answer:\n{two}\n\n"
        "Do the two answers say the same thing, without a contradiction?\n"
        f"(A) Yes\n(B) No\n{_FORMS[reading]}"
    )


def is_better(question: str, one: str, two: str, reading: Reading) -> str:
    """Ask which of two answers is better: A the first, B the second, C neither."""
    return (
        f"Question:\n{question}\n\nFirst answer:\n{one}\n\nSecond answer:\n{two}\n\n"
        "Which answer is better? Consider whether it is accurate, complete and relevant; neither "
        "the order nor the length of the answers counts.\n"
        f"(A) The first answer\n(B) The second answer\n(C) They are equally good\n{_FORMS[reading]}"
    )


def weigh(
    model: Generator,
    questions: Sequence[Conversation],
    letters: Sequence[str],
    reading: Reading,
    template: Template = "chat",
    sampling: Sampling | None = None,
    rows: float = 0,
) -> Judgements:
    """Let a model answer questions by a letter.

    Args:
        model: The judge.
        questions: Each names the letters.
        letters: Those that count.
        reading: `probabilities` or `letter`.
        template: How questions are rendered.
        sampling: For `letter`; several samples give each letter its share, if at least two have a
            letter. By default one, greedy. A reply that was cut is never read.
        rows: How many rows of the stage are done with these questions, for whoever follows it.
    """
    report = progress.portion(rows, len(questions))
    if not questions:
        return Judgements([], Usage(), [])
    if reading == "probabilities":
        choices = model.choose(questions, letters, template=template, on_batch=report)
        masses = [None if isinstance(row, str) else sum(row) for row in choices.rows]
        return Judgements([_normalised(row) for row in choices.rows], choices.usage, masses)
    drawn = sampling or Sampling(temperature=0, max_tokens=REPLY_TOKENS)
    replies = model.generate(questions, drawn, template=template, on_batch=report)
    read = [each if isinstance(each, str) else _shares(each, letters) for each in replies.rows]
    return Judgements(read, replies.usage, [None] * len(read))


def _shares(samples: Sequence[Sample], letters: Sequence[str]) -> list[float] | str | None:
    """Return each letter's share of the replies that have one, or why there are none."""
    ended = [each.text for each in samples if each.finish == STOP]
    whole = [said for text in ended if (said := after_thought(text)) is not None]
    read = [letter for said in whole if (letter := letter_of(said, letters))]
    if len(read) < min(FEWEST_REPLIES, len(samples)):
        return TRUNCATED if len(whole) < len(samples) else None
    return [read.count(letter) / len(read) for letter in letters]


def yes_value(weights: Sequence[float] | None) -> float:
    """Return what the reply to :func:`is_correct` is worth, in [0, 1]: A 1, B 0, C 0.5.

    Args:
        weights: Of the three letters, summing to one; None, for no letter, is worth 0.5.
    """
    return 0.5 if weights is None else weights[0] + 0.5 * weights[2]


def letter_of(text: str, letters: Sequence[str]) -> str | None:
    """Return the letter that a reply ends with, or None where there is none of those that count.

    Args:
        text: The reply. A letter that is marked as the answer counts before one that opens a line.
        letters: Capitals.
    """
    for pattern in (_MARKED, _ALONE):
        marked = ["".join(match.groups(default="")).upper() for match in pattern.finditer(text)]
        known = [letter for letter in marked if letter in letters]
        if known:
            return known[-1]
    return None


def _normalised(row: list[float] | str) -> list[float] | str | None:
    if isinstance(row, str):
        return row
    total = sum(row)
    return [weight / total for weight in row] if total >= LEAST_MASS else None
