"""Mix rows of D floats over a ring, 1e9 floats in all: what `versions.py` times of W @ x.

It imports what it needs from where this version or that before the packages has it.
"""

import sys

import numpy as np
from mpi4py import MPI

try:
    from mpidbo.network import gossip_of, make
    from mpidbo.parallel import Agents
except ImportError:
    from mpidbo.network.levels import gossip as gossip_of
    from mpidbo.network.topology import make
    from mpidbo.parallel.agents import Agents

d = int(sys.argv[1])
comm = MPI.COMM_WORLD
W = gossip_of(make("ring", comm.size), Agents(comm.size, comm))
x = np.random.default_rng(comm.rank).standard_normal((1, d))
for _ in range(min(10**9 // d, 100_000)):
    x = W @ x
W.close()
