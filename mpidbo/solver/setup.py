"""All that a run needs, built from a configuration and checked on every rank."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .._types import Array, Float
from ..algorithms import Method, with_estimated_constants
from ..config import Config
from ..errors import UserError
from ..network import Levels
from ..parallel import Agents, Cuda, Host, Threads, agreed, announce, choose_backend
from ..problems import (
    Oracle,
    check_start,
    dimensions,
    fitting,
    make_problems,
    probe,
    problem_class,
    require,
)
from ..storage import loggers_of
from .dividing import divide_agents
from .fusing import with_kernels
from .levels import make_gossip, make_topologies
from .measures import check_request
from .resolve import Resolved, resolve
from .stability import (
    refuse_constrained_y,
    warn_about_constants,
    warn_about_link_failures,
    warn_about_projection,
    warn_about_rounding,
    warn_about_sparse_messages,
)
from .start import Given, start_point

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

    from ..network import Topology


@dataclass(frozen=True, eq=False)
class Setup:
    """All that a run needs, checked on every rank. As a context it frees what MPI holds at the end.

    Parameters
    ----------
    config : Config
        The configuration with everything filled in that it left to the problem or to an estimate.
    backend : Host
        Where arrays are: on the host or on a GPU.
    agents : Agents
        The n agents of the run, and those of this rank.
    problems : list of Problem
        The problem of each agent of this rank.
    dims : tuple of (int, int)
        p and q.
    oracle : Oracle
        The oracles of this rank's agents.
    method : Method
        The method, with its constants.
    levels : mapping of str to Topology
        The topology of each level on rank 0, empty on the other ranks.
    x0, y0 : arrays (p,) and (q,)
        The start of every agent.
    W : Levels
        The gossip operators.
    loggers : list of (str, type)
        The name and the class of each logger on rank 0; empty on the other ranks.
    """

    config: Config
    backend: Host
    agents: Agents
    problems: list[Any]
    dims: tuple[int, int]
    oracle: Oracle
    method: Method
    levels: "dict[str, Topology]"
    x0: Float[Array, " p"]
    y0: Float[Array, " q"]
    W: Levels
    loggers: list[tuple[str, type[Any]]]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        # Freeing is collective: after an error of this rank alone it would wait for the others.
        if error is None or getattr(error, "agreed", False):
            self.W.close()

    def rows(self) -> tuple[Float[Array, "m p"], Float[Array, "m q"]]:
        """The start on every agent of this rank."""
        return _repeated(self.x0, self.y0, self.agents)


def set_up(
    config: Config,
    comm: "Comm | None" = None,
    start: Given | None = None,
    earlier: Setup | None = None,
) -> Setup:
    """Build all that a run of a checked configuration needs; collective, and no file is written.

    Parameters
    ----------
    config : Config
        A checked configuration, the same on every rank.
    comm : Comm, optional
        The communicator over whose ranks the agents are distributed; default: one process without
        MPI.
    start : Given, optional
        What a caller gives for x and y in place of the configuration's start.
    earlier : Setup, optional
        The same run on other ranks, whose topologies, problems and constants are taken over.

    Returns
    -------
    Setup

    Raises
    ------
    UserError
        The same on every rank, where the problem, the method, the topology and the configuration do
        not fit each other.
    """
    if earlier:
        config = earlier.config  # with all that the first setup filled in
    backend = _backend(config, comm, earlier)
    # The others sleep in the meantime, since rank 0 also makes the topologies.
    with agreed(comm, patient=earlier is None):
        announce(config.run.threads)  # before a user's file, which may compute with JAX, is run
        if config.run.trace and config.run.out is None:
            raise UserError(
                "run.trace: a timeline is written into the run's folder, and this run has none; "
                'give run.out, such as out = "runs/mine"'
            )
        # Not executed again: all problems are of one class.
        cls = type(earlier.problems[0]) if earlier else problem_class(config.problem["name"])
        resolved = resolve(config, cls, ranks=1 if comm is None else comm.size)
        agents = Agents(resolved.n, comm)
        topologies: dict[str, Topology] = {}
        loggers: list[tuple[str, type[Any]]] = []
        if agents.rank == 0:
            loggers = loggers_of(config.run.log, has_folder=config.run.out is not None)
            topologies = (earlier.levels if earlier else {}) or make_topologies(
                resolved.tables, resolved.method, resolved.n
            )
        if agents.n > 1 and not earlier:
            warn_about_rounding(resolved.method, config.run.dtype)
            warn_about_link_failures(resolved.method, topologies)
            warn_about_sparse_messages(resolved.method)
        problems = _problems(resolved, agents, backend, earlier)
        dims = dimensions(problems)
        backend = with_kernels(backend, config.run, resolved.method, dims, agents)
    oracle = _oracle(resolved, problems, dims, agents, backend, earlier is None)
    if earlier:
        x0, y0, method = earlier.x0, earlier.y0, earlier.method
        with agreed(agents.comm), Threads(config.run.threads).limited():
            _divide(resolved, oracle, x0, y0)
    else:
        x0, y0, losses = _start(resolved, problems, dims, oracle, start)
        method = _method(resolved, oracle, x0, y0, losses)
    if method.lower_ridge is not None:
        oracle.add_ridge(method.lower_ridge)
    return Setup(
        config=_with_constants(resolved.config, method),
        backend=backend,
        agents=agents,
        problems=problems,
        dims=dims,
        oracle=oracle,
        method=method,
        levels=topologies,
        x0=x0,
        y0=y0,
        W=make_gossip(resolved.tables, topologies, agents, config.run, backend),
        loggers=loggers,
    )


def _backend(config: Config, comm: "Comm | None", earlier: Setup | None) -> Host:
    """Where arrays are. A rank keeps its GPU, on which its problems have their data."""
    if earlier is None:
        return choose_backend(config.run.device, comm, config.run.buffers)
    return earlier.backend if isinstance(earlier.backend, Cuda) else Host()


def _problems(
    resolved: Resolved, agents: Agents, backend: Host, earlier: Setup | None
) -> list[Any]:
    """The problems of this rank's agents; those that it had before are not made again."""
    run, made = resolved.config.run, dict[int, Any]()
    if earlier:
        made = dict(enumerate(earlier.problems, earlier.agents.first))
    missing = [agent for agent in range(agents.first, agents.last) if agent not in made]
    if missing:
        try:
            with Threads(run.threads).limited():  # of products that make data, as in the loop
                new = make_problems(
                    resolved.problem,
                    resolved.config.problem,
                    missing,
                    agents.n,
                    seed=run.seed,
                    dtype=np.dtype(run.dtype),
                    xp=backend.xp,
                )
        except Exception as error:
            if earlier is None:
                raise
            raise _unreadable(missing, error) from error
        made |= dict(zip(missing, new, strict=True))
    return [made[agent] for agent in range(agents.first, agents.last)]


