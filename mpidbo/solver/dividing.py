"""`run.workers`: among how many threads the agents of a rank are divided."""

from collections.abc import Iterable
from time import perf_counter

import numpy as np

from .._types import Float
from .._warning import warn
from ..config import Run
from ..errors import UserError
from ..parallel import ALONE, Cuda, Workers, free_cores, usable_cores
from ..problems import Oracle, seconds_of_call

MIN_CALL_S = 1e-3
"""Seconds of a call of all agents below which threads are not tried."""
MIN_GAIN = 1.1
"""How many times as fast calls have to be with threads, for them to be taken."""
MAX_PAIRS, TRIAL_S = 5, 0.1
"""How many calls with and without threads are timed in turn, and for how long."""


def divide_agents(
    run: Run,
    oracle: Oracle,
    names: Iterable[str],
    x0: Float[np.ndarray, " p"],
    y0: Float[np.ndarray, " q"],
) -> None:
    """Divide the agents of this rank among the threads of `run.workers`.

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
        if count > 1:
            oracle.divide(Workers(count))
        return
    agents = oracle.agents
    if obstacle or agents.size > 1 or agents.m == 1 or usable_cores() == 1:
        return
    if seconds_of_call(oracle, names, x0, y0) < MIN_CALL_S:
        return
    workers, alone = Workers(min(agents.m, free_cores())), oracle.twin()
    if workers.count == 1:
        return
    oracle.divide(workers)
    if _gain(alone, oracle, names, x0, y0) < MIN_GAIN:
        oracle.divide(ALONE)


def _gain(
    alone: Oracle,
    divided: Oracle,
    names: Iterable[str],
    x0: Float[np.ndarray, " p"],
    y0: Float[np.ndarray, " q"],
) -> float:
    """How many times as fast calls are with threads, which no count of operations predicts."""
    seconds_of_call(divided, names, x0, y0)  # starts the threads
    ratios: list[float] = []
    began = perf_counter()
    while not ratios or (len(ratios) < MAX_PAIRS and perf_counter() - began < TRIAL_S):
        times = [seconds_of_call(oracle, names, x0, y0) for oracle in (alone, divided)]
        ratios.append(times[0] / times[1])
    return float(np.median(ratios))


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
