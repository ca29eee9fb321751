"""A specialist's budget: most of it in the domain, the rest spread over what is foreign to it.

Only-IF (arXiv 2410.04717) trains code models on 20,000 rows: with 5 to 10 % of them from elsewhere
they are better at code than with none, at 20 % the gain persists, at 25 % it is gone; two foreign
sources do slightly better than one of the same size. Single runs, differences of 1 to 4 points.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from siftline.contracts.columns import text_column
from siftline.contracts.config import Config
from siftline.contracts.corpus import Corpus
from siftline.contracts.figures import DECIMALS
from siftline.contracts.names import check_known, ingested_pairs, shown_name
from siftline.contracts.share import Share
from siftline.selectors.arrays import Ints
from siftline.selectors.quotas.allocation import allocate

# Share of foreign rows above which the paper's gain is in doubt.
MOST_FOREIGN = 0.2


By = Literal["source", "task"]


class Domains(Config):
    """What a specialist's domain is, and how much of the budget it gets.

    Attributes:
        inside: The sources, or tasks, of the domain; `in` in a recipe.
        share: Share of the budget that the domain gets; 0.9 to 0.97 by the paper. All other
            sources, or tasks, divide the rest evenly.
        by: Whether the names are those of sources or of tasks.
    """

    model_config = ConfigDict(populate_by_name=True)

    inside: tuple[str, ...] = Field(alias="in", min_length=1)
    share: Share = Field(default=0.95, gt=0)
    by: By = "source"

    @model_serializer(mode="wrap")
    def _as_in_a_recipe(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = {"in" if name == "inside" else name: v for name, v in handler(self).items()}
        return fields


class Sides(NamedTuple):
    """Prompts by side: the domain, and each foreign source or task.

    Attributes:
        names: [sides] The first is the domain, the others are in the order of their names.
        of_prompt: [prompts] Number of the side.
    """

    names: list[str]
    of_prompt: Ints


class Parts(NamedTuple):
    """A budget spread over sides.

    Attributes:
        sizes: [sides] What each side has.
        asked: [sides] What its share asks of each side, whatever it has.
        given: [sides] What each side gives, when what some lack has gone to the others.
    """

    sizes: Ints
    asked: Ints
    given: Ints


def one_side(prompts: int) -> Sides:
    """Return the sides of a pool without a domain: one."""
    return Sides(["all"], np.zeros(prompts, dtype=np.int64))


def sides_of(corpus: Corpus, of_row: Ints, domains: Domains) -> Sides:
    """Sort prompts into the domain and what is foreign to it.

    A prompt with a row in the domain belongs to the domain, whatever its other rows; a foreign one
    that several sources have belongs to the first of them by name.

    Args:
        corpus: The rows.
        of_row: [rows] Number of each row's prompt.
        domains: What the domain is.

    Raises:
        RecipeError: Nothing of one of the names was read.
    """
    place = ("source", "task").index(domains.by)
    known = {pair[place] for pair in ingested_pairs(corpus)}
    check_known("diversity.domains.in", domains.inside, known)
    labels = [shown_name(name) for name in text_column(corpus, domains.by)]
    foreign = sorted(set(labels) - set(domains.inside))
    number = dict.fromkeys(domains.inside, 0) | {name: n for n, name in enumerate(foreign, 1)}
    of_prompt = np.full(of_row.max() + 1, len(foreign) + 1)
    np.minimum.at(of_prompt, of_row, np.array([number[name] for name in labels]))
    return Sides(["in the domain", *foreign], of_prompt)


def part_budget(sizes: Ints, budget: int, share: float) -> Parts:
    """Spread a budget over the domain and the foreign sides.

    What the foreign sides lack of their even parts goes to one another first, then to the domain;
    what the domain lacks goes to them.

    Args:
        sizes: [sides] What each side has, the domain first.
        budget: At most the sum of the sizes.
        share: Share of the budget that the domain gets.
    """
    foreign = sizes[1:]
    wanted = round(share * budget) if len(foreign) else budget
    even = allocate([budget] * len(foreign), budget - wanted, tau=0, floor=0)
    # Either side gives more where the other cannot give its part.
    inside = min(max(wanted, budget - int(foreign.sum())), int(sizes[0]))
    outside = allocate(foreign.tolist(), budget - inside, tau=0, floor=0)
    asked, given = np.r_[wanted, even].astype(np.int64), np.r_[inside, outside].astype(np.int64)
    return Parts(sizes, asked, given)


def domain_figures(sides: Sides, parts: Parts) -> dict[str, Any]:
    """Return what each side has, was asked for and gives."""
    total = max(1, int(parts.given.sum()))
    return {
        name: {
            "available": int(size),
            "asked": int(asked),
            "given": int(given),
            "share": round(int(given) / total, DECIMALS),
        }
        for name, size, asked, given in zip(sides.names, *parts, strict=True)
    }


def domain_warnings(sides: Sides, parts: Parts) -> list[str]:
    """Return warnings of sides that give less than asked, and of too large a foreign share."""
    warnings = []
    for name, _, asked, given in zip(sides.names, *parts, strict=True):
        if given < asked:
            warnings.append(
                f"'{name}' has {given:,} of the {asked:,} that its share asks for; the others give "
                "the rest."
            )
    foreign = 1 - int(parts.given[0]) / max(1, int(parts.given.sum()))
    if foreign > MOST_FOREIGN:
        warnings.append(
            f"{foreign:.0%} of the selection is foreign to the domain; in Only-IF's experiments "
            "the gain is gone at 25 %. Lower the budget, or add rows of the domain."
        )
    if len(sides.names) == 1:
        warnings.append("Nothing in the pool is foreign to the domain; add two sources or more.")
    return warnings
