"""The route of messages that are computed by one kernel before they travel."""

from time import perf_counter
from typing import Any, Protocol

from ..parallel import Fused, Overlapping
from .exchange import Arrays, Route


class Timed(Protocol):
    """Protocol of an operator that adds up the time of its messages."""

    seconds: float


class Computed(Route):
    """A route for rows of which something is left to compute.

    Parameters
    ----------
    route : Route
        Takes their arrays.
    backend : Fused
        Computes these, and makes the calls of oracles while a message is under way.
    operator : Timed
        What the message is of. The computation does not count as its time, but as an update's.
    """

    def __init__(self, route: Route, backend: Fused, operator: Timed) -> None:
        super().__init__(route.widths, route.dtype)
        self.route, self.backend, self.operator = route, backend, operator
        self.bytes = route.bytes
        if isinstance(backend, Overlapping):
            route.beside = self._catch_up

    def mix(self, arrays: Arrays) -> Any:
        began = perf_counter()
        arrays = self.backend.arrays(arrays)
        self.operator.seconds -= perf_counter() - began
        mixed = self.route.mix(arrays)
        # Of compressed rows there is a pair, which is in the backend's form already.
        return tuple([part if type(part) is tuple else self.backend.rows(part) for part in mixed])

    def _catch_up(self) -> None:
        began = perf_counter()
        self.backend.catch_up()
        self.operator.seconds -= perf_counter() - began

    def reweigh(self) -> None:
        self.route.reweigh()

    def close(self) -> None:
        self.route.close()
