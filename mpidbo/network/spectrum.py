"""Spectrum of a mixing matrix."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .weights import summed

MAX_DENSE = 1000
"""Agents up to which all eigenvalues are computed."""
KRYLOV_VECTORS = 64
"""Many, because the eigenvalues of a ring are crowded at both ends of its spectrum."""


MAX_POWERS, PERRON_ERROR = 10_000, 1e-9


class Spectrum(NamedTuple):
    """Numbers on which the convergence of gossip depends.

    Parameters
    ----------
    rho : float
        ||W - 11'/n||_2, the contraction of the disagreement in a round; of weights that are not
        doubly stochastic the second largest modulus of an eigenvalue, that in the long run.
    lambda_min : float
        The smallest eigenvalue of W, or the smallest real part of one.
    """

    rho: float
    lambda_min: float


def spectrum(W: csr_array, *, symmetric: bool) -> Spectrum:
    """Return the spectrum of a doubly stochastic matrix, shape (n, n)."""
    n = W.shape[0]
    if n > MAX_DENSE:
        return _sparse(W, symmetric)
    dense = W.toarray()
    if symmetric:
        values = np.linalg.eigvalsh(dense)  # ascending; the last is 1
        return Spectrum(float(np.abs(values[:-1]).max(initial=0)), float(values[0]))
    rho = float(np.linalg.norm(dense - 1 / n, 2))
    return Spectrum(rho, float(np.linalg.eigvals(dense).real.min()))


def spectrum_of_weights(matrix: csr_array) -> Spectrum:
    """Return the spectrum of a matrix whose rows or columns sum to one, shape (n, n)."""
    n = matrix.shape[0]
    if n <= MAX_DENSE:
        values = np.linalg.eigvals(matrix.toarray())
    else:
        from scipy.sparse.linalg import eigs

        start = np.random.default_rng(0).standard_normal(n)
        options = {"k": 2, "ncv": KRYLOV_VECTORS, "v0": start, "return_eigenvectors": False}
        values = np.concatenate([eigs(matrix, which=which, **options) for which in ("LM", "SR")])
    moduli = np.sort(np.abs(values))
    return Spectrum(float(moduli[-2]) if n > 1 else 0.0, float(values.real.min()))


def perron(matrix: csr_array) -> NDArray[np.float64]:
    """Return n times the Perron vector of a matrix whose columns sum to one, by powers."""
    weights: NDArray[np.float64] = np.ones(matrix.shape[0])
    for _ in range(MAX_POWERS):
        before, weights = weights, matrix @ weights
        if np.abs(weights - before).max() < PERRON_ERROR:
            break
    return weights


def contraction(matrices: list[csr_array], *, random: bool) -> float:
    """Return rho of doubly stochastic matrices that follow each other, for a round in the mean.

    In turn it is the norm of their product less 11'/n, to the power of one over their number; of
    matrices that are drawn the square root of the norm of the mean of W'W less 11'/n.
    """
    n = matrices[0].shape[0]
    if random:
        mean = summed([W.T @ W for W in matrices]) / len(matrices)
        return float(np.sqrt(spectrum(mean, symmetric=True).rho))
    product = matrices[0]
    for W in matrices[1:]:
        product = W @ product
    rho = spectrum(csr_array(product), symmetric=False).rho
    # What rounding leaves of zero would have a large root.
    return 0.0 if rho < n * np.finfo(float).eps else float(rho ** (1 / len(matrices)))


def _sparse(W: csr_array, symmetric: bool) -> Spectrum:
    # Imported here: every rank loads this module, and only the first one needs the solvers.
    from scipy.sparse.linalg import LinearOperator, eigs, eigsh, svds

    n = W.shape[0]
    # The eigenvalue 1 is moved to 1 - c, the mean of the others: ARPACK converges badly where it is
    # at an end of the spectrum.
    c = 1 - (W.trace() - 1) / (n - 1)
    others = LinearOperator(
        (n, n),
        lambda v: W @ v - c * v.mean(),
        lambda v: W.T @ v - c * v.mean(),
        dtype=np.float64,
    )
    # A fixed start: ARPACK's own is random, and with it the last digits.
    start = np.random.default_rng(0).standard_normal(n)
    options = {"k": 1, "ncv": KRYLOV_VECTORS, "v0": start}
    if symmetric:
        largest = eigsh(others, which="LM", return_eigenvectors=False, **options)
        smallest = eigsh(W, which="SA", return_eigenvectors=False, **options)
    else:
        largest = svds(others, return_singular_vectors=False, **options)
        smallest = eigs(W, which="SR", return_eigenvectors=False, **options)
    return Spectrum(float(abs(largest[0])), float(smallest[0].real))
