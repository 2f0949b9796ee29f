"""(a) Ring averaging x <- W x against plain loops of numpy and mpi4py.

The plain loops have persistent buffers, persistent requests, and in-place mixing with general
weights in blocks that stay in the cache. W @ is timed with and without memory that ranks share.
"""

import sys
from functools import partial

import numpy as np
from mpi4py import MPI

from mpidbo.network import gossip_of, make
from mpidbo.parallel import Agents, aligned
from paired import interleaved, median, ratio

BLOCK_FLOATS = 1 << 15
WIDTHS = [int(word) for word in sys.argv[1:]] or [10, 1_000, 10_000, 100_000, 1_000_000]

comm = MPI.COMM_WORLD
topology = make("ring", comm.size)
row = topology.W[[comm.rank]].toarray()[0]
neighbours = [j for j in np.flatnonzero(row).tolist() if j != comm.rank]
weights = [row[j] for j in neighbours]
graph = comm.Create_dist_graph_adjacent(neighbours, neighbours, reorder=False)
operators = {
    "shared": gossip_of(topology, Agents(comm.size, comm)),
    "messages": gossip_of(topology, Agents(comm.size, comm), shared_memory=False),
}

for d in WIDTHS:
    start = np.random.default_rng(comm.rank).standard_normal((1, d))
    mine, work = aligned((d,), start.dtype), aligned((BLOCK_FLOATS,), start.dtype)
    received = aligned((len(neighbours), d), start.dtype)
    send = [mine, ([d] * len(neighbours), [0] * len(neighbours)), MPI.DOUBLE]
    places = [i * d for i in range(len(neighbours))]
    receive = [received, ([d] * len(neighbours), places), MPI.DOUBLE]
    persistent = [comm.Recv_init(r, j) for r, j in zip(received, neighbours, strict=True)]
    persistent += [comm.Send_init(mine, j) for j in neighbours]
    requests = [graph.Neighbor_alltoallv_init(send, receive)]

    def mix() -> None:
        for begin in range(0, d, BLOCK_FLOATS):
            end = min(begin + BLOCK_FLOATS, d)
            own, product = mine[begin:end], work[: end - begin]
            np.multiply(own, row[comm.rank], out=own)
            for w, r in zip(weights, received, strict=True):
                np.multiply(r[begin:end], w, out=product)
                np.add(own, product, out=own)

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

    def started(requests: list[MPI.Prequest], times: int) -> None:
        for _ in range(times):
            MPI.Prequest.Startall(requests)
            MPI.Prequest.Waitall(requests)
            mix()

    kept = dict.fromkeys(operators, start)

    def ours(name: str, times: int) -> None:
        W, x = operators[name], kept[name]
        for _ in range(times):
            x = W @ x
        kept[name] = x

    plain = {
        "Isend/Irecv": point_to_point,
        "Neighbor_alltoallv": collective,
        "Send_init/Recv_init": partial(started, persistent),
        "Neighbor_alltoallv_init": partial(started, requests),
    }
    for loop in plain.values():
        mine[:] = start[0]
        loop(3)
        for name in operators:
            kept[name] = start
            ours(name, 3)
            assert np.allclose(mine, kept[name][0], rtol=1e-12, atol=1e-12), "not the same work"
    taken = interleaved(comm, {name: partial(ours, name) for name in operators} | plain)
    best = min(plain, key=lambda name: median(taken[name]))
    if comm.rank == 0:
        found = ", ".join(
            f"{name} {median(t) * 1e6:.1f} us, ratio {ratio(t, taken[best]):.2f}"
            for name, t in taken.items()
            if name in operators
        )
        print(
            f"(a) ring averaging, {comm.size} ranks, d = {d:>9,}: {found}; "
            f"plain {median(taken[best]) * 1e6:.1f} us ({best})",
            flush=True,
        )
    for request in (*persistent, *requests):
        request.Free()
for W in operators.values():
    W.close()
graph.Free()
