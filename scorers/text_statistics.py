"""Counts over a prompt and its response that need no model: lengths, repetition, copying.

Words are runs of letters and digits, casefolded; in scripts that are written without spaces every
character counts as a word. N-grams are of words; shares are 0 for texts shorter than one.
"""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.examples import Message, with_thought
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.plain_rendering import plain_turn
from siftline.models.thoughts import after_thought

# Kana, CJK ideographs and Thai are written without spaces between words.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")

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


def words(text: str) -> list[str]:
    """Return the casefolded words of a text, in order."""
    return _WORD.findall(text.casefold())


def ngrams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    """Return the n-grams of a token list, in order; none when it is shorter than n."""
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def bare(text: str) -> str:
    """Return a text casefolded, without the brackets, full stops and white space around it."""
    return text.casefold().strip("<>[](){}\\. \t\r\n")


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

    ngram: int = Field(default=4, ge=1)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Measure each row. See the class for the columns."""
        measured = [
            {"content_hash": row["content_hash"], **self._measure(row)}
            for row in rows.select(["content_hash", "messages"]).to_pylist()
        ]
        progress.advance(len(rows))
        return Scored(pa.Table.from_pylist(measured, schema=SCHEMA))

    def _measure(self, row: dict[str, Any]) -> dict[str, float]:
        *earlier, last = row["messages"]
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
                if prompt_grams and not _goes_on(prompt, tokens)
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


def _goes_on(prompt: str, tokens: list[str]) -> bool:
    """Return whether a response repeats a prompt that breaks off, and goes on from there."""
    broken_off = prompt.rstrip()[-1:].isalnum() or prompt.rstrip().endswith(",")
    given = words(prompt)
    return broken_off and len(tokens) > len(given) and tokens[: len(given)] == given
