"""Where a conversation holds personal data that a pattern and a check can tell, by kind."""

from typing import ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.scorers.personal.finds import PATTERN_KINDS, Options, Region
from siftline.scorers.personal.scanning import scan


class PersonalData(Scorer):
    """Places of personal data, in the table `personal_data`.

    It has one text column for each of :data:`siftline.scorers.personal.finds.PATTERN_KINDS`, such
    as `turn 2 content 14-33; turn 3 calls 4 0-19`, or null (:mod:`.personal.spans`).

    Attributes:
        placeholders: Values that stand for any count too.
        local_ips: Addresses of private networks count too.
        regions: Countries whose national forms of telephone numbers are known.
    """

    table: ClassVar[str] = "personal_data"
    revision: ClassVar[int] = 2

    placeholders: bool = False
    local_ips: bool = False
    regions: tuple[Region, ...] = ("US", "GB", "DE", "FR")

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Scan turns, calls, tools and media of each row."""
        options = Options(self.placeholders, self.local_ips, self.regions)
        found = scan(rows.select(["messages", "tools", "media"]), options, PATTERN_KINDS)
        progress.advance(len(rows))
        return Scored(pa.table({"content_hash": rows["content_hash"], **found}))
