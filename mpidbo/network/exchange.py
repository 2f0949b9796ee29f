"""Routes of a message on the CPU: how it is exchanged and summed, planned once for each shape.

Which route a message takes depends on its width alone, never on the number of ranks, and every
route adds the terms of a row in agent order, so that a trajectory does not depend on the number of
ranks.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import csr_array

from .._types import Array, Float
from ..parallel import (
    Agents,
    Exchange,
    Host,
    Pool,
    aligned,
    host,
    neighbor_alltoallv,
    neighbor_alltoallv_beside,
)
from .neighbours import Links

if TYPE_CHECKING:
    from mpi4py.MPI import Distgraphcomm

try:  # the kernel behind `csr_array @`, which fills a given buffer and checks nothing
    from scipy.sparse._sparsetools import csr_matvecs
except ImportError:
    csr_matvecs = None

Arrays: TypeAlias = tuple[Float[Array, "m d"], ...]
"""A message: arrays with one row for each agent of this rank."""
Terms: TypeAlias = list[tuple[int, Any]]
"""The terms (column, weight) of a row of a matrix, in agent order."""
MAX_NARROW_WIDTH = 1 << 14
"""Floats per row of a message up to which it is packed into one buffer and mixed by one product."""
BLOCK_FLOATS = 1 << 15
"""Floats of a long row that are summed at a time, so that they stay in the cache."""


class Route(ABC):
    """A plan by which messages of given widths are exchanged and summed.

    Parameters
    ----------
    widths : list of int
        Floats per row of each array of a message.
    dtype : dtype
        Type of the floats.

    Attributes
    ----------
    width : int
        Floats per row of all arrays together.
    bytes : int
        Bytes of them that travel.
    slots : list of slice
        The columns of each array in a row of the whole message.
    calls : int
        Messages so far.
    takes_products : bool
        Whether a message has a `Product` in place of an array.
    beside : callable or None
        Work that is done while a message is under way, on all ranks or on none.
    """

    takes_products = False
    beside: Callable[[], None] | None = None

    def __init__(self, widths: list[int], dtype: DTypeLike) -> None:
        self.widths, self.dtype = widths, np.dtype(dtype)
        self.width = sum(widths)
        self.bytes = self.width * self.dtype.itemsize
        self.calls = 0
        ends = np.cumsum([0, *widths]).tolist()
        self.slots = [slice(start, end) for start, end in pairwise(ends)]

    @abstractmethod
    def mix(self, arrays: Arrays) -> Arrays:
        """Return W @ each array; collective over the ranks."""

    def reweigh(self) -> None:
        """Take over new entries of the matrices; their zeros are where they were."""
        return

    def close(self) -> None:
        """Free what the MPI library holds."""
        return


class MatrixRoute(Route):
    """A route that sums with this rank's rows of mixing matrices.

    Parameters
    ----------
    widths : list of int
        Floats per row of each array of a message.
    matrices : list of csr_array of shape (m, m + r)
        For each array this rank's rows of W, or of A or B, over its own rows and those that it
        receives; all have the same entries.
    links : Links, optional
        The rows to exchange; None where all agents are in one process.
    graph : mpi4py communicator, optional
        The graph of the ranks; None where all agents are in one process.
    """

    def __init__(
        self,
        widths: list[int],
        matrices: list[csr_array],
        links: Links | None = None,
        graph: "Distgraphcomm | None" = None,
    ) -> None:
        super().__init__(widths, matrices[0].dtype)
        self.matrices, self.links, self.graph = matrices, links, graph
        self.m: int = matrices[0].shape[0]
        self.columns: int = matrices[0].shape[1]


class Central(Route):
    """The average over all agents: rows are gathered and added in agent order.

    Parameters
    ----------
    widths : list of int
        Floats per row of each array of a message.
    dtype : dtype
        Type of the floats.
    agents : Agents
    backend : Host
        Where the arrays of a message are.
    """

    def __init__(self, widths: list[int], dtype: DTypeLike, agents: Agents, backend: Host) -> None:
        super().__init__(widths, dtype)
        self.agents, self.backend = agents, backend

    def mix(self, arrays: Arrays) -> Arrays:
        on_host = [host(array) for array in arrays]
        rows = on_host[0] if len(on_host) == 1 else np.concatenate(on_host, axis=1)
        mean = self.agents.mean(rows)
        m = len(rows)
        return tuple(
            self.backend.rows(np.repeat(mean[None, slot], m, axis=0)) for slot in self.slots
        )


class RowExchange:
    """An exchange of rows between fixed buffers.

    Parameters
    ----------
    links : Links
        The rows to exchange.
    graph : mpi4py communicator
        The graph of the ranks.
    own : array of shape (m, d)
        This rank's rows.
    received : array of shape (r, d)
        Where the rows of its neighbours are put.
    """

    def __init__(
        self,
        links: Links,
        graph: "Distgraphcomm | None",
        own: Float[Array, "m d"],
        received: Float[Array, "r d"],
    ) -> None:
        self.own, self.order = own, links.rows
        self.packed, send = links.outgoing(own)
        self.exchange = Exchange(graph, send, links.incoming(received))

    def __call__(self, beside: Callable[[], None] | None = None) -> None:
        """Exchange the rows, and do work while they are under way; collective."""
        if self.packed is not None:
            # With mode "raise" numpy would copy through a buffer of its own.
            np.take(self.own, self.order, axis=0, out=self.packed, mode="clip")
        if beside is None:
            self.exchange()
        else:
            self.exchange.beside(beside)

    def close(self) -> None:
        """Free what the MPI library holds."""
        self.exchange.close()


class Narrow(MatrixRoute):
    """Short rows: packed into one buffer, own rows first, and mixed by one sparse product."""

    def __init__(
        self,
        widths: list[int],
        matrices: list[csr_array],
        links: Links | None = None,
        graph: "Distgraphcomm | None" = None,
    ) -> None:
        super().__init__(widths, matrices, links, graph)
        self.by_one_matrix = all(matrix is matrices[0] for matrix in matrices)
        if links is not None:
            self.rows = aligned((self.columns, self.width), self.dtype)
            self.own = self.rows[: self.m]
            self.exchange = RowExchange(links, graph, self.own, self.rows[self.m :])

    def mix(self, arrays: Arrays) -> Arrays:
        if self.links is None:
            return tuple(
                [
                    self._product(matrix, np.ascontiguousarray(a, self.dtype), a.shape[1])
                    for matrix, a in zip(self.matrices, arrays, strict=True)
                ]
            )
        rows = self.exchanged(arrays)
        if not self.by_one_matrix:
            return tuple(
                [
                    self._product(matrix, np.ascontiguousarray(rows[:, slot]), width)
                    for matrix, slot, width in zip(
                        self.matrices, self.slots, self.widths, strict=True
                    )
                ]
            )
        mixed = self._product(self.matrices[0], rows, self.width)
        if len(arrays) == 1:
            return (mixed,)
        return tuple([np.ascontiguousarray(mixed[:, slot]) for slot in self.slots])

    def exchanged(self, arrays: Arrays) -> Float[Array, "rows D"]:
        """Return the rows, own and received, over which the matrices are, of the whole message."""
        fill(self.own, self.slots, arrays)
        self.exchange(self.beside)
        return self.rows

    def _product(
        self, matrix: csr_array, rows: Float[Array, "rows d"], width: int
    ) -> Float[Array, "m d"]:
        """Return the product of a matrix and rows in a new array."""
        if csr_matvecs is None:
            return matrix @ rows
        mixed = np.zeros((self.m, width), self.dtype)  # the kernel adds to it
        # Both are contiguous: the kernel does not look at their shapes.
        csr_matvecs(
            self.m,
            self.columns,
            width,
            matrix.indptr,
            matrix.indices,
            matrix.data,
            rows,
            mixed,
        )
        return mixed

    def close(self) -> None:
        if self.links is not None:
            self.exchange.close()


class Wide(MatrixRoute):
    """Long rows: one array is sent without a copy; sums run in blocks that stay in the cache."""

    def __init__(
        self,
        widths: list[int],
        matrices: list[csr_array],
        links: Links | None = None,
        graph: "Distgraphcomm | None" = None,
    ) -> None:
        super().__init__(widths, matrices, links, graph)
        self.reweigh()
        self.work = aligned((BLOCK_FLOATS,), self.dtype)
        self.pools = {width: Pool((self.m, width), self.dtype) for width in self.widths}
        if links is not None:
            shape = (self.m, self.width)
            self.kept = aligned(shape, self.dtype) if len(widths) > 1 else None
            self.received = aligned((len(links.theirs), self.width), self.dtype)
            self.incoming = links.incoming(self.received)
            # The empty array represents the message, which is sent from where it is.
            self.order = links.rows
            self.packed, (_, self.counts) = links.outgoing(np.empty(shape, self.dtype))

    def reweigh(self) -> None:
        terms = {id(matrix): _terms(matrix) for matrix in self.matrices}
        self.terms = [terms[id(matrix)] for matrix in self.matrices]

    def mix(self, arrays: Arrays) -> Arrays:
        arrays = tuple([np.ascontiguousarray(array, self.dtype) for array in arrays])
        if self.links is None:
            return tuple(
                [
                    self._sum(terms, [*array])
                    for terms, array in zip(self.terms, arrays, strict=True)
                ]
            )
        return tuple(
            [
                self._sum(terms, rows)
                for terms, rows in zip(self.terms, self.exchanged(arrays), strict=True)
            ]
        )

    def exchanged(self, arrays: Arrays) -> list[list[Float[Array, " d"]]]:
        """Return for each array its rows, own ones first, then those received."""
        own = arrays[0]
        if self.kept is not None:
            own = self.kept
            fill(own, self.slots, arrays)
        send = own
        if self.packed is not None:
            send = np.take(own, self.order, axis=0, out=self.packed, mode="clip")
        if self.beside is None:
            neighbor_alltoallv(self.graph, [send, self.counts], self.incoming)
        else:
            neighbor_alltoallv_beside(self.graph, [send, self.counts], self.incoming, self.beside)
        return [[*own[:, slot], *self.received[:, slot]] for slot in self.slots]

    def _sum(
        self, terms_of_rows: list[Terms], rows: list[Float[Array, " d"]]
    ) -> Float[Array, "m d"]:
        """Return the sums of weighted rows, own rows first, in an array of the pool."""
        width = rows[0].size
        mixed = self.pools[width].take()
        for start in range(0, width, BLOCK_FLOATS):
            end = min(start + BLOCK_FLOATS, width)
            work = self.work[: end - start]
            for terms, row in zip(terms_of_rows, mixed, strict=True):
                (j, w), *others = terms
                block = row[start:end]
                np.multiply(rows[j][start:end], w, out=block)
                for j, w in others:
                    np.multiply(rows[j][start:end], w, out=work)
                    np.add(block, work, out=block)
        return mixed


def fill(rows: Float[Array, "m D"], slots: list[slice], arrays: Arrays) -> None:
    """Copy the arrays of a message side by side into rows."""
    if len(arrays) == 1:
        rows[...] = arrays[0]
        return
    for slot, array in zip(slots, arrays, strict=True):
        rows[:, slot] = array


def _terms(matrix: csr_array) -> list[Terms]:
    """Return the terms of each row of a matrix."""
    return [
        [(int(j), w) for j, w in zip(matrix.indices[a:b], matrix.data[a:b], strict=True)]
        for a, b in pairwise(matrix.indptr)
    ]
