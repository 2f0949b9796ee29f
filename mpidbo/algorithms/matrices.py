"""Dense matrices of second derivatives, in place of Hessian-vector products: for small p and q.

Each agent's matrix is flattened to a row, (m, rows * columns), so that it is mixed and stored as
every other array of a state.
"""

from collections.abc import Callable

import numpy as np

from .._text import plural, quantity
from .._types import Array, Float
from ..errors import UserError
from ..problems import Oracle

COPIES = 10
"""Of all matrices at the peak of a step (states, samples, messages): 6 to 11 were measured."""

Product = Callable[[Array, Array, Array], Array]
"""g_yy or g_xy of an oracle: (x, y, v) -> rows."""


def identities(y: Float[Array, "m q"]) -> Float[Array, "m q q"]:
    """Return the identity matrix of R^q for each row of y."""
    m, q = y.shape
    return np.broadcast_to(np.diag(np.ones_like(y[0])), (m, q, q))


def apply_to_columns(
    product: Product,
    x: Float[Array, "m p"],
    y: Float[Array, "m q"],
    Z: Float[Array, "m q c"],
) -> Float[Array, "m rows c"]:
    """Return the matrices whose column j is `product(x, y, column j of Z)`."""
    columns = [product(x, y, Z[:, :, j].copy()) for j in range(Z.shape[2])]
    return np.stack(columns, axis=2)


def dense(
    product: Product, x: Float[Array, "m p"], y: Float[Array, "m q"]
) -> Float[Array, "m rows q"]:
    """Return the matrices of g_yy or g_xy at (x, y), from q products."""
    return apply_to_columns(product, x, y, identities(y))


def flatten(matrices: Float[Array, "m a b"]) -> Float[Array, "m ab"]:
    """Return each matrix as a row, row after row."""
    return matrices.reshape(len(matrices), -1)


def assure_room(method: str, entries: int, oracle: Oracle, max_bytes: float) -> None:
    """Raise UserError where matrices of so many entries an agent exceed `max_bytes` on a rank."""
    m, (p, q) = oracle.agents.m, oracle.dims
    size = COPIES * m * entries * oracle.dtype.itemsize
    if size > max_bytes:
        raise UserError(
            f"method.max_bytes: the matrices of {method} take about {quantity(size, 'B')} on a "
            f"rank of {plural(m, 'agent')} with p = {p} and q = {q}, more than "
            f"{quantity(max_bytes, 'B')}; take more ranks, choose a method without matrices, "
            "such as sparkle, or raise max_bytes"
        )
