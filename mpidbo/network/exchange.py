"""How a message travels and is summed, planned once for each shape: below the verb `W @`."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from ..parallel.agents import Agents
from ..parallel.backend import Host, host
from ..parallel.collectives import Exchange, neighbor_alltoallv, scatter, scatterv
from ..parallel.memory import Pool, aligned

try:  # the kernel behind csr_array @, into a kept buffer and without its checks
    from scipy.sparse._sparsetools import csr_matvecs
except ImportError:
    csr_matvecs = None

Array = Any

WIDE = 1 << 14
"""Floats per row from which mixing runs in blocks that fit the cache, and messages leave from where they stand."""
BLOCK = 1 << 15


class Route:
    """How messages of these widths travel and are summed: over `links`, along `graph`, with this rank's rows of W.

    `links` and `graph` are None where all agents are in one process.
    """

    def __init__(self, widths: list[int], W: csr_array, links: "Links | None" = None, graph: Any = None) -> None:
        self.widths, self.links, self.graph = widths, links, graph
        self.m: int = W.shape[0]
        self.columns: int = W.shape[1]
        self.dtype: Any = W.dtype
        self.calls, self.width = 0, sum(widths)
        ends = np.cumsum([0, *self.widths]).tolist()
        self.slots = [slice(a, b) for a, b in pairwise(ends)]

    def mix(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        raise AssertionError("each kind of plan mixes in its own way")

    def reweigh(self) -> None:
        """The entries of W are others now, its zeros where they were."""

    def close(self) -> None:
        pass


class Central(Route):
    """Gather and average: rows of the message are added in agent order."""

    def __init__(self, widths: list[int], agents: Agents, backend: Host) -> None:
        self.widths, self.agents, self.backend, self.calls, self.width = widths, agents, backend, 0, sum(widths)
        ends = np.cumsum([0, *widths]).tolist()
        self.slots = [slice(a, b) for a, b in pairwise(ends)]

    def mix(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        rows = host(arrays[0]) if len(arrays) == 1 else np.concatenate([host(a) for a in arrays], axis=1)
        mean = self.agents.mean(rows)
        return tuple(self.backend.rows(np.repeat(mean[None, slot], len(rows), axis=0)) for slot in self.slots)


class Narrow(Route):
    """Short rows: all in one kept buffer, own rows first, and one sparse product."""

    def __init__(self, widths: list[int], W: csr_array, links: "Links | None" = None, graph: Any = None) -> None:
        super().__init__(widths, W, links, graph)
        self.W, self.indptr, self.indices, self.data = W, W.indptr, W.indices, W.data
        if links is not None:
            self.rows = aligned((self.columns, self.width), self.dtype)
            self.own = self.rows[:self.m]
            self.packed, send = links.outgoing(self.own)
            self.exchange = Exchange(graph, send, links.incoming(self.rows[self.m:]))

    def mix(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        if self.links is None:
            return tuple([self._product(np.ascontiguousarray(a, self.dtype), a.shape[1]) for a in arrays])
        if len(arrays) == 1:
            self.own[...] = arrays[0]
        else:
            for slot, a in zip(self.slots, arrays, strict=True):
                self.own[:, slot] = a
        if self.packed is not None:
            np.take(self.own, self.links.rows, axis=0, out=self.packed, mode="clip")
        self.exchange()
        mixed = self._product(self.rows, self.width)
        if len(arrays) == 1:
            return (mixed,)
        return tuple([np.ascontiguousarray(mixed[:, slot]) for slot in self.slots])

    def _product(self, rows: Array, width: int) -> Array:
        if csr_matvecs is None:
            return self.W @ rows
        mixed = np.zeros((self.m, width), self.dtype)
        csr_matvecs(self.m, self.columns, width, self.indptr, self.indices, self.data, rows.reshape(-1), mixed.reshape(-1))
        return mixed

    def close(self) -> None:
        if self.links is not None:
            self.exchange.close()


class Wide(Route):
    """Long rows: sent from where they stand and summed in blocks that stay in the cache."""

    def __init__(self, widths: list[int], W: csr_array, links: "Links | None" = None, graph: Any = None) -> None:
        super().__init__(widths, W, links, graph)
        self.W = W
        self.reweigh()
        self.work = aligned((BLOCK,), self.dtype)
        self.pools = {width: Pool((self.m, width), self.dtype) for width in self.widths}
        if links is not None:
            self.kept = aligned((self.m, self.width), self.dtype) if len(widths) > 1 else None
            self.received = aligned((len(links.theirs), self.width), self.dtype)
            self.incoming = links.incoming(self.received)
            self.packed, (_, self.counts) = links.outgoing(np.empty((self.m, self.width), self.dtype))

    def reweigh(self) -> None:
        W = self.W
        self.terms = [[(int(j), w) for j, w in zip(W.indices[a:b], W.data[a:b], strict=True)]
                      for a, b in pairwise(W.indptr)]

    def mix(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        arrays = tuple([np.ascontiguousarray(a, self.dtype) for a in arrays])
        if self.links is None:
            return tuple([self._sum([*a]) for a in arrays])
        if self.kept is None:
            own = arrays[0]
        else:
            own = self.kept
            for slot, a in zip(self.slots, arrays, strict=True):
                own[:, slot] = a
        if self.packed is not None:
            np.take(own, self.links.rows, axis=0, out=self.packed, mode="clip")
        neighbor_alltoallv(self.graph, [own if self.packed is None else self.packed, self.counts], self.incoming)
        return tuple([self._sum([*own[:, slot], *self.received[:, slot]]) for slot in self.slots])

    def _sum(self, rows: list[Array]) -> Array:
        width = rows[0].size
        mixed = self.pools[width].take()
        for a in range(0, width, BLOCK):
            b = min(a + BLOCK, width)
            work = self.work[:b - a]
            for terms, row in zip(self.terms, mixed, strict=True):
                (j, w), *others = terms
                block = row[a:b]
                np.multiply(rows[j][a:b], w, out=block)
                for j, w in others:
                    np.multiply(rows[j][a:b], w, out=work)
                    np.add(block, work, out=block)
        return mixed


@dataclass(frozen=True)
class Links:
    """Which rows cross between this rank and its neighbours, and W's rows over (own rows, received rows)."""

    W: csr_array
    sources: list[int]
    destinations: list[int]
    theirs: list[int]
    received: list[int]
    sent: list[list[int]]

    @property
    def rows(self) -> list[int]:
        """Own rows in the order in which they are packed."""
        return [row for rows in self.sent for row in rows]

    def incoming(self, buffer: Array) -> list[Any]:
        width = buffer.shape[1]
        starts = np.cumsum([0, *self.received]).tolist()
        return [buffer, ([c * width for c in self.received], [s * width for s in starts[:-1]])]

    def outgoing(self, own: Array) -> tuple[Array | None, list[Any]]:
        """The packing buffer, where one is needed, and MPI's send argument: a buffer with (counts, displacements).

        Nothing is packed when the rows for each neighbour are consecutive.
        """
        width = own.shape[1]
        counts = [len(rows) * width for rows in self.sent]
        if all(rows[-1] - rows[0] + 1 == len(rows) for rows in self.sent):
            return None, [own, (counts, [rows[0] * width for rows in self.sent])]
        packed = aligned((len(self.rows), width), own.dtype)
        return packed, [packed, (counts, np.cumsum([0, *counts]).tolist()[:-1])]


