"""The oracles of all agents of a rank, stacked: rows in, rows out, counted and timed."""

import warnings
from collections.abc import Callable, Iterable
from copy import copy
from time import perf_counter
from typing import Any, Literal

import numpy as np

from ..errors import UserError, shown
from ..parallel.agents import Agents
from ..parallel.backend import HOST, Host
from .base import ORACLES

Array = Any


DERIVATIVES = ("f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy")
PRODUCTS = ("g_yy", "g_xy")


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

    def __init__(self, problems: list[Any], agents: Agents, *, seed: int = 0, dtype: Any = np.float64,
                 backend: Host = HOST) -> None:
        self.problems, self.agents, self.dtype, self.backend = problems, agents, np.dtype(dtype), backend
        self.dims: tuple[int, int] = tuple(problems[0].dims)
        self.seconds = 0.0
        self.calls = dict.fromkeys(ORACLES, 0)
        self._samples: list[Any] = [None] * len(problems)
        self._stochastic = any(_overrides_draw(p) for p in problems)
        self._rngs = [_Stream(seed, agents.first + i) for i in range(len(problems))]
        self._among: Array | None = None
        stacked = type(problems[0]).stacked(problems) if hasattr(type(problems[0]), "stacked") else None
        self._stacked: dict[str, Callable[..., Array]] = {name: getattr(stacked, name) for name in ORACLES if hasattr(stacked, name)}
        self._bind()

    def _bind(self) -> None:
        for name in DERIVATIVES:
            setattr(self, name, self.backend.oracle(self._rows(name)))

    def twin(self) -> "Oracle":
        """An oracle of the same problems that counts its own calls."""
        other = copy(self)
        other.seconds, other.calls = 0.0, dict.fromkeys(ORACLES, 0)
        other._bind()
        return other

    def together(self, mode: Literal["exact", "always", "never"], x: Array, y: Array) -> None:
        """Whether agents whose problem stacks them are asked at once: "exact", where that gives the bits of asking one by one.

        That is tried near x (p,), y (q,), with the sample drawn last. On a GPU a batched product may round differently, and results would
        then depend on the number of ranks; a warning says so.
        """
        apart = [*self._stacked] if mode == "never" else []
        if mode == "exact":
            rng = np.random.default_rng(0)
            at = [self.backend.array((part + rng.standard_normal(part.shape) / 10).astype(self.dtype)) for part in (x, y, y)]
            with np.errstate(all="ignore"):
                apart = [name for name in self._stacked if not self._exact(name, at[:3 if name in PRODUCTS else 2])]
        if mode == "exact" and apart:
            warnings.warn(f"problem {type(self.problems[0]).__name__}: its stacked {', '.join(apart)} gives other bits than its agents, so "
                          'they are asked one by one; run.batched = "always" is faster, with numbers that depend on the number of ranks',
                          stacklevel=2)
        self._stacked = {name: stacked for name, stacked in self._stacked.items() if name not in apart}
        self._bind()

    def _exact(self, name: str, at: list[Array]) -> bool:
        rows = self._stacked[name](*[self.backend.xp.repeat(part[None], len(self.problems), axis=0) for part in at], self._samples)
        ones = (getattr(problem, name)(*at, sample) for problem, sample in zip(self.problems, self._samples, strict=True))
        return all(bool(((row == one) | ((row != row) & (one != one))).all()) for row, one in zip(rows, ones, strict=True))

    @property
    def samples(self) -> list[Any]:
        """What was drawn last, one for each agent."""
        return self._samples

    @property
    def stacked_names(self) -> set[str]:
        """The oracles that several agents are asked for at once."""
        return {*self._stacked}

    def draw(self, k: int, phase: int = 0, among: Array | None = None) -> "Oracle":
        """This oracle, at iteration k's sample of that phase; with `among` (m,), only agents where that is true are asked, the rows of
        the others are 0."""
        self._among = among
        if self._stochastic:
            began = perf_counter()
            asked = [True] * len(self.problems) if among is None else among
            self._samples = [p.draw(rng.at(k, phase)) if mine else None
                             for p, rng, mine in zip(self.problems, self._rngs, asked, strict=True)]
            self.seconds += perf_counter() - began
        return self

    def integers(self, k: int, phase: int, below: int) -> Array:
        """A number from 0 to below - 1 for each agent, uniform and fixed like a sample: (m,)."""
        return np.array([rng.at(k, phase).integers(below) for rng in self._rngs])

    def full(self) -> "Oracle":
        """This oracle, at the full batch."""
        self._among = None
        self._samples = [None] * len(self.problems)
        return self

    @property
    def constrained(self) -> bool:
        """Whether x is to stay in a set."""
        return getattr(self.problems[0], "project_x", None) is not None

    def project(self, x: Array) -> Array:
        """Each agent's x, (m, p), put back into its set: new rows."""
        rows = self.backend.array(x)
        out = self.backend.xp.empty_like(rows)
        for i, problem in enumerate(self.problems):
            out[i] = problem.project_x(rows[i])
        return self.backend.rows(out)

    def require(self, names: Iterable[str], method: str) -> None:
        """UserError if a problem lacks one of these oracles."""
        missing = [name for name in names if any(getattr(p, name, None) is None for p in self.problems)]
        if missing:
            raise UserError(f"problem {type(self.problems[0]).__name__}: {' and '.join(missing)} missing, needed by {method}; "
                            f"define {'it' if len(missing) == 1 else 'them'} or choose a method that does without (see: mpidbo methods)")

    def probe(self, names: Iterable[str], x: Array, y: Array) -> dict[str, np.ndarray]:
        """f and g, (m,) each, as far as they are defined; UserError unless these are numbers and each of the oracles returns its
        shape, on every agent of this rank. x (p,), y (q,)."""
        def start() -> list[Array]:                          # which a problem's mistake must not change
            return [self.backend.array(part.copy()) for part in (x, y)]

        losses = {loss: self.losses(loss, *start()) for loss in ("f", "g")
                  if all(getattr(p, loss, None) is not None for p in self.problems)}
        if self.constrained and (got := returned(self.problems[0].project_x(start()[0]))) != f"shape ({self.dims[0]},)":
            raise UserError(f"problem {type(self.problems[0]).__name__}.project_x: returns {got}, expected shape ({self.dims[0]},); "
                            "mend it")
        self.draw(0)
        for name in names:
            for i, (problem, sample) in enumerate(zip(self.problems, self._samples, strict=True)):
                point = start() + start()[1:] * (name in PRODUCTS)
                self._fits(name, getattr(problem, name)(*point, sample), i)
            if name in self._stacked:
                rows = [np.repeat(part[None], len(self.problems), axis=0) for part in start() + start()[1:] * (name in PRODUCTS)]
                got = self._stacked[name](*rows, self._samples)
                if np.shape(got) != (m := len(self.problems), self._width(name)):
                    raise UserError(f"problem {type(self.problems[0]).__name__}.stacked: its {name} returns shape {np.shape(got)}, "
                                    f"expected ({m}, {self._width(name)}); mend it, or leave it out")
        return losses

    def _fits(self, name: str, got: Any, i: int) -> None:
        """UserError unless what agent i of this rank returned has the shape of that oracle, and lies where the run's arrays do."""
        if returned(got) != f"shape ({self._width(name)},)":
            raise UserError(f"problem {type(self.problems[i]).__name__}.{name}: agent {self.agents.first + i} returns {returned(got)}, "
                            f"expected shape ({self._width(name)},); mend it (see: mpidbo check)")
        if self.backend.xp is not np and isinstance(got, np.ndarray):
            raise UserError(f"problem {type(self.problems[i]).__name__}.{name}: agent {self.agents.first + i} returns an array of numpy, "
                            "but the run is on the GPU; compute with self.xp, and bring data there by self.xp.asarray")

    def _width(self, name: str) -> int:
        return self.dims[0] if name in ("f_x", "g_x", "g_xy") else self.dims[1]

    def _rows(self, name: str) -> Callable[..., Array]:
        calls, dtype, m, width, xp = self.calls, self.dtype, len(self.problems), self._width(name), self.backend.xp
        singles: list[Any] = [getattr(p, name, None) for p in self.problems]
        stacked = self._stacked.get(name)
        only: Any = singles[0] if m == 1 and stacked is None else None

        def one(*rows: Array) -> Array:
            if self._among is not None:
                return several(*rows)
            began = perf_counter()
            out = xp.empty((1, width), dtype)
            got = only(*[row[0] for row in rows], self._samples[0])
            try:
                out[0] = got
            except (TypeError, ValueError):
                self._fits(name, got, 0)
                raise
            calls[name] += 1
            self.seconds += perf_counter() - began
            return out

        def several(*rows: Array) -> Array:
            began = perf_counter()
            among = self._among
            if stacked is not None and among is None:
                out = stacked(*rows, self._samples)
            else:
                out = xp.zeros((m, width), dtype)
                for i, single in enumerate(singles):
                    if among is not None and not among[i]:
                        continue
                    got = single(*[row[i] for row in rows], self._samples[i])
                    try:
                        out[i] = got
                    except (TypeError, ValueError):
                        self._fits(name, got, i)
                        raise
            calls[name] += m if among is None else int(np.count_nonzero(among))
            self.seconds += perf_counter() - began
            return out

        return several if only is None else one

    def losses(self, name: str, x: Array, y: Array) -> np.ndarray:
        """f or g of each of this rank's agents at the common x (p,), and a common y (q,) or each at its own (m, q); full batch: (m,)."""
        values, x, y = [], self.backend.array(x), self.backend.array(y)
        for i, problem in enumerate(self.problems):
            got = getattr(problem, name)(x, y if y.ndim == 1 else y[i], None)
            try:
                if isinstance(got, (str, bytes)):           # "1" is no loss
                    raise TypeError
                values.append(float(got))
            except (TypeError, ValueError, OverflowError):
                raise UserError(f"problem {type(problem).__name__}.{name}: agent {self.agents.first + i} returns "
                                f"{returned(got)}, expected a number; mend it (see: mpidbo check)") from None
        return np.array(values)


def returned(got: Any) -> str:
    """What an oracle returned, in a sentence."""
    if got is None:
        return "nothing"
    try:
        shape, dtype = np.shape(got), getattr(got, "dtype", None) or np.asarray(got).dtype
    except ValueError:                                      # a list of lists of different lengths
        return shown(got)
    kind = getattr(dtype, "kind", "f")                      # a framework's own types have none
    if kind not in "biuf" and (kind != "c" or shape == ()):
        return shown(got)
    return f"shape {shape}" + " of complex numbers" * (kind == "c")


def _overrides_draw(problem: Any) -> bool:
    from .base import Problem
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
