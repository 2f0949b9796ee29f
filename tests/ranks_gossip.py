"""Run under mpiexec by test_gossip.py: every message over these ranks has the bits that one process computes."""

from itertools import product

import numpy as np
from mpi4py import MPI

from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.errors import UserError
from mpidbo.network import exchange, gossip
from mpidbo.network import levels as networks
from mpidbo.network import topology as topologies
from mpidbo.parallel import agents
from mpidbo.parallel.agents import Agents

COMM = MPI.COMM_WORLD
GRAPHS = {"ring": {}, "star": {}, "erdos-renyi": {"p": 0.6, "seed": 1}, "exponential": {"directed": True}, "centralized": {},
          "failing": {"name": "erdos-renyi", "p": 0.6, "seed": 1, "drop": 0.4}}
exchange.BLOCK, agents.BLOCK = 16, 40                    # rows in several blocks


def topology(name, n):
    return topologies.centralized(n) if name == "centralized" else topologies.make({"name": name, **GRAPHS[name]}, n)


def messages(W, n, dtype, part):
    """Answers to arrays, tuples and strategies; `part` takes the rows of these agents."""
    rng = np.random.default_rng(n)
    a, b, c, *more = (part(rng.standard_normal((n, d)).astype(dtype)) for d in (3, 1, 50, *[3] * 4))
    yield W @ a
    W.at(3)
    yield W @ a                                          # the planned buffers once more
    yield W @ c
    yield from W @ (a, c, b)
    s, u, h, v = more
    for row in STRATEGIES.values():
        memory = row.start(s)
        new, memory = W @ row(s, u, type(memory)(h, v) if memory else memory)
        yield from (new, *memory)
    for new, memory in W @ tuple(STRATEGIES[name](s, u, STRATEGIES[name].start(h)) for name in ("gt", "ed", "semi-gt")):
        yield from (new, *memory)


def bits():
    packed = 0
    for name, n, dtype, wide in product(GRAPHS, (COMM.size, 2 * COMM.size + 3), ("f8", "f4"), (False, True)):
        gossip.WIDE = 0 if wide else 1 << 14
        spread, alone = Agents(n, COMM), Agents(n)
        W, twin = (networks.gossip(topology(name, n), which, dtype) for which in (spread, alone))
        mine = slice(spread.first, spread.last)
        found = messages(W, n, dtype, lambda rows, mine=mine: rows[mine])
        expected = messages(twin, n, dtype, lambda rows: rows)
        for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            same = ours.dtype == theirs.dtype and ours.shape == (spread.m, theirs.shape[1]) and ours.tobytes() == theirs[mine].tobytes()
            assert same and ours.flags.c_contiguous, f"message {i} of {name}, n = {n}, {dtype}, wide = {wide}, rank {COMM.rank}"
        assert W.sent == twin.sent, (W.sent, twin.sent)
        assert spread.total(np.array(W.lost)).tolist() == [*twin.lost], (W.lost, twin.lost)
        assert twin.lost.messages > 0 or name != "failing" or n < 5
        packed += any(getattr(route, "packed", None) is not None for route in W._routes.values())
        W.close()
        twin.close()
    if COMM.size > 1:                                    # else the branch was never taken
        assert max(COMM.allgather(packed)) > 0


def refused(words, action):
    """Every rank is told, in the same words."""
    try:
        action()
        said = "nothing"
    except UserError as error:
        said = str(error)
        assert error.agreed or words == "cannot occupy"  # which each rank finds by itself
    everyone = COMM.allgather(said)
    assert len(set(everyone)) == 1 and words in said, everyone


def sentences():
    n, last = 2 * COMM.size, COMM.rank == COMM.size - 1
    for name in GRAPHS:
        W = networks.gossip(topology(name, n), Agents(n, COMM))
        s = np.ones((W.m, 3))
        refused("sends rows of", lambda W=W: W @ np.ones((W.m, 5 + last)))
        refused("sends rows of", lambda W=W: W @ (np.ones((W.m, 5 + last)), np.ones((W.m, 5 - last))))
        refused("expected (2, d)", lambda W=W: W @ np.ones((W.m + last, 4)))
        refused("expected (2, d)", lambda W=W: W @ (np.ones((W.m, 1)), np.ones((W.m + last, 4))))
        assert np.allclose(W @ s, 1)                     # and goes on
        W.close()
    made = topologies.make({"file": f"W{int(last)}.npy"}, 8)
    first = topologies.make({"file": "W0.npy"}, 8)
    spread, s = Agents(8, COMM), np.random.default_rng(0).standard_normal((8, 3))
    mine = slice(spread.first, spread.last)
    for told in (made, None if COMM.rank else made):     # the first rank's matrix counts
        W = gossip.Gossip(told, spread)
        assert (W @ s[mine]).tobytes() == (gossip.Gossip(first, Agents(8)) @ s)[mine].tobytes() and W.edges == first.edges
        W.close()
    refused("cannot occupy", lambda: Agents(COMM.size - 1, COMM))


bits()
if COMM.size > 1:
    sentences()
COMM.Barrier()
if COMM.rank == 0:
    print(f"gossip agrees on {COMM.size} ranks", flush=True)
