"""Averages of all agents' oracles at common points, full batch.

Metrics use them instead of the method's oracles, so that they neither depend on draws nor count as
calls of the method.
"""

from collections.abc import Callable
from contextlib import suppress

import numpy as np

from .._types import Array, Float
from .._warning import warn
from ..parallel import Agents, bcast, host, is_root
from .oracle import Oracle

ASKS = ("f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy", "g")
"""What rank 0 may ask of the other ranks, by the index in a message."""
DONE = len(ASKS)

Ask = Callable[..., Array]


class Averaged:
    """Averages over all agents of losses and oracles at common points (x, y), full batch.

    Parameters
    ----------
    oracle : Oracle
        The oracles of this rank's agents; calls of it are counted, so pass a twin.
    agents : Agents
        The distribution of the agents over the ranks.
    """

    def __init__(self, oracle: Oracle, agents: Agents) -> None:
        self.oracle, self.full, self.agents = oracle, oracle.full(), agents
        self.p, self.q = oracle.dims
        self._warned = set[str]()
        self._defined: dict[str, bool] = {}

    def __call__(
        self,
        name: str,
        x: Float[Array, " p"],
        y: Float[Array, " q"],
        v: Float[Array, " q"] | None = None,
    ) -> Array:
        """Return the average of one oracle, or of the loss g; collective.

        Parameters
        ----------
        name : str
            One of "f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy", "g".
        x : array of shape (p,)
        y : array of shape (q,)
        v : array of shape (q,), optional
            The vector of the products g_yy v and g_xy v.

        Returns
        -------
        array of shape (p,) or (q,), or a number for "g"
        """
        if name == "g":
            return self.loss("g", x, y)
        points = [
            np.repeat(np.asarray(part, self.oracle.dtype)[None], self.agents.m, axis=0)
            for part in (x, y, v)
            if part is not None
        ]
        return self.agents.mean(host(getattr(self.full, name)(*points)))

    def loss(self, name: str, x: Array, y: Array) -> Array:
        """Return the average of f or g at x and y, (p,) and (q,), or with a row for each agent."""
        return self.agents.mean(self.oracle.losses(name, x, y))

    def defines(self, name: str) -> bool:
        """Return whether every agent's problem defines a loss or an oracle; collective."""
        if name not in self._defined:
            missing = [getattr(problem, name, None) is None for problem in self.oracle.problems]
            self._defined[name] = not self.agents.allreduce_sum(np.array([any(missing)], int))[0]
        return self._defined[name]

    def project_y(self) -> Callable[[Float[Array, " q"]], Float[Array, " q"]] | None:
        """Return the projection of a y in float64 onto its set; None where y is free."""
        oracle = self.oracle
        if "y" not in oracle.constrained:
            return None
        project, array = oracle.problems[0].project_y, oracle.backend.array
        return lambda y: np.asarray(host(project(array(y.astype(oracle.dtype)))), np.float64)

    def on_root(self, work: Callable[[Ask], Array], size: int) -> Float[Array, " size"]:
        """Run a solver on rank 0, which asks the other ranks for averages; collective.

        Parameters
        ----------
        work : callable
            `work(ask)` returns an array of `size` floats; `ask(name, x, y, v)` is an average as by
            `__call__`. Called on rank 0 alone, so that only rank 0 imports scipy's solvers.
        size : int

        Returns
        -------
        array of shape (size,)
            The same on every rank; NaN where the solver ended with ValueError or LinAlgError.
        """
        comm = self.agents.comm
        result = np.full(size, np.nan)
        if is_root(comm):
            with suppress(ValueError, np.linalg.LinAlgError):
                result[:] = work(self if comm is None else self._ask)
        if comm is None:
            return result
        if comm.rank == 0:
            bcast(comm, self._question(DONE))
        else:
            self._serve()
        bcast(comm, result)
        return result

    def _ask(self, name: str, x: Array, y: Array, v: Array | None = None) -> Array:
        """Take an average from rank 0, while the other ranks are in `_serve`."""
        bcast(self.agents.comm, self._question(ASKS.index(name), x, y, v))
        return self(name, x, y, v)

    def _question(
        self, code: int, x: Array | float = 0, y: Array | float = 0, v: Array | None = None
    ) -> Float[Array, " size"]:
        """The message of rank 0: always all of them and in float64, so that its size is known."""
        message = np.zeros(1 + self.p + 2 * self.q)
        message[0] = code
        for part, own in zip(self._parts(message), (x, y, 0 if v is None else v), strict=True):
            part[:] = own
        return message

    def _parts(self, message: Float[Array, " size"]) -> list[Array]:
        """x, y and v of a message, as views."""
        return np.split(message, [1, 1 + self.p, 1 + self.p + self.q])[1:]

    def _serve(self) -> None:
        """Take part in the averages that rank 0 asks for, until it has finished."""
        message = np.empty(1 + self.p + 2 * self.q)
        while True:
            bcast(self.agents.comm, message)
            if message[0] == DONE:
                return
            x, y, v = self._parts(message)
            name = ASKS[int(message[0])]
            self(name, x, y, v if name in ("g_yy", "g_xy") else None)

    def warn_once(self, key: str, message: str) -> None:
        """Warn, once for each key: a metric is computed at every evaluation."""
        if key not in self._warned:
            self._warned.add(key)
            warn(message)
