"""A run by hand: what `solve` does, in two steps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..config import Config
from .evaluation import Watcher
from .folder import Folder
from .loop import Observer
from .result import Result
from .running import under_way
from .setup import Setup, set_up
from .tuning import tuned

if TYPE_CHECKING:
    from mpi4py.MPI import Comm


class Plan(Setup):
    """All that a run needs, built from a configuration and checked on every rank; collective.

    As a context it frees what the MPI library holds at the end.

    Parameters
    ----------
    config : Config
        A checked configuration (`mpidbo.config`).
    comm : mpi4py.MPI.Comm, optional
        The communicator over whose ranks the agents are distributed; default: one process without
        MPI.

    Attributes
    ----------
    config : Config
        The configuration with everything filled in that it left to the problem or to an estimate.
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
    backend : Host
        Where arrays are: on the host or on a GPU.

    Raises
    ------
    UserError
        The same on every rank, where anything of the configuration does not fit.
    """

    def __init__(self, config: Config, comm: "Comm | None" = None) -> None:
        super().__init__(**vars(tuned(set_up(config, comm))))

    def run(
        self,
        *,
        folder: Folder | None = None,
        observers: Sequence[Observer] = (),
        gather: bool = True,
        watchers: Sequence[Watcher] = (),
    ) -> Result:
        """Run to the last iteration or to the stop rule; collective.

        Parameters
        ----------
        folder : Folder, optional
            Where to resume from and to write to; default: no files.
        observers : sequence of Observer, optional
            Called along the run, after the evaluation.
        gather : bool, default True
            Whether the result has the rows of all agents on every rank.
        watchers : sequence of callable, optional
            Called with each evaluation, an `Evaluated`; a string that one returns, the same on
            every rank, stops the run for this reason.

        Returns
        -------
        Result
        """
        run = under_way(self, folder=folder, observers=observers, watchers=watchers, gather=gather)
        with run as running:
            return running.to_its_end()
