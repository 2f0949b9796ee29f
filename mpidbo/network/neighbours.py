"""Rows that cross between a rank and its neighbours, and this rank's part of the matrices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .._types import Array, Float
from ..parallel import Agents, aligned, scatter, scatterv


@dataclass(frozen=True)
class Links:
    """Rows that a rank sends and receives in one exchange, for m agents of the rank.

    Parameters
    ----------
    matrices : dict of str to csr_array of shape (m, m + r)
        The rows of this rank's agents in each mixing matrix; the columns are its m own rows and the
        r rows that it receives.
    sources, destinations : list of int
        Ranks from which this one receives rows, and to which it sends rows.
    theirs : list of int
        The r agents whose rows are received, in agent order, which is also the order of the
        sources.
    received : list of int
        Number of rows from each source.
    sent : list of list of int
        Own rows, 0..m-1, for each destination.
    """

    matrices: dict[str, csr_array]
    sources: list[int]
    destinations: list[int]
    theirs: list[int]
    received: list[int]
    sent: list[list[int]]

    @property
    def rows(self) -> list[int]:
        """Own rows in the order in which they are packed."""
        return [row for rows in self.sent for row in rows]

    def between(self, ranks: set[int]) -> "Links":
        """Return the links with some of the ranks."""
        owners = [
            rank for rank, n in zip(self.sources, self.received, strict=True) for _ in range(n)
        ]
        chosen = [i for i, source in enumerate(self.sources) if source in ranks]
        return replace(
            self,
            sources=[self.sources[i] for i in chosen],
            theirs=[j for j, owner in zip(self.theirs, owners, strict=True) if owner in ranks],
            received=[self.received[i] for i in chosen],
            destinations=[rank for rank in self.destinations if rank in ranks],
            sent=[
                rows
                for rank, rows in zip(self.destinations, self.sent, strict=True)
                if rank in ranks
            ],
        )

    def incoming(self, buffer: Float[Array, "r d"]) -> list[Any]:
        """Return MPI's receive argument: the buffer with (counts, displacements) in floats."""
        width = buffer.shape[1]
        counts = [rows * width for rows in self.received]
        return [buffer, (counts, _starts(counts))]

    def outgoing(self, own: Float[Array, "m d"]) -> tuple[Array | None, list[Any]]:
        """Return the packing buffer, or None where none is needed, and MPI's send argument.

        Nothing is packed when the rows for each neighbour are consecutive.
        """
        width = own.shape[1]
        counts = [len(rows) * width for rows in self.sent]
        if all(_is_consecutive(rows) for rows in self.sent):
            return None, [own, (counts, [rows[0] * width for rows in self.sent])]
        packed = aligned((len(self.rows), width), own.dtype)
        return packed, [packed, (counts, _starts(counts))]


def _starts(counts: Sequence[int]) -> list[int]:
    """Return where parts of these lengths begin, one after the other."""
    starts: list[int] = np.cumsum([0, *counts]).tolist()
    return starts[:-1]


def _is_consecutive(rows: list[int]) -> bool:
    """Whether ascending rows have no gap."""
    return rows[-1] - rows[0] + 1 == len(rows)


def spread(matrices: Mapping[str, csr_array], agents: Agents) -> dict[str, csr_array]:
    """Send rank 0's mixing matrices to every rank; collective.

    Parameters
    ----------
    matrices : mapping of str to csr_array of shape (n, n)
        The matrices on rank 0, with the same entries; those of other ranks are not read.
    agents : Agents

    Returns
    -------
    dict of str to csr_array of shape (n, n)
        Their entries in the rows and columns of this rank's agents.
    """
    names = agents.bcast_text(" ".join(matrices)).split()
    parts, sizes = None, None
    if agents.rank == 0:
        parts = _parts([*matrices.values()], agents)
        sizes = [part.size for part in parts]
    size = np.empty(1, np.int64)
    scatter(agents.comm, None if sizes is None else np.array(sizes), size)
    columns = 2 + len(names)  # i, j and the weights of each entry
    mine = np.empty((size[0] // columns, columns))
    scatterv(agents.comm, None if parts is None else [np.concatenate(parts), sizes], mine)
    i, j = mine[:, :2].T.astype(np.int32)
    shape = (agents.n, agents.n)
    return {
        name: csr_array((mine[:, column], (i, j)), shape=shape)
        for column, name in enumerate(names, 2)
    }


def _parts(matrices: Sequence[csr_array], agents: Agents) -> list[NDArray[np.float64]]:
    """Return for each rank the entries (i, j, weights) in rows or columns of its agents."""
    parts, by_column = [], [matrix.tocsc() for matrix in matrices]
    for first, last in pairwise(agents.bounds):
        own = [matrix[first:last].tocoo() for matrix in matrices]
        column = [matrix[:, first:last].tocoo() for matrix in by_column]
        i, j = column[0].row, column[0].col + first
        far = (i < first) | (i >= last)  # those not in `own` already
        entries = [
            np.concatenate([own[0].row + first, i[far]]),
            np.concatenate([own[0].col, j[far]]),
            *(np.concatenate([a.data, b.data[far]]) for a, b in zip(own, column, strict=True)),
        ]
        parts.append(np.stack(entries, axis=1))
    return parts


def links(matrices: Mapping[str, csr_array], agents: Agents) -> Links:
    """Return the links of this rank from what `spread` returns."""
    first, last = agents.first, agents.last
    W = next(iter(matrices.values()))
    mine = W[first:last]
    theirs = [int(j) for j in np.unique(mine.indices) if not first <= j < last]
    owners = [agents.owner(j) for j in theirs]
    sources = sorted(set(owners))
    entries = W[:, first:last].tocoo()  # row i needs the rows of this rank in its columns
    needed: dict[int, set[int]] = {}
    for i, j in zip(*entries.coords, strict=True):
        if not first <= i < last:
            needed.setdefault(agents.owner(int(i)), set()).add(int(j))
    destinations = sorted(needed)
    return Links(
        {name: _local(matrix[first:last], theirs, agents) for name, matrix in matrices.items()},
        sources,
        destinations,
        theirs,
        [owners.count(source) for source in sources],
        [sorted(needed[destination]) for destination in destinations],
    )


def _local(mine: csr_array, theirs: list[int], agents: Agents) -> csr_array:
    """Return own rows of a matrix over (own rows, received rows), entries in agent order."""
    columns = {j: j - agents.first for j in range(agents.first, agents.last)}
    columns |= {j: agents.m + place for place, j in enumerate(theirs)}
    # The columns of a row are not sorted, as its entries have to stay in agent order; and both
    # index arrays are int32, since the kernel of the product takes one type for them.
    indices = np.array([columns[int(j)] for j in mine.indices], np.int32)
    shape = (agents.m, agents.m + len(theirs))
    return csr_array((mine.data, indices, mine.indptr.astype(np.int32)), shape=shape)
