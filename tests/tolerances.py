"""How far two computations of one float32 number may lie apart.

A sum of n rounded products is off by about sqrt(n) times half the machine's epsilon of the largest
terms, more where layers follow one another: the order of terms, which differs from processor to
processor and from batch to batch, decides by how much. So a tolerance is that, for the number of
terms that stand behind a number, relative to the magnitude of what is compared; it is no figure
that one machine happened to keep.
"""

from typing import Any

import numpy as np

EPSILON = 2.0**-23  # of float32
# Layers, normalisations and softmaxes that the errors of a sum go through before they are seen, in
# a model of two layers: each may add an error of its own, and amplify the one before.
_DEPTH = 16


def float32(terms: int, magnitude: float = 1.0) -> float:
    """Return the largest difference that rounding explains.

    Args:
        terms: How many products are added up behind a number, layer by layer: the hidden size, or
            the tokens of a gradient times it.
        magnitude: Size of the largest numbers that are compared.
    """
    return float(_DEPTH * EPSILON * terms**0.5 * abs(magnitude))


def nats(tokens: int = 1) -> float:
    """Return the largest difference in the log-likelihood of tokens by a model of tiny_models.py.

    Its hidden states have 32 components and its logits reach 20, however near to zero the logarithm
    of a probability is.

    Args:
        tokens: How many log-probabilities are added up; 1 for a mean.
    """
    return tokens * float32(32, 20.0)


def assert_alike(one: Any, other: Any, terms: int) -> None:
    """Assert that two arrays or tensors differ by rounding alone, relative to their largest number.

    A gradient, or a vector, is judged as a whole: a small component of it is the difference of
    large terms, and has their error.
    """
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    assert one.shape == other.shape
    magnitude = max(np.abs(one).max(initial=0), np.abs(other).max(initial=0))
    difference = np.abs(one - other).max(initial=0)
    assert difference <= float32(terms, magnitude), (difference, magnitude)
