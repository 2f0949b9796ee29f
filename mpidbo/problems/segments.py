"""Rows of several agents in one array, with products of each agent's own."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from .._linalg import batched_matvec
from .._types import Array, Float


class Segments:
    """Where each agent's rows are in an array that has those of m agents, one below the other.

    What is elementwise, or goes along a row, needs no segments and is done at once. Products and
    sums over rows are done agent by agent, with the bits of each agent alone: by one `matmul` where
    all agents have the same number of rows, in a loop where they do not.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    sizes : sequence of int
        Each agent's number of rows.
    """

    def __init__(self, xp: Any, sizes: Sequence[int]) -> None:
        self.xp, self.sizes = xp, tuple(sizes)
        ends = np.cumsum([0, *self.sizes]).tolist()
        self._parts = [slice(first, last) for first, last in pairwise(ends)]
        self._is_even = len(set(self.sizes)) == 1
        self._counts: dict[Any, Array] = {}

    def counts(self, dtype: Any) -> Any:
        """Return the number of rows of each row's agent, (N,); a number where all have the same."""
        if self._is_even:
            return self.sizes[0]
        if dtype not in self._counts:
            self._counts[dtype] = self.spread(self.xp.asarray(self.sizes, dtype=dtype))
        return self._counts[dtype]

    @cached_property
    def _agents(self) -> Any:
        """The agent of each row, (N,)."""
        return self.xp.asarray(np.repeat(np.arange(len(self.sizes)), self.sizes))

    def spread(self, values: Float[Array, "m ..."]) -> Float[Array, "N ..."]:
        """Return each agent's value, for each of its rows."""
        return values[self._agents]

    def add(self, rows: Float[Array, "N b"], values: Float[Array, "m 1 b"]) -> None:
        """Add an agent's values to each of its rows, in place."""
        if self._is_even:
            by_agent = self._by_agent(rows)
            by_agent += values
        else:
            rows += self.spread(values[:, 0])

    def times(
        self, rows: Float[Array, "N a"], matrices: Float[Array, "m a b"]
    ) -> Float[Array, "N b"]:
        """Return each agent's rows times its matrix."""
        if self._is_even:
            return (self._by_agent(rows) @ matrices).reshape(len(rows), -1)
        out = self.xp.empty((len(rows), matrices.shape[2]), matrices.dtype)
        for part, matrix in zip(self._parts, matrices, strict=True):
            self.xp.dot(rows[part], matrix, out[part])
        return out

    def transposed_times(
        self, left: Float[Array, "N a"], right: Float[Array, "N b"], out: Float[Array, "m a b"]
    ) -> None:
        """Put the transpose of each agent's left rows times its right rows into `out`."""
        if self._is_even:
            self.xp.matmul(self._by_agent(left).swapaxes(1, 2), self._by_agent(right), out=out)
        else:
            for part, own in zip(self._parts, out, strict=True):
                self.xp.dot(left[part].T, right[part], own)

    def columns_times(
        self, columns: Float[Array, "a N"], values: Float[Array, " N"]
    ) -> Float[Array, "m a"]:
        """Return the columns of each agent's rows times their values."""
        a, m = len(columns), len(self.sizes)
        if self._is_even:
            by_agent = columns.reshape(a, m, -1).swapaxes(0, 1)
            return batched_matvec(self.xp.ascontiguousarray(by_agent), values.reshape(m, -1))
        out = self.xp.empty((m, a), values.dtype)
        for part, own in zip(self._parts, out, strict=True):
            self.xp.dot(columns[:, part], values[part], own)
        return out

    def sums(self, rows: Float[Array, "N b"], out: Float[Array, "m 1 b"]) -> None:
        """Put the sum of each agent's rows into `out`."""
        if self._is_even:
            self.xp.sum(self._by_agent(rows), axis=1, out=out, keepdims=True)
        elif self.xp is np and rows.shape[1] > 1:
            # Adds row after row, as numpy does, but for a single column.
            out[:, 0] = self._ones.astype(rows.dtype, copy=False) @ rows
        else:
            for part, own in zip(self._parts, out, strict=True):
                rows[part].sum(axis=0, out=own[0])
        if self.xp is np:
            out += 0.0  # -0.0 becomes 0.0, as in a product with ones

    @cached_property
    def _ones(self) -> csr_array:
        """The matrix (m, N) whose product with rows is the sum of each agent's."""
        ends = np.cumsum([0, *self.sizes])
        return csr_array((np.ones(ends[-1]), np.arange(ends[-1]), ends))

    def _by_agent(self, rows: Float[Array, "N b"]) -> Float[Array, "m B b"]:
        return rows.reshape(len(self.sizes), -1, rows.shape[1])
