"""The route of messages of which some arrays are compressed."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .._types import Array, Float
from ..errors import UserError
from ..parallel import HOST, Host, aligned, host
from .compressors import Bytes, Compressor, Full
from .exchange import MatrixRoute, RowExchange
from .neighbours import Links
from .splitmix import mix64

if TYPE_CHECKING:
    from mpi4py.MPI import Distgraphcomm

FULL = Full()
MAX_PLACES, MAX_PARTS = 1 << 4, 1 << 20
"""Operators of a method, and arrays that one of them mixes in an iteration."""


class Keys:
    """Numbers that sender and receivers derive alike, for the random numbers of compressors.

    Parameters
    ----------
    seed : int, default 0
        Seed of the run.

    Attributes
    ----------
    place : int
        Of the operator among those of the levels.
    k : int
        The iteration.
    parts : int
        Compressed arrays so far in this iteration.
    """

    def __init__(self, seed: int = 0) -> None:
        self._of_seed = mix64(np.array([seed], np.uint64))
        self.place, self.k, self.parts = 0, 0, 0

    def begin(self, k: int) -> None:
        """Begin iteration k."""
        self.k, self.parts = k, 0

    def of(self, agents: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return a key for each of the agents; other ones at each call."""
        number = (self.k * MAX_PLACES + self.place) * MAX_PARTS + self.parts
        self.parts += 1
        return mix64(mix64(self._of_seed + agents) + np.uint64(number))


class Compressed(MatrixRoute):
    """Rows travel as bytes, of a number that the compressors and the widths determine.

    Parameters
    ----------
    widths : list of int
        Floats per row of each array of a message.
    matrices : list of csr_array of shape (m, m + r)
        As of `MatrixRoute`.
    compressors : sequence of Compressor or None
        Of each array; None for one that travels in full.
    sums : MatrixRoute
        Sums over the m own and the r received rows of each array.
    agents : list of int
        The agents of these rows.
    keys : Keys
    links, graph
        As of `MatrixRoute`.
    backend : Host, default HOST
        Where the arrays of a message are; they are compressed on the host.

    Notes
    -----
    An agent uses its own row as its neighbours decode it, so that the result does not depend on
    the number of ranks.
    """

    def __init__(
        self,
        widths: list[int],
        matrices: list[csr_array],
        compressors: Sequence[Compressor | None],
        sums: MatrixRoute,
        agents: list[int],
        keys: Keys,
        links: Links | None = None,
        graph: "Distgraphcomm | None" = None,
        backend: Host = HOST,
    ) -> None:
        super().__init__(widths, matrices, links, graph)
        self.compressors, self.sums = compressors, sums
        self.keys, self.backend = keys, backend
        self.agents = np.array(agents, np.uint64)
        forms = [compressor or FULL for compressor in compressors]
        sizes = [form.bytes(d, self.dtype) for form, d in zip(forms, widths, strict=True)]
        ends = np.cumsum([0, *sizes]).tolist()
        self.bytes = ends[-1]
        self.parts = [
            (form, slice(*ends)) for form, ends in zip(forms, pairwise(ends), strict=True)
        ]
        self.rows = aligned((self.columns, self.bytes), np.uint8)
        self.own = self.rows[: self.m]
        if links is not None:
            self.exchange = RowExchange(links, graph, self.own, self.rows[self.m :])

    def mix(self, arrays: Sequence[Float[Array, "m d"]]) -> Any:
        """Return W @ each array; of a compressed one C(s) and W @ C(s); collective."""
        keys = [self.keys.of(self.agents) for _ in arrays]
        for array, (form, slot), each in zip(arrays, self.parts, keys, strict=True):
            rows = np.ascontiguousarray(host(array), self.dtype)
            self.own[:, slot] = _checked(form, form.encode(rows, each[: self.m]), self.own[:, slot])
        if self.links is not None:
            self.exchange(self.beside)
        decoded = tuple(
            form.decode(np.ascontiguousarray(self.rows[:, slot]), width, self.dtype, each)
            for (form, slot), width, each in zip(self.parts, self.widths, keys, strict=True)
        )
        mixed = map(self.backend.rows, self.sums.mix(decoded))
        return tuple(
            product if compressor is None else (self.backend.rows(rows[: self.m]), product)
            for compressor, rows, product in zip(self.compressors, decoded, mixed, strict=True)
        )

    def reweigh(self) -> None:
        self.sums.reweigh()

    def close(self) -> None:
        if self.links is not None:
            self.exchange.close()


def _checked(form: Compressor, messages: Bytes, slot: Bytes) -> Bytes:
    """Return encoded rows. Raises UserError where they have not the promised size."""
    if messages.dtype != np.uint8 or messages.shape != slot.shape:
        raise UserError(
            f"{type(form).__name__}.encode: an array of {messages.dtype} of shape "
            f"{messages.shape}, and .bytes promises {slot.shape[1]} bytes for each of "
            f"{len(slot)} rows; return an array of uint8 of that shape"
        )
    return messages
