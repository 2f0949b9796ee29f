"""(a) Ring averaging x <- W x against a plain loop of numpy and mpi4py.

The plain loop has persistent buffers and in-place mixing with general weights.
"""

import numpy as np
from mpi4py import MPI

from mpidbo.network import gossip_of, make
from mpidbo.parallel import Agents
from paired import pairs

comm = MPI.COMM_WORLD
topology = make("ring", comm.size)
W = gossip_of(topology, Agents(comm.size, comm))
row = topology.W[[comm.rank]].toarray()[0]
neighbours = [j for j in np.flatnonzero(row).tolist() if j != comm.rank]
weights = [row[j] for j in neighbours]
graph = comm.Create_dist_graph_adjacent(neighbours, neighbours, reorder=False)

for d in (1_000, 100_000, 1_000_000):
    start = np.random.default_rng(comm.rank).standard_normal((1, d))
    mine, work, received = start[0].copy(), np.empty(d), np.empty((len(neighbours), d))
    send = [mine, ([d] * len(neighbours), [0] * len(neighbours)), MPI.DOUBLE]
    receive = [
        received,
        ([d] * len(neighbours), [i * d for i in range(len(neighbours))]),
        MPI.DOUBLE,
    ]

    def mix() -> None:
        np.multiply(mine, row[comm.rank], out=mine)
        for w, r in zip(weights, received, strict=True):
            np.multiply(r, w, out=work)
            np.add(mine, work, out=mine)

    def point_to_point(times: int) -> None:
        for _ in range(times):
            requests = [comm.Irecv(r, j) for r, j in zip(received, neighbours, strict=True)]
            requests += [comm.Isend(mine, j) for j in neighbours]
            MPI.Request.Waitall(requests)
            mix()

    def collective(times: int) -> None:
        for _ in range(times):
            graph.Neighbor_alltoallv(send, receive)
            mix()

    kept = [start]

    def ours(times: int) -> None:
        x = kept[0]
        for _ in range(times):
            x = W @ x
        kept[0] = x

    mine[:], x = start[0], start
    collective(3)
    for _ in range(3):
        x = W @ x
    assert np.allclose(mine, x[0], rtol=1e-12, atol=1e-12), "the two loops do not do the same work"
    ratio, a, b, name = pairs(
        comm, ours, {"Isend/Irecv": point_to_point, "Neighbor_alltoallv": collective}
    )
    if comm.rank == 0:
        print(
            f"(a) ring averaging, {comm.size} ranks, d = {d:>9,}: {a * 1e6:9.1f} us, "
            f"plain {b * 1e6:9.1f} us ({name}), ratio {ratio:.2f}",
            flush=True,
        )
W.close()
graph.Free()
