"""All that a run needs, built from a configuration and checked on every rank, and the run itself."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._pytree import mapped
from ..algorithms import Method
from ..algorithms import constants as curvature
from ..config import validate as configuration
from ..config.paths import options_of
from ..config.validate import Config
from ..errors import UserError, out_of_memory
from ..network.gossip import Gossip, Levels
from ..network.levels import network
from ..network.table import Spec
from ..parallel.agents import Agents, agreed
from ..parallel.backend import chosen, host
from ..parallel.memory import keep_freed
from ..parallel.threads import announce, limited
from ..problems.autodiff.arrays import native
from ..problems.contract import agents_of, fitting
from ..problems.lookup import dimensions, make_problems, problem_class
from ..problems.oracle import Oracle
from ..problems.start_checks import check_start
from ..storage import trees
from ..storage.files import read_arrays
from .evaluation import Evaluation, StopRule, check_request
from .loop import Loop, Observer
from .recorder import Folder
from .stopping import Stopping
from .watchdog import Watch

if TYPE_CHECKING:
    from ..network.topology import Topology

Array = Any
OFTEN = 0.4
"""Failures of links up to which ed and extra are known to be stable, where they are without any."""


@dataclass(frozen=True)
class Result:
    """What a run found.

    x (n, p), y (n, q), and z (n, q) or t (n, q) where the method has it, rows in agent order (with `gather=False` only those of
    this rank's agents); `x_tree` and `y_tree` are the averages over all agents in the problem's own form, nested dicts and lists of
    arrays (`Problem.x_tree`), or else the vectors (p,), (q,), `y_tree` None where each agent has a y of its own (LoPA); `history`
    maps a name to its values, one for each evaluation; `iteration` is the number of
    iterations done and `reason` why it stopped there; `stopped` if that was a signal or the clock.
    """

    x: Array
    y: Array
    z: Array | None
    t: Array | None
    history: Mapping[str, np.ndarray]
    iteration: int
    reason: str
    stopped: bool
    config: Config = field(repr=False)
    x_tree: Any = field(repr=False)
    y_tree: Any = field(repr=False)


class Plan:
    """All that a run needs, built and checked on every rank; collective. As a context it is closed at the end.

    `levels` are the topologies by level, on rank 0; the other ranks have their part of them in `W`.
    """

    def __init__(self, config: Config, comm: Any = None) -> None:
        run = config.run
        self.backend = chosen(run.device, comm, run.buffers)
        with agreed(comm, patient=True):            # for rank 0, which makes the topologies
            announce(run.threads)
            cls = problem_class(config.problem["name"])
            n = next(n for n in (run.agents, agents_of(cls), 1 if comm is None else comm.size) if n is not None)
            self.agents = Agents(n, comm)
            config = replace(config, problem=options_of(cls, config.problem), run=replace(run, agents=n))
            self.config = configuration.with_steps_of(cls, config)
            self.method: Method = configuration.rule_of(config.method, self.config.steps, n=n, horizon=run.iterations)
            self._specs = configuration.levels(config.topology, self.method, config.method["name"])
            self.levels = _topologies(self._specs, self.method, n) if self.agents.rank == 0 else {}
            self._heed_rounding()
            self._heed_failing()
            self.problems = make_problems(cls, config.problem, range(self.agents.first, self.agents.last), n,
                                          seed=run.seed, dtype=np.dtype(run.dtype), xp=self.backend.xp)
            self.dims = dimensions(self.problems)
        with agreed(comm):
            self._alike("dims", str(self.dims))
            self.oracle = Oracle(self.problems, self.agents, seed=run.seed, dtype=run.dtype, backend=self.backend)
            self.oracle.require(self.method.needs, config.method["name"])
        check_request(run.metrics, self.method, self.problems, self.agents)
        with agreed(comm):
            self.x0, self.y0 = self._start()
            trees.of(self.problems[0], self.x0, self.y0)
            with fitting(type(self.problems[0]), config.problem, n):
                losses = self.oracle.probe(self.method.needs, self.x0, self.y0)
            self.oracle.together(run.batched, self.x0, self.y0)
            self.method.accept(self.oracle, self.backend.rows(self.x0.copy()), self.backend.rows(self.y0.copy()))
            self._heed_projection()
        with agreed(comm):
            self._alike("start()", sha256(self.x0.tobytes() + self.y0.tobytes()).hexdigest(), tell=False)
        with limited(run.threads):
            if run.checks == "start":
                check_start(self.oracle, self.method.needs, self.x0, self.y0, losses)
            self._scale()
        self.W = self._gossip()

    def _scale(self) -> None:
        """Estimate the method's L and mu_g where the configuration leaves them out; from here on it holds them."""
        self.method = curvature.known(self.method, self.oracle, *self.rows())
        found = {key: getattr(self.method, key) for key in ("L", "mu_g") if hasattr(self.method, key)}
        self.config = replace(self.config, method={**self.config.method, **found})

    def __enter__(self) -> "Plan":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or getattr(error, "agreed", False):    # alone, this rank would wait for the others
            self.W.close()

    def _alike(self, what: str, mine: str, tell: bool = True) -> None:
        """UserError unless all ranks say the same; collective."""
        said = sorted(set(self.agents.texts(mine)))
        if len(said) > 1:
            raise UserError(f"problem {type(self.problems[0]).__name__}.{what}: agents disagree"
                            f"{', ' + ' and '.join(said) if tell else ''}; make it the same on every agent")

    def _heed_rounding(self) -> None:
        drifting = sorted({row.name for row in self.method.strategies().values() if row.drifts})
        if drifting and self.config.run.dtype == "float32" and self.agents.n > 1:
            warnings.warn(f"{' and '.join(drifting)} in float32: rounding adds up in the agents' average, the more the longer the run; "
                          "take float64 or a gt row where that matters", stacklevel=3)

    def _heed_failing(self) -> None:
        rows = self.method.strategies()
        for level, topology in self.levels.items():
            if rows[level].symmetric and topology.drop > OFTEN and self.agents.n > 1:
                warnings.warn(f"{rows[level]} at {level}, over links that fail with probability {topology.drop:g}: exact while few fail, "
                              "divergent where many do (on a ring from 0.5 or 0.6 on); take a gt row where that happens", stacklevel=3)
                return

    def _heed_projection(self) -> None:
        row = self.method.strategies().get("x")
        if self.oracle.constrained and row is not None and row.drifts and self.agents.n > 1:
            warnings.warn(f"{row.name} at x, which the problem projects: with {row.name} the agents may end away from the solution, or "
                          "diverge; the published projected methods are sgd, dgd and the gt rows (method.upper)", stacklevel=3)

    def _gossip(self) -> Levels:
        run, made = self.config.run, dict[str, Gossip]()
        for level, (_, spec) in self._specs.items():
            if (key := _key(spec)) not in made:
                made[key] = network(self.levels.get(level), self.agents, run.dtype, self.backend, centralized=spec is None,
                                    drop=spec.get("drop", 0) if spec else 0, seed=run.seed)
        return Levels.of(made[_key(spec)] for _, spec in self._specs.values())

    def _start(self) -> tuple[Array, Array]:
        """(x0, y0) of one agent: an earlier result's average, or the problem's start."""
        earlier = self.config.run.start
        if earlier is not None:
            found, _ = read_arrays(Path(earlier), "run.start")
            if "x" not in found or "y" not in found:
                raise UserError(f"run.start: {earlier} holds no x and y; give a result.h5")
            means = (Agents(len(rows)).mean(rows) for rows in (np.atleast_2d(found["x"]), np.atleast_2d(found["y"])))
            return self._fitting(f"run.start: {earlier}", means)
        where = f"problem {type(self.problems[0]).__name__}.start()"
        p, q = self.dims
        starts = (self._fitting(where, problem.start() if hasattr(problem, "start") else (np.zeros(p), np.zeros(q)))
                  for problem in self.problems)
        first = next(starts)
        if not all(np.array_equal(part, same) for other in starts for part, same in zip(first, other, strict=True)):
            raise UserError(f"{where}: agents disagree; make it the same on every agent")
        return first

    def _fitting(self, where: str, start: Any) -> tuple[Array, Array]:
        """A start as finite arrays (p,), (q,). Raises UserError."""
        p, q = self.dims
        give = f"give (x0, y0) of shapes ({p},) and ({q},)"
        try:
            first, second = start
        except (TypeError, ValueError):
            raise UserError(f"{where}: not two arrays of numbers; {give}") from None
        try:
            found = [native(host(part), name) for part, name in ((first, "x0"), (second, "y0"))]
        except UserError as error:
            raise UserError(f"{where}: not two arrays of numbers; {error}") from None
        if any(part.dtype.kind == "c" for part in found):
            raise UserError(f"{where}: not two arrays of real numbers, but {found[0].dtype} and {found[1].dtype}; {give}")
        x, y = (np.array(part, self.config.run.dtype) for part in found)
        if x.shape != (p,) or y.shape != (q,):
            raise UserError(f"{where}: shapes {x.shape} and {y.shape} do not fit dims ({p}, {q}); make them ({p},) and ({q},)")
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise UserError(f"{where}: not finite; start where every entry is")
        return x, y

    def rows(self) -> tuple[Array, Array]:
        """The start on every agent of this rank: (m, p), (m, q)."""
        m = self.agents.m
        return np.repeat(self.x0[None], m, axis=0), np.repeat(self.y0[None], m, axis=0)

    def run(self, *, folder: Folder | None = None, observers: tuple[Observer, ...] = (), gather: bool = True,
            told: Callable[[Mapping[str, float]], None] = lambda row: None) -> Result:
        """Run to the end, or to the stop rule; collective."""
        loop = Loop(self.method, self.oracle, self.W)
        with Watch(self.agents.comm, self.config.run.stall_timeout, loop=loop, folder=folder.path if folder else None):
            try:
                return self._run(loop, folder, observers, gather, told)
            except MemoryError as error:
                raise out_of_memory(error) from error

    def _run(self, loop: Loop, folder: Folder | None, observers: tuple[Observer, ...], gather: bool,
             told: Callable[[Mapping[str, float]], None]) -> Result:
        run = self.config.run
        evaluation = Evaluation(loop, self.agents, self.problems, every=run.evaluate_every,
                                requested=run.metrics, stop=StopRule(**run.stop) if run.stop else None, told=told)
        state, k = self.method.start(*map(self.backend.rows, self.rows())), 0
        if folder and (snapshot := folder.resumed(state, self.levels)) is not None:
            state, k = mapped(self.backend.rows, snapshot.state), snapshot.iteration
            evaluation.go_on(k, state, snapshot.counts, snapshot.history)
        stopping = Stopping(self.agents, run.max_seconds)
        watchers = (evaluation, *observers, stopping, *((folder.keep(evaluation, self.config.checkpoint.every),) if folder else ()))
        keep_freed()
        with stopping, limited(run.threads), np.errstate(all="ignore"):
            try:
                state, k, reason = loop.run(state, k, run.iterations, watchers)
            except BaseException as error:
                if folder:
                    folder.leave(evaluation, error)
                raise
        found = {name: host(getattr(state, name)) for name in ("x", "y", "z", "t") if hasattr(state, name)}
        stopped = bool(stopping.reason) and reason == stopping.reason
        average = self._average(state)
        if folder and stopped:
            folder.stop(reason)
        elif folder:
            folder.finish(found, average, k, reason, self.config.run.threads)
        if gather:
            found = {name: self.agents.gather(rows) for name, rows in found.items()}
        history = {name: np.array(values) for name, values in evaluation.history.items()}
        return Result(found["x"], found["y"], found.get("z"), found.get("t"), history, k, reason, stopped, self.config,
                      average["x"], average.get("y"))

    def _average(self, state: Any) -> dict[str, Any]:
        """The agents' average of x and y in the problem's own form; x alone where each agent has a y of its own."""
        x, y = self.agents.mean(host(state.x)), None if self.method.apart() else self.agents.mean(host(state.y))
        with agreed(self.agents.comm):
            return trees.of(self.problems[0], x, y)


def _key(spec: Spec) -> str:
    """Levels of the same key share a topology."""
    return "centralized" if spec is None else repr(sorted(spec.items(), key=str))


def _topologies(specs: Mapping[str, tuple[str, Spec]], method: Method, n: int) -> "dict[str, Topology]":
    """The topology of each level, one object where two levels have the same; checked for the strategies."""
    from ..network import topology as topologies  # here: networkx is for the rank that makes them
    made: dict[str, Topology] = {}
    for (where, spec), row in zip(specs.values(), method.strategies().values(), strict=True):
        if (key := _key(spec)) not in made:
            made[key] = topologies.centralized(n) if spec is None else topologies.make(spec, n, where=where)
        topologies.suits(made[key], row.name, needs_symmetric=row.symmetric, where=where)
    return {level: made[_key(spec)] for level, (_, spec) in specs.items()}
