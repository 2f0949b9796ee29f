"""A and B: the weights of a directed graph, by which a strategy mixes as it does by W.

On a directed graph agents weigh what they receive, by A, whose rows sum to one; or they split what
they send, by B, whose columns sum to one. In a strategy `yield s` means W @ s, and `yield A @ s`
and `yield B @ s` what they say; `yield A @ s, B @ h` is one message. A doubly stochastic W is both.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._types import Array, Float

if TYPE_CHECKING:
    from .compressors import Compressor


class Product:
    """A product that is still to be computed, by the gossip operator to which it is yielded.

    Parameters
    ----------
    weights : str
        "W", "A" or "B".
    array : array of shape (m, d)
        The rows that they mix.
    compressor : Compressor, optional
        What the rows are compressed by; the answer is then their compressed form and its product.

    Attributes
    ----------
    shape : tuple
        Weights, compressor and shape of the array: messages whose parts have the same shapes take
        the same route.
    """

    __slots__ = ("array", "compressor", "shape", "weights")

    def __init__(
        self, weights: str, array: Float[Array, "m d"], compressor: "Compressor | None" = None
    ) -> None:
        self.weights, self.array, self.compressor = weights, array, compressor
        self.shape = (weights, compressor, array.shape)


@dataclass(frozen=True)
class Weights:
    """Weights by which a strategy mixes: `yield A @ s`.

    Parameters
    ----------
    name : str
        "A" or "B".
    """

    name: str

    def __matmul__(self, s: Float[Array, "m d"]) -> Product:
        return Product(self.name, s)


A = Weights("A")
"""Row-stochastic weights: an agent weighs what it receives."""
B = Weights("B")
"""Column-stochastic weights: an agent splits what it sends, so that sums over agents are kept."""
