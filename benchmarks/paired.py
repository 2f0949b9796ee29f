"""Interleaved timing of two pieces of work within one run, since ratios are more reliable."""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

PAIRS = 9
__all__ = ["PAIRS", "median", "pairs"]


def seconds(comm: Any, work: Callable[[int], None], times: int) -> float:
    """Seconds for one of `times` repetitions, on the slowest rank."""
    comm.Barrier()
    began = perf_counter()
    work(times)
    mine, slowest = np.array([(perf_counter() - began) / times]), np.empty(1)
    comm.Allreduce(mine, slowest, op=_max())
    return float(slowest[0])


def _max() -> Any:
    from mpi4py import MPI

    return MPI.MAX


def repetitions(comm: Any, work: Callable[[int], None], target: float = 0.1) -> int:
    """The repetitions that take about `target` seconds; the same number on every rank."""
    times = 1
    while (took := seconds(comm, work, times) * times) < target / 4:
        times *= 4
    return max(1, round(times * target / took))


def pairs(
    comm: Any, ours: Callable[[int], None], plain: dict[str, Callable[[int], None]]
) -> tuple[float, float, float, str]:
    """Time interleaved pairs against the fastest of the plain alternatives.

    Returns the median ratio, our median seconds, those of the alternative, and its name.
    """
    times = {name: repetitions(comm, work) for name, work in {"ours": ours, **plain}.items()}
    taken: dict[str, list[float]] = {name: [] for name in times}
    for _ in range(PAIRS):
        for name, work in {"ours": ours, **plain}.items():
            taken[name].append(seconds(comm, work, times[name]))
    best = min(plain, key=lambda name: median(taken[name]))
    ratio = median(a / b for a, b in zip(taken["ours"], taken[best], strict=True))
    return ratio, median(taken["ours"]), median(taken[best]), best
