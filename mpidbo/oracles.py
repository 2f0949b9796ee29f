"""The oracles of all agents of a rank, stacked: rows in, rows out, counted and timed."""

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

import numpy as np

from .agents import Agents
from .errors import UserError
from .problems.base import ORACLES

Array = Any


class Oracle:
    """`o = oracle.draw(k, phase)` draws one sample per agent; `o.g_y(x, y)` then is (m, q), row i from agent i at that sample.

    Draws are a function of (seed, agent, iteration, phase) alone. `calls` counts calls of this rank's
    agents, `seconds` their time.
    """

    f_x: Callable[..., Array]
    f_y: Callable[..., Array]
    g_x: Callable[..., Array]
    g_y: Callable[..., Array]
    g_yy: Callable[..., Array]
    g_xy: Callable[..., Array]

    def __init__(self, problems: list[Any], agents: Agents, *, seed: int = 0, dtype: Any = np.float64) -> None:
        self.problems, self.agents, self.dtype = problems, agents, np.dtype(dtype)
        self.dims: tuple[int, int] = tuple(problems[0].dims)
        self.seconds = 0.0
        self.calls = dict.fromkeys(ORACLES, 0)
        self._samples: list[Any] = [None] * len(problems)
        self._stochastic = any(_overrides_draw(p) for p in problems)
        self._rngs = [_Stream(seed, agents.first + i) for i in range(len(problems))] if self._stochastic else []
        stacked = type(problems[0]).stacked(problems) if hasattr(type(problems[0]), "stacked") else None
        p, q = self.dims
        for name, width in (("f_x", p), ("f_y", q), ("g_x", p), ("g_y", q), ("g_yy", q), ("g_xy", p)):
            setattr(self, name, self._rows(name, width, getattr(stacked, name, None)))

    def draw(self, k: int, phase: int = 0) -> "Oracle":
        """This oracle, at iteration k's sample of that phase."""
        if self._stochastic:
            began = perf_counter()
            self._samples = [p.draw(rng.at(k, phase)) for p, rng in zip(self.problems, self._rngs, strict=True)]
            self.seconds += perf_counter() - began
        return self

    def full(self) -> "Oracle":
        """This oracle, at the full batch."""
        self._samples = [None] * len(self.problems)
        return self

    def require(self, names: Iterable[str], method: str) -> None:
        """UserError if a problem lacks one of these oracles."""
        missing = [name for name in names if any(getattr(p, name, None) is None for p in self.problems)]
        if missing:
            raise UserError(f"problem {type(self.problems[0]).__name__}: {' and '.join(missing)} missing, needed by {method}; "
                            f"define {'it' if len(missing) == 1 else 'them'} or choose a method that does without (see: mpidbo methods)")

    def _rows(self, name: str, width: int, stacked: Callable[..., Array] | None) -> Callable[..., Array]:
        calls, dtype, m = self.calls, self.dtype, len(self.problems)
        singles: list[Any] = [getattr(p, name, None) for p in self.problems]
        only: Any = singles[0] if m == 1 and stacked is None else None

        def one(*rows: Array) -> Array:
            began = perf_counter()
            out = np.empty((1, width), dtype)
            out[0] = only(*[row[0] for row in rows], self._samples[0])
            calls[name] += 1
            self.seconds += perf_counter() - began
            return out

        def several(*rows: Array) -> Array:
            began = perf_counter()
            if stacked is not None:
                out = stacked(*rows, self._samples)
            else:
                out = np.empty((m, width), dtype)
                for i, single in enumerate(singles):
                    out[i] = single(*[row[i] for row in rows], self._samples[i])
            calls[name] += m
            self.seconds += perf_counter() - began
            return out

        return several if only is None else one

    def losses(self, name: str, x: Array, y: Array) -> np.ndarray:
        """f or g of each of this rank's agents at one common point, full batch: (m,)."""
        return np.array([float(getattr(p, name)(x, y, None)) for p in self.problems])


def _overrides_draw(problem: Any) -> bool:
    from .problems.base import Problem
    return getattr(type(problem), "draw", Problem.draw) is not Problem.draw


class _Stream:
    """The random numbers of one agent: Philox with the key (seed, agent) and a counter that begins at (iteration, phase)."""

    def __init__(self, seed: int, agent: int) -> None:
        self._bits = np.random.Philox(key=np.array([seed, agent], np.uint64))
        self._state = self._bits.state
        self._counter = self._state["state"]["counter"]
        self._rng = np.random.Generator(self._bits)

    def at(self, k: int, phase: int) -> np.random.Generator:
        self._counter[:] = (0, 0, phase, k)
        self._bits.state = self._state
        return self._rng
