"""Run under mpiexec by test_gossip.py: every message over these ranks has the bits that one
process computes."""

import errno
import logging
import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import sleep
from unittest.mock import patch

import numpy as np
from mpi4py import MPI

from mpidbo import network as topologies
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.errors import UserError
from mpidbo.network import (
    A,
    B,
    BFloat16,
    Quantize,
    RandomK,
    TopK,
    exchange,
    factory,
    gossip,
    node,
    shared,
)
from mpidbo.network.changing_gossip import ChangingGossip
from mpidbo.parallel import agents, shared_memory
from mpidbo.parallel.agents import Agents

COMM = MPI.COMM_WORLD
logging.basicConfig(level=logging.INFO)
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
    "one way": {"directed": True},
}
ITERATIONS = (3, 4, 5)
PLACES = ("apart", "one node", "two nodes")  # of the ranks, between which rows are messages
exchange.BLOCK_FLOATS, agents.BLOCK = 16, 40  # rows in several blocks
shared.MIN_SHARED_WIDTH = 0


@contextmanager
def placed(place):
    """Have the ranks on one node or two, ranks 1 to size // 2 on one of these."""

    def split(comm, kind):
        assert kind == MPI.COMM_TYPE_SHARED
        return comm.Split(place == "two nodes" and 1 <= comm.rank <= comm.size // 2)

    with patch.object(node, "split_type", split):
        yield


def topology(name, n):
    if name == "centralized":
        return topologies.centralized(n)
    if name == "one way":
        table = {"edges": [(i, (i + 1) % n) for i in range(n)], "lazy": True}
        return topologies.make({**table, **GRAPHS[name]}, n)
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


def is_packed(route):
    """Whether rows were copied so that those for a neighbour are side by side."""
    exchanges = [route, getattr(route, "exchange", None)]
    if hasattr(route, "window"):
        exchanges += route.window._far
    return any(getattr(exchange, "packed", None) is not None for exchange in exchanges)


def bits(every):
    """Of all combinations, or of a sixth of them, in which any two choices for a graph meet."""
    packed = dict.fromkeys(PLACES, 0)
    for number, (name, more, single, wide) in enumerate(product(GRAPHS, *[(False, True)] * 3)):
        if not every and wide != (more == single):
            continue
        for place in PLACES if every else [PLACES[number // 2 % len(PLACES)]]:
            with placed(place):
                packed[place] += compare(name, more, single, wide, place)
    if COMM.size > 1:  # else the branch was never taken
        assert max(COMM.allgather(packed["apart"])) > 0
    if COMM.size > 3:
        assert max(COMM.allgather(packed["two nodes"])) > 0


def compare(name, more, single, wide, place):
    """Compare the bits of one combination; return whether a route packs rows."""
    n, dtype = 2 * COMM.size + 3 if more else COMM.size, "f4" if single else "f8"
    gossip.MAX_NARROW_WIDTH = 0 if wide else 1 << 14
    spread, alone, made = Agents(n, COMM), Agents(n), topology(name, n)
    W = factory.gossip_of(made, spread, dtype, shared_memory=place != "apart")
    twin = factory.gossip_of(made, alone, dtype)
    mine = slice(spread.first, spread.last)
    weights = set(made.weights)
    found = messages(W, n, dtype, lambda rows: rows[mine], weights)
    expected = messages(twin, n, dtype, lambda rows: rows, weights)
    for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        same = (
            ours.dtype == theirs.dtype
            and ours.shape == (spread.m, theirs.shape[1])
            and ours.tobytes() == theirs[mine].tobytes()
        )
        assert same and ours.flags.c_contiguous, (
            f"message {i} of {name}, n = {n}, {dtype}, wide = {wide}, {place}, rank {COMM.rank}"
        )
    assert W.sent == twin.sent, (W.sent, twin.sent)
    assert spread.allreduce_sum(np.array(W.lost)).tolist() == [*twin.lost], (W.lost, twin.lost)
    assert twin.lost.messages > 0 or not name.startswith("failing") or n < 5
    routes = routes_of(W)
    is_average = isinstance(W, topologies.Average)
    if place != "apart" and COMM.size > 1 + (place == "two nodes") and not is_average:
        assert any(map(is_shared, routes)), (name, place, routes)
    W.close()
    twin.close()
    return any(map(is_packed, routes))


def routes_of(W):
    operators = W._operators.values() if isinstance(W, ChangingGossip) else [W]
    return [route for operator in operators for route in operator._routes.values()]


def is_shared(route):
    return isinstance(route, shared.SharedNarrow | shared.SharedWide)


def slow_readers():
    """A rank that reads the rows of others late finds them unchanged, in whichever direction
    rows travel."""
    exchanged = node.Window.exchange

    def slowly(window, *arguments):
        exchanged(window, *arguments)
        sleep(0.01 * (COMM.rank == COMM.size - 1))

    for name, wide in product(("ring", "one way", "failing-matching"), (False, True)):
        gossip.MAX_NARROW_WIDTH = 0 if wide else 1 << 14
        made = topology(name, COMM.size)
        rows = np.random.default_rng(0).standard_normal((8, COMM.size, 20))
        W, twin = (factory.gossip_of(made, Agents(COMM.size, c)) for c in (COMM, None))
        with placed("one node"), patch.object(node.Window, "exchange", slowly):
            for k, s in enumerate(rows):
                W.at(k)
                twin.at(k)
                found, expected = W @ (A @ s[[COMM.rank]]), (twin @ (A @ s))[[COMM.rank]]
                assert found.tobytes() == expected.tobytes(), (name, wide, k, COMM.rank)
        assert any(map(is_shared, routes_of(W)))
        W.close()
        assert "memfd:mpidbo" not in Path("/proc/self/maps").read_text()


def refusals():
    """Ways in which a system gives one rank no memory to share."""
    first, last = COMM.rank == 0, COMM.rank == COMM.size - 1
    yield patch.object(os, "memfd_create", refusing(os.memfd_create, errno.EPERM, first))
    yield patch.object(os, "ftruncate", refusing(os.ftruncate, errno.EFBIG, first))
    yield patch.object(os, "posix_fallocate", refusing(os.posix_fallocate, errno.ENOSPC, last))
    seen = shared_memory._identity
    yield patch.object(shared_memory, "_identity", lambda file: seen(file) + "!" * last)


def refusing(call, number, refuses):
    def called(*arguments):
        if refuses:
            raise OSError(number, os.strerror(number))
        return call(*arguments)

    return called


def without_memory():
    """Where one rank has no memory to share, rows are messages on all of them."""
    s = np.random.default_rng(0).standard_normal((COMM.size, 20))
    made = topology("ring", COMM.size)
    expected = factory.gossip_of(made, Agents(COMM.size)) @ s
    for refusal, place in product(refusals(), PLACES[1:]):
        W = factory.gossip_of(made, Agents(COMM.size, COMM))
        with placed(place), refusal:
            for d in (20, 10):
                found = W @ s[[COMM.rank], :d]
                assert found.tobytes() == expected[[COMM.rank], :d].tobytes()
        assert not any(map(is_shared, routes_of(W)))
        W.close()


def refused(words, action):
    """Every rank is told, in the same words."""
    try:
        action()
        printed = "nothing"
    except UserError as error:
        printed = str(error)
        assert error.agreed or words == "cannot occupy"  # which each rank finds by itself
    everyone = COMM.allgather(printed)
    assert len(set(everyone)) == 1 and words in printed, everyone


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
        assert np.allclose(W @ s, 1)  # and continues
        W.close()
    made = topologies.make({"file": f"W{int(last)}.npy"}, 8)
    first = topologies.make({"file": "W0.npy"}, 8)
    spread, s = Agents(8, COMM), np.random.default_rng(0).standard_normal((8, 3))
    mine = slice(spread.first, spread.last)
    for message in (made, None if COMM.rank else made):  # the first rank's matrix counts
        W = gossip.Gossip(message, spread)
        assert (W @ s[mine]).tobytes() == (gossip.Gossip(first, Agents(8)) @ s)[
            mine
        ].tobytes() and W.edges == first.edges
        W.close()
    refused("cannot occupy", lambda: Agents(COMM.size - 1, COMM))


bits(every="every" in sys.argv)
if COMM.size > 1:
    sentences()
    slow_readers()
    without_memory()
COMM.Barrier()
if COMM.rank == 0:
    print(f"gossip agrees on {COMM.size} ranks", flush=True)
