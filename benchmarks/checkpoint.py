"""(e) Checkpoints: the time until one is written, the delay of the loop, and a plain write.

The run is SPARKLE-ED with oracles that cost one pass over the rows, the cheapest possible problem.
The plain write is an HDF5 file of the same size per rank, with checksums and fsync. Measured on all
ranks, and on one rank while the others sleep, so that a core is free for the writing thread.
"""

import os
import shutil
import tempfile
from pathlib import Path
from time import perf_counter, sleep

import h5py
import numpy as np
from mpi4py import MPI

from mpidbo import Problem
from mpidbo._pytree import leaves
from mpidbo.config import rule_of
from mpidbo.network import Levels, gossip_of, make
from mpidbo.parallel import Agents, keep_freed
from mpidbo.problems import Oracle
from mpidbo.solver import Loop
from mpidbo.storage import Checkpoints, Snapshot
from paired import PAIRS, median

EVERY, FIELDS = 100, 10
HISTORY = {f"column{i}": [*map(float, range(1000))] for i in range(20)}


class Cheap(Problem):
    """A problem whose oracles are one pass over the rows each."""

    def __init__(self, d):
        self.dims, self.first = (d, d), np.linspace(1, 2, d)

    def f_x(self, x, y, sample):
        return x + y

    def g_y(self, x, y, sample):
        return y - x

    def g_yy(self, x, y, v, sample):
        return self.first * v

    g_xy = g_yy

    def f_y(self, x, y, sample):
        return y - 1


class Bench:
    """A run with `floats` floats of state on the ranks of a communicator."""

    def __init__(self, comm, folder, floats):
        self.comm, self.folder, n = comm, folder, comm.size
        d = floats // (FIELDS * n)
        agents = Agents(n, comm)
        method = rule_of(
            {"name": "sparkle", "lower": "ed", "upper": "ed"}, {"alpha": 0.01}, n=n, horizon=1
        )
        self.W = gossip_of(make("complete", n), agents)
        self.loop = Loop(method, Oracle([Cheap(d)], agents), Levels(self.W, self.W, self.W))
        self.state, self.k = method.start(np.zeros((1, d)), np.zeros((1, d))), 0
        assert sum(rows.size for _, rows in leaves(self.state)) * n == FIELDS * n * d
        self.checkpoints = Checkpoints(
            folder / f"{n}-{floats}", agents, keep=2, topologies={}, tables={}
        )

    def slowest(self, work):
        """The seconds of the slowest rank."""
        self.comm.Barrier()
        began = perf_counter()
        work()
        return self.comm.allreduce(perf_counter() - began, op=MPI.MAX)

    def plain(self):
        path = self.folder / f"plain{self.comm.rank}.h5"
        with h5py.File(path, "w") as file:
            for name, rows in leaves(self.state):
                file.create_dataset(
                    name, data=rows, fletcher32=True, chunks=(1, min(rows.shape[1], 1 << 17))
                )
        with open(path, "rb+") as file:
            os.fsync(file.fileno())

    def begin(self):
        self.k += 1  # an existing checkpoint is not written again
        self.checkpoints.begin(Snapshot(self.k, self.state, {}, HISTORY))

    def steps(self, count):
        self.state = self.loop.steps(self.state, self.k, self.k + count)
        self.k += count

    def waiting(self, count):
        """Write a checkpoint, wait for it, then take `count` steps."""
        self.begin()
        self.checkpoints.writing.advance(wait=True)
        self.steps(count)

    def beside(self, count):
        """Take `count` steps while a checkpoint is written, polling as a run does."""
        self.begin()
        done, look = 0, 1
        while not self.checkpoints.writing.idle and done < count:
            self.steps(min(look, count - done))
            done, look = min(done + look, count), 2 * look
            self.checkpoints.writing.advance()
        self.steps(count - done)
        self.checkpoints.writing.advance(wait=True)

    def row(self):
        """Medians in s: checkpoint, plain write, delay when waiting, delay beside, iteration."""
        self.steps(3)
        write = self.slowest(lambda: self.waiting(0))
        step = self.slowest(lambda: self.steps(10)) / 10
        # About four times as long as a checkpoint.
        count = max(10, round(4 * self.comm.bcast(write / step)))
        kinds = {
            "bare": lambda: self.steps(count),
            "waiting": lambda: self.waiting(count),
            "beside": lambda: self.beside(count),
            "write": lambda: self.waiting(0),
            "plain": self.plain,
        }
        taken = {name: [] for name in kinds}
        for _ in range(PAIRS):
            for name, work in kinds.items():
                taken[name].append(self.slowest(work))
        lost = {
            name: median(a - b for a, b in zip(taken[name], taken["bare"], strict=True))
            for name in ("waiting", "beside")
        }
        return (
            median(taken["write"]),
            median(taken["plain"]),
            lost["waiting"],
            lost["beside"],
            median(taken["bare"]) / count,
        )


def main():
    comm = MPI.COMM_WORLD
    folder = Path(comm.bcast(tempfile.mkdtemp() if comm.rank == 0 else None))
    keep_freed()
    for ranks in (comm.size, 1):
        some = comm.Split(0 if comm.rank < ranks else MPI.UNDEFINED, comm.rank)
        for floats in (10**5, 10**6, 10**7) if comm.rank < ranks else ():
            bench = Bench(some, folder, floats)
            write, plain, waiting, beside, step = bench.row()
            if comm.rank == 0:
                share = beside / (beside + EVERY * step)
                print(
                    f"(e) {floats:.0e} floats of state on {ranks} ranks: "
                    f"written in {write * 1e3:6.1f} ms, plain write {plain * 1e3:6.1f} ms; "
                    f"the loop loses {beside * 1e3:6.1f} ms ({waiting * 1e3:6.1f} if it waits), "
                    f"{share:5.1%} of a run with one every {EVERY} iterations "
                    f"of {step * 1e3:.2f} ms",
                    flush=True,
                )
            bench.W.close()
        done = comm.Ibarrier()
        while not done.Test():
            sleep(0.002)
    if comm.rank == 0:
        shutil.rmtree(folder)


main()
