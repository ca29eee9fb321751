"""What to do where many rows have a status instead of a score: one table for all statuses."""

from collections.abc import Mapping

from siftline.models.chat_losses import (
    REASONING_NOT_RENDERED,
    TEMPLATE_MISMATCH,
    TOOLS_NOT_RENDERED,
)
from siftline.models.chat_rendering import SPECIAL_TOKEN, TEMPLATE_ERROR
from siftline.models.likelihood import (
    BOUNDARY,
    EMPTY_PROMPT,
    EMPTY_RESPONSE,
    NOT_FINITE,
    OK,
    PROMPT_TOO_LONG,
    TOKENIZER_ERROR,
)
from siftline.models.remote.answers import CONTENT_FILTER, OPTION_UNLIKELY, TOOL_CALLS
from siftline.models.rendering import NOT_LEARNED
from siftline.models.talks import NOT_TEXT_ONLY
from siftline.scorers import statuses
from siftline.scorers.benchmark_paraphrase import NO_QUESTION
from siftline.scorers.candidate import NO_MODEL
from siftline.scorers.consistency import TOO_FEW_SAMPLES
from siftline.scorers.given_trajectories import MISSING
from siftline.scorers.paraphrase import META_TEXT

# Share of a stage's rows with a status instead of a score above which it warns.
MANY = 0.1
NAMED = 3  # statuses that a warning names, the most frequent

REMEDIES: Mapping[str, str] = {
    EMPTY_RESPONSE: "put 'rules' before it",
    PROMPT_TOO_LONG: "raise 'max_tokens', or name a model with a longer window",
    BOUNDARY: "use a model of this machine instead of a server; there, 'template: chat'",
    EMPTY_PROMPT: "use a template that writes something before the response",
    TOKENIZER_ERROR: "look at the rows' characters, or name another model",
    NOT_FINITE: "load the model with 'dtype: float32'",
    TEMPLATE_MISMATCH: "use 'template: plain', or a model whose template renders all turns alike",
    TEMPLATE_ERROR: "use 'template: plain', or a model whose template takes these roles; where it "
    "takes no system turn, state 'system: merge' of the model",
    TOOLS_NOT_RENDERED: "use 'template: plain', or a model whose template knows tools",
    REASONING_NOT_RENDERED: "state 'reasoning: inline' of the model, use 'template: plain', or a "
    "model whose template knows thoughts",
    NOT_LEARNED: "drop such rows, or take the weights of 0 out of the data",
    NOT_TEXT_ONLY: "leave rows with images, sounds or files to a stage that needs no model",
    SPECIAL_TOKEN: "clean the rows of control tokens such as <|im_end|>, or use 'template: plain'",
    CONTENT_FILTER: "turn the server's filter off, or use a model of this machine",
    OPTION_UNLIKELY: "use 'reading: letter', since the server reports too few tokens",
    TOOL_CALLS: "leave rows about calls to a stage that takes them (GRAPE, S2L): this one compares "
    "texts",
    statuses.CUT: "raise 'max_tokens'",
    statuses.EMPTY: "try another 'template', or another model",
    statuses.UNFINISHED_THOUGHT: "raise 'max_tokens', or turn the model's thinking off; leave out "
    "responses of the data that end so",
    statuses.TRUNCATED: "raise 'reply_tokens' (of judgements 'judgement_tokens'), or turn the "
    "judge's thinking off",
    statuses.UNPARSABLE: "try 'reading: probabilities', another 'template', or another judge",
    statuses.NO_ANSWER: "name the sources and tasks that the judge suits, or choose another judge",
    statuses.GOLD_FAILS: "look at the tests, and at what they need beside the standard library",
    statuses.EMPTY_TESTS: "look at the tests, which pass without any code",
    statuses.WRONG_FORMAT: "look at 'pattern', which these texts lack",
    TOO_FEW_SAMPLES: "raise 'max_tokens' or 'samples', or choose another 'consistency'",
    NO_MODEL: "lower the threshold, so that more passes to be tuned on",
    META_TEXT: "name a stronger model, whose paraphrases do not speak of the reference",
    NO_QUESTION: "leave rows without a question to the tiers that compare words",
    MISSING: "see that the file holds the ids of these rows",
}
"""By status. Packages from outside may have others."""

# The answer is the response already: nothing is missing there.
_COMPLETE = (OK, statuses.UNCHANGED)


def shortfall(table: str, counts: Mapping[str, int]) -> str | None:
    """Return a sentence where many rows have a status instead of a score, None elsewhere.

    Args:
        table: Name of the score table.
        counts: Rows that were asked for, by status.
    """
    rows = sum(counts.values())
    failed = {name: n for name, n in counts.items() if name not in _COMPLETE}
    missing = sum(failed.values())
    if missing <= MANY * rows:
        return None
    largest = sorted(failed, key=lambda name: (-failed[name], name))[:NAMED]
    told = "; ".join(f"{failed[name]:,} {name}: {remedy_of(name)}" for name in largest)
    more = f"; {len(failed) - NAMED} more statuses" if len(failed) > NAMED else ""
    return f"{missing:,} of {rows:,} rows have no score '{table}' ({told}{more})."


def remedy_of(status: str) -> str:
    """Return what to do about a status."""
    return REMEDIES.get(status, "see what the scorer's package says of it")
