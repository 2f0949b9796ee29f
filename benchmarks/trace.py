"""What `run.trace` costs: iterations of about 1 ms, with and without, in turn in one run.

python benchmarks/trace.py            also under mpiexec -n 2
"""

import timeit
from time import perf_counter, thread_time

import numpy as np
from mpi4py import MPI

from mpidbo import config
from mpidbo.parallel import MARK, Threads
from mpidbo.problems import Quadratic
from mpidbo.solver import Loop, set_up
from mpidbo.solver.timeline import Timeline
from mpidbo.solver.tracing import MAX_SPANS_OF_RANK, Replaced, watch_iterations

comm = MPI.COMM_WORLD
TARGET_S = 1e-3
PAIRS, FEW, CALLS, TIMES = 2000, 50, 1000, 200


class Busy(Quadratic):
    """A quadratic whose oracles compute for longer, without the memory that processes share."""

    work = 0

    def g_y(self, x, y, sample):
        sum(range(Busy.work))
        return super().g_y(x, y, sample)

    def g_yy(self, x, y, v, sample):
        sum(range(Busy.work))
        return super().g_yy(x, y, v, sample)


class Iterations:
    """A run whose iterations are made one at a time."""

    def __init__(self) -> None:
        tables = {
            "problem": {"name": Busy, "noise": 0.1},
            "method": {"name": "sparkle-ed-gt"},
            "run": {"agents": comm.size, "checks": "never", "batched": "never"},
        }
        setup = set_up(config.check(tables), comm if comm.size > 1 else None)
        self.loop = Loop(setup.method, setup.oracle, setup.W)
        self.state, self.k = setup.method.start(*setup.rows()), 0

    def one(self) -> float:
        """Do an iteration, and return its seconds.

        With one rank these are of the processor, which other processes hardly change.
        """
        clock = thread_time if comm.size == 1 else perf_counter
        began = clock()
        self.state = self.loop.steps(self.state, self.k, self.k + 1)
        self.k += 1
        return clock() - began


with Threads(1).limited(), Replaced() as replaced:
    plain, traced = Iterations(), Iterations()
    while comm.bcast(float(np.median([plain.one() for _ in range(FEW)]))) < TARGET_S:
        Busy.work += 250
    timeline = Timeline(MAX_SPANS_OF_RANK)
    watch_iterations(traced.loop, timeline, replaced)
    traced.one()
    spans = len(timeline.spans)
    taken = np.empty((PAIRS, 2))
    for pair in taken:
        MARK.spans = None  # waiting is noted for whatever runs
        pair[0] = plain.one()
        MARK.spans = timeline.spans
        pair[1] = traced.one()


def microseconds(function) -> float:
    """Of a call."""
    return 1e6 * min(timeit.repeat(function, number=CALLS, repeat=TIMES)) / CALLS


if comm.rank == 0:
    empty = Timeline(MAX_SPANS_OF_RANK)
    more = microseconds(empty.around("oracle", "none", bool)) - microseconds(bool)
    ratio = np.median(taken[:, 1] / taken[:, 0])
    print(
        f"ranks {comm.size}, {spans} spans an iteration of {1e3 * np.median(taken[:, 0]):.3f} ms, "
        f"ratio {ratio:.4f}; a span takes {more:.2f} us"
    )
