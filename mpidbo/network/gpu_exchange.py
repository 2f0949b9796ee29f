"""Routes of a message on a GPU: only rows that other ranks need leave it.

The message is computed and copied on a stream of its own: where a strategy knows its message before
its direction (extra, dgd, non-gt, ab), the message travels while the device still works on the
oracle. W's rows are then summed by one kernel, in the order in which a CPU sums them.
"""

import sys
from abc import abstractmethod
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import csr_array

from .._types import Array, Float
from ..errors import UserError
from ..parallel import Cuda, Rows, agreed, compute, host, neighbor_alltoallv
from .exchange import Arrays, MatrixRoute, RowExchange
from .neighbours import Links

if TYPE_CHECKING:
    from mpi4py.MPI import Comm, Distgraphcomm

MIX = """
const long long row = i / width, column = i - row * width;
T sum = 0;
for (int e = indptr[row]; e < indptr[row + 1]; ++e) {
    const long long j = indices[e];
    sum += weights[e] * (j < m ? own[j * width + column]
                               : received[(j - m) * stride + first + column]);
}
mixed = sum;
"""
"""An entry of W @ rows, terms in agent order; received rows hold all arrays of a message."""
PROBE_WIDTH = 3
"""Floats per row of the message that `verify` sends."""


class OnDevice(MatrixRoute):
    """Agents of one rank: nothing leaves the device.

    Parameters
    ----------
    widths : list of int
        Floats per row of each array of a message.
    matrices : list of csr_array of shape (m, m + r)
        As of `MatrixRoute`.
    backend : Cuda
    links, graph : optional
        As of `MatrixRoute`.
    """

    def __init__(
        self,
        widths: list[int],
        matrices: list[csr_array],
        backend: Cuda,
        links: Links | None = None,
        graph: "Distgraphcomm | None" = None,
    ) -> None:
        super().__init__(widths, matrices, links, graph)
        self.backend, self.xp = backend, backend.xp
        self.indptr = self.xp.asarray(matrices[0].indptr.astype(np.int32))
        self.indices = self.xp.asarray(matrices[0].indices.astype(np.int32))
        self.reweigh()
        self.sum = self.xp.ElementwiseKernel(
            "raw T own, raw T received, raw int32 indptr, raw int32 indices, raw T weights, "
            "int64 m, int64 width, int64 stride, int64 first",
            "T mixed",
            MIX,
            "mpidbo_mix",
            options=("--fmad=false",),  # rounded as by the product on a CPU
        )

    def reweigh(self) -> None:
        weights = {id(matrix): self.xp.asarray(matrix.data) for matrix in self.matrices}
        self.weights = [weights[id(matrix)] for matrix in self.matrices]

    def mix(self, arrays: Arrays) -> Arrays:
        own, received = self.exchanged(arrays)
        mixed = tuple(
            [
                Rows(self._summed(a, received, slot, weights))
                for a, slot, weights in zip(own, self.slots, self.weights, strict=True)
            ]
        )
        # The next message waits for this: until then the sums read `received`.
        self.backend.settle()
        return mixed

    def exchanged(self, arrays: Arrays) -> tuple[Arrays, Float[Array, "r d"] | None]:
        """Return own rows, and the received ones with all arrays of the message side by side."""
        rows = [self.backend.rows(array) for array in arrays]
        compute(rows)
        return tuple([part.array for part in rows]), None

    def _summed(
        self,
        own: Float[Array, "m d"],
        received: Float[Array, "r D"] | None,
        slot: slice,
        weights: Float[Array, " entries"],
    ) -> Float[Array, "m d"]:
        """Return the weighted sums of one array, whose received rows are in the columns `slot`."""
        mixed = self.xp.empty((self.m, own.shape[1]), self.dtype)
        self.sum(
            own,
            own if received is None else received,
            self.indptr,
            self.indices,
            weights,
            len(own),
            own.shape[1],
            self.width,
            slot.start,
            mixed,
        )
        return mixed


class Mean(OnDevice):
    """The average over all agents, which this rank hosts, on every row.

    Parameters
    ----------
    widths : list of int
        Floats per row of each array of a message.
    n : int
        Number of agents.
    dtype : dtype
    backend : Cuda
    """

    def __init__(self, widths: list[int], n: int, dtype: DTypeLike, backend: Cuda) -> None:
        super().__init__(widths, [csr_array(np.ones((1, n), dtype))] * len(widths), backend)
        self.n = n

    def _summed(
        self,
        own: Float[Array, "n d"],
        received: Float[Array, "r D"] | None,
        slot: slice,
        weights: Float[Array, " entries"],
    ) -> Float[Array, "n d"]:
        total = super()._summed(own, received, slot, weights)
        return self.xp.repeat(total / self.n, self.n, axis=0)


