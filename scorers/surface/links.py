"""Answers that are nothing but links: "See https://example.org/page for details"."""

from siftline.contracts.patterns import linear_pattern
from siftline.scorers.fault_places import quoted
from siftline.scorers.surface.check import Check, Turn

_URL = r"(?:https?://|www\.)[^\s<>\"')\]]+"
_LINK = linear_pattern(_URL, ignore_case=True)
_WORD = linear_pattern(r"\pL+")
# What an answer may say around a link without saying anything.
_FILLERS = (
    "a|about|and|answer|are|article|at|be|can|check|click|details|documentation|example"
    "|find|follow|following|for|found|go|guide|has|have|here|hi|hope|in|info"
    "|information|is|it|learn|link|links|look|may|more|now|of|official|on|one|out|page"
    "|please|read|refer|see|site|source|sources|that|the|there|these|this|to|try"
    "|tutorial|url|use|useful|visit|watch|website|what|where|will|with|you|your|hier"
    "|siehe|voir|ici|ver|aquí|vea"
)
_ONLY_FILLERS = linear_pattern(rf"(?:{_FILLERS})", ignore_case=True)
_MOST_CHARS = 400  # of what is said beside the links
_ASKS = linear_pattern(
    r"\b(?:url|link|website|web ?site|web ?page|site|source|sources|citation|reference"
    r"|https?|domain|address|where|article|internet|online|web|image|picture|video)\b|www\.|https?:",
    ignore_case=True,
)


def _find(turn: Turn) -> str | None:
    beside = _LINK.sub(" ", turn.text)
    if len(beside.strip()) > _MOST_CHARS or _ASKS.search(turn.asked()):
        return None
    if not all(_ONLY_FILLERS.fullmatch(match.group()) for match in _WORD.finditer(beside)):
        return None
    match = _LINK.search(turn.text)
    return quoted(turn.text, *match.span()) if match else None


LINK_ONLY = Check(f"(?i:{_URL})", _find)
