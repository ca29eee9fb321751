"""Find the surface faults of what assistants say, and drop what the recipe says.

Whose name an answer gives, talk of a knowledge cutoff, refusals, marks that templates have left,
JSON that cannot be read, ends in the middle of a sentence, damaged characters and answers that are
only a link (:mod:`siftline.scorers.hygiene`). Every fault is reported by default, as the reason of
a row that is kept: what it costs to be wrong about one is the recipe's to say.
"""

from typing import Any, ClassVar, Literal

import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Method
from siftline.contracts.scorer import Scorer
from siftline.filters.faults import (
    Action,
    Actions,
    decide_faults,
    diagnose_faults,
    picture_faults,
)
from siftline.scorers.hygiene import FAULTS, HygieneFaults
from siftline.scorers.surface.claims import IDENTITIES, REFUSING
from siftline.scorers.surface.templates import TEMPLATE_MARKS


class Hygiene(Method):
    """Reports examples with surface faults in what the assistant says, or drops them.

    Each fault is `report` or `drop`. The reason of a row is its first fault in this order that
    drops it, or else its first one, or `kept`. Turns of the assistant that are trained on count;
    thoughts count for `template_leftover` and `mojibake` alone, since they may speak of the model.
    Code, and what a turn before speaks of, is left out where a fault's module says so.

    Attributes:
        foreign_identity: "I am ChatGPT", "as an AI developed by OpenAI": a claim of a name in
            `identities`. "ChatGPT is a model by OpenAI" is none, nor is a persona that the system
            turn or the user gives.
        knowledge_cutoff: "As of my last update in September 2021".
        refusal: "That is a hard one. I cannot help with it.": a phrase of `refusals` at the
            beginning of any sentence. `rules` drops those within the first 20 characters, and has
            looser phrases ("I am sorry, but") that refuse only there.
        template_leftover: "Paris.<|im_end|>": a mark of `template_marks`.
        json_invalid: `{"a": [1, 2}` where the prompt asks for JSON.
        truncated_ending: "The three main reasons are the": it ends after a comma, an article, a
            hyphen, an opening bracket or a colon.
        mojibake: UTF-8 read as another charset, as where an apostrophe has become three characters;
            U+FFFD; controls of U+0080 to U+009F.
        link_only: "See https://example.org." where no link is asked for.
        identities: Names of assistants and makers, as they are written.
        own_names: Those of them that are the trained model's own, and are no fault.
        refusals: Phrases that begin a refusal, as in `rules`.
        template_marks: Marks of templates; one that begins with a letter or # begins a line.
    """

    revision: ClassVar[int] = 1

    kind: Literal["hygiene"] = "hygiene"
    foreign_identity: Action = "report"
    knowledge_cutoff: Action = "report"
    refusal: Action = "report"
    template_leftover: Action = "report"
    json_invalid: Action = "report"
    truncated_ending: Action = "report"
    mojibake: Action = "report"
    link_only: Action = "report"
    identities: tuple[str, ...] = IDENTITIES
    own_names: tuple[str, ...] = ()
    refusals: tuple[str, ...] = REFUSING
    template_marks: tuple[str, ...] = TEMPLATE_MARKS

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the faults of each row."""
        own = {name.casefold() for name in self.own_names}
        foreign = tuple(name for name in self.identities if name.casefold() not in own)
        return (
            HygieneFaults(
                identities=foreign, refusals=self.refusals, template_marks=self.template_marks
            ),
        )

    def decide(self, corpus: Corpus) -> pa.Table:
        """Give each row its first fault as its reason, those that drop it before others."""
        return decide_faults(corpus, HygieneFaults.table, self._actions())

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Count the rows of each fault; a row may have several."""
        return diagnose_faults(corpus, decided, HygieneFaults.table, self._actions())

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Name a few rows of each fault that is reported, the smallest ids."""
        return picture_faults(decided)

    def _actions(self) -> Actions:
        return {slug: getattr(self, slug) for slug in FAULTS}
