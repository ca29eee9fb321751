"""Counts over a prompt and its response that need no model: lengths, repetition, copying.

Words are runs of letters and digits, casefolded; in scripts that are written without spaces every
character counts as a word. N-grams are of words; shares are 0 for texts shorter than one.
"""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.examples import Message, with_thought
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.plain_rendering import plain_turn
from siftline.models.thoughts import after_thought
from siftline.scorers.last_turns import LastTurns, last_turns
from siftline.scorers.shared_ngrams import SharedNgrams, shared_ngrams
from siftline.scorers.word_classes import UNSPACED

_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")

SCHEMA = pa.schema(
    [
        ("content_hash", pa.string()),
        ("prompt_chars", pa.int32()),
        ("response_chars", pa.int32()),
        ("said_chars", pa.int32()),
        ("response_words", pa.int32()),
        ("repeated_ngrams", pa.float64()),
        ("prompt_overlap", pa.float64()),
        ("prompt_coverage", pa.float64()),
    ]
)

BARE = "<>[](){}\\. \t\r\n"  # what may stand around a word that stands for nothing


def words(text: str) -> list[str]:
    """Return the casefolded words of a text, in order."""
    return _WORD.findall(text.casefold())


def ngrams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    """Return the n-grams of a token list, in order; none when it is shorter than n."""
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def bare(text: str) -> str:
    """Return a text casefolded, without the brackets, full stops and white space around it."""
    return text.casefold().strip(BARE)


class ResponseStatistics(Scorer):
    """Lengths, repetition and copying of each response.

    Score columns of the table `statistics`:
        prompt_chars: characters of all turns before the response.
        response_chars: characters of the response without surrounding white space, thought and
            calls among them.
        said_chars: those without its thought.
        response_words: its words.
        repeated_ngrams: share of the n-grams of its text and thought that repeat an earlier one;
            several calls of one tool are alike by their form.
        prompt_overlap: share of the n-grams of its text that occur in the user's turn before it. A
            thought may restate a prompt, a call pass it on, and an answer repeat a tool's result.
        prompt_coverage: share of that turn's n-grams that occur in the text; 1 when the whole
            prompt is copied into it, and 0 when it starts with a prompt that breaks off in the
            middle of a sentence and goes on from there.

    Attributes:
        ngram: Words in an n-gram.
    """

    table: ClassVar[str] = "statistics"
    revision: ClassVar[int] = 3  # 3: neither thoughts nor calls are copies
    by_column: ClassVar[bool] = True

    ngram: int = Field(default=4, ge=1)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Measure each row, those whose response is text alone by column; see the class."""
        last = last_turns(rows)
        columns = self._in_columns(last)
        by_row = np.flatnonzero(~last.plain)
        messages = rows["messages"].take(pa.array(by_row)).to_pylist()
        for row, turns in zip(by_row.tolist(), messages, strict=True):
            for name, value in self._measure(turns).items():
                columns[name][row] = value
        progress.advance(len(rows))
        return Scored(pa.table({"content_hash": rows["content_hash"], **columns}, SCHEMA))

    def _in_columns(self, last: LastTurns) -> dict[str, npt.NDArray[Any]]:
        """Return [rows] each measure; those of rows that are not plain mean nothing."""
        texts = last.contents().to_pylist()
        prompts = _prompts(last)
        found = shared_ngrams(prompts, texts, self.ngram)
        chars = np.fromiter((len(text.strip()) for text in texts), np.int64, len(texts))
        coverage = _shares(found.in_both, found.of_prompt)
        for row in np.flatnonzero(coverage).tolist():
            if _goes_on(prompts[row], texts[row]):
                coverage[row] = 0.0
        return {
            "prompt_chars": _chars_before(last),
            "response_chars": chars,
            "said_chars": chars.copy(),
            "response_words": found.words,
            "repeated_ngrams": _repeated(found),
            "prompt_overlap": _shares(found.copied, found.written),
            "prompt_coverage": coverage,
        }

    def _measure(self, messages: Sequence[Message]) -> dict[str, float]:
        *earlier, last = messages
        response, text = plain_turn(last).strip(), said_of(last)
        written = ngrams(words(with_thought(last)), self.ngram)
        tokens, prompt = words(text), _asked(earlier)
        grams = ngrams(tokens, self.ngram)
        prompt_grams = set(ngrams(words(prompt), self.ngram))
        shared = sum(gram in prompt_grams for gram in grams)
        return {
            "prompt_chars": sum(len(message["content"]) for message in earlier),
            "response_chars": len(response),
            "said_chars": len(_without_thought(last, text)),
            "response_words": len(words(response)),
            "repeated_ngrams": 1 - len(set(written)) / len(written) if written else 0.0,
            "prompt_overlap": shared / len(grams) if grams else 0.0,
            "prompt_coverage": (
                len(set(grams) & prompt_grams) / len(prompt_grams)
                if prompt_grams and not _goes_on(prompt, text)
                else 0.0
            ),
        }


def said_of(turn: Message) -> str:
    """Return what a turn says after its thought; all of its text where that is not finished."""
    said = after_thought(turn["content"])
    return turn["content"] if said is None else said


def _without_thought(turn: Message, said: str) -> str:
    bare_turn = Message(role=turn["role"], content=said, tool_calls=turn.get("tool_calls"))
    return plain_turn(bare_turn).strip()


def _asked(earlier: Sequence[Message]) -> str:
    """Return the user's turn that a response follows; '' where a tool or the assistant spoke."""
    return earlier[-1]["content"] if earlier and earlier[-1]["role"] == "user" else ""


def _goes_on(prompt: str, text: str) -> bool:
    """Return whether a response repeats a prompt that breaks off, and goes on from there."""
    end = prompt.rstrip()
    if not (end[-1:].isalnum() or end.endswith(",")):
        return False
    given, tokens = words(prompt), words(text)
    return len(tokens) > len(given) and tokens[: len(given)] == given


def _prompts(last: LastTurns) -> list[str]:
    """Return [rows] the user's turn that each response follows, as :func:`_asked`."""
    asked = last.asked()
    contents = last.turns["content"].combine_chunks()
    found = contents.take(pa.array(np.maximum(asked, 0), mask=asked < 0))
    prompts: list[str] = pc.fill_null(found, "").to_pylist()
    return prompts


def _chars_before(last: LastTurns) -> npt.NDArray[np.int64]:
    """Return [rows] the characters of all turns before the last one."""
    chars = pc.utf8_length(last.turns["content"]).to_numpy().astype(np.int64)
    chars[last.place] = 0
    sums = np.bincount(last.turns["row"].to_numpy(), weights=chars, minlength=len(last.place))
    return sums.astype(np.int64)


def _repeated(found: SharedNgrams) -> npt.NDArray[np.float64]:
    return np.where(found.written > 0, 1 - _shares(found.distinct, found.written), 0.0)


def _shares(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return [rows] a part of a whole, 0 where there is nothing."""
    shares: npt.NDArray[np.float64] = np.where(whole > 0, part / np.maximum(whole, 1), 0.0)
    return shares
