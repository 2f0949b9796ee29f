"""The one-call Python face."""

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import config as configuration
from .agents import agreed
from .errors import MpidboError
from .plan import Plan, Result
from .reading import with_absolute_paths
from .record import Folder


def solve(problem: Any, method: Any = "sparkle", topology: Any = "ring", agents: int | None = None,
          steps: Mapping[str, Any] | None = None, iterations: int = 1000, comm: Any = None, *, gather: bool = True,
          out: Any = None, **run: Any) -> Result:
    """Solve a decentralized bilevel problem.

    Parameters
    ----------
    problem : name of a shipped problem, `"file.py:Class"`, a subclass of `Problem`, or a table {"name": one of these, option: value}.
    method, topology : name, or table {"name": ..., key: value} as `[method]` and `[topology]` of a configuration.
    agents : number of agents n; default: the number of ranks.
    steps : {"alpha": ..., "beta": ..., "gamma": ..., "theta": ...}: numbers or tables of schedules.
    comm : an mpi4py communicator over whose ranks the agents are spread; None: all in this process, without MPI.
    gather : whether every rank gets all agents' rows.
    out : a folder for the run's files; None: no files.
    run : the other keys of `[run]`: seed, dtype, device, evaluate_every, stop, start, threads, metrics.

    Raises
    ------
    UserError : a mistake in the arguments, in a sentence, on every rank.
    Diverged : an iterate is no longer finite.
    Under several ranks any other exception prints its traceback and aborts the job, so that no rank is left waiting.
    """
    def table(value: Any) -> dict[str, Any]:
        return dict(value) if isinstance(value, Mapping) else {"name": value}

    given = {"agents": agents, "iterations": iterations, "out": None if out is None else str(out), **run}
    tables = {"problem": table(problem), "method": table(method), "topology": table(topology), "steps": dict(steps or {}),
              "run": {key: value for key, value in given.items() if value is not None}}
    with guarded(comm):
        with agreed(comm):
            checked = configuration.check(with_absolute_paths(tables, Path()))
        plan = Plan(checked, comm)
        try:
            folder = Folder(Path(checked.run.out), checked.tables(), plan.agents, "never") if checked.run.out else None
            return plan.run(folder=folder, gather=gather)
        finally:
            plan.close()


class guarded:
    """End the job on all ranks when one alone raises: the others would wait for it for ever."""

    def __init__(self, comm: Any) -> None:
        self.comm = comm

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        alone = self.comm is not None and self.comm.size > 1
        if error is None or not alone or getattr(error, "agreed", False):
            return
        if isinstance(error, MpidboError):
            said, code = f"mpidbo: {error}\n", error.exit_code
        else:
            said, code = "".join(traceback.format_exception(error)), 1
        sys.stderr.write("".join(f"rank {self.comm.rank}: {line}" for line in said.splitlines(keepends=True)))
        sys.stderr.flush()
        sys.stdout.flush()
        self.comm.Abort(code)
