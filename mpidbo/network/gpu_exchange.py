"""Messages of state on a GPU: only rows that other ranks need leave it, through page-locked memory or as they are.

The message is computed and copied on a stream of its own: where a strategy's message is known before its direction is (extra, dgd,
semi-gt, non-gt), it travels while the device still works on the oracle. W's rows are then summed by one kernel, in the order in which a
CPU sums them.
"""

import sys
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from ..errors import UserError
from ..parallel.agents import agreed
from ..parallel.backend import Cuda, host
from ..parallel.collectives import Exchange, neighbor_alltoallv
from ..parallel.lazy import Rows, compute
from .exchange import Links, Route

Array = Any
MIX = """
const long long row = i / width, column = i - row * width;
T sum = 0;
for (int e = indptr[row]; e < indptr[row + 1]; ++e) {
    const long long j = indices[e];
    sum += weights[e] * (j < m ? own[j * width + column] : received[(j - m) * stride + first + column]);
}
mixed = sum;
"""


class OnDevice(Route):
    """Agents of one rank: nothing leaves the device."""

    def __init__(self, widths: list[int], W: csr_array, backend: Cuda, links: Links | None = None, graph: Any = None) -> None:
        super().__init__(widths, W, links, graph)
        self.backend, self.xp, self.W = backend, backend.xp, W
        self.indptr, self.indices = (backend.xp.asarray(part.astype(np.int32)) for part in (W.indptr, W.indices))
        self.reweigh()
        self.sum = backend.xp.ElementwiseKernel(
            "raw T own, raw T received, raw int32 indptr, raw int32 indices, raw T weights, "
            "int64 m, int64 width, int64 stride, int64 first", "T mixed", MIX, "mpidbo_mix", options=("--fmad=false",))

    def reweigh(self) -> None:
        self.weights = self.xp.asarray(self.W.data)

    def mix(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        own, received = self.exchanged(arrays)
        mixed = tuple([Rows(self._summed(a, received, slot)) for a, slot in zip(own, self.slots, strict=True)])
        self.backend.settle()
        return mixed

    def exchanged(self, arrays: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array | None]:
        """This rank's rows, and those of other ranks' agents, (rows, floats of all arrays)."""
        rows = [self.backend.rows(part) for part in arrays]
        compute(rows)
        return tuple([part.array for part in rows]), None

    def _summed(self, own: Array, received: Array | None, slot: slice) -> Array:
        mixed = self.xp.empty((self.m, own.shape[1]), self.dtype)
        self.sum(own, own if received is None else received, self.indptr, self.indices, self.weights,
                 len(own), own.shape[1], self.width, slot.start, mixed)
        return mixed


class Mean(OnDevice):
    """The average over all agents, all of them of this rank, on every row."""

    def __init__(self, widths: list[int], n: int, dtype: Any, backend: Cuda) -> None:
        super().__init__(widths, csr_array(np.ones((1, n), dtype)), backend)
        self.n = n

    def _summed(self, own: Array, received: Array | None, slot: slice) -> Array:
        return self.xp.repeat(super()._summed(own, received, slot) / self.n, self.n, axis=0)


class Crossing(OnDevice):
    """Agents of several ranks: `sent` are the rows of this rank that others need, each once."""

    def __init__(self, widths: list[int], W: csr_array, backend: Cuda, links: Links, graph: Any) -> None:
        super().__init__(widths, W, backend, links, graph)
        sent = sorted(set(links.rows))
        self.compact = replace(links, sent=[[sent.index(row) for row in rows] for rows in links.sent])
        self.sent, self.taken = len(sent), None if len(sent) == self.m else backend.xp.asarray(np.array(sent, np.int64))
        self.received = backend.xp.empty((len(links.theirs), self.width), self.dtype)
        self.early: list[Array] = []
        backend.settle()                                 # memory that was just let go may still be in use until then

    def exchanged(self, arrays: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array | None]:
        own = self.backend.message(arrays, self.spare)
        self.cross(own)
        self.backend.arrive()
        return own, self.received

    def spare(self) -> list[Array]:
        """Where a message may be computed before its time; made when it first is."""
        if not self.early:
            self.early = [self.xp.empty((self.m, width), self.dtype) for width in self.widths]
        return self.early

    def cross(self, own: tuple[Array, ...]) -> None:
        """Fill `received` on the backend's stream, where the message can be read."""
        raise AssertionError("each kind of buffer crosses in its own way")

    def outgoing(self, own: tuple[Array, ...]) -> Array:
        """(sent, floats of all arrays), on the device."""
        rows = own[0] if len(own) == 1 else self.xp.concatenate(own, axis=1)
        return rows if self.taken is None else self.xp.take(rows, self.taken, axis=0)


class Staged(Crossing):
    """Through page-locked host memory: any MPI will do."""

    def __init__(self, widths: list[int], W: csr_array, backend: Cuda, links: Links, graph: Any) -> None:
        super().__init__(widths, W, backend, links, graph)
        pinned = import_module("cupyx").empty_pinned
        self.leaving, self.coming = pinned((self.sent, self.width), self.dtype), pinned(self.received.shape, self.dtype)
        self.packed, send = self.compact.outgoing(self.leaving)
        self.exchange = Exchange(graph, send, links.incoming(self.coming))

    def cross(self, own: tuple[Array, ...]) -> None:
        stream = self.backend.stream
        with stream:
            self.outgoing(own).get(stream=stream, out=self.leaving, blocking=False)
        stream.synchronize()
        if self.packed is not None:
            np.take(self.leaving, self.compact.rows, axis=0, out=self.packed, mode="clip")
        self.exchange()
        self.received.set(self.coming, stream=stream)

    def close(self) -> None:
        self.exchange.close()


class Direct(Crossing):
    """From device memory to device memory, by an MPI that can."""

    def __init__(self, widths: list[int], W: csr_array, backend: Cuda, links: Links, graph: Any) -> None:
        super().__init__(widths, W, backend, links, graph)
        packed, (_, self.counts) = self.compact.outgoing(np.empty((self.sent, self.width), self.dtype))
        self.order = None if packed is None else backend.xp.asarray(np.array(self.compact.rows, np.int64))
        self.incoming = links.incoming(self.received)

    def cross(self, own: tuple[Array, ...]) -> None:
        stream = self.backend.stream
        with stream:
            rows = self.outgoing(own)
            if self.order is not None:
                rows = self.xp.take(rows, self.order, axis=0)
        stream.synchronize()
        neighbor_alltoallv(self.graph, [rows, self.counts], self.incoming)


def route(widths: list[int], W: csr_array, backend: Cuda, links: Links | None, graph: Any) -> Route:
    """How messages of these widths travel between devices."""
    if links is None:
        return OnDevice(widths, W, backend)
    return (Direct if backend.buffers == "device" else Staged)(widths, W, backend, links, graph)


def verify(W: csr_array, backend: Cuda, links: Links, graph: Any, comm: Any, first: int) -> None:
    """UserError on all ranks unless known rows, in the floats of W, reach the neighbours from device memory; collective.

    An MPI that cannot read device memory may end the job instead, so that standard error has a line before.
    """
    if comm.rank == 0:
        print('mpidbo: trying run.buffers = "device"; if the job ends here, this MPI cannot read device memory: set buffers = "host"',
              file=sys.stderr, flush=True)
    said, width = "", 3
    with agreed(comm):
        try:
            route = Direct([width], W, backend, links, graph)
            rows = np.arange(first, first + route.m)[:, None] + np.arange(width) / width
            received = host(route.exchanged((rows.astype(W.dtype),))[1])
            expected = np.array(links.theirs)[:, None] + np.arange(width) / width
            if not np.array_equal(received, expected.astype(W.dtype)):
                said = "what arrived is not what was sent"
        except Exception as error:
            said = " ".join(str(error).split()) or type(error).__name__
        if said:
            raise UserError(f'run.buffers "device": this MPI does not carry {W.dtype} from device memory ({said}); set buffers = "host", '
                            "or take an MPI built with CUDA and what its manual asks to have it switched on")
