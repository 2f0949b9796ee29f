"""The one-call Python face."""

import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..config import validate as configuration
from ..config.toml import with_absolute_paths
from ..errors import UserError
from ..network.files import tabled
from ..parallel.agents import agreed
from ..parallel.launcher import guarded, launched, same_launcher
from ..problems.lookup import loading
from ..storage.runfolder import defaulted
from .plan import Plan, Result
from .ranks import compare, identity, limit
from .recorder import Folder
from .watchdog import Watch


def solve(problem: Any, method: Any = "sparkle", topology: Any = "ring", agents: int | None = None,
          steps: Mapping[str, Any] | None = None, iterations: int = 1000, comm: Any = None, *, gather: bool = True,
          out: Any = None, **run: Any) -> Result:
    """Solve a decentralized bilevel problem.

    Parameters
    ----------
    problem : name of a shipped problem, `"file.py:Class"`, a subclass of `Problem`, or a table {"name": one of these, option: value}.
    method, topology : name, or table {"name": ..., key: value} as `[method]` and `[topology]` of a configuration. A topology may also
        be W, a matrix of numpy or scipy.sparse, or an undirected graph of networkx without weights, whose nodes are the agents: 0..n-1,
        or, where they are no whole numbers, in the graph's order. {"edges": W or graph, key: value} takes further keys.
    agents : number of agents n; default: the number of ranks.
    steps : {"alpha": ..., "beta": ..., "gamma": ..., "theta": ...}: numbers or tables of schedules.
    comm : an mpi4py communicator over whose ranks the agents are spread; None: all in this process, without MPI. Every rank calls
        `solve` with the same arguments.
    gather : whether every rank gets all agents' rows.
    out : a folder for the run's files; None: no files. Where it holds a run, it is first renamed to NAME.1, with a warning; one that
        holds anything else is refused.
    run : the other keys of `[run]`: seed, dtype, device, buffers, batched, checks, evaluate_every, stop, start, threads, metrics,
        max_seconds, stall_timeout.

    Raises
    ------
    UserError : a mistake in the arguments, in a sentence, on every rank.
    Diverged : an iterate is no longer finite.
    Under several ranks any other exception prints its traceback and aborts the job, so that no rank is left waiting. A rank that
    fails before it calls `solve` ends the job if the script is started with `mpiexec -n N python -m mpi4py script.py`; else the
    others wait `stall_timeout` seconds for it, and then end the job with exit code 4.
    """
    def table(value: Any) -> dict[str, Any]:
        return dict(value) if isinstance(value, Mapping) else {"name": value}

    given = {"agents": agents, "iterations": iterations, "out": out, **run}
    tables = {"problem": table(problem), "method": table(method), "steps": {} if steps is None else steps,
              "run": given}
    if comm is None:
        _warn_of_copies()
    else:
        same_launcher(comm)
    with guarded(comm), Watch(comm, limit(lambda: tables), "solve"):
        with agreed(comm):
            tables["topology"] = tabled(topology, kept=out is not None)
            checked = configuration.check(with_absolute_paths(tables, Path()))
            if checked.run.out is not None and (file := loading()):
                raise UserError(f"{file}: calls mpidbo.solve(out=...) while it is read in search of a problem; put the call below "
                                'if __name__ == "__main__":')
        compare(comm, "solve", lambda: {**identity(checked), "gather": gather}, "pass the same arguments on every rank")
        with Plan(checked, comm) as plan:
            if checked.run.out is None:
                return plan.run(gather=gather)
            with Folder(Path(checked.run.out), plan.config.tables(), plan.agents, "never", _warn,
                        defaulted(checked, plan.config)) as folder:
                return plan.run(folder=folder, gather=gather)


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=3)


@cache
def _warn_of_copies() -> None:
    """Once: a launcher started several processes, and each solves all of it."""
    size, rank, variable = launched()
    if size > 1 and rank == 0:
        warnings.warn(f"solve: the launcher started {size} processes ({variable}), and without comm= each of them solves the same by "
                      "itself; to share the agents among them pass comm=MPI.COMM_WORLD (from mpi4py import MPI)", stacklevel=3)
