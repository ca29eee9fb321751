"""How many tokens fit a device's memory in one forward pass, as it turns out.

A batch that did not fit is cut in two, and so is every later one that is nearly as large, before it
is tried: batches are filled to about the same size, and each that fails costs a pass. What did not
fit may fit later, when somebody else has let memory go; so after a while a little more is tried,
and after a longer while each time that this was wrong.
"""

import math

# A batch of so much of one that did not fit is taken not to fit.
_NEARLY = 0.75
# How much more is tried after so many passes, the first time.
_MORE = 1.25
_PATIENCE = 64


class BatchLimit:
    """The number of tokens from which a batch is cut before it is tried.

    Attributes:
        tokens: That number; infinite until a batch has not fit.
    """

    def __init__(self) -> None:
        self.tokens = math.inf
        self._passed = 0
        self._patience = _PATIENCE

    def failed(self, tokens: int) -> None:
        """Learn that a batch of so many tokens did not fit."""
        if self.tokens < math.inf:
            self._patience *= 2
        self.tokens = min(self.tokens, _NEARLY * tokens)
        self._passed = 0

    def passed(self) -> None:
        """Learn that a batch did fit."""
        self._passed += 1
        if self._passed >= self._patience:
            self.tokens *= _MORE
            self._passed = 0