def _unreadable(agents: list[int], error: Exception) -> UserError:
    """The error of a rank that cannot make the problems of agents of a rank that has died."""
    numbers = ", ".join(map(str, agents))
    named = f"agent {numbers}" if len(agents) == 1 else f"agents {numbers}"
    return UserError(
        f"run.survive: {named}, which another rank had, cannot be made on this one "
        f"({type(error).__name__}: {error}); store their data where every rank can read them, and "
        "repeat the command, which resumes from the newest checkpoint"
    )


def _oracle(
    resolved: Resolved,
    problems: list[Any],
    dims: tuple[int, int],
    agents: Agents,
    backend: Host,
    is_first: bool,
) -> Oracle:
    """The oracles, which have all that the method and the requested metrics need."""
    run, method = resolved.config.run, resolved.method
    if not is_first:  # checked before ranks died
        return Oracle(problems, agents, seed=run.seed, dtype=run.dtype, backend=backend)
    with agreed(agents.comm):
        _assure_equal(agents, f"{_name(problems)}.dims", str(dims), shown=True)
        oracle = Oracle(problems, agents, seed=run.seed, dtype=run.dtype, backend=backend)
        if "y" in oracle.constrained:
            refuse_constrained_y(method, resolved.config.method["name"], _name(problems))
        require(problems, method.needs, resolved.config.method["name"])
    check_request(run.metrics, method, problems, agents)
    return oracle


