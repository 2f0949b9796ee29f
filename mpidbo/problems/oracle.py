"""The oracles of all agents of a rank: rows in, rows out, at one draw, counted and timed."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

import numpy as np

from .._types import Array, Bool, Float, Int
from ..parallel import ALONE, HOST, NOT_SHARED, Agents, Host, Workers, owns_numbers, references
from . import batching
from .answers import check_answer, check_loss
from .base import DERIVATIVES, ORACLES, Problem, width
from .postponed import postponed
from .ridge import with_ridge
from .streams import Stream

LONG = 1 << 12
"""Entries of an answer from which a copy costs more than to find out whether it is needed."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The derivatives of all agents of this rank at one draw.

    `oracle.draw(k)` and `oracle.full()` make it; it never changes, whatever is drawn later. Each
    oracle takes rows and returns rows: row i is agent i's answer at its own mini-batch, or zero for
    an agent that is not `active`.

    Attributes
    ----------
    samples : sequence
        What `Problem.draw` returned for each agent; None for the full batch.
    active : (m,) array of bool, or None
        The agents that are called; None: all.
    """

    samples: Sequence[Any]
    active: Bool[Array, " m"] | None
    _rows: Mapping[str, Callable[..., Array]] = field(repr=False)

    @property
    def is_full(self) -> bool:
        """Whether these are the full batches of all agents of this rank.

        If so, an oracle gives the same answer at the same point in another draw.
        """
        return self.active is None and all(sample is None for sample in self.samples)

    def f_x(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> Float[Array, "m p"]:
        """Return the gradients of f in x."""
        return self._rows["f_x"](self, x, y)

    def f_y(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> Float[Array, "m q"]:
        """Return the gradients of f in y."""
        return self._rows["f_y"](self, x, y)

    def g_x(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> Float[Array, "m p"]:
        """Return the gradients of g in x."""
        return self._rows["g_x"](self, x, y)

    def g_y(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> Float[Array, "m q"]:
        """Return the gradients of g in y."""
        return self._rows["g_y"](self, x, y)

    def g_yy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"]
    ) -> Float[Array, "m q"]:
        """Return the Hessian-vector products of g in y with v."""
        return self._rows["g_yy"](self, x, y, v)

    def g_xy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"]
    ) -> Float[Array, "m p"]:
        """Return d/dx <g_y(x, y), v>."""
        return self._rows["g_xy"](self, x, y, v)


class Oracle:
    """The losses and derivatives of all agents of this rank.

    `o = oracle.draw(k, phase)` draws one mini-batch per agent, and `o.g_y(x, y)` is then (m, q),
    row i from agent i at its own mini-batch. Draws are a function of (seed, agent, iteration,
    phase) alone, never of what was drawn before.

    Parameters
    ----------
    problems : list of Problem
        The m agents of this rank.
    agents : Agents
        Which agents of the network these are.
    seed : int, default 0
        Seed of the run.
    dtype : data type, default float64
        Floating-point type of the rows.
    backend : Host, default the CPU
        Where the arrays are.

    Attributes
    ----------
    dims : (int, int)
        (p, q), the dimensions of x and y.
    calls : dict of str to int
        Calls of this rank's agents for each oracle.
    seconds : float
        Time that these and the draws took.
    workers : Workers
        Threads among which the agents are divided.
    rows : dict of str to callable
        The function from a sample and rows to rows of each oracle, which samples call.
    is_stochastic : bool
        Whether a draw is of a mini-batch.
    """

    def __init__(
        self,
        problems: list[Any],
        agents: Agents,
        *,
        seed: int = 0,
        dtype: Any = np.float64,
        backend: Host = HOST,
    ) -> None:
        self.problems = problems
        self.agents = agents
        self.dtype = np.dtype(dtype)
        self.backend = backend
        self.dims: tuple[int, int] = tuple(problems[0].dims)
        self._streams = [Stream(seed, agents.first + i) for i in range(len(problems))]
        self.is_stochastic = any(_is_stochastic(problem) for problem in problems)
        self._full_batch: list[Any] = [None] * len(problems)
        self._ridge: Callable[[int], float] | None = None
        self.divide(ALONE)

    def _reset(self, stacked: dict[str, Callable[..., Array]]) -> None:
        """Count from zero, with these stacked oracles."""
        self.seconds = 0.0
        self.calls = dict.fromkeys(ORACLES, 0)
        self._bind(stacked)  # after the counts, since the functions over rows keep them

    def _bind(self, stacked: dict[str, Callable[..., Array]]) -> None:
        self._stacked = stacked
        self.rows = {name: self.backend.oracle(self._over_rows(name)) for name in DERIVATIVES}
        self._full = Sample(self._full_batch, None, self.rows)

    def divide(self, workers: Workers) -> None:
        """Divide the agents among threads, with the bits of one, and count from zero."""
        self.workers = workers
        stack = batching.stack_of(self.problems, workers)
        self._draw = batching.stacked_draw(stack, self.problems)
        self._reset(batching.stacked_oracles(stack))

    def twin(self) -> "Oracle":
        """Return an oracle of the same problems that counts its own calls."""
        other = copy(self)
        other._reset(self._stacked)
        return other

    def enable_batching(
        self,
        mode: Literal["exact", "always", "never"],
        x: Float[Array, " p"],
        y: Float[Array, " q"],
    ) -> None:
        """Choose whether agents whose problem stacks them are called at once.

        Parameters
        ----------
        mode : {"exact", "always", "never"}
            "exact": where that gives the bits of calling them one by one, which is tried near (x,
            y). On a GPU a batched product may round differently, and results would depend on the
            number of ranks; a warning says so.
        x, y : (p,) and (q,) arrays
            The start.
        """
        if mode == "never":
            self._bind({})
        elif mode == "exact" and self._stacked:
            samples = self.draw(0).samples
            exact = batching.exact_oracles(
                self._stacked, self.problems, samples, (x, y), self.backend, self.dtype
            )
            self._bind(exact)

    def add_ridge(self, r: Callable[[int], float]) -> None:
        """Let draws be of g(x, y) + r_k |y|^2 / 2 in place of g; losses and `full` stay those of g.

        Parameters
        ----------
        r : callable
            The weight of the ridge in iteration k.
        """
        self._ridge = r

    @property
    def stacked(self) -> Mapping[str, Callable[..., Array]]:
        """The oracles that all agents are called for at once, by name."""
        return self._stacked

    def draw(self, k: int, phase: int = 0, active: Bool[Array, " m"] | None = None) -> Sample:
        """Draw a mini-batch for each agent.

        Parameters
        ----------
        k : int
            Iteration.
        phase : int, default 0
            Number of the draw within the iteration.
        active : (m,) array of bool, optional
            Agents to draw for and to call; the rows of the others are zero. Default: all.

        Returns
        -------
        Sample
            The derivatives at these mini-batches.
        """
        self.backend.catch_up()  # with samples of before
        rows = self.rows
        if self.backend.overlaps:
            rows = postponed(rows)
        if self._ridge is not None:
            rows = with_ridge(rows, self._ridge(k), self.backend)
        if not self.is_stochastic:
            if active is None and rows is self._full._rows:
                return self._full
            return Sample(self._full_batch, active, rows)
        began = perf_counter()
        if active is None:
            samples = self._draw(stream.at(k, phase) for stream in self._streams)
        else:
            samples = [
                problem.draw(stream.at(k, phase)) if is_called else None
                for problem, stream, is_called in zip(
                    self.problems, self._streams, active, strict=True
                )
            ]
        self.seconds += perf_counter() - began
        return Sample(samples, active, rows)

    def full(self) -> Sample:
        """Return the derivatives at the full batch."""
        return Sample(self._full_batch, None, self.rows)

    def integers(self, k: int, phase: int, below: int) -> Int[Array, " m"]:
        """Return a number from 0 to below - 1 for each agent, uniform and fixed like a draw."""
        return np.array([stream.at(k, phase).integers(below) for stream in self._streams])

    def losses(
        self, name: str, x: Float[Array, "*m p"], y: Float[Array, "*m q"]
    ) -> Float[np.ndarray, " m"]:
        """Return f or g of each agent on its full batch; x and y are common, or rows for each."""
        x, y = self.backend.array(x), self.backend.array(y)
        values = np.empty(len(self.problems))

        def fill(agents: range) -> None:
            for i in agents:
                problem = self.problems[i]
                answer = getattr(problem, name)(of_agent(x, i), of_agent(y, i), None)
                values[i] = check_loss(problem, name, self.agents.first + i, answer)

        self.workers.divide(len(values), fill)
        return values

    @property
    def constrained(self) -> tuple[str, ...]:
        """The levels, "x" and "y", that are to stay in a set."""
        first = self.problems[0]
        return tuple(v for v in "xy" if getattr(first, f"project_{v}", None) is not None)

    def project(self, level: str, rows: Float[Array, "m d"]) -> Float[Array, "m d"]:
        """Return each agent's x or y projected onto its set, in new rows."""
        given = self.backend.array(rows)
        out = self.backend.xp.empty_like(given)
        for i, problem in enumerate(self.problems):
            out[i] = getattr(problem, f"project_{level}")(given[i])
        return self.backend.rows(out)

    def _over_rows(self, name: str) -> Callable[..., Array]:
        """Return the function (sample, rows) -> rows of one oracle, with what it needs at hand."""
        calls, dtype, xp = self.calls, self.dtype, self.backend.xp
        m, columns = len(self.problems), width(name, self.dims)
        singles: list[Any] = [getattr(problem, name, None) for problem in self.problems]
        takes_new = xp is np and columns >= LONG
        stacked, workers = self._stacked.get(name), self.workers

        # Answers are examined only where numpy refuses them: checks cost time in each call.
        def examine(i: int, answer: Any) -> None:
            agent = self.agents.first + i
            check_answer(self.problems[i], name, agent, answer, columns, xp)

        def call_one(sample: Sample, *rows: Array) -> Array:
            """One agent without a stacked oracle, the usual case under MPI."""
            if sample.active is not None:
                return call_all(sample, *rows)
            began = perf_counter()
            answer = singles[0](*[row[0] for row in rows], sample.samples[0])
            # Taken without a copy where no code of the problem can change it any more.
            is_new = takes_new and owns_numbers(answer) and references(answer) == NOT_SHARED
            if is_new and answer.dtype == dtype and answer.shape == (columns,):
                # Not as a view, of which numpy would not reuse the memory in `beta * o.g_y(x, y)`.
                answer.resize((1, columns), refcheck=False)
                out = answer
            else:
                out = xp.empty((1, columns), dtype)
                try:
                    out[0] = answer
                except (TypeError, ValueError):
                    examine(0, answer)
                    raise
            calls[name] += 1
            self.seconds += perf_counter() - began
            return out

        def call_all(sample: Sample, *rows: Array) -> Array:
            began = perf_counter()
            active = sample.active
            # A stacked oracle answers for all its agents, active or not.
            if stacked is not None and active is None:
                out = stacked(*rows, sample.samples)
            else:
                out = xp.zeros((m, columns), dtype)

                def fill(agents: range) -> None:
                    for i in agents:
                        if active is not None and not active[i]:
                            continue
                        answer = singles[i](*[row[i] for row in rows], sample.samples[i])
                        try:
                            out[i] = answer
                        except (TypeError, ValueError):
                            examine(i, answer)
                            raise

                workers.divide(m, fill)
            calls[name] += m if active is None else int(np.count_nonzero(active))
            self.seconds += perf_counter() - began
            return out

        return call_one if m == 1 and stacked is None else call_all


def _is_stochastic(problem: Any) -> bool:
    """Whether a problem has draws: a `draw` of its own that does not always take all samples."""
    overrides = getattr(type(problem), "draw", Problem.draw) is not Problem.draw
    return overrides and getattr(problem, "draws_samples", True)


def of_agent(rows: Array, i: int) -> Array:
    """Return agent i's row, or the vector that is common to all agents."""
    return rows if rows.ndim == 1 else rows[i]
