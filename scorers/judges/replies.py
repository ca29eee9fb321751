"""What a model says once it has thought: reasoning models write their thoughts first."""

_THOUGHTS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
)


def after_thought(text: str) -> str | None:
    """Return what a text says after its last thought; None where a thought is not finished.

    Args:
        text: A reply. Its first thought may have been opened by the chat template.
    """
    ends = [text.rfind(closing) + len(closing) for _, closing in _THOUGHTS if closing in text]
    said = text[max(ends, default=0) :]
    return None if any(opening in said for opening, _ in _THOUGHTS) else said
