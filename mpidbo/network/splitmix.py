"""SplitMix64 (Steele, Lea, Flood, OOPSLA 2014, Figure 17): random numbers as a function.

The k-th number of a stream can be computed directly, for many streams at once.
"""

import numpy as np
from numpy.typing import NDArray

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
"""The increment of a stream, 2^64 over the golden ratio."""
BITS, UPPER = 64, 31


def mix64(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the output function of each number."""
    return ended(begun(z + np.uint64(GOLDEN_GAMMA)))


def begun(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return states of a stream in their place, after all but the last step of the output."""
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    return z


def ended(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the output after its last step, which leaves the UPPER bits as they are."""
    return z ^ (z >> np.uint64(UPPER))
