"""(e) Checkpoints: seconds of one, its share of a run that writes one every 100 iterations, and a plain write of the same bytes.

The run is SPARKLE-ED with oracles that cost one pass over the rows, the least that a problem can; the plain write is an HDF5
file per rank, checksums and fsync, nothing more.
"""

import os
import shutil
import tempfile
from pathlib import Path
from time import perf_counter

import h5py
import numpy as np
from mpi4py import MPI

from mpidbo import Problem
from mpidbo.agents import Agents
from mpidbo.checkpoint import Checkpoints, Snapshot
from mpidbo.config import rule_of
from mpidbo.gossip import Levels, gossip
from mpidbo.oracles import Oracle
from mpidbo.runner import Loop
from mpidbo.state import leaves
from mpidbo.topologies import make
from paired import median

comm = MPI.COMM_WORLD
n, EVERY, FIELDS = comm.size, 100, 10
agents = Agents(n, comm)
method = rule_of({"name": "sparkle", "lower": "ed", "upper": "ed"}, {"alpha": 0.01}, n=n, horizon=1)


class Cheap(Problem):
    """Every oracle is one pass over its rows."""

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


def plain(path, state):
    with h5py.File(path, "w") as file:
        for name, rows in leaves(state):
            file.create_dataset(name, data=rows, fletcher32=True, chunks=(1, min(rows.shape[1], 1 << 19)))
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def slowest(work):
    """Seconds on the slowest rank."""
    comm.Barrier()
    began = perf_counter()
    work()
    return comm.allreduce(perf_counter() - began, op=MPI.MAX)


folder = Path(comm.bcast(tempfile.mkdtemp() if comm.rank == 0 else None))
W = gossip(make("ring", n), agents)
for floats in (10**5, 10**6, 10**7):
    d = floats // (FIELDS * n)
    loop = Loop(method, Oracle([Cheap(d)], agents), Levels(W, W, W))
    state = method.start(np.zeros((1, d)), np.zeros((1, d)))
    assert sum(rows.size for _, rows in leaves(state)) * n == FIELDS * n * d
    checkpoints = Checkpoints(folder, agents, keep=2, topologies={}, tables={})
    history = {f"column{i}": list(map(float, range(1000))) for i in range(20)}
    taken = {"checkpoint": [], "plain": [], "iteration": []}
    for k in range(5 if floats < 10**7 else 3):
        before = state
        taken["iteration"].append(slowest(lambda: loop.steps(before, 0, 20)) / 20)
        state = loop.steps(state, k, k + 1)
        taken["checkpoint"].append(slowest(lambda: checkpoints.write(Snapshot(k, state, {}, history))))
        taken["plain"].append(slowest(lambda: plain(folder / f"plain{comm.rank}.h5", state)))
    if comm.rank == 0:
        ours, bare, iteration = (median(taken[name]) for name in ("checkpoint", "plain", "iteration"))
        ratio = median(a / b for a, b in zip(taken["checkpoint"], taken["plain"], strict=True))
        print(f"(e) {floats:.0e} floats of state on {n} ranks: checkpoint {ours * 1e3:7.1f} ms, "
              f"{ours / (ours + EVERY * iteration):5.1%} of a run with one every {EVERY} iterations of {iteration * 1e3:.2f} ms; "
              f"plain write {bare * 1e3:7.1f} ms, ratio {ratio:.2f}", flush=True)
    comm.Barrier()
W.close()
comm.Barrier()
if comm.rank == 0:
    shutil.rmtree(folder)
