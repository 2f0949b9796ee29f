"""Spectrum of a mixing matrix."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, reverse_cuthill_mckee

from ..parallel import Threads
from .translation import eigenvalues_by_translation
from .weights import summed

MAX_DENSE = 1000
"""Agents up to which all eigenvalues are computed."""
KRYLOV_VECTORS = 64
"""Of ARPACK."""
MAX_RESTARTS, MAX_RESTARTS_UNSYMMETRIC = 40, 100
"""Of ARPACK; eigenvalues that need more are found by a factorization."""
TOLERANCE = 1e-8
"""Of ARPACK, relative: of a symmetric matrix the error of an eigenvalue is about its square."""
MAX_BAND_WORK = 1e9
"""Agents times the square of the bandwidth up to which W is factorized at once."""
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
        # More threads of BLAS gain nothing on these vectors, and on busy cores wait for each other.
        with Threads(1).limited():
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
        with Threads(1).limited():
            values = _ends(matrix)
    moduli = np.sort(np.abs(values))
    return Spectrum(float(moduli[-2]) if n > 1 else 0.0, float(values.real.min()))


def _ends(matrix: csr_array) -> NDArray[np.complex128]:
    """Return the two eigenvalues of largest modulus, and that of smallest real part.

    Where the last does not converge it is a lower bound.
    """
    from scipy.sparse.linalg import eigs

    n = matrix.shape[0]
    largest = _converged(partial(_eigenvalues, matrix, "LM", 2))
    if largest is None:
        largest = eigs(matrix, 2, sigma=1 + _beside(n), v0=_start(n), return_eigenvectors=False)
    smallest = _converged(partial(_eigenvalues, matrix, "SR", 1))
    if smallest is None:
        smallest = np.array([2 * matrix.diagonal().min() - 1])  # by Gershgorin
    return np.concatenate([largest, smallest])


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
    rho = _norm_by_translation(matrices) if n > MAX_DENSE else None
    if rho is None:
        product = matrices[0]
        for W in matrices[1:]:
            product = W @ product
        rho = spectrum(csr_array(product), symmetric=False).rho
    # What rounding leaves of zero would have a large root.
    return 0.0 if rho < n * np.finfo(float).eps else float(rho ** (1 / len(matrices)))


def _norm_by_translation(matrices: list[csr_array]) -> float | None:
    """Return ||P - 11'/n|| of the product P of matrices that belong to one torus, else None.

    P itself would be dense.
    """
    found = [each for each in map(eigenvalues_by_translation, matrices) if each is not None]
    if len(found) < len(matrices) or len({each.sides for each in found}) > 1:
        return None
    values = np.prod([each.values for each in found], axis=0)
    return float(np.abs(values[1:]).max())


def _sparse(W: csr_array, symmetric: bool) -> Spectrum:
    found = eigenvalues_by_translation(W)
    if found is not None:  # the first is 1
        values = found.values
        return Spectrum(float(np.abs(values[1:]).max()), float(values.real.min()))
    parts, part_of = connected_components(W)
    if symmetric and parts > 1:
        return Spectrum(1.0, min(_smallest_of_parts(W, part_of)))
    if symmetric:
        second, smallest = _second_and_smallest(W)
        return Spectrum(max(second, -smallest), smallest)
    # ||W - 11'/n||^2 is the second largest eigenvalue of W'W.
    second, _ = _second_and_smallest(csr_array(W.T @ W))
    return Spectrum(float(np.sqrt(second)), float(_ends(W).real.min()))


def _smallest_of_parts(W: csr_array, part_of: NDArray[np.int32]) -> Iterator[float]:
    """The smallest eigenvalue of a symmetric matrix, of the parts of each size.

    Parts of one size are many in a matching, and too many equal eigenvalues for ARPACK.
    """
    sizes = np.bincount(part_of)
    for size in np.unique(sizes):
        agents = np.flatnonzero(sizes[part_of] == size)
        agents = agents[np.argsort(part_of[agents], kind="stable")]
        own = W[agents][:, agents].tocoo()
        if size > MAX_DENSE:
            parts = [W[part][:, part] for part in agents.reshape(-1, size)]
            yield from (_second_and_smallest(part)[1] for part in parts)
            continue
        blocks = np.zeros((len(agents) // size, size, size))
        blocks[own.row // size, own.row % size, own.col % size] = own.data
        yield float(np.linalg.eigvalsh(blocks).min())


def _second_and_smallest(W: csr_array) -> tuple[float, float]:
    """Return two eigenvalues of a symmetric doubly stochastic matrix."""
    # Imported here: every rank loads this module, and only the first one needs the solvers.
    from scipy.sparse.linalg import LinearOperator, eigsh

    n = W.shape[0]
    values: NDArray[Any] | None = None
    if n * _bandwidth(W) ** 2 > MAX_BAND_WORK:
        # The eigenvalue 1 is moved to the mean of the others: ARPACK converges badly where it is
        # at an end of the spectrum.
        c = 1 - (W.trace() - 1) / (n - 1)
        others = LinearOperator((n, n), lambda v: W @ v - c * v.mean(), dtype=np.float64)
        values = _converged(partial(_eigenvalues, others, "BE", 2))
    if values is None:
        beside = partial(eigsh, W, v0=_start(n), return_eigenvectors=False)
        least = 2 * W.diagonal().min() - 1  # by Gershgorin
        second = beside(2, sigma=1 + _beside(n)).min()
        values = np.array([second, beside(1, sigma=least - _beside(n))[0]])
    return float(values.max()), float(values.min())


def _bandwidth(W: csr_array) -> int:
    """Return how far from the diagonal the entries of W are, in an order that makes that small.

    It is 1 on a path and the shorter side of a grid: these have crowded eigenvalues, which take
    ARPACK long, and a factorization that costs little.
    """
    order = reverse_cuthill_mckee(W, symmetric_mode=True)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    entries = W.tocoo()
    return int(np.abs(place[entries.row] - place[entries.col]).max())


def _eigenvalues(W: Any, which: str, k: int) -> NDArray[Any]:
    """Return k eigenvalues at an end of the spectrum; ArpackNoConvergence where they are crowded.

    `which` is "BE" of a symmetric matrix, for one at each end, "LM" or "SR" of any other one.
    """
    from scipy.sparse.linalg import eigs, eigsh

    symmetric = which == "BE"
    solver = eigsh if symmetric else eigs
    n = W.shape[0]
    found: NDArray[Any] = solver(
        W,
        k,
        which=which,
        ncv=KRYLOV_VECTORS,
        maxiter=MAX_RESTARTS if symmetric else MAX_RESTARTS_UNSYMMETRIC,
        tol=TOLERANCE,
        v0=_start(n),
        return_eigenvectors=False,
    )
    return found


def _converged(eigenvalues: Callable[[], NDArray[Any]]) -> NDArray[Any] | None:
    """Return eigenvalues, or None where they do not converge.

    They are crowded then, as on a long path, whose matrix is cheap to factorize: those nearest to a
    number beside the spectrum converge at once.
    """
    from scipy.sparse.linalg import ArpackNoConvergence

    try:
        return eigenvalues()
    except ArpackNoConvergence:
        return None


def _beside(n: int) -> float:
    """Return a distance from the spectrum that is small against the gaps of a path of n agents."""
    return 0.1 / n**2


def _start(n: int) -> NDArray[np.float64]:
    """Return a fixed start vector: ARPACK's own is random, and with it the last digits."""
    return np.random.default_rng(0).standard_normal(n)
