"""Spectra in closed form, of matrices that look the same from every agent.

If w_ij depends on the steps from agent i to j along the sides of a torus alone, the eigenvalues of
W are the Fourier transform of its first row, and W is normal. That is so on rings and exponential
graphs, whose torus has one side, on a torus, and on a hypercube, whose sides are all 2.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

ROUNDING = 1e-12
"""Up to which two weights count as equal."""


class ByTranslation(NamedTuple):
    """The eigenvalues of a matrix that looks the same from every agent of a torus.

    Parameters
    ----------
    sides : tuple of int
        Of the torus; matrices of the same torus have the same eigenvectors.
    values : array of complex128, shape (n,)
        The first of them is the sum of a row.
    """

    sides: tuple[int, ...]
    values: NDArray[np.complex128]


def eigenvalues_by_translation(W: csr_array) -> ByTranslation | None:
    """Return all eigenvalues of W, or None where W is no such matrix.

    In O(n log n) and a few times the memory of W, for sorted indices.
    """
    if (np.diff(W.indptr) != W.indptr[1]).any():
        return None
    for sides in _tori(W):
        values = _on_torus(W, sides)
        if values is not None:
            return ByTranslation(sides, values)
    return None


def _tori(W: csr_array) -> Iterator[tuple[int, ...]]:
    """The sides of the tori that W may belong to, by the agents from which agent 0 receives."""
    n = W.shape[0]
    yield (n,)
    for columns in W.indices[: W.indptr[1]].tolist():
        if 1 < columns < n and n % columns == 0:
            yield (n // columns, columns)
    if n & (n - 1) == 0:
        yield (2,) * (n.bit_length() - 1)


def _on_torus(W: csr_array, sides: tuple[int, ...]) -> NDArray[np.complex128] | None:
    """Return the eigenvalues if the rows are shifts of each other on a torus of these sides."""
    n, entries = W.shape[0], int(W.indptr[1])
    agents = np.unravel_index(np.arange(n), sides)
    indices = W.indices.reshape(n, entries)
    steps = np.zeros_like(indices)
    for place, side in zip(agents, sides, strict=True):
        steps = steps * side + (place[indices] - place[:, None]) % side
    order = np.argsort(steps, axis=1)
    steps = np.take_along_axis(steps, order, axis=1)
    weights = np.take_along_axis(W.data.reshape(n, entries), order, axis=1)
    if (steps != steps[0]).any() or np.abs(weights - weights[0]).max() > ROUNDING:
        return None
    first = np.zeros(n)
    first[steps[0]] = weights[0]
    return np.fft.fftn(first.reshape(sides)).ravel()
