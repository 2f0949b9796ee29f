"""Matrices where other methods have products: for small p and q only.

Each agent's matrix is a row of its own, (m, rows * columns), so that it mixes and is kept as every other array.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._text import plural, quantity
from ..errors import UserError
from ..problems.oracle import Oracle

Array = Any

COPIES = 10
"""Of a matrix at the worst moment of a step: state, next state, new samples, messages; 6 to 11 were measured on a ring."""


def eye(y: Array) -> Array:
    """The unit matrix of R^q for each row of y, (m, q, q)."""
    m, q = y.shape
    return np.broadcast_to(np.diag(np.ones_like(y[0])), (m, q, q))


def columns(product: Callable[..., Array], x: Array, y: Array, Z: Array) -> Array:
    """(m, ., c): column j is product(x, y, column j of Z), for Z (m, q, c). With the unit matrix, g_yy or g_xy itself."""
    return np.stack([product(x, y, Z[:, :, j].copy()) for j in range(Z.shape[2])], axis=2)


def rows(matrices: Array) -> Array:
    """(m, a, b) as (m, a b)."""
    return matrices.reshape(len(matrices), -1)


def times(matrices: Array, vectors: Array) -> Array:
    """(m, a): matrices[i] @ vectors[i], for (m, a, b) and (m, b)."""
    return (matrices @ vectors[:, :, None])[:, :, 0]


def assure_room(method: str, entries: int, oracle: Oracle, max_bytes: float) -> None:
    """UserError where matrices of so many entries for each agent need more than `max_bytes` on this rank."""
    m, (p, q) = oracle.agents.m, oracle.dims
    size = COPIES * m * entries * oracle.dtype.itemsize
    if size > max_bytes:
        raise UserError(f"method.max_bytes: the matrices of {method} take about {quantity(size, 'B')} on a rank of {plural(m, 'agent')} "
                        f"with p = {p} and q = {q}, more than {quantity(max_bytes, 'B')}; take more ranks, choose a method "
                        "without matrices, such as sparkle, or raise max_bytes")
