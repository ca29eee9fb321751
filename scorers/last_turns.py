"""The last turns of many conversations, and which of them can be measured by column.

A turn that is text alone can: no thought, in a field or between marks, and no call. What a turn
says after its thought, or as text with its calls, is found by row.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.models.thoughts import MARKERS
from siftline.scorers.flat_turns import flat_turns

# A pattern of RE2 for the marks of thoughts, wherever they stand.
THOUGHT_MARKS = "|".join(
    marker.replace("[", r"\[").replace("]", r"\]") for marker in sorted(MARKERS)
)


class LastTurns(NamedTuple):
    """The last turns of some conversations.

    Attributes:
        turns: All turns, as :func:`siftline.scorers.flat_turns.flat_turns` gives them.
        place: [rows] Number of each one's last turn among them.
        plain: [rows] True where it is text alone.
    """

    turns: pa.Table
    place: npt.NDArray[np.int64]
    plain: npt.NDArray[np.bool_]

    def contents(self) -> pa.Array:
        """Return [rows] the contents of the last turns."""
        return self.turns["content"].combine_chunks().take(pa.array(self.place))

    def asked(self) -> npt.NDArray[np.int64]:
        """Return [rows] the number of the user's turn right before; -1 where nobody asks."""
        before = self.place - 1
        user = pc.equal(self.turns["role"], "user").to_numpy()
        follows = self.turns["turn"].to_numpy()[self.place] > 0
        return np.where(follows & user[before], before, -1)


def last_turns(rows: pa.Table) -> LastTurns:
    """Return the last turns of examples.

    Args:
        rows: Of the examples' schema; only `messages` is read, and no conversation is empty.
    """
    turns = flat_turns(rows)
    place = np.flatnonzero(turns["last"].to_numpy())
    last = turns.select(["content", "reasoning", "tool_calls"]).take(pa.array(place))
    odd = pc.match_substring_regex(last["content"], THOUGHT_MARKS).to_numpy()
    for name in ("reasoning", "tool_calls"):
        odd = odd | last[name].is_valid().to_numpy()
    return LastTurns(turns, place, ~odd)
