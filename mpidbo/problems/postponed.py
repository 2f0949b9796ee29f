"""Oracles that are called while a message is under way, or once an answer is needed."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .._types import Array
from ..parallel import Rows

if TYPE_CHECKING:
    from .oracle import Sample


def postponed(
    rows: Mapping[str, Callable[..., Array]],
) -> dict[str, Callable[..., Array]]:
    """Return oracles that answer at once, with rows that are computed later.

    Parameters
    ----------
    rows : mapping of str to callable
        The function from a sample and rows to rows of each oracle.
    """

    def answering(variable: int, ask: Callable[..., Array]) -> Callable[..., Array]:
        def asked(sample: "Sample", *points: Any) -> Array:
            like = points[variable]
            return Rows.of_call(partial(ask, sample, *points), like.shape, like.dtype)

        return asked

    # f_x, g_x and g_xy have the form of x, the others that of y.
    return {name: answering("xy".index(name[2]), ask) for name, ask in rows.items()}
