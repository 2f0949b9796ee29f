"""(c) n agents in one process against n agents on n ranks: SPARKLE-ED on quadratics."""

from time import sleep

import numpy as np
from mpi4py import MPI

from mpidbo.config import rule_of
from mpidbo.network import Levels, gossip_of, make
from mpidbo.parallel import Agents
from mpidbo.problems import Oracle, Quadratic
from mpidbo.solver import Loop
from paired import PAIRS, median

comm = MPI.COMM_WORLD
n = comm.size
topology = make("ring", n)
method = rule_of({"name": "sparkle", "lower": "ed", "upper": "ed"}, {"alpha": 0.01}, n=n, horizon=1)


def loop_of(agents: Agents, d: int) -> tuple[Loop, object, Levels]:
    problems = [Quadratic(i, n, xp=np, seed=0, p=d, q=d) for i in range(agents.first, agents.last)]
    g = gossip_of(topology, agents)
    W = Levels(g, g, g)
    return (
        Loop(method, Oracle(problems, agents), W),
        method.start(np.zeros((agents.m, d)), np.zeros((agents.m, d))),
        W,
    )


def alone(work) -> None:
    """Run `work` on rank 0 while the other ranks sleep, so that its core is free."""
    if comm.rank == 0:
        work()
    done = comm.Ibarrier()
    while not done.Test():
        sleep(0.002)


for d in (10, 500):
    spread, state, W = loop_of(Agents(n, comm), d)
    times = 100 if d == 10 else 20
    together, everything, V = loop_of(Agents(n), d) if comm.rank == 0 else (None, None, None)
    seconds: dict[str, list[float]] = {"ranks": [], "one": []}
    for _ in range(PAIRS + 1):
        before = spread.seconds
        comm.Barrier()
        state = spread.steps(state, 0, times)
        seconds["ranks"].append((spread.seconds - before) / times)

        def stacked() -> None:
            global everything
            before = together.seconds
            everything = together.steps(everything, 0, times)
            seconds["one"].append((together.seconds - before) / times)

        alone(stacked)
    if comm.rank == 0:
        assert np.array_equal(everything.x[0], state.x[0]), "one process and many ranks disagree"
        a, b = median(seconds["one"][1:]), median(seconds["ranks"][1:])
        ratio = median(x / y for x, y in zip(seconds["one"][1:], seconds["ranks"][1:], strict=True))
        print(
            f"(c) {n} agents, d = {d:>3}: one process {a * 1e6:8.1f} us, "
            f"{n} ranks {b * 1e6:8.1f} us an iteration, ratio {ratio:.2f}",
            flush=True,
        )
    W.close()
