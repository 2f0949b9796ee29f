"""`W @ s`: the dense product, in one message for many, counted, and the same bits over ranks."""

import platform

import numpy as np
import pytest

from mpidbo import config
from mpidbo import network as topologies
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.errors import UserError
from mpidbo.network import Gossip, Levels, exchange, factory, gossip
from mpidbo.network.sent import Sent
from mpidbo.parallel.agents import Agents
from mpidbo.parallel.memory import Pool
from mpidbo.solver.plan import Plan
from support import MPI
from support.dense import mixing_matrix

SCRIPT = MPI / "ranks_gossip.py"
SIZES = (*range(1, 10), 20)
GRAPHS = {
    "ring": {},
    "star": {},
    "torus": {},
    "erdos-renyi": {"p": 0.5, "seed": 2},
    "exponential": {"directed": True},
    "complete": {"lazy": False},
}


def drawn(name, n):
    return (
        topologies.centralized(n)
        if name == "centralized"
        else topologies.make({"name": name, **GRAPHS[name]}, n)
    )


def make(name, n, dtype=np.float64):
    return factory.gossip_of(drawn(name, n), Agents(n), dtype)


def rows(n, d, dtype=np.float64, seed=0):
    return np.random.default_rng([seed, n, d]).standard_normal((n, d)).astype(dtype)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", [*GRAPHS, "centralized"])
def test_dense_product(name, n):
    for dtype, tolerance in ((np.float64, 1e-15), (np.float32, 5e-7)):
        W = make(name, n, dtype)
        for d in (1, 2, 7):
            s = rows(n, d, dtype)
            mixed = W @ s
            assert mixed.dtype == dtype and mixed.flags.c_contiguous
            np.testing.assert_allclose(
                mixed, drawn(name, n).W.toarray() @ s.astype(np.float64), rtol=0, atol=4 * tolerance
            )


def test_rows_receive_along_the_edges():
    """Row i of W says whom agent i hears: on a directed graph the transpose would not do."""
    topology = topologies.make({"name": "exponential", "directed": True, "lazy": False}, 6)
    mixed = Gossip(topology, Agents(6)) @ np.eye(6)
    assert (mixed == topology.W.toarray()).all() and mixed[0, 1] == 0 < mixed[1, 0]


@pytest.mark.parametrize("n", SIZES)
def test_averages_add_in_agent_order(n, monkeypatch):
    """One agent after the other, then one division; in blocks of columns or not."""
    s = rows(n, 9) * 10.0 ** rows(n, 9, seed=1)
    expected = s[0].copy()
    for row in s[1:]:
        expected += row
    expected /= n
    for block in (1 << 22, 4 * n):
        monkeypatch.setattr("mpidbo.parallel.agents.BLOCK", block)
        assert same(Agents(n).mean(s), expected)
        assert all(same(row, expected) for row in make("centralized", n) @ s)


@pytest.mark.parametrize("name", [*GRAPHS, "centralized"])
def test_a_tuple_is_each_of_its_arrays(name):
    W, parts = make(name, 9), [rows(9, d, seed=d) for d in (3, 1, 5)]
    for found, part in zip(W @ tuple(parts), parts, strict=True):
        assert same(found, W @ part) and found.flags.c_contiguous


STEPS = [("ed", 3), ("gt", 4), ("semi-gt", 2), ("dgd", 3), ("gt", 1), ("non-gt", 5)]


def steps(n, seed=0):
    for i, (name, d) in enumerate(STEPS):
        row = STRATEGIES[name]
        s, u, h, before = (rows(n, d, seed=10 * seed + 100 * i + j) for j in range(4))
        memory = row.start(s)
        yield row(s, u, type(memory)(h, before) if memory else memory)


@pytest.mark.parametrize("name", ["ring", "erdos-renyi", "centralized"])
def test_strategies_in_lock_step_are_each_alone(name):
    """Whatever their rounds; an array among them travels in the first."""
    W, alone, s = make(name, 8), make(name, 8), rows(8, 2)
    together = W @ (*steps(8), s)
    separate = [alone @ step for step in steps(8)] + [alone @ s]
    for (new, memory), (new_alone, memory_alone) in zip(together[:-1], separate[:-1], strict=True):
        assert same(new, new_alone)
        assert len(memory) == len(memory_alone) and all(map(same, memory, memory_alone))
    assert same(together[-1], separate[-1])
    assert W.sent.rounds == 2 and alone.sent.rounds == len(STEPS) + 2 + 1
    assert W.sent.floats == alone.sent.floats


