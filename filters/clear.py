"""CLEAR: drop the responses that the model at hand has little confidence in, correct where it can.

Chen and Mueller 2024 (arXiv 2403.12776). The confidence in a response is BSDetector's
(arXiv 2308.16175): C = beta * O + (1 - beta) * S, with O = mean over sampled answers of
alpha * agreement + (1 - alpha) * exact match, S the mean of two self-reflections; alpha 0.8,
beta 0.7, five samples at temperature 1. What is not above the median is dropped, or, with
`correct`, replaced by a candidate that the base model prefers with a confidence above 0.8.

Ours differs. S is read from the probabilities of the letters, one forward pass each, unless
`reading: letter`. The median is taken within each source. Where no model of natural language
inference is at hand, `consistency` defaults to the cosine of sentence vectors, which is weaker; the
report says which one was used. The judgement of a candidate is made in both orders, and both must
agree. A row that could not be judged is kept: a failure is no verdict.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from siftline.contracts.columns import to_float
from siftline.contracts.corpus import Corpus
from siftline.contracts.method import REVISED, Method, Request, verdicts
from siftline.contracts.scorer import Scorer
from siftline.contracts.trainer import Training, rows_digest
from siftline.filters.clear_report import (
    confidence_figures,
    correction_figures,
    gate_figures,
    kept_figures,
    warnings,
)
from siftline.filters.confidence import confidence, consistency, preference, reflection, status_of
from siftline.filters.correction import CORRECTED, Correction, outcomes
from siftline.filters.thresholds import Passed, Threshold, group_names, passing
from siftline.models.generation import Sampling
from siftline.models.likelihood import EMPTY_RESPONSE, OK
from siftline.models.rendering import Template
from siftline.models.training.tuning import Tuning
from siftline.scorers.candidate import Candidate
from siftline.scorers.consistency import Consistency
from siftline.scorers.judges.comparers import Comparer, Embedding, Judge
from siftline.scorers.judges.judging import REPLY_TOKENS, Reading
from siftline.scorers.preference import Preference
from siftline.scorers.reflection import Reflection
from siftline.scorers.samples import Samples

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Clear(Method):
    """Keeps the responses whose confidence is above a threshold.

    Reasons for keeping: `confident`, `corrected`, `unjudged_<status>` (there is no confidence,
    which is no verdict). For dropping: `low_confidence`, `empty_response`; with `correct` also
    `not_improved` (the judge is not sure enough that the candidate is better),
    `duplicate_correction` (another row of the prompt gets the candidate) and
    `over_correction_cap`.

    Score columns of the table `confidence`: `value`, `consistency` (O), `reflection` (S),
    `threshold`; with `correct` also `preference`, the confidence that the candidate is better.

    Attributes:
        model: Role of the language model that judges: the one to be tuned, untuned.
        consistency: What compares samples with the response.
        samples: Sampled answers per prompt.
        temperature: Of the samples.
        max_tokens: Of one sample.
        explain: Ask the samples for reasoning before the answer.
        short_words: A response of at most so many words is compared with the samples' final
            answers, a longer one as a whole.
        alpha: Weight of the comparer's agreement against an exact match.
        beta: Weight of consistency against self-reflection.
        reading: How letters are read: off the next token's `probabilities`, or off a generated
            `letter` where a server reports no probabilities.
        reply_tokens: Of a reflection from which a letter is read; a judge that thinks needs more.
        template: How prompts are rendered; a base model without a chat template needs `plain`.
        threshold: Which confidences pass.
        correct: How rows that do not pass are corrected; None drops them.
        gate: Reflect first, and sample only where S is at least this far from 0 and 1; of other
            rows C is S, which moves the median; the report counts them. None, the default,
            samples all rows.
        seed: Of the samples.
    """

    revision: ClassVar[int] = 2  # 2: which of two equal rows is corrected depends on their ids

    kind: Literal["clear"] = "clear"
    model: str
    consistency: Comparer = Embedding()
    samples: int = Field(default=5, ge=2, le=64)
    temperature: float = Field(default=1.0, gt=0, le=10)
    max_tokens: int = Field(default=512, ge=1)
    explain: bool = True
    short_words: int = Field(default=30, ge=1)
    alpha: float = Field(default=0.8, ge=0, le=1)
    beta: float = Field(default=0.7, ge=0, le=1)
    reading: Reading = "probabilities"
    reply_tokens: int = Field(default=REPLY_TOKENS, ge=1)
    template: Template = "chat"
    threshold: Threshold = Threshold()
    correct: Correction | None = None
    gate: float | None = Field(default=None, gt=0, le=0.5)
    seed: int = 0

    @model_validator(mode="after")
    def _letters_are_generated(self) -> "Clear":
        if self.reading == "letter" and self.correct and self.correct.judgements == 0:
            raise ValueError(
                "'correct.judgements: 0' reads probabilities, which 'reading: letter' does "
                "without; expected at least 1 judgement."
            )
        return self

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the reflection; samples are drawn only where it can judge the response."""
        reflection = Reflection(
            model=self.model,
            reading=self.reading,
            template=self.template,
            reply_tokens=self.reply_tokens,
        )
        return (reflection,)

    def roles(self) -> tuple[str, ...]:
        """Return the roles of all models that it may run."""
        tuning = self.correct.tuning if self.correct else None
        more = (self.consistency.role, tuning.model if tuning else None)
        return (self.model, *[role for role in more if role])

    def local_roles(self) -> tuple[str, ...]:
        """Return the roles of models that cannot be on a server."""
        tuning = self.correct.tuning if self.correct else None
        comparer = self.consistency.role if self.consistency.local else None
        return tuple(role for role in (comparer, tuning.model if tuning else None) if role)

    def follow(self, corpus: Corpus) -> Sequence[Request]:
        """Return samples of the responses that can be judged, then candidates where those fail."""
        if not len(corpus) or "preference" in corpus.tables:
            return ()
        if "consistency" in corpus.tables:
            return self._corrections(corpus)
        asked = status_of(corpus) == OK
        if self.gate is not None:
            reflected = reflection(corpus)
            asked &= (reflected >= self.gate) & (reflected <= 1 - self.gate)
        if not asked.any():
            return self._corrections(corpus)
        compared = self._consistency
        return [Request(compared.samples, asked), Request(compared, asked)]

    def derive(self, corpus: Corpus) -> dict[str, pa.Table]:
        """Return the confidence of each row, its two parts, and the threshold that it must pass."""
        value = self._confidence(corpus)
        columns = {
            **({"preference": preference(corpus, self.beta)} if self.correct else {}),
            "value": value,
            "consistency": consistency(corpus, self.alpha),
            "reflection": reflection(corpus),
            "threshold": self._passing(corpus, value).threshold,
        }
        arrays = {n: pa.array(c, pa.float64(), from_pandas=True) for n, c in columns.items()}
        return {"confidence": pa.table(arrays)}

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep what is above the threshold, and what could not be judged."""
        value = to_float(corpus.column("confidence.value"))
        status = status_of(corpus)
        passed = self._passing(corpus, value).rows
        empty = status == EMPTY_RESPONSE
        unjudged = np.isnan(value)
        reasons = np.where(passed, "confident", "low_confidence").astype(object)
        reasons[empty] = EMPTY_RESPONSE
        reasons[unjudged] = [f"unjudged_{each}" for each in status[unjudged]]
        keep = (passed | unjudged) & ~empty
        if self.correct is not None:
            preferred = to_float(corpus.column("confidence.preference"))
            corrections = outcomes(self.correct, corpus, keep, preferred)
            reasons = np.where(corrections != "", corrections, reasons)
            keep |= corrections == CORRECTED
        return verdicts(corpus, keep, reasons, gain=value)

    def revise(self, corpus: Corpus, decided: pa.Table) -> pa.Table:
        """Return the candidates of the rows that are corrected."""
        rows = pc.equal(decided["reason"], CORRECTED)
        if not pc.any(rows).as_py():
            return REVISED.empty_table()
        candidates = corpus.scores("candidate").filter(rows)
        ids = corpus.rows["id"].filter(rows)
        return pa.table([ids, candidates["text"], candidates["origin"]], schema=REVISED)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return the parts of the confidence, and what was kept of each source and task."""
        keep = decided["keep"].to_numpy()
        passed = self._passing(corpus, to_float(corpus.column("confidence.value")))
        tunes = self.correct is not None and self.correct.tuning is not None
        return {
            "consistency_by": self.consistency.kind,
            **confidence_figures(corpus),
            **(gate_figures(corpus, self.gate) if self.gate else {}),
            **kept_figures(corpus, keep),
            **({"corrections": correction_figures(corpus, decided)} if self.correct else {}),
            "warnings": warnings(corpus, keep, passed, tunes),
        }

    @property
    def _consistency(self) -> Consistency:
        sampling = Sampling(
            n=self.samples,
            temperature=self.temperature,
            seed=self.seed,
            max_tokens=self.max_tokens,
        )
        samples = Samples(
            model=self.model, sampling=sampling, explain=self.explain, template=self.template
        )
        comparer = self.consistency
        if isinstance(comparer, Judge):
            comparer = comparer.as_in(self.reading, self.template)
        return Consistency(samples=samples, comparer=comparer, short_words=self.short_words)

    def _confidence(self, corpus: Corpus) -> Floats:
        return confidence(corpus, self.alpha, self.beta, gated=self.gate is not None)

    def _passing(self, corpus: Corpus, value: Floats) -> Passed:
        return passing(self.threshold, value, group_names(corpus, self.threshold.per))

    def _corrections(self, corpus: Corpus) -> Sequence[Request]:
        """Return the candidates of the rows that do not pass, and the preference for them."""
        correct = self.correct
        if correct is None:
            return ()
        value = self._confidence(corpus)
        passed = self._passing(corpus, value).rows
        passed &= status_of(corpus) != EMPTY_RESPONSE
        asked = ~passed & np.isfinite(value)
        if not asked.any() or (correct.tuning is not None and not passed.any()):
            return ()
        tuning = self._tuning(corpus, passed, asked)
        candidate = Candidate(
            model=tuning.model if tuning else self.model,
            tuning=tuning,
            trained_on=rows_digest(corpus, passed) if tuning else None,
            max_tokens=correct.max_tokens,
            template=self.template,
        )
        sampling = Sampling(
            n=max(1, correct.judgements), seed=self.seed, max_tokens=correct.judgement_tokens
        )
        preferred = Preference(
            model=self.model,
            candidate=candidate,
            sampling=sampling if correct.judgements else None,
            reading=self.reading,
            template=self.template,
            reply_tokens=self.reply_tokens,
        )
        training = Training(tuning, passed) if tuning else None
        return [Request(candidate, asked, training), Request(preferred, asked)]

    def _tuning(self, corpus: Corpus, passed: Bools, asked: Bools) -> Tuning | None:
        """Return how the model that writes candidates is tuned; None if it is not."""
        tuning = self.correct.tuning if self.correct else None
        if tuning is None:
            return None
        template = tuning.template or self.template
        tuning = tuning.model_copy(update={"seed": self.seed, "template": template})
        prompts = np.array(corpus.rows["prompt_id"].to_pylist(), dtype=object)
        if not set(prompts[passed]) & set(prompts[asked]):
            # No prompt would be answered by a model that has seen it: one model will do.
            tuning = tuning.model_copy(update={"folds": 1})
        return tuning
