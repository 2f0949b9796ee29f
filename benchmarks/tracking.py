"""(b) Gradient tracking on quadratics against a plain loop of numpy and mpi4py."""

import numpy as np
from mpi4py import MPI

from mpidbo.config import rule_of
from mpidbo.network import Levels, gossip_of, make
from mpidbo.parallel import Agents
from mpidbo.problems import Oracle, Problem
from mpidbo.solver import Loop
from paired import pairs

comm = MPI.COMM_WORLD
ALPHA = 0.01


class LeastSquares(Problem):
    """f_i = x'A x / 2 - b'x."""

    def __init__(self, agent, n_agents, *, xp, seed, d):
        rng = np.random.default_rng([seed, agent])
        root = rng.standard_normal((d, d)) / np.sqrt(d)
        self.A, self.b, self.dims = root @ root.T + np.eye(d), rng.standard_normal(d), (d, 1)

    def f_x(self, x, y, sample):
        return self.A @ x - self.b


for strategy in ("gt", "semi-gt"):
    for d in (10, 500):
        agents = Agents(comm.size, comm)
        topology = make("ring", comm.size)
        g = gossip_of(topology, agents)
        W = Levels(g, g, g)
        problem = LeastSquares(comm.rank, comm.size, xp=np, seed=0, d=d)
        method = rule_of(
            {"name": "single-level", "upper": strategy}, {"alpha": ALPHA}, n=comm.size, horizon=1
        )
        loop = Loop(method, Oracle([problem], agents), W)
        kept = [method.start(np.zeros((1, d)), np.zeros((1, 1)))]

        def ours(times: int) -> None:
            kept[0] = loop.steps(kept[0], 0, times)

        row = topology.W[[comm.rank]].toarray()[0]
        neighbours = [j for j in np.flatnonzero(row).tolist() if j != comm.rank]
        k = len(neighbours)
        graph = comm.Create_dist_graph_adjacent(neighbours, neighbours, reorder=False)
        size = d if strategy == "gt" else 2 * d
        message, mixed, work, received = (
            np.zeros(size),
            np.zeros(size),
            np.zeros(size),
            np.zeros((k, size)),
        )
        send, receive = (
            [message, ([size] * k, [0] * k), MPI.DOUBLE],
            [received, ([size] * k, [i * size for i in range(k)]), MPI.DOUBLE],
        )
        x, h, u, new, A, b = (
            np.zeros(d),
            np.zeros(d),
            np.zeros(d),
            np.zeros(d),
            problem.A,
            problem.b,
        )

        def point_to_point() -> None:
            requests = [comm.Irecv(r, j) for r, j in zip(received, neighbours, strict=True)]
            requests += [comm.Isend(message, j) for j in neighbours]
            MPI.Request.Waitall(requests)

        def collective() -> None:
            graph.Neighbor_alltoallv(send, receive)

        def mix(out: np.ndarray) -> None:
            np.multiply(message, row[comm.rank], out=out)
            for j, r in zip(neighbours, received, strict=True):
                np.multiply(r, row[j], out=work)
                np.add(out, work, out=out)

        def plain_gt(exchange, times: int) -> None:
            for _ in range(times):
                np.dot(A, x, out=new)
                np.subtract(new, b, out=new)
                np.multiply(new, ALPHA, out=new)
                np.subtract(new, u, out=u)
                np.add(h, u, out=message)
                u[:] = new
                exchange()
                mix(h)
                np.subtract(x, h, out=message)
                exchange()
                mix(x)

        def plain_semi_gt(exchange, times: int) -> None:
            for _ in range(times):
                np.dot(A, x, out=new)
                np.subtract(new, b, out=new)
                np.multiply(new, ALPHA, out=new)
                np.subtract(new, u, out=u)
                message[:d] = x
                np.add(h, u, out=message[d:])
                u[:] = new
                exchange()
                mix(mixed)
                h[:] = mixed[d:]
                np.subtract(mixed[:d], h, out=x)

        plain = plain_gt if strategy == "gt" else plain_semi_gt
        plain(collective, 50)
        state = loop.steps(kept[0], 0, 50)
        assert np.allclose(state.x[0], x, rtol=1e-9, atol=1e-12), (
            "the two loops do not do the same work"
        )
        ratio, a, b_, name = pairs(
            comm,
            ours,
            {
                "Isend/Irecv": lambda t: plain(point_to_point, t),
                "Neighbor_alltoallv": lambda t: plain(collective, t),
            },
        )
        if comm.rank == 0:
            print(
                f"(b) gradient tracking ({strategy}), {comm.size} ranks, d = {d:>3}: "
                f"{a * 1e6:6.1f} us, plain {b_ * 1e6:6.1f} us ({name}), ratio {ratio:.2f}",
                flush=True,
            )
        W.close()
        graph.Free()
