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

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from siftline.contracts.corpus import Corpus
from siftline.contracts.method import REVISED, Method, Request, verdicts
from siftline.contracts.scorer import Scorer
from siftline.contracts.trainer import Training, rows_digest
from siftline.filters.thresholds import Passed, Threshold, group_names, members, passing, vanishing
from siftline.models.generation import Sampling
from siftline.models.likelihood import EMPTY_RESPONSE, OK
from siftline.models.rendering import Template
from siftline.scorers.confidence import TOO_FEW_SAMPLES, Consistency, Reflection, Samples
from siftline.scorers.correction import Candidate, Correction, Preference
from siftline.scorers.judges.comparers import Comparer, Embedding, Judge
from siftline.scorers.judges.judging import Reading

# A group of which less is kept is about to vanish, if it had so many rows (ours).
VANISHING_SHARE = 0.1
FEWEST_ROWS = 10
NAMED_GROUPS = 5
# Share of rows without enough samples above which the report warns (ours).
MANY_UNJUDGED = 0.1
# Median probability of a letter as the next token below which the report warns (ours).
LITTLE_MASS = 0.1
CORRECTED = "corrected"
DUPLICATE_CORRECTION = "duplicate_correction"

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
        template: How prompts are rendered; a base model without a chat template needs `plain`.
        threshold: What passes.
        correct: How rows that do not pass are corrected; None drops them.
        gate: Reflect first, and sample only where S is at least this far from 0 and 1; of other
            rows C is S, which moves the median, and is told in the report. None, the default,
            samples all rows.
        seed: Of the samples.
    """

    revision: ClassVar[int] = 1

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
        """Return the reflection; samples are drawn where it finds something to judge."""
        return (self._reflection,)

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
        """Return samples where there is something to judge, then candidates where it fails."""
        if not len(corpus) or "preference" in corpus.tables:
            return ()
        if "consistency" in corpus.tables:
            return self._corrections(corpus)
        asked = _status(corpus) == OK
        if self.gate is not None:
            reflection = _reflection(corpus)
            asked &= (reflection >= self.gate) & (reflection <= 1 - self.gate)
        if not asked.any():
            return self._corrections(corpus)
        consistency = self._consistency
        return [Request(consistency.samples, asked), Request(consistency, asked)]

    def derive(self, corpus: Corpus) -> dict[str, pa.Table]:
        """Return the confidence of each row, its two parts, and what it is held to."""
        consistency, reflection = self._observed(corpus), _reflection(corpus)
        value = self._confidence(corpus, consistency, reflection)
        passed = passing(self.threshold, value, group_names(corpus, self.threshold.per))
        columns = {
            **({"preference": self._preference(corpus)} if self.correct else {}),
            "value": value,
            "consistency": consistency,
            "reflection": reflection,
            "threshold": passed.threshold,
        }
        arrays = {n: pa.array(c, pa.float64(), from_pandas=True) for n, c in columns.items()}
        return {"confidence": pa.table(arrays)}

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep what is above the threshold, and what could not be judged."""
        value = _column(corpus, "confidence.value")
        status = _status(corpus)
        passed = self._passed(corpus)
        empty = status == EMPTY_RESPONSE
        unjudged = np.isnan(value)
        reasons = np.where(passed.rows, "confident", "low_confidence").astype(object)
        reasons[empty] = EMPTY_RESPONSE
        reasons[unjudged] = [f"unjudged_{each}" for each in status[unjudged]]
        keep = (passed.rows | unjudged) & ~empty
        if self.correct is not None:
            keep |= self._correct(corpus, keep, reasons)
        return verdicts(corpus, keep, reasons, gain=value)

    def revise(self, corpus: Corpus, decided: pa.Table) -> pa.Table:
        """Return the candidates of the rows that are corrected."""
        rows = pc.equal(decided["reason"], CORRECTED)
        if not pc.any(rows).as_py():
            return REVISED.empty_table()
        found = corpus.scores("candidate").filter(rows)
        ids = corpus.rows["id"].filter(rows)
        return pa.table([ids, found["text"], found["origin"]], schema=REVISED)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Tell the parts of the confidence, and what was kept of each source and task."""
        keep = decided["keep"].to_numpy()
        value = _column(corpus, "confidence.value")
        kept = {per: _shares(keep, group_names(corpus, per)) for per in ("source", "task")}
        status = _status(corpus)
        unparsable = corpus.column("reflection.unparsable").to_numpy(zero_copy_only=False)
        return {
            "consistency_by": self.consistency.kind,
            "confidence_quartiles": _quartiles(value),
            "consistency_quartiles": _quartiles(_column(corpus, "confidence.consistency")),
            "reflection_quartiles": _quartiles(_column(corpus, "confidence.reflection")),
            "looks_that_disagree": _disagreeing(corpus),
            "letter_mass_quartiles": _quartiles(_column(corpus, "reflection.letter_mass")),
            "unparsable_reflections": int(np.nansum(unparsable.astype(float))),
            "sampled_rows": int(_asked(corpus).sum()),
            **({"gate": self.gate, "gated_rows": self._gated(corpus)} if self.gate else {}),
            "unjudged": {
                str(name): int((status == name).sum())
                for name in sorted(set(status))
                if name not in (OK, EMPTY_RESPONSE)
            },
            "kept_share_by_source": kept["source"],
            "kept_share_by_task": kept["task"],
            **({"corrections": self._told(corpus, decided)} if self.correct else {}),
            "warnings": self._warnings(corpus, keep),
        }

    @property
    def _reflection(self) -> Reflection:
        return Reflection(model=self.model, reading=self.reading, template=self.template)

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

    def _gated(self, corpus: Corpus) -> int:
        """Return how many rows were judged by reflection alone."""
        return int(((_status(corpus) == OK) & ~_asked(corpus)).sum())

    def _corrections(self, corpus: Corpus) -> Sequence[Request]:
        """Return the candidates of the rows that do not pass, and the preference for them."""
        if self.correct is None:
            return ()
        value = self._confidence(corpus, self._observed(corpus), _reflection(corpus))
        passed = passing(self.threshold, value, group_names(corpus, self.threshold.per)).rows
        passed &= _status(corpus) != EMPTY_RESPONSE
        asked = ~passed & np.isfinite(value)
        correct = self.correct
        tuning, training = correct.tuning, None
        if not asked.any() or (tuning is not None and not passed.any()):
            return ()
        if tuning is not None:
            template = tuning.template or self.template
            tuning = tuning.model_copy(update={"seed": self.seed, "template": template})
            prompts = np.array(corpus.rows["prompt_id"].to_pylist(), dtype=object)
            if not set(prompts[passed]) & set(prompts[asked]):
                # No prompt would be answered by a model that has seen it: one model will do.
                tuning = tuning.model_copy(update={"folds": 1})
            training = Training(tuning, passed)
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
        preference = Preference(
            model=self.model,
            candidate=candidate,
            sampling=sampling if correct.judgements else None,
            reading=self.reading,
            template=self.template,
        )
        return [Request(candidate, asked, training), Request(preference, asked)]

    def _preference(self, corpus: Corpus) -> Floats:
        """Return [rows] the confidence in the candidate; 0 where the orders disagree."""
        if "preference" not in corpus.tables:
            return np.full(len(corpus), np.nan)
        orders = []
        agreed = np.ones(len(corpus), dtype=bool)
        for order in ("first", "second"):
            share = _column(corpus, f"preference.share_{order}")
            doubt = _column(corpus, f"preference.reflection_{order}")
            orders.append(self.beta * share + (1 - self.beta) * doubt)
            agreed &= ~(share <= 0.5)
        found: Floats = np.where(agreed, sum(orders) / 2, 0.0)
        return found

    def _correct(self, corpus: Corpus, keep: Bools, reasons: npt.NDArray[Any]) -> Bools:
        """Return [rows] true for those to be corrected, and give the others their reasons."""
        assert self.correct is not None
        preference = _column(corpus, "confidence.preference")
        reasons[~keep & np.isfinite(preference)] = "not_improved"
        better = np.flatnonzero(~keep & (preference > self.correct.eta))
        hashes = np.array(corpus.rows["content_hash"].to_pylist(), dtype=object)[better]
        order = better[np.lexsort((hashes, -preference[better]))]
        # Rows of one prompt share a candidate, and a dataset wants it once.
        prompts = np.array(corpus.rows["prompt_id"].to_pylist(), dtype=object)[order].astype(str)
        firsts = np.zeros(len(order), dtype=bool)
        firsts[np.unique(prompts, return_index=True)[1]] = True
        reasons[order[~firsts]] = DUPLICATE_CORRECTION
        order = order[firsts]
        share = self.correct.max_share
        room = len(order) if share >= 1 else int(share * keep.sum() / (1 - share) + 1e-9)
        reasons[order[:room]] = CORRECTED
        reasons[order[room:]] = "over_correction_cap"
        corrected = np.zeros(len(corpus), dtype=bool)
        corrected[order[:room]] = True
        return corrected

    def _told(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Tell what became of the corrections."""
        reasons = decided["reason"].to_pylist()
        status = {}
        if "preference" in corpus.tables:
            status = dict(Counter(corpus.column("preference.status").drop_null().to_pylist()))
        kept = max(1, int(decided["keep"].to_numpy().sum()))
        return {
            "asked": sum(status.values()),
            "judged": status.get(OK, 0),
            "not_judged": {name: count for name, count in status.items() if name != OK},
            "corrected": reasons.count(CORRECTED),
            "corrected_share_of_kept": round(reasons.count(CORRECTED) / kept, 4),
        }

    def _observed(self, corpus: Corpus) -> Floats:
        """Return [rows] O, NaN where there is none."""
        if "consistency" not in corpus.tables:
            return np.full(len(corpus), np.nan)
        agreement = _column(corpus, "consistency.agreement")
        return self.alpha * agreement + (1 - self.alpha) * _column(corpus, "consistency.match")

    def _confidence(self, corpus: Corpus, consistency: Floats, reflection: Floats) -> Floats:
        """Return [rows] C: both parts, or 0 for an empty response; NaN where one is missing."""
        both = self.beta * consistency + (1 - self.beta) * reflection
        status = _status(corpus)
        if self.gate is not None:
            gated = (status == OK) & ~_asked(corpus)
            both[gated] = reflection[gated]
        both[status == EMPTY_RESPONSE] = 0.0
        return both

    def _passed(self, corpus: Corpus) -> Passed:
        value = _column(corpus, "confidence.value")
        return passing(self.threshold, value, group_names(corpus, self.threshold.per))

    def _warnings(self, corpus: Corpus, keep: Bools) -> list[str]:
        found = []
        gone = vanishing(keep, group_names(corpus, "task"), VANISHING_SHARE, FEWEST_ROWS)
        if gone:
            more = f" and {len(gone) - NAMED_GROUPS} more" if len(gone) > NAMED_GROUPS else ""
            found.append(
                f"Of {'; '.join(gone[:NAMED_GROUPS])}{more} less than {VANISHING_SHARE:.0%} is "
                "kept; set 'threshold.per: task', or a lower threshold."
            )
        status = _status(corpus)
        unjudged = int(((status != OK) & (status != EMPTY_RESPONSE)).sum())
        if unjudged > MANY_UNJUDGED * len(corpus):
            cut = int((status == TOO_FEW_SAMPLES).sum())
            found.append(
                f"{unjudged} of {len(corpus)} rows are not judged and so kept; of {cut} fewer than "
                "two samples came to an answer that can be compared: raise 'max_tokens', or "
                "choose another 'consistency'."
            )
        mass = _quartiles(_column(corpus, "reflection.letter_mass"))
        if mass and mass[1] < LITTLE_MASS:
            found.append(
                f"Half of the reflections have less than {mass[1]:.2g} of the next token's "
                "probability on A, B and C: the judge hardly answers the question. Try another "
                "'template', or 'reading: letter'."
            )
        if self.correct and self.correct.tuning and not self._passed(corpus).rows.any():
            found.append("Nothing passed that a model could be tuned on: nothing is corrected.")
        ties = self._passed(corpus).ties
        if ties:
            found.append(
                f"In {', '.join(ties)} the threshold is the highest confidence: rows equal to it "
                "are kept, or nothing would be."
            )
        return found


