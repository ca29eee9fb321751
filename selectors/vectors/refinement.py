"""Facility location's choices, made better on a larger sample.

What a small sample calls the best choice is that up to the sample's noise. So each choice is
exchanged for the vector that stands best for what it would cover: with cosines that is the one
nearest to the sum of those vectors, one product of matrices, as a medoid is found in k-medoids. An
exchange is made only when it covers more of the larger sample.
"""

import numpy as np

from siftline.selectors.arrays import Float32s, Ints
from siftline.selectors.vectors.units import DECIMALS

# The larger sample: 200 MB of 384 dimensions are read twice for each choice.
REFINED = 131_072
# How often a choice is exchanged.
ROUNDS = 3


class Refinement:
    """The larger sample, the first vectors, and how well it is covered.

    Attributes:
        value: [sample] Largest cosine to something chosen, at least 0.
        scale: Weight of all vectors, divided by that of the sample.
    """

    def __init__(self, vectors: Float32s, weight: Float32s, chosen: Ints) -> None:
        self._vectors, self._sample = vectors, vectors[:REFINED]
        self._weight = weight[:REFINED]
        # As in the small sample, a vector that stands for many does not count for itself.
        self._whole = len(self._sample) == len(vectors)
        self._free = np.ones(len(self._sample), dtype=bool)
        self.value = np.zeros(len(self._sample), dtype=np.float32)
        self.scale = float(weight.sum(dtype=np.float64) / self._weight.sum(dtype=np.float64))
        for row in chosen.tolist():
            self._take(row, self._sample @ vectors[row])

    def choose(self, row: int) -> tuple[int, float]:
        """Exchange a choice while that covers more, and count what is left of it as chosen.

        Returns:
            The vector that is chosen, and what it adds to the objective, estimated for all.
        """
        cosine = self._sample @ self._vectors[row]
        uncovered = np.flatnonzero(cosine > self.value)
        near, value, weight = (
            self._sample[uncovered],
            self.value[uncovered],
            self._weight[uncovered],
        )
        direction = weight @ near
        best, gain = row, self._gain(row, uncovered, cosine[uncovered])
        for _ in range(ROUNDS):
            other = self._nearest(uncovered, near, weight, direction)
            if other is None or other == best:
                break
            cosines = near @ self._sample[other]
            exchanged = self._gain(other, uncovered, cosines)
            if exchanged <= gain:
                break
            best, gain = other, exchanged
            covered = cosines > value
            direction = (weight * covered) @ near
        if best != row:
            cosine = self._sample @ self._sample[best]
        added = float((np.maximum(cosine - self.value, 0) * self._weight).sum(dtype=np.float64))
        self._take(best, cosine)
        return best, added * self.scale

    def _nearest(
        self, uncovered: Ints, near: Float32s, weight: Float32s, direction: Float32s
    ) -> int | None:
        """Return the free vector with the largest cosines to what is to be covered, if any."""
        if not len(uncovered):
            return None
        score = near @ direction - (0 if self._whole else weight)
        score[~self._free[uncovered]] = -np.inf
        place = int(np.round(score, DECIMALS - 2).argmax())
        return int(uncovered[place]) if self._free[uncovered[place]] else None

    def _gain(self, row: int, uncovered: Ints, cosine: Float32s) -> float:
        """Return what a vector adds on some vectors of the sample, on a grid."""
        above: Float32s = np.maximum(cosine - self.value[uncovered], 0)
        above *= self._weight[uncovered]
        total = float(above.sum(dtype=np.float64))
        if not self._whole:
            total -= float(above[uncovered == row].sum())
        return round(total, DECIMALS - 2)

    def _take(self, row: int, cosine: Float32s) -> None:
        np.maximum(self.value, cosine, out=self.value)
        if row < len(self._free):
            self._free[row] = False
