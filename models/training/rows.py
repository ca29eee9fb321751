"""Conversations as rows to train on: tokens, and which of them are learned."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from siftline.contracts.corpus import Corpus
from siftline.models.likelihood import (
    PROMPT_TOO_LONG,
    Encoded,
    LanguageModel,
    Pair,
    ResponseLikelihood,
)
from siftline.models.rendering import Template, render_learned
from siftline.models.talks import Talk, talks_of

if TYPE_CHECKING:  # it imports torch, which is optional and slow to import
    from siftline.models.engine.transformer import TransformerModel


class TrainingRow(NamedTuple):
    """A tokenised conversation to learn from.

    Attributes:
        ids: Tokens of the whole conversation.
        spans: Start and end of each stretch of tokens that is learned, in order.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    @property
    def learned_tokens(self) -> int:
        """The number of tokens that are learned."""
        return sum(end - start for start, end in self.spans)


def training_rows(
    talks: Sequence[Talk | str], template: Template, model: "TransformerModel", max_tokens: int
) -> list[TrainingRow | str]:
    """Tokenise conversations as the engine does for scoring.

    All assistant turns of a conversation are learned, calls and thoughts among them, with their
    end tokens; but not those of weight 0.

    Args:
        talks: Each ends in a response; a status stands for one that cannot be learned from.
        template: The template that renders them.
        model: The model whose tokenizer and window are used.
        max_tokens: A longer conversation is cut there.

    Returns:
        By conversation: its row, or the status of the last turn that says why it has none. Turns
        that lie behind the window are cut off.
    """
    rendered = learned_pairs(talks, template, model)
    window = min(max_tokens, model.window)
    pairs = [turn for turns in rendered for turn in turns if isinstance(turn, Pair)]
    coded = iter(model.encode(pairs, max_tokens=window, score_eos=True))
    return [
        _training_row([next(coded) if isinstance(turn, Pair) else turn for turn in turns])
        for turns in rendered
    ]


def learned_pairs(
    talks: Sequence[Talk | str], template: Template, model: LanguageModel
) -> list[list[Pair | str]]:
    """Return, by conversation, the turns that are learned, rendered; its status where it is one.

    Args:
        talks: As for :func:`training_rows`.
        template: The template that renders them.
        model: The model whose chat template is used.
    """
    return [
        [talk]
        if isinstance(talk, str)
        else render_learned(talk.messages, template, model, talk.tools)
        for talk in talks
    ]


def corpus_rows(
    corpus: Corpus, template: Template, model: "TransformerModel", max_tokens: int
) -> list[tuple[str, TrainingRow | str]]:
    """Tokenise a corpus shard by shard, so that of its texts only one shard is in memory.

    Args:
        corpus: What is learned from.
        template: The template that renders it.
        model: The model whose tokenizer and window are used.
        max_tokens: A longer conversation is cut there.

    Returns:
        The `prompt_id` of each row, and what :func:`training_rows` makes of it; ordered by content.
    """
    found: list[tuple[str, str, TrainingRow | str]] = []
    for shard in corpus.iter_shards():
        learned = training_rows(talks_of(shard), template, model, max_tokens)
        keys = (shard[name].to_pylist() for name in ("content_hash", "prompt_id"))
        found += zip(*keys, learned, strict=True)
    return [(prompt, row) for _, prompt, row in sorted(found, key=lambda each: each[0])]


def _training_row(turns: Sequence[Encoded | ResponseLikelihood | str]) -> TrainingRow | str:
    """Join the assistant turns of one conversation, each tokenised up to and with itself."""
    fitting = _fitting(turns)
    if not fitting:
        return PROMPT_TOO_LONG
    last = fitting[-1]
    if not isinstance(last, Encoded):
        return last if isinstance(last, str) else last.status
    spans = []
    for turn in fitting[:-1]:
        if isinstance(turn, Encoded):
            # With a plain template the next question follows where the turn's end token would be.
            for end in (len(turn.ids), len(turn.ids) - turn.eos):
                if last.ids[:end] == turn.ids[:end] and end > turn.prompt_tokens:
                    spans.append((turn.prompt_tokens, end))
                    break
    return TrainingRow(last.ids, (*spans, (last.prompt_tokens, len(last.ids))))


def _fitting(
    turns: Sequence[Encoded | ResponseLikelihood | str],
) -> Sequence[Encoded | ResponseLikelihood | str]:
    """Return the turns up to the last to be learned, where the window ends before the last."""
    last = turns[-1]
    if not isinstance(last, ResponseLikelihood) or last.status != PROMPT_TOO_LONG:
        return turns
    learned = [number for number, turn in enumerate(turns) if isinstance(turn, Encoded)]
    return turns[: learned[-1] + 1] if learned else ()
