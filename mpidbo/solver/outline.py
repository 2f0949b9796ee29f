"""What a run keeps of a state beside that of the current iteration."""

from math import prod
from typing import Any, NamedTuple

from .._pytree import leaves
from .._types import Array, Float
from ..parallel import Agents

MAX_KEPT_BYTES = 1 << 28
"""Memory for a rank's rows of a state up to which all of it is kept."""


class Outline(NamedTuple):
    """The variables of a large state that are kept.

    Parameters
    ----------
    x : array of shape (m, p)
    y : array of shape (m, q)
    """

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]


def outlined(state: Any, agents: Agents) -> Any:
    """Return a state itself, or its x and y where it takes much memory; the same on every rank.

    Parameters
    ----------
    state : NamedTuple of arrays (m, d)
    agents : Agents
        Those of the run: of ranks with different numbers of agents the mean decides.
    """
    of_agent = sum(prod(rows.shape[1:]) * rows.dtype.itemsize for _, rows in leaves(state))
    if of_agent * agents.n <= MAX_KEPT_BYTES * agents.size:
        return state
    return Outline(state.x, state.y)
