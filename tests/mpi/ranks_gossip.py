"""Run under mpiexec by test_gossip.py: every message over these ranks has the bits that one
process computes."""

import sys
from dataclasses import replace
from itertools import product

import numpy as np
from mpi4py import MPI

from mpidbo import network as topologies
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.errors import UserError
from mpidbo.network import A, B, BFloat16, Quantize, RandomK, TopK, exchange, factory, gossip
from mpidbo.network.changing_gossip import ChangingGossip
from mpidbo.parallel import agents
from mpidbo.parallel.agents import Agents

COMM = MPI.COMM_WORLD
GRAPHS = {
    "ring": {},
    "star": {},
    "erdos-renyi": {"p": 0.6, "seed": 1},
    "exponential": {"directed": True},
    "centralized": {},
    "failing": {"name": "erdos-renyi", "p": 0.6, "seed": 1, "drop": 0.4},
    "directed-erdos-renyi": {"p": 0.5, "seed": 3},
    "failing-directed": {"name": "directed-erdos-renyi", "p": 0.6, "seed": 2, "drop": 0.4},
    "matching": {},
    "failing-matching": {"name": "matching", "drop": 0.4},
    "every": {"name": "ring", "every": 2},
}
ITERATIONS = (3, 4, 5)
exchange.BLOCK_FLOATS, agents.BLOCK = 16, 40  # rows in several blocks


def topology(name, n):
    if name == "centralized":
        return topologies.centralized(n)
    return topologies.make({"name": name, **GRAPHS[name]}, n)


def messages(W, n, dtype, part, weights):
    """Answers to arrays, tuples and strategies; `part` takes the rows of these agents."""
    rng = np.random.default_rng(n)
    a, b, c, *more = (part(rng.standard_normal((n, d)).astype(dtype)) for d in (3, 1, 50, *[3] * 4))
    s, u, h, v = more
    rows = [row for row in STRATEGIES.values() if has_all(weights, row.weights)]
    if isinstance(W, topologies.Average):
        rows = [row for row in rows if row.compression is None]
    else:
        rows += [replace(row, wire=BFloat16()) for row in rows if row.name in ("gt", "push-pull")]
    for k in ITERATIONS if W.changes else (3,):
        W.at(k)
        yield from (W @ (A @ a), W @ (A @ c), W @ (A @ a))  # the planned buffers once more
        yield from W @ (A @ a, B @ c, A @ b, B @ a)
        if "W" in weights:
            yield from (W @ a, W @ c, W @ a)
            yield from W @ (a, B @ c, b)
        if not isinstance(W, topologies.Average):
            forms = (TopK(0.3), RandomK(7), Quantize(3), BFloat16())
            parts = (A @ a, A @ b, B @ c, A @ c)
            for pair in W @ tuple(C @ part for C, part in zip(forms, parts, strict=True)):
                yield from pair
            mixed, (q, Wq) = W @ (A @ a, RandomK(0.5) @ (B @ c))
            yield from (mixed, q, Wq)
        for row in rows:
            memory = row.start(s)
            new, memory = W @ row(s, u, type(memory)(h, v) if len(memory) == 2 else memory)
            yield from (new, *memory)
        for new, memory in W @ tuple(row(s, u, row.start(h)) for row in rows):
            yield from (new, *memory)


def has_all(weights, needed):
    return "W" in weights or weights >= set(needed)


def bits(every):
    """Of all combinations, or of half of them, in which any two choices for a graph meet."""
    packed = 0
    for name, more, single, wide in product(GRAPHS, *[(False, True)] * 3):
        if not every and wide != (more == single):
            continue
        n, dtype = 2 * COMM.size + 3 if more else COMM.size, "f4" if single else "f8"
        gossip.MAX_NARROW_WIDTH = 0 if wide else 1 << 14
        spread, alone = Agents(n, COMM), Agents(n)
        W, twin = (factory.gossip_of(topology(name, n), which, dtype) for which in (spread, alone))
        mine = slice(spread.first, spread.last)
        weights = set(topology(name, n).weights)
        found = messages(W, n, dtype, lambda rows, mine=mine: rows[mine], weights)
        expected = messages(twin, n, dtype, lambda rows: rows, weights)
        for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            same = (
                ours.dtype == theirs.dtype
                and ours.shape == (spread.m, theirs.shape[1])
                and ours.tobytes() == theirs[mine].tobytes()
            )
            assert same and ours.flags.c_contiguous, (
                f"message {i} of {name}, n = {n}, {dtype}, wide = {wide}, rank {COMM.rank}"
            )
        assert W.sent == twin.sent, (W.sent, twin.sent)
        assert spread.allreduce_sum(np.array(W.lost)).tolist() == [*twin.lost], (W.lost, twin.lost)
        assert twin.lost.messages > 0 or not name.startswith("failing") or n < 5
        operators = W._operators.values() if isinstance(W, ChangingGossip) else [W]
        routes = [route for operator in operators for route in operator._routes.values()]
        packed += any(getattr(route, "packed", None) is not None for route in routes)
        W.close()
        twin.close()
    if COMM.size > 1:  # else the branch was never taken
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
        if "W" not in topology(name, n).weights or name == "every":
            continue
        W = factory.gossip_of(topology(name, n), Agents(n, COMM))
        s = np.ones((W.m, 3))
        refused("sends rows of", lambda W=W: W @ np.ones((W.m, 5 + last)))
        refused(
            "sends rows of", lambda W=W: W @ (np.ones((W.m, 5 + last)), np.ones((W.m, 5 - last)))
        )
        refused("expected (2, d)", lambda W=W: W @ np.ones((W.m + last, 4)))
        refused("expected (2, d)", lambda W=W: W @ (np.ones((W.m, 1)), np.ones((W.m + last, 4))))
        assert np.allclose(W @ s, 1)  # and goes on
        W.close()
    made = topologies.make({"file": f"W{int(last)}.npy"}, 8)
    first = topologies.make({"file": "W0.npy"}, 8)
    spread, s = Agents(8, COMM), np.random.default_rng(0).standard_normal((8, 3))
    mine = slice(spread.first, spread.last)
    for told in (made, None if COMM.rank else made):  # the first rank's matrix counts
        W = gossip.Gossip(told, spread)
        assert (W @ s[mine]).tobytes() == (gossip.Gossip(first, Agents(8)) @ s)[
            mine
        ].tobytes() and W.edges == first.edges
        W.close()
    refused("cannot occupy", lambda: Agents(COMM.size - 1, COMM))


bits(every="every" in sys.argv)
if COMM.size > 1:
    sentences()
COMM.Barrier()
if COMM.rank == 0:
    print(f"gossip agrees on {COMM.size} ranks", flush=True)
