"""`run.workers`: among how many threads the agents of a rank are divided."""

from collections.abc import Iterable

import numpy as np

from .._types import Float
from .._warning import warn
from ..config import Run
from ..errors import UserError
from ..parallel import ALONE, Cuda, Workers, free_cores, usable_cores
from ..problems import Oracle, seconds_of_call

MIN_CALL_S = 1e-3
"""Seconds of a call of all agents from which threads gain more than it costs to wake them."""


def workers_of(
    run: Run,
    oracle: Oracle,
    names: Iterable[str],
    x0: Float[np.ndarray, " p"],
    y0: Float[np.ndarray, " q"],
) -> Workers:
    """Return the threads of `run.workers`.

    Bits do not depend on them, so that ranks and restarts may choose differently.

    Parameters
    ----------
    run : Run
    oracle : Oracle
        The oracles of this rank's agents, called by one thread.
    names : iterable of str
        The oracles of the method, which are timed at (x0, y0) for "auto".
    x0, y0 : (p,) and (q,) arrays
        The start.

    Raises
    ------
    UserError
        More than one thread is asked for where there can be only one.
    """
    obstacle = _obstacle(run, oracle)
    if run.workers != "auto":
        count = int(run.workers)
        if count > 1 and obstacle:
            raise UserError(f'run.workers: {count}, but {obstacle}, or leave it at "auto"')
        usable = usable_cores()
        if count > usable:
            warn(
                f"run.workers: {count} threads on {usable} usable cores take turns; give at most "
                f"{usable} (the number of agents is run.agents)"
            )
        return Workers(count)
    agents = oracle.agents
    if obstacle or agents.size > 1 or agents.m == 1 or usable_cores() == 1:
        return ALONE
    if seconds_of_call(oracle, names, x0, y0) < MIN_CALL_S:
        return ALONE
    return Workers(min(agents.m, free_cores()))


def _obstacle(run: Run, oracle: Oracle) -> str:
    """Why only one thread may call the agents, and what to change; or ""."""
    cls = type(oracle.problems[0])
    if isinstance(oracle.backend, Cuda):
        return "the run is on a GPU, which computes for one thread; give 1"
    if run.threads > 1:
        return f"run.threads = {run.threads} uses the cores already; set one of both to 1"
    if run.batched == "always":
        return 'run.batched "always" calls all agents at once; set batched = "exact"'
    if not vars(cls).get("thread_safe", False):
        return (
            f"problem {cls.__name__} does not declare that threads may call its agents; set "
            "thread_safe = True in the class if no agent writes what another one reads"
        )
    return ""
