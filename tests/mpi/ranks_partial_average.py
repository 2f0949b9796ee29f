"""Run under mpiexec by test_claim_partial_average.py: the all-reduce is the average, and both
methods are timed."""

import numpy as np
from mpi4py import MPI

from mpidbo.network import Average
from mpidbo.parallel.agents import Agents
from mpidbo.studies import study_of
from mpidbo.studies.claims import make_claim
from mpidbo.studies.claims.partial_average import CENTRAL, GOSSIP, REPETITIONS, AllReduced, timed

comm = MPI.COMM_WORLD
agents = Agents(comm.size, comm)
rng = np.random.default_rng(comm.rank)
message = rng.standard_normal((1, 3)), rng.standard_normal((1, 5))
found, expected = AllReduced(None, agents) @ message, Average(None, agents) @ message
assert all(
    np.allclose(a, b, rtol=1e-14, atol=1e-14) and a.shape == b.shape
    for a, b in zip(found, expected, strict=True)
)

tables = make_claim("partial-average").studies("quick")[f"{comm.size} agents"]
for seconds, sent in (measured := timed(study_of(tables, "timed"), comm)).values():
    assert (
        seconds.shape == sent.shape == (REPETITIONS,) and (seconds > 0).all() and (sent >= 0).all()
    )
assert set(measured) == {GOSSIP, CENTRAL}
comm.Barrier()
if comm.rank == 0:
    print("timed")