def spread(W: csr_array | None, agents: Agents) -> csr_array:
    """Rank 0's W on every rank, without the entries that are neither in a row nor in a column of the rank's agents."""
    comm, parts = agents.comm, []
    if W is not None and agents.rank == 0:
        columns = W.tocsc()
        for first, last in pairwise(agents.bounds):
            own, other = W[first:last].tocoo(), columns[:, first:last].tocoo()
            far = (other.row < first) | (other.row >= last)
            parts.append(np.stack([np.concatenate(part) for part in (
                (own.row + first, other.row[far]), (own.col, other.col[far] + first), (own.data, other.data[far]))], axis=1))
    size = np.empty(1, np.int64)
    scatter(comm, np.array([part.size for part in parts]) if parts else None, size)
    mine = np.empty((size[0] // 3, 3))
    scatterv(comm, [np.concatenate(parts), [part.size for part in parts]] if parts else None, mine)
    i, j = mine[:, :2].T.astype(np.int32)
    return csr_array((mine[:, 2], (i, j)), shape=(agents.n, agents.n))


def links(W: csr_array, agents: Agents) -> Links:
    """From the rows and columns of this rank's agents in W."""
    first, last = agents.first, agents.last
    mine = W[first:last]
    needed = np.unique(mine.indices)
    theirs = [int(j) for j in needed if not first <= j < last]
    place = {j: j - first for j in range(first, last)} | {j: agents.m + i for i, j in enumerate(theirs)}
    local = csr_array((mine.data, np.array([place[int(j)] for j in mine.indices], np.int32),
                       mine.indptr.astype(np.int32)), shape=(agents.m, agents.m + len(theirs)))
    owners = [agents.owner(j) for j in theirs]
    sources = sorted(set(owners))
    into = W[:, first:last].tocoo()  # who needs my rows
    wanted: dict[int, set[int]] = {}
    for i, j in zip(*into.coords, strict=True):
        if not first <= i < last:
            wanted.setdefault(agents.owner(int(i)), set()).add(int(j))
    destinations = sorted(wanted)
    return Links(local, sources, destinations, theirs, [owners.count(s) for s in sources],
                  [sorted(wanted[d]) for d in destinations])
