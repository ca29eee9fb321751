"""Rows that a format cannot hold: counted by what is in the way, and nothing is written."""

from collections.abc import Iterable, Mapping

from siftline.contracts.errors import RunError
from siftline.contracts.examples import Message

_IN_WORDS = {
    "turns": "with several turns",
    "system": "with a system turn",
    "system_later": "with a system turn that is not the first",
    "system_empty": "with an empty system turn",
    "calls": "with calls of tools, or their results",
    "tools": "with tools",
    "weights": "with turns that are not to be trained on (weight 0)",
    "weight": "with a weight that is neither 0 nor 1",
    "media": "with images, sounds or files",
    "columns": "with columns of images, sounds or files",
    "order": "with turns that do not alternate",
    "marks": "with marks of a call among the words before one",
}


def require_all_learned(turns: Iterable[Message]) -> None:
    """Check that no turn of the model has a weight, for which a format has no place.

    Raises:
        MisfitError: One is not to be trained on, or in part. The weight 1 is what no weight means.
    """
    weights = {turn.get("weight") for turn in turns if turn["role"] == "assistant"}
    if 0 in weights:
        raise MisfitError("weights")
    if weights - {None, 1}:
        raise MisfitError("weight")


class MisfitError(Exception):
    """A row that a format cannot hold without a loss; its first argument says why, as a slug."""

    def __init__(self, slug: str) -> None:
        super().__init__(slug)
        self.slug = slug


def refusal(name: str, misfits: Mapping[str, int], rows: int) -> RunError:
    """Return the error of a dataset that does not fit into a format.

    Args:
        name: Of the format.
        misfits: Rows by what is in the way.
        rows: Of the dataset.
    """
    count = sum(misfits.values())
    told = ", ".join(f"{n:,} {_IN_WORDS[slug]}" for slug, n in sorted(misfits.items()))
    return RunError(
        f"The format '{name}' cannot hold {count:,} of {rows:,} rows ({told}). Write the format "
        "'messages', which holds all of them, or leave such rows out; nothing was written."
    )
