"""Routes of a message between ranks of a node: rows are written once and read where they are."""

import logging
from functools import cache

import numpy as np
from scipy.sparse import csr_array

from .._types import Array, Float
from ..parallel import Agents, can_share
from .exchange import Arrays, Narrow, Route, Wide, fill
from .neighbours import Links
from .node import Node, Window

MIN_SHARED_WIDTH = 1 << 11
"""Floats per row of a message from which memory is shared: a shorter one is copied as fast."""
PAGE_BYTES = 4096


class SharedNarrow(Narrow):
    """Short rows in a window, mixed by one sparse product over all of it.

    Parameters
    ----------
    widths, matrices, links
        As of `MatrixRoute`.
    window : Window
        A window with all own rows.
    agents : list of int
        The agents of the columns of the matrices.
    """

    def __init__(
        self,
        widths: list[int],
        matrices: list[csr_array],
        links: Links,
        window: Window,
        agents: list[int],
    ) -> None:
        super().__init__(widths, matrices)
        self.links, self.window = links, window
        self.places = window.places(agents)
        if self.by_one_matrix:
            matrix = matrices[0]
            self.columns = len(window.rows)
            # With the entries of the given matrix itself, which change where links fail.
            self.of_turn = [
                csr_array(
                    (matrix.data, places[matrix.indices], matrix.indptr),
                    shape=(self.m, self.columns),
                )
                for places in self.places
            ]

    def exchanged(self, arrays: Arrays) -> Float[Array, "rows width"]:
        window = self.window
        fill(window.begin()[: self.m], self.slots, arrays)
        window.exchange(self.beside)
        if self.by_one_matrix:
            self.matrices = [self.of_turn[window.turn]]
            return window.rows
        return np.take(window.rows, self.places[window.turn], axis=0)

    def close(self) -> None:
        self.window.close()


class SharedWide(Wide):
    """Long rows: those that others need are copied into a window, and summed in blocks.

    Parameters
    ----------
    widths, matrices, links
        As of `MatrixRoute`.
    window : Window
        A window with the rows that other ranks need.
    published : list of int
        These rows, 0..m-1.
    """

    def __init__(
        self,
        widths: list[int],
        matrices: list[csr_array],
        links: Links,
        window: Window,
        published: list[int],
    ) -> None:
        super().__init__(widths, matrices)
        self.links, self.window, self.published = links, window, published
        self.places = window.places(links.theirs).tolist()

    def exchanged(self, arrays: Arrays) -> list[list[Float[Array, " d"]]]:
        window = self.window
        own = window.begin()
        for slot, array in zip(self.slots, arrays, strict=True):
            for row, i in zip(own, self.published, strict=False):  # then those from other nodes
                row[slot] = array[i]
        window.exchange(self.beside)
        received = [window.rows[place] for place in self.places[window.turn]]
        return [
            [*array, *[row[slot] for row in received]]
            for slot, array in zip(self.slots, arrays, strict=True)
        ]

    def close(self) -> None:
        self.window.close()


class SharedMemory:
    """Routes between the ranks of a node, as long as memory can be shared there.

    Parameters
    ----------
    links : Links
        The rows that this rank exchanges.
    agents : Agents
        The distribution of agents over ranks.
    """

    def __init__(self, links: Links, agents: Agents) -> None:
        self.links, self.agents = links, agents
        self.node: Node | None = None
        self.is_usable = can_share()

    def route(self, widths: list[int], matrices: list[csr_array], *, narrow: bool) -> Route | None:
        """Return a route of messages, or None where they are sent as usual; collective.

        Parameters
        ----------
        widths, matrices
            As of `MatrixRoute`.
        narrow : bool
            Whether the rows are short.
        """
        if not self.is_usable or sum(widths) < MIN_SHARED_WIDTH:
            return None
        agents, links = self.agents, self.links
        self.node = self.node or Node(links, agents)
        if self.node.graph is None:
            self.is_usable = False
            return None
        dtype, width = matrices[0].dtype, sum(widths)
        published = [*range(agents.m)] if narrow else sorted(set(links.rows))
        if not narrow:  # rows begin at a page: see `parallel.aligned`
            per_page = PAGE_BYTES // dtype.itemsize
            width = -(-width // per_page) * per_page
        window = Window(self.node, published, width, dtype)
        if window.rows is None:
            self.is_usable = False
            if agents.rank == 0:
                _report()
            return None
        if narrow:
            columns = [*range(agents.first, agents.last), *links.theirs]
            return SharedNarrow(widths, matrices, links, window, columns)
        return SharedWide(widths, matrices, links, window, published)

    def close(self) -> None:
        """Free what the MPI library holds; collective."""
        if self.node is not None:
            self.node.close()


@cache
def _report() -> None:
    """Log, once, that rows are sent as messages."""
    text = "ranks of a node cannot share memory here; rows are sent as messages"
    logging.getLogger("mpidbo").info(text)