class Crossing(OnDevice):
    """Agents of several ranks.

    Attributes
    ----------
    sent : int
        Number of own rows that other ranks need, each counted once.
    taken : array or None
        These rows on the device; None where they are all.
    compact : Links
        The links with these rows numbered from 0.
    received : array of shape (r, width)
        The rows of other ranks, on the device.
    """

    def __init__(
        self, widths: list[int], matrices: list[csr_array], backend: Cuda, links: Links, graph: Any
    ) -> None:
        super().__init__(widths, matrices, backend, links, graph)
        needed = sorted(set(links.rows))
        self.sent = len(needed)
        self.taken = None
        if self.sent < self.m:
            self.taken = self.xp.asarray(np.array(needed, np.int64))
        self.compact = replace(
            links, sent=[[needed.index(row) for row in rows] for rows in links.sent]
        )
        self.received = self.xp.empty((len(links.theirs), self.width), self.dtype)
        self.early: list[Array] = []
        backend.settle()  # freed memory, which these arrays may have, is in use until then

    def exchanged(self, arrays: Arrays) -> tuple[Arrays, Float[Array, "r d"] | None]:
        own = self.backend.message(arrays, self.spare)
        self.cross(own)
        self.backend.arrive()
        return own, self.received

    def spare(self) -> list[Array]:
        """Return arrays for a message that is computed beside the oracle."""
        if not self.early:
            self.early = [self.xp.empty((self.m, width), self.dtype) for width in self.widths]
        return self.early

    @abstractmethod
    def cross(self, own: Arrays) -> None:
        """Fill `received` on the backend's stream, which may read the message."""

    def outgoing(self, own: Arrays) -> Float[Array, "sent d"]:
        """Return the rows that other ranks need, with the floats of all arrays, on the device."""
        rows = own[0] if len(own) == 1 else self.xp.concatenate(own, axis=1)
        return rows if self.taken is None else self.xp.take(rows, self.taken, axis=0)


class Staged(Crossing):
    """Through page-locked host memory, with any MPI library."""

    def __init__(
        self, widths: list[int], matrices: list[csr_array], backend: Cuda, links: Links, graph: Any
    ) -> None:
        super().__init__(widths, matrices, backend, links, graph)
        empty_pinned = import_module("cupyx").empty_pinned
        self.leaving = empty_pinned((self.sent, self.width), self.dtype)
        self.arriving = empty_pinned(self.received.shape, self.dtype)
        self.exchange = RowExchange(self.compact, graph, self.leaving, self.arriving)

    def cross(self, own: Arrays) -> None:
        stream = self.backend.stream
        with stream:
            self.outgoing(own).get(stream=stream, out=self.leaving, blocking=False)
        stream.synchronize()  # MPI is about to read `leaving`, and to write into `arriving`
        self.exchange()
        self.received.set(self.arriving, stream=stream)

    def close(self) -> None:
        self.exchange.close()


class Direct(Crossing):
    """From device memory to device memory, with an MPI library that can read it."""

    def __init__(
        self, widths: list[int], matrices: list[csr_array], backend: Cuda, links: Links, graph: Any
    ) -> None:
        super().__init__(widths, matrices, backend, links, graph)
        shape = (self.sent, self.width)
        packed, (_, self.counts) = self.compact.outgoing(np.empty(shape, self.dtype))
        self.order = None
        if packed is not None:
            self.order = self.xp.asarray(np.array(self.compact.rows, np.int64))
        self.incoming = links.incoming(self.received)

    def cross(self, own: Arrays) -> None:
        stream = self.backend.stream
        with stream:
            rows = self.outgoing(own)
            if self.order is not None:
                rows = self.xp.take(rows, self.order, axis=0)
        stream.synchronize()  # MPI does not know of the stream
        neighbor_alltoallv(self.graph, [rows, self.counts], self.incoming)


def route(
    widths: list[int],
    matrices: list[csr_array],
    backend: Cuda,
    links: Links | None,
    graph: "Distgraphcomm | None",
) -> OnDevice:
    """Return the route of messages of these widths between devices."""
    if links is None:
        return OnDevice(widths, matrices, backend)
    kind = Direct if backend.buffers == "device" else Staged
    return kind(widths, matrices, backend, links, graph)


def verify(
    W: csr_array,
    backend: Cuda,
    links: Links,
    graph: "Distgraphcomm | None",
    comm: "Comm",
    first: int,
) -> None:
    """Check that known rows of the type of W reach the neighbours from device memory; collective.

    An MPI library that cannot read device memory may end the job instead; standard error has a line
    before.

    Raises
    ------
    UserError
        On all ranks, where a row did not arrive or the library refused.
    """
    if comm.rank == 0:
        print(
            'mpidbo: trying run.buffers = "device"; if the job ends here, this MPI cannot read '
            'device memory: set buffers = "host"',
            file=sys.stderr,
            flush=True,
        )
    fault = ""
    # The row of agent i is i, i + 1/3, i + 2/3, so that a row at a wrong place is noticed.
    columns = np.arange(PROBE_WIDTH) / PROBE_WIDTH
    with agreed(comm):
        try:
            route = Direct([PROBE_WIDTH], [W], backend, links, graph)
            rows = np.arange(first, first + route.m)[:, None] + columns
            received = host(route.exchanged((rows.astype(W.dtype),))[1])
            expected = np.array(links.theirs)[:, None] + columns
            if not np.array_equal(received, expected.astype(W.dtype)):
                fault = "what arrived is not what was sent"
        except Exception as error:
            fault = " ".join(str(error).split()) or type(error).__name__
        if fault:
            raise UserError(
                f'run.buffers "device": this MPI does not carry {W.dtype} from device memory '
                f'({fault}); set buffers = "host", or take an MPI built with CUDA and what its '
                "manual asks to have it switched on"
            )
