"""How much a sampled answer agrees with the dataset's: four ways behind one function.

`nli` is BSDetector's: one minus the mean probability of contradiction in both directions.
`judge` asks the language model itself, and `numeric` compares the numbers that are the answers.
`embedding` is the default because it needs nothing but a small model: it takes the cosine of two
sentence vectors, which is high for texts about the same thing, even where they contradict each
other.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.computation import Computation, RunsModel
from siftline.contracts.runtime import Runtime, Usage
from siftline.models.generation import Sampling
from siftline.models.loading import load_embedder, load_entailment, load_language_model
from siftline.models.rendering import Template
from siftline.scorers.judges.exact_numbers import exact_number, same_number
from siftline.scorers.judges.judging import REPLY_TOKENS, Reading, ask, is_consistent, weigh


class Comparison(NamedTuple):
    """One sampled answer beside the dataset's.

    Attributes:
        question: What precedes them, as text.
        reference: The dataset's answer.
        sample: The model's.
    """

    question: str
    reference: str
    sample: str


class Agreement(NamedTuple):
    """The result of :func:`agreement`.

    Attributes:
        values: By comparison: 0 contradicts, 1 agrees; None where the comparer cannot judge, and a
            status where a model that was asked gave no reply.
        usage: What it has cost.
    """

    values: list[float | str | None]
    usage: Usage


class Embedding(RunsModel):
    """The cosine of the two answers' vectors, negative ones taken as zero.

    Attributes:
        model: Role of an embedder.
    """

    local: ClassVar[bool] = True

    kind: Literal["embedding"] = "embedding"
    model: str = "embedder"


class Nli(RunsModel):
    """One minus the probability of contradiction, averaged over both directions.

    Attributes:
        model: Role of a sequence classifier, such as `microsoft/deberta-large-mnli`.
        max_tokens: Longer answers are judged sentence by sentence.
    """

    local: ClassVar[bool] = True

    kind: Literal["nli"] = "nli"
    max_tokens: int = Field(default=300, ge=1)


class Judge(RunsModel):
    """The judgement of a language model on whether the two answers agree.

    Attributes:
        model: Role of a language model.
        reading: Off the next token's `probabilities`, or off a generated `letter`; None takes that
            of the method.
        template: How the question is rendered; None takes that of the method.
        reply_tokens: Of a reply from which a letter is read; a model that thinks needs more.
    """

    kind: Literal["judge"] = "judge"
    reading: Reading | None = None
    template: Template | None = None
    reply_tokens: int = Field(default=REPLY_TOKENS, ge=1)

    def as_in(self, reading: Reading, template: Template) -> "Judge":
        """Return the same with what is not stated filled in."""
        stated = {"reading": self.reading or reading, "template": self.template or template}
        return self.model_copy(update=stated)


class Numeric(Computation):
    """Whether the two answers are equal numbers; no verdict where one is not exactly a number."""

    kind: Literal["numeric"] = "numeric"


Comparer: TypeAlias = Annotated[Embedding | Nli | Judge | Numeric, Field(discriminator="kind")]


def agreement(
    comparer: Comparer, pairs: Sequence[Comparison], runtime: Runtime, rows: int = 0
) -> Agreement:
    """Compare sampled answers with the dataset's.

    Args:
        comparer: How.
        pairs: Equal ones are computed once.
        runtime: Where.
        rows: How many rows of the stage are done with these pairs, for whoever follows it.

    Raises:
        ModelError: A model cannot be loaded or run.
    """
    unique = list(dict.fromkeys(pairs))
    if not unique:
        progress.advance(rows)
        return Agreement([], Usage())
    if isinstance(comparer, Numeric):
        compared = Agreement([_equal_numbers(pair) for pair in unique], Usage())
    elif isinstance(comparer, Embedding):
        compared = _cosines(comparer, unique, runtime)
    elif isinstance(comparer, Nli):
        compared = _not_contradicted(comparer, unique, runtime)
    else:
        compared = _judged(comparer, unique, runtime, rows)
    if not isinstance(comparer, Judge):
        progress.advance(rows, compared.usage.tokens)
    by_pair = dict(zip(unique, compared.values, strict=True))
    return Agreement([by_pair[pair] for pair in pairs], compared.usage)


def _equal_numbers(pair: Comparison) -> float | None:
    reference, sample = exact_number(pair.reference), exact_number(pair.sample)
    same = None if reference is None or sample is None else same_number(reference, sample)
    return None if same is None else float(same)


def _cosines(comparer: Embedding, pairs: Sequence[Comparison], runtime: Runtime) -> Agreement:
    texts = list(dict.fromkeys(text for pair in pairs for text in pair[1:]))
    place = {text: row for row, text in enumerate(texts)}
    embedder = load_embedder(runtime.spec(comparer.model), runtime.device)
    vectors, usage = embedder.embed(texts, max_batch_tokens=runtime.max_batch_tokens)
    one = vectors[[place[pair.reference] for pair in pairs]]
    two = vectors[[place[pair.sample] for pair in pairs]]
    cosines = np.clip(np.einsum("ij,ij->i", one, two), 0, 1)
    return Agreement([float(cosine) for cosine in cosines], usage)


def _not_contradicted(comparer: Nli, pairs: Sequence[Comparison], runtime: Runtime) -> Agreement:
    model = load_entailment(runtime.spec(comparer.model), runtime.device)
    ordered = [(pair.reference, pair.sample) for pair in pairs]
    both = ordered + [(sample, reference) for reference, sample in ordered]
    contradicted, usage = model.contradictions(both, comparer.max_tokens)
    values = 1 - (contradicted[: len(pairs)] + contradicted[len(pairs) :]) / 2
    return Agreement([float(value) for value in values], usage)


def _judged(comparer: Judge, pairs: Sequence[Comparison], runtime: Runtime, rows: int) -> Agreement:
    model = load_language_model(runtime.spec(comparer.model), runtime.device)
    reading, template = comparer.reading or "probabilities", comparer.template or "chat"
    questions = [ask(is_consistent(*pair, reading)) for pair in pairs]
    sampling = Sampling(temperature=0, max_tokens=comparer.reply_tokens)
    judged = weigh(model, questions, ("A", "B"), reading, template, sampling, rows)
    values = [row[0] if isinstance(row, list) else row for row in judged.rows]
    return Agreement(values, judged.usage)
