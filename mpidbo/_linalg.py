"""Sums, and products of one matrix or vector per agent, with the same rounding everywhere."""

from collections.abc import Iterable
from functools import reduce
from operator import add

from ._types import Array, Float


def batched_matvec(
    matrices: Float[Array, "#m a b"], vectors: Float[Array, "#m b"]
) -> Float[Array, "m a"]:
    """Return `matrices[i] @ vectors[i]` for each agent i, rounded as each product by itself.

    One matrix, or one vector, may serve all agents.
    """
    return (matrices @ vectors[:, :, None])[:, :, 0]


def batched_dot(left: Float[Array, "m d"], right: Float[Array, "m d"]) -> Float[Array, "m 1"]:
    """Return `left[i] @ right[i]` for each agent i, rounded as each product by itself."""
    return (left[:, None, :] @ right[:, :, None])[:, :, 0]


def squared_norms(rows: Float[Array, "m d"]) -> Float[Array, "m 1"]:
    """Return the squared Euclidean norm of each row, rounded as that of the row by itself."""
    return batched_dot(rows, rows)


def added(numbers: Iterable[float]) -> float:
    """Return the sum of numbers, added one by one; `sum` rounds otherwise from Python 3.12 on."""
    return reduce(add, numbers, 0.0)
