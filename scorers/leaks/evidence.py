"""Evidence in one conversation, word by word: what is there of a benchmark, and where."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from siftline.contracts.printable import encodable
from siftline.contracts.word_forms import Words, template_of, words_of
from siftline.scorers.leaks.benchmark_files import Item
from siftline.scorers.leaks.benchmark_index import BenchmarkIndex
from siftline.scorers.leaks.suspicions import FLOOR, Suspicion

SHOWN_CHARS = 4000  # of a text of the benchmark, and of a passage
_PASSAGE = 2  # times as many words as the text has are the most that a passage has


class Leak(NamedTuple):
    """What a conversation holds of a benchmark.

    Attributes:
        tier: `options`, `exact`, `ngram` or `template`.
        share: Of the text, from 0 to 1.
        item: Which.
        text: The benchmark's.
        passage: Of the conversation.
    """

    tier: str
    share: float
    item: str
    text: str
    passage: str


class Conversation:
    """The texts of a conversation, taken apart into words when they are looked at."""

    def __init__(self, texts: Sequence[str], n: int) -> None:
        self.texts, self.n = texts, n

    @cached_property
    def words(self) -> list[Words]:
        """The words of each text."""
        return [words_of(text) for text in self.texts]

    @cached_property
    def plain(self) -> list[str]:
        """The words of each text, joined."""
        return [_joined(each.words) for each in self.words]

    @cached_property
    def templates(self) -> list[str]:
        """Likewise, with a mark for each number."""
        return [_joined(template_of(each.words)) for each in self.words]

    def passage(self, text: int, first: int, last: int) -> str:
        """Return a passage of a text, from one of its words to another."""
        words = self.words[text]
        return shown(self.texts[text][words.starts[first] : words.ends[last]])


def leak_in(conversation: Conversation, index: BenchmarkIndex, suspected: Suspicion) -> Leak | None:
    """Return the strongest evidence of a leak; None where there is none.

    Args:
        conversation: The conversation.
        index: Of the benchmarks.
        suspected: What it may hold.
    """
    shares = suspected.shares
    whole = sorted(text for text, share in shares.items() if share.of_all == 1)
    items = {index.texts[text].item for text in whole if index.texts[text].part == "question"}
    for number in sorted(items | set(suspected.short)):
        if leak := _options(conversation, index.items[number]):
            return leak
    for text in whole:
        if place := _place(conversation.plain, _plain(index, text)):
            return _leak("exact", 1.0, index, text, conversation.passage(*place))
    others = {text for text, share in shares.items() if share.other_numbers}
    others |= {text for text in suspected.templates if _is_template(conversation, index, text)}
    best = min(
        ((-share.counted, text) for text, share in shares.items() if text not in others),
        default=None,
    )
    if best is None or -best[0] < FLOOR:
        return None
    return _leak(
        "ngram", -best[0], index, best[1], _densest(conversation, index, best[1], plain=True)
    )


def template_in(
    conversation: Conversation, index: BenchmarkIndex, suspected: Suspicion
) -> Leak | None:
    """Return the text of which a conversation holds most with other numbers; None for none."""
    for text in sorted(suspected.templates):
        if place := _is_template(conversation, index, text):
            return _leak("template", 1.0, index, text, conversation.passage(*place))
    shares = suspected.shares.items()
    best = min(
        ((-share.as_template, text) for text, share in shares if share.other_numbers), default=None
    )
    if best is None or -best[0] < FLOOR:
        return None
    passage = _densest(conversation, index, best[1], plain=False)
    return _leak("template", -best[0], index, best[1], passage)


def _is_template(
    conversation: Conversation, index: BenchmarkIndex, text: int
) -> tuple[int, int, int] | None:
    """Return where a text stands whole, but only with other numbers."""
    words = words_of(index.texts[text].text).words
    if _place(conversation.plain, _joined(words)):
        return None
    return _place(conversation.templates, _joined(template_of(words)))


def _plain(index: BenchmarkIndex, text: int) -> str:
    return _joined(words_of(index.texts[text].text).words)


def _options(conversation: Conversation, item: Item) -> Leak | None:
    """Return a leak where one text holds a question and all of its options, in any order."""
    question = words_of(item.question).words
    options = [words for each in item.options if (words := words_of(each).words)]
    if len(options) < 2 or len(question) + sum(map(len, options)) < conversation.n:
        return None
    for number, plain in enumerate(conversation.plain):
        place = _place([plain], _joined(question))
        if place is None:
            continue
        rest = plain.replace(_joined(question), " \n ", 1)  # an option may stand right beside it
        if all(_joined(each) in rest for each in options):
            listed = "\n".join([item.question, *(f"- {each}" for each in item.options)])
            last = min(
                place[2] + 4 * sum(map(len, options)), len(conversation.words[number][0]) - 1
            )
            passage = conversation.passage(number, place[1], last)
            return Leak("options", 1.0, item.name, shown(listed), passage)
    return None


def _place(texts: Sequence[str], wanted: str) -> tuple[int, int, int] | None:
    """Return the text, its first and its last word where joined words stand; None for nowhere."""
    for number, text in enumerate(texts):
        found = text.find(wanted)
        if found >= 0:
            first = text.count(" ", 0, found)
            return number, first, first + wanted.count(" ") - 2
    return None


def _densest(conversation: Conversation, index: BenchmarkIndex, text: int, *, plain: bool) -> str:
    """Return the passage of a conversation that holds most n-grams of a text."""
    n = conversation.n
    form = list if plain else template_of
    wanted = form(words_of(index.texts[text].text).words)
    grams = set(_ngrams(wanted, n))
    most, best = 0, (0, 0, 0)
    for number, words in enumerate(conversation.words):
        places = [
            place for place, gram in enumerate(_ngrams(form(words.words), n)) if gram in grams
        ]
        begin = 0
        for end, place in enumerate(places):
            while place - places[begin] + n > _PASSAGE * len(wanted):
                begin += 1
            if end - begin + 1 > most:
                most, best = end - begin + 1, (number, places[begin], place + n - 1)
    return conversation.passage(*best) if most else ""


def _ngrams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)


def _joined(words: Sequence[str]) -> str:
    """Return words with a space around each, so that only whole ones are found."""
    return f" {' '.join(words)} "


def _leak(tier: str, share: float, index: BenchmarkIndex, text: int, passage: str) -> Leak:
    held = index.texts[text].text
    return Leak(tier, share, _name(index, text), shown(held), passage)


def _name(index: BenchmarkIndex, text: int) -> str:
    held = index.texts[text]
    name = index.items[held.item].name
    return name if held.part == "question" else f"{name} {held.part}"


def shown(text: str) -> str:
    """Return a text as the report shows it, cut where it is long."""
    cut = text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + " ..."
    return encodable(cut)
