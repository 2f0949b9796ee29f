"""Products of one matrix or vector per agent, rounded as the product of each agent by itself."""

from ._types import Array, Float


def batched_matvec(
    matrices: Float[Array, "m a b"], vectors: Float[Array, "m b"]
) -> Float[Array, "m a"]:
    """Return `matrices[i] @ vectors[i]` for each agent i."""
    return (matrices @ vectors[:, :, None])[:, :, 0]


def squared_norms(rows: Float[Array, "m d"]) -> Float[Array, "m 1"]:
    """Return the squared Euclidean norm of each row."""
    return (rows[:, None, :] @ rows[:, :, None])[:, :, 0]
