"""Answers that end in the middle: after a comma, an article, a hyphen, an opening bracket, a colon.

Only an end that nothing complete has counts, so a script or a style without full stops is no
fault: Thai, Devanagari and Chinese texts, titles, names, items of lists and single words may end
as they like. Code, in a block or by its look, and turns that go on with a call are not looked at.
"""

from siftline.contracts.patterns import linear_pattern
from siftline.scorers.fault_places import quoted
from siftline.scorers.surface.check import Check, Turn

# Words that nothing ends with, in lower case; those that are also words of another of these
# languages which may end a sentence (`die`, `la`, `den`) are not among them.
_WORDS = (
    "the|an|and|or|of|our|their|its|your|my|into|because|although|whose|than"
    "|und|oder|eine|einem|einen|der|dem|les|une|du|aux|et|dans|avec"
    "|los|las|una|del|gli|della|degli|dello|nella|uma|pela|pelo"
)
_LEAST_WORDS = 5  # before such a word, and before a comma or a colon
_ENDS = (
    r"[,\x{FF0C}\x{3001}\x{060C}]",
    rf"\b(?:{_WORDS})",
    r"\pL-",
    r"[(\[{\x{201C}\x{201E}\x{00AB}\x{300C}\x{FF08}]",
    r"[:\x{FF1A}]",
)
_MAY_HAVE = rf"(?:{'|'.join(_ENDS)})\s*\z"
_END = linear_pattern(_MAY_HAVE)
_COMPLETE_WORD = linear_pattern(r"\pL[\pL\pM'\x{2019}-]*")
_LOOKS_LIKE_CODE = linear_pattern(
    r"(?m)[{};=]\s*$|^\s*(?:def|class|import|from \w+ import|function|#include|public|return|<\w|"
    r"SELECT|INSERT|CREATE|elif|else:|for .*:$|while .*:$|if .*:$|[$>]{1,3} )|</\w+>|=>|->|\|"
)
_SMILEY_OR_EMOJI = linear_pattern(r"[:;=8][-']?[(\[{]\s*\z|:\w+:\s*\z")


def _find(turn: Turn) -> str | None:
    text = turn.text.rstrip()
    line = text[text.rfind("\n") + 1 :]
    match = _END.search(text)
    if match is None or "```" in line or _LOOKS_LIKE_CODE.search(text[-2000:]):
        return None
    words = sum(1 for _ in _COMPLETE_WORD.finditer(line[-400:]))
    if _is_complete(text, line, words):
        return None
    return quoted(text, max(match.start(), len(text) - 40), len(text))


def _is_complete(text: str, line: str, words: int) -> bool:
    """Return whether an end that may be one of the middle is right where it stands."""
    end = text[-1]
    if end in "([{\u201c\u201e\u00ab\u300c\uff08":
        return bool(_SMILEY_OR_EMOJI.search(line[-20:]))
    if end in "\uff0c\u3001\u060c\uff1a":
        return len(line) < _LEAST_WORDS
    if end in ",:":  # "Sincerely," signs off, "Question:" is a heading
        return words < _LEAST_WORDS or bool(_SMILEY_OR_EMOJI.search(line[-20:]))
    return words < _LEAST_WORDS


TRUNCATED_ENDING = Check(_MAY_HAVE, _find)
