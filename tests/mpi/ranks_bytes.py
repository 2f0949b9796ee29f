"""A run of compressed messages on three ranks: ranks_bytes.py KEYS ITERATIONS.

It prints the bytes that its history counts. The oracles are those of benchmarks/networks.py.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from mpi4py import MPI

import mpidbo
from networks import Separable


class Long(Separable):
    """Rows that are long enough for headers to be few."""

    def __init__(self, agent, n_agents, *, xp, seed):
        super().__init__(agent, n_agents, xp=xp, seed=seed, dim=20_000)


strategy = {"name": "beer", "gamma": 0.3, **json.loads(sys.argv[1])}
result = mpidbo.solve(
    Long,
    {"name": "sparkle", "lower": strategy, "upper": strategy},
    "ring",
    3,
    {"alpha": 1e-3, "beta": 1e-2, "gamma": 1e-2},
    int(sys.argv[2]),
    evaluate_every=1000,
    comm=MPI.COMM_WORLD,
    checks="never",
)
if MPI.COMM_WORLD.rank == 0:
    print("column:", result.history["bytes"][-1], flush=True)