@pytest.mark.parametrize("n", [1, 2, 5, 9])
@pytest.mark.parametrize("name", GRAPHS)
def test_narrow_and_wide_rows_alike(name, n, monkeypatch):
    """Sums run in agent order on both routes: equal bits where no multiplication is fused with
    an addition."""
    monkeypatch.setattr(exchange, "BLOCK_FLOATS", 8)
    for dtype in (np.float64, np.float32):
        parts = tuple(rows(n, d, dtype) for d in (1, 8, 21))
        narrow = make(name, n, dtype) @ parts
        with monkeypatch.context() as patch:
            patch.setattr(gossip, "MAX_NARROW_WIDTH", 0)
            W = make(name, n, dtype)
            wide = W @ parts
            assert all(type(route) is exchange.Wide for route in W._routes.values())
        for a, b in zip(narrow, wide, strict=True):
            assert a.dtype == b.dtype and b.flags.c_contiguous
            if platform.machine() == "x86_64":
                assert np.array_equal(a, b)
            np.testing.assert_allclose(a, b, rtol=0, atol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("wide", [False, True])
def test_results_are_kept_and_arguments_left_alone(wide, monkeypatch):
    """What `W @` returned stays as it was while anybody holds it or a view of it."""
    monkeypatch.setattr(gossip, "MAX_NARROW_WIDTH", 0 if wide else 1 << 14)
    W, kept, copies = make("ring", 4), [], []
    for k in range(12):
        s = rows(4, 6, seed=k)
        before = s.copy()
        for result in (W @ s, *(W @ (s, s[:, :2].copy()))):
            kept.append([result, result[1:], result[2], result.T][k % 4])
            copies.append(kept[-1].copy())
            del result
        assert (s == before).all()
        if k == 5:
            del kept[::3], copies[::3]
    assert all(map(np.array_equal, kept, copies))


def test_memory_is_used_again_once_nobody_holds_it():
    pool = Pool((3, 4), np.float64)
    first, second = pool.take(), pool.take()
    where = first.ctypes.data
    assert second.ctypes.data != where
    view = first[1:].T
    del first
    assert pool.take().ctypes.data != where
    del view
    assert pool.take().ctypes.data == where and len(pool.kept) == 3


@pytest.mark.parametrize("wide", [False, True])
def test_any_layout_of_the_argument(wide, monkeypatch):
    monkeypatch.setattr(gossip, "MAX_NARROW_WIDTH", 0 if wide else 1 << 14)
    W, s = make("erdos-renyi", 6), rows(6, 8)
    for odd in (
        np.asfortranarray(s),
        np.repeat(s, 2, axis=1)[:, ::2],
        s[::-1][::-1],
        np.repeat(s, 2, axis=0)[::2],
    ):
        assert same(W @ odd, W @ s)
        assert all(map(same, W @ (odd, odd), W @ (s, s)))
    assert same(make("ring", 6, np.float32) @ s, make("ring", 6, np.float32) @ s.astype(np.float32))


def sent(floats, messages, rounds):
    """Of messages whose floats all travel in double precision."""
    return Sent(floats, messages, rounds, 8 * floats)


def test_counts():
    """Floats and messages over the edges of the graph; a ring has 2 n of them, in both
    directions."""
    W = make("ring", 5)
    assert W.sent == sent(0, 0, 0)
    W @ rows(5, 7)
    assert W.sent == sent(10 * 7, 10, 1)
    W @ (rows(5, 3), rows(5, 2))
    W @ (rows(5, 2), rows(5, 3))
    assert W.sent == sent(10 * 17, 30, 3)
    assert W.seconds > 0


@pytest.mark.parametrize("n", [1, 2, 6])
def test_counts_of_an_average(n):
    """As a star would: every agent but the centre sends its row and is sent the mean."""
    W = make("centralized", n)
    W @ rows(n, 7)
    W @ (rows(n, 1), rows(n, 2))
    assert W.sent == sent(2 * (n - 1) * 10, 2 * (n - 1) * 2, 2)


TWO = {"upper": {"name": "star"}, "lower": {"name": "ring"}}  # 8 and 10 directed edges of 5 agents
P, Q = 3, 4
COUNTS = [
    # method, topology, and of an iteration: (floats over edges, messages over edges, rounds) by
    # graph
    ({"name": "sparkle-ed", "schedule": "jacobi"}, "ring", 10 * (P + 2 * Q), 10, 1),
    ({"name": "sparkle-semi-gt", "schedule": "jacobi"}, "ring", 10 * 2 * (P + 2 * Q), 10, 1),
    ({"name": "sparkle-gt", "schedule": "jacobi"}, "ring", 10 * 2 * (P + 2 * Q), 20, 2),
    ({"name": "sparkle-ed-gt", "schedule": "jacobi"}, "ring", 10 * (2 * P + 2 * Q), 20, 2),
    ({"name": "sparkle-ed"}, "ring", 10 * (P + 2 * Q), 30, 3),
    ({"name": "sparkle-gt-ed"}, "ring", 10 * (P + 4 * Q), 50, 5),
    ({"name": "sparkle-ed", "schedule": "jacobi"}, TWO, 8 * P + 10 * 2 * Q, 18, 2),
    ({"name": "sparkle-ed"}, TWO, 8 * P + 10 * 2 * Q, 28, 3),
    ({"name": "sparkle-ed-centralized", "schedule": "jacobi"}, "ring", 8 * P + 10 * 2 * Q, 18, 2),
    ({"name": "d-soba"}, "ring", 10 * (P + 2 * Q), 10, 1),
    ({"name": "sun-dsbo-gt"}, "ring", 10 * (2 * P + 4 * Q), 10, 1),
    ({"name": "sun-dsbo-se"}, "ring", 10 * (P + 2 * Q), 10, 1),
    ({"name": "soba"}, "ring", 8 * (P + 2 * Q), 8, 1),
    ({"name": "single-level-ed"}, "star", 8 * P, 8, 1),
]


@pytest.mark.parametrize(("method", "topology", "floats", "messages", "rounds"), COUNTS)
def test_counts_of_an_iteration(method, topology, floats, messages, rounds):
    plan = Plan(
        config.check(
            {
                "problem": {"name": "quadratic", "p": P, "q": Q},
                "method": method,
                "run": {"agents": 5},
                "topology": topology if isinstance(topology, dict) else {"name": topology},
            }
        )
    )
    state = plan.method.start(*plan.rows())
    for k in range(3):
        state = plan.method.step(k, plan.oracle, plan.W, state)
    assert plan.W.sent == sent(3 * floats, 3 * messages, 3 * rounds)


def test_levels_answer_in_order():
    """Levels that share a topology share their messages; answers come in the order of the
    questions, those after the third from z."""
    x, y = make("star", 5), make("ring", 5)
    a, b, c, d, e = (rows(5, width) for width in (2, 3, 4, 5, 6))
    for levels, rounds in (
        (Levels(x, y, y), (1, 1)),
        (Levels(y, x, y), (1, 1)),
        (Levels(x, x, x), (1, 0)),
        (Levels(y, y, x), (1, 1)),
    ):
        before = x.sent.rounds, y.sent.rounds
        found = levels @ (a, b, c, d, e)
        assert {x.sent.rounds - before[0], y.sent.rounds - before[1]} == set(rounds)
        for answer, W, s in zip(
            found, (levels.x, levels.y, levels.z, levels.z, levels.z), (a, b, c, d, e), strict=True
        ):
            assert same(answer, W @ s)
        assert levels.sent == Sent(
            *(sum(counts) for counts in zip(*(W.sent for W in levels.distinct), strict=True))
        )


@pytest.mark.parametrize("shape", [(4, 3), (6, 3), (5,), (5, 3, 1), ()])
@pytest.mark.parametrize("name", ["ring", "centralized"])
def test_wrong_shapes(name, shape):
    W = make(name, 5)
    for message in (np.zeros(shape), (np.zeros((5, 2)), np.zeros(shape))):
        with pytest.raises(
            UserError,
            match=(
                r"W @ s: s has shape \(.*\), expected \(5, d\), one row for each agent of this rank"
            ),
        ):
            W @ message
    assert W.sent == sent(0, 0, 0)


@pytest.mark.parametrize(
    "ranks", [1, 3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 5, 8))]
)
def test_over_ranks(mpi, ranks, tmp_path):
    """Bits, counts and sentences: see ranks_gossip.py; every combination on two ranks."""
    for i in (0, 1):
        np.save(tmp_path / f"W{i}.npy", mixing_matrix(8, seed=i))
    words = ["-m", "mpi4py", SCRIPT, *(["every"] if ranks == 2 else [])]
    done = mpi(ranks, words, cwd=tmp_path, timeout=100 if ranks < 5 else 200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [f"gossip agrees on {ranks} ranks"]
    assert done.stderr.count("cannot share memory here; rows are sent as messages") == (ranks > 1)
