"""The result of a run that has finished in its folder before, read from its files."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..algorithms import METHODS, Function
from ..config import Config, check
from ..parallel import Agents, agreed
from ..storage import Best, load
from .result import Result

if TYPE_CHECKING:
    from mpi4py.MPI import Comm


def finished_result(config: Config, comm: "Comm | None", gather: bool) -> Result:
    """Read the result of a finished run; collective.

    Parameters
    ----------
    config : Config
        The configuration that was asked for, with the folder.
    comm : Comm or None
    gather : bool
        Whether it has the rows of all agents on every rank.

    Raises
    ------
    UserError
        The same on every rank, where a file is damaged.
    """
    with agreed(comm):
        saved = load(str(config.run.out))
        assert saved.x is not None and saved.y is not None  # as the run has finished
        stored, agents = check(_of_caller(saved.tables, config)), Agents(len(saved.x), comm)
        local = METHODS[stored.method["name"]][0].has_local_lower_level()
        mine = slice(None) if gather else slice(agents.first, agents.last)
        return Result(
            x=saved.x[mine],
            y=saved.y[mine],
            z=None if saved.z is None else saved.z[mine],
            t=None if saved.t is None else saved.t[mine],
            history=saved.columns,
            iteration=saved.iteration,
            reason=saved.reason,
            stopped=False,
            config=stored,
            x_tree=saved.x_tree,
            y_tree=saved.y_tree,
            x_mean=Agents(agents.n).mean(saved.x),
            y_mean=None if local else Agents(agents.n).mean(saved.y),
            best=_part(saved.best, mine),
        )


def _of_caller(tables: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """Stored tables with the class of the problem and the functions, which they only name."""
    functions = {
        section: {key: value for key, value in table.items() if isinstance(value, Function)}
        for section, table in (("method", config.method), ("steps", config.steps))
    }
    found = {section: {**table, **functions.get(section, {})} for section, table in tables.items()}
    found["problem"]["name"] = config.problem["name"]
    return found


def _part(best: Best | None, agents: slice) -> Best | None:
    """The best iterate with the rows of some agents."""
    if best is None:
        return None
    return replace(best, rows={name: rows[agents] for name, rows in best.rows.items()})
