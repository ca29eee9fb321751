"""What a model says once it has thought: reasoning models write their thoughts first."""

THOUGHTS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
)
MARKERS = frozenset(marker for pair in THOUGHTS for marker in pair)


def after_thought(text: str) -> str | None:
    """Return what a text says after its last thought; None where a thought is not finished.

    Args:
        text: A reply. Its first thought may have been opened by the chat template.
    """
    ends = [text.rfind(closing) + len(closing) for _, closing in THOUGHTS if closing in text]
    said = text[max(ends, default=0) :]
    return None if any(opening in said for opening, _ in THOUGHTS) else said


def leading_thought(text: str) -> tuple[str, str]:
    """Split a text into the thought that it begins with and what follows; ('', text) without one.

    The thought has both its marks: one that the chat template has opened cannot be told from an
    answer in which a mark is quoted.
    """
    body = text.lstrip()
    for opening, closing in THOUGHTS:
        if body.startswith(opening) and closing in body:
            thought, _, said = body[len(opening) :].partition(closing)
            return thought, said
    return "", text


def without_opening(prompt: str) -> str:
    """Return a prompt without the thought, begun or empty, in which it ends.

    Args:
        prompt: A rendered prompt, whose template may begin the thought of the answer, or write an
            empty one for an answer without.
    """
    end = prompt.rstrip()
    for opening, closing in THOUGHTS:
        begun = end.removesuffix(closing).rstrip()
        if begun.endswith(opening):
            return begun.removesuffix(opening)
    return prompt


def open_thought(prompt: str) -> str:
    """Return the marker of the thought in which a prompt ends; '' where it ends in none.

    Args:
        prompt: A rendered prompt, whose template may begin the thought of the answer.
    """
    end = prompt.rstrip()
    return next((opening for opening, _ in THOUGHTS if end.endswith(opening)), "")