def _start(
    resolved: Resolved,
    problems: list[Any],
    dims: tuple[int, int],
    oracle: Oracle,
    given: Given | None,
) -> tuple[Float[Array, " p"], Float[Array, " q"], Mapping[str, Float[Array, " m"]]]:
    """The start, at which the oracles are tried, and the losses of this rank's agents there."""
    method, agents, rows = resolved.method, oracle.agents, oracle.backend.rows
    run = resolved.config.run
    with agreed(agents.comm), Threads(run.threads).limited():
        x0, y0 = start_point(problems, dims, run, given)
        with fitting(type(problems[0]), resolved.config.problem, agents.n):
            losses = probe(oracle, method.needs, x0, y0)
        _divide(resolved, oracle, x0, y0)
        # Copies, since the start must stay as it is whatever a method does with it.
        method.accept(oracle, rows(x0.copy()), rows(y0.copy()))
        if agents.n > 1:
            warn_about_projection(method, oracle.constrained)
    with agreed(agents.comm):
        digest = sha256(x0.tobytes() + y0.tobytes()).hexdigest()
        _assure_equal(agents, f"{_name(problems)}.start()", digest)
    return x0, y0, losses


def _divide(
    resolved: Resolved, oracle: Oracle, x0: Float[Array, " p"], y0: Float[Array, " q"]
) -> None:
    """Divide this rank's agents among threads, and stack those whose bits that does not change."""
    run = resolved.config.run
    divide_agents(run, oracle, resolved.method.needs, x0, y0)
    oracle.enable_batching(run.batched, x0, y0)


def _method(
    resolved: Resolved,
    oracle: Oracle,
    x0: Float[Array, " p"],
    y0: Float[Array, " q"],
    losses: Mapping[str, Float[Array, " m"]],
) -> Method:
    """The method with constants estimated at the start, after the checks of the problem there."""
    run, method = resolved.config.run, resolved.method
    # As many threads as in the loop: constants must not depend on where they are estimated.
    with Threads(run.threads).limited():
        if run.checks == "start":
            check_start(oracle, method.needs, x0, y0, losses)
        rows = _repeated(x0, y0, oracle.agents)
        method = with_estimated_constants(method, oracle, *rows)
        if run.checks == "start":
            warn_about_constants(method, oracle, *rows)
        return method


def _with_constants(config: Config, method: Method) -> Config:
    """The configuration with the method's L and mu_g, which may have been estimated."""
    constants = {key: getattr(method, key) for key in ("L", "mu_g") if hasattr(method, key)}
    return replace(config, method={**config.method, **constants})


def _assure_equal(agents: Agents, what: str, mine: str, shown: bool = False) -> None:
    """Raise UserError unless all ranks have the same string; collective."""
    different = sorted(set(agents.allgather_text(mine)))
    if len(different) > 1:
        values = f", {' and '.join(different)}" if shown else ""
        raise UserError(f"{what}: agents disagree{values}; make it the same on every agent")


def _name(problems: list[Any]) -> str:
    return f"problem {type(problems[0]).__name__}"


def _repeated(
    x0: Float[Array, " p"], y0: Float[Array, " q"], agents: Agents
) -> tuple[Float[Array, "m p"], Float[Array, "m q"]]:
    """A point as rows, one for each agent of this rank."""
    return np.repeat(x0[None], agents.m, axis=0), np.repeat(y0[None], agents.m, axis=0)
