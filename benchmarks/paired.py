"""Interleaved timing of two pieces of work within one run, since ratios are more reliable."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter, sleep
from typing import Any

import numpy as np

PAIRS = 9
REALTIME = bool(os.environ.get("BENCH_REALTIME"))
SECONDS = 0.01 if REALTIME else 0.1
"""Duration of one measurement."""
__all__ = ["PAIRS", "interleaved", "median", "pairs", "ratio"]


def seconds(comm: Any, work: Callable[[int], None], times: int) -> float:
    """Seconds for one of `times` repetitions, on the slowest rank."""
    with alone(comm.rank):
        comm.Barrier()
        began = perf_counter()
        work(times)
        mine, slowest = np.array([(perf_counter() - began) / times]), np.empty(1)
        comm.Allreduce(mine, slowest, op=_max())
    return float(slowest[0])


@contextmanager
def alone(rank: int) -> Iterator[None]:
    """Keep a core for this rank with BENCH_REALTIME set, as root and with a core for each rank.

    What is timed is short then, and other programs run in between.
    """
    if REALTIME:
        os.sched_setaffinity(0, {rank})
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        if REALTIME:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            sleep(SECONDS)


def _max() -> Any:
    from mpi4py import MPI

    return MPI.MAX


def repetitions(comm: Any, work: Callable[[int], None], target: float = SECONDS) -> int:
    """The repetitions that take about `target` seconds; the same number on every rank."""
    times = 1
    while (took := seconds(comm, work, times) * times) < target / 4:
        times *= 4
    return max(1, round(times * target / took))


def interleaved(comm: Any, works: dict[str, Callable[[int], None]]) -> dict[str, list[float]]:
    """Seconds of each of several pieces of work, timed in turn PAIRS times."""
    times = {name: repetitions(comm, work) for name, work in works.items()}
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(PAIRS):
        for name, work in works.items():
            taken[name].append(seconds(comm, work, times[name]))
    return taken


def ratio(ours: list[float], plain: list[float]) -> float:
    """The median of the quotients of interleaved times."""
    return median(a / b for a, b in zip(ours, plain, strict=True))


def pairs(
    comm: Any, ours: Callable[[int], None], plain: dict[str, Callable[[int], None]]
) -> tuple[float, float, float, str]:
    """Time interleaved pairs against the fastest of the plain alternatives.

    Returns the median ratio, our median seconds, those of the alternative, and its name.
    """
    taken = interleaved(comm, {"ours": ours, **plain})
    best = min(plain, key=lambda name: median(taken[name]))
    return ratio(taken["ours"], taken[best]), median(taken["ours"]), median(taken[best]), best
