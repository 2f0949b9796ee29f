"""Routes of messages that are computed by one kernel, before they travel or as they are mixed."""

from time import perf_counter
from typing import Any, Protocol

from ..parallel import Fused, Overlapping
from .exchange import Arrays, Route, Wide


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


class Blocked(Computed):
    """A route of long rows between agents of one process, computed and mixed by one kernel.

    Parameters
    ----------
    route : Wide
        The route of arrays that are computed.
    backend, operator
        As of `Computed`. The time of the kernel counts as that of the message.
    """

    def __init__(self, route: Wide, backend: Fused, operator: Timed) -> None:
        super().__init__(route, backend, operator)
        self.matrices, self.pools = route.matrices, route.pools
        places: dict[tuple[int, int], list[int]] = {}
        for i, (width, matrix) in enumerate(zip(self.widths, route.matrices, strict=True)):
            places.setdefault((width, id(matrix)), []).append(i)
        self.groups = [*places.values()]
        """The places in a message of arrays of one width that are mixed by one matrix."""

    def mix(self, arrays: Arrays) -> Any:
        rows = [self.backend.rows(array) for array in arrays]
        if any([part.dtype != self.dtype for part in rows]):
            return super().mix(arrays)
        mixed = [self.pools[width].take() for width in self.widths]
        for group in self.groups:
            parts, targets = [rows[i] for i in group], [mixed[i] for i in group]
            self.backend.mix(self.matrices[group[0]], parts, targets)
        return tuple(map(self.backend.rows, mixed))


class Alone(Computed):
    """A route of long rows of the only agent: W @ s is the product of s and a number, and noted.

    Parameters
    ----------
    route : Wide
        The route of arrays that are computed.
    backend, operator
        As of `Computed`.
    """

    def __init__(self, route: Wide, backend: Fused, operator: Timed) -> None:
        super().__init__(route, backend, operator)
        self.matrices = route.matrices

    def mix(self, arrays: Arrays) -> Any:
        rows = [self.backend.rows(array) for array in arrays]
        if any([part.dtype != self.dtype for part in rows]):
            return super().mix(arrays)
        weights = [float(matrix.data[0]) for matrix in self.matrices]
        return tuple([part * weight for part, weight in zip(rows, weights, strict=True)])


def computed(route: Route, backend: Fused, operator: Timed) -> Route:
    """Return the route of rows of which something is left to compute, for one of their arrays."""
    if type(route) is Wide and route.links is None:
        kind = Alone if route.m == 1 else Blocked
        return kind(route, backend, operator)
    return Computed(route, backend, operator)