def _column(corpus: Corpus, name: str) -> Floats:
    """Return a score column as numbers, NaN where it is null."""
    found: Floats = corpus.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found


def _asked(corpus: Corpus) -> Bools:
    """Return [rows] true where samples were drawn."""
    if "consistency" not in corpus.tables:
        return np.zeros(len(corpus), dtype=bool)
    found: Bools = corpus.column("consistency.status").is_valid().to_numpy(zero_copy_only=False)
    return found


def _reflection(corpus: Corpus) -> Floats:
    """Return [rows] S, NaN where there is none."""
    both = _column(corpus, "reflection.first") + _column(corpus, "reflection.second")
    found: Floats = both / 2
    return found


def _status(corpus: Corpus) -> npt.NDArray[np.object_]:
    """Return [rows] `ok`, or why one of the two parts is missing."""
    status = np.array(corpus.column("reflection.status").to_pylist(), dtype=object)
    if "consistency" in corpus.tables:
        other = np.array(corpus.column("consistency.status").to_pylist(), dtype=object)
        worse = (status == OK) & (other != OK) & (other != None)  # noqa: E711
        status[worse] = other[worse]
    return status


def _disagreeing(corpus: Corpus) -> int:
    """Return how many rows have another letter at the second look."""
    first = corpus.column("reflection.first_letter").to_pylist()
    second = corpus.column("reflection.second_letter").to_pylist()
    return sum(one != two for one, two in zip(first, second, strict=True))


def _shares(keep: Bools, groups: npt.NDArray[np.object_]) -> dict[str, float]:
    return {name: round(float(keep[rows].mean()), 4) for name, rows in members(groups).items()}


def _quartiles(values: Floats) -> list[float]:
    known = values[np.isfinite(values)]
    return [round(float(q), 4) for q in np.quantile(known, (0.25, 0.5, 0.75))] if len(known) else []
