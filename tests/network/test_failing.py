"""Links that fail: the dense recursions with a W for each iteration, doubly stochastic at each,
counted, and the same after a restart."""

import re
import warnings
from itertools import combinations
from math import sqrt

import numpy as np
import pytest

import mpidbo
from mpidbo import cli, config
from mpidbo import network as topologies
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.errors import UserError
from mpidbo.network import Gossip, exchange, factory, gossip
from mpidbo.network.link_failures import FailingGossip
from mpidbo.network.sent import Sent
from mpidbo.parallel.agents import Agents
from mpidbo.reports.plan_text import describe
from mpidbo.solver.loop import Loop
from mpidbo.solver.plan import Plan
from support.dense import Rows, Twisted, deviation
from support.runs import QUADRATIC, kept, run, same, toml

SPEC = {"name": "erdos-renyi", "p": 0.5, "seed": 2, "drop": 0.3}
MASK = (1 << 64) - 1


def hashed(z):
    """SplitMix64's next number of state z, on Python's integers."""
    z = (z + 0x9E3779B97F4A7C15) & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def fails(i, j, k, seed, drop):
    """Whether the edge of agents i < j fails at iteration k."""
    stream = hashed(hashed(hashed(seed) + i & MASK) + j & MASK)
    return hashed(stream + (k + 1) * 0x9E3779B97F4A7C15 & MASK) < drop * 2**64


def dense(W, k, seed, drop):
    """W_k, edge by edge."""
    W = W.copy()
    for i, j in combinations(range(len(W)), 2):
        if fails(i, j, k, seed, drop):
            W[i, i] += W[i, j]
            W[j, j] += W[j, i]
            W[i, j] = W[j, i] = 0
    return W


def made(spec=SPEC, n=7, seed=5, dtype=np.float64):
    topology = topologies.make(spec, n)
    return topology.W.toarray(), factory.gossip_of(topology, Agents(n), dtype, seed=seed)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    "spec", [SPEC, {"name": "torus", "drop": 0.6}, {"name": "ring", "lazy": False, "drop": 0.1}]
)
def test_each_iteration_has_a_doubly_stochastic_matrix(spec, wide, monkeypatch):
    monkeypatch.setattr(gossip, "MAX_NARROW_WIDTH", 0 if wide else 1 << 14)
    monkeypatch.setattr(exchange, "BLOCK_FLOATS", 5)
    full, W = made(spec, 8)
    met = []
    for k in range(40):
        W.at(k)
        found = W @ np.eye(8)
        assert np.abs(found - dense(full, k, 5, spec["drop"])).max() < 1e-15
        assert (
            (found == found.T).all()
            and found.min() >= 0
            and np.abs(found.sum(axis=0) - 1).max() < 1e-15
        )
        met.append(found)
    assert not (met[0] == met[1]).all() and (met[3] == W_at(W, 3)).all()


def W_at(W, k):
    W.at(k)
    return W @ np.eye(W.m)


def test_edges_fail_independently_and_as_often_as_said():
    """Frequencies and correlations over edges, iterations and seeds, within five standard
    deviations."""
    drop, K, full = 0.3, 4000, topologies.make("complete", 6).W.toarray()
    fallen = []
    for seed in (0, 1):
        _, W = made({"name": "complete", "drop": drop}, 6, seed)
        fallen.append([(W_at(W, k)[np.triu_indices(6, 1)] == 0) for k in range(K)])
    fallen = np.concatenate(fallen, axis=1).T.astype(float)  # (edges of both seeds, K)
    assert (full > 0).all() and np.abs(fallen.mean(axis=1) - drop).max() < 5 * sqrt(
        drop * (1 - drop) / K
    )
    for later in (fallen, np.roll(fallen, 1, axis=1)):  # at the same iteration and at the next one
        correlations = np.corrcoef(fallen, later)[: len(fallen), len(fallen) :]
        assert np.abs(
            correlations - (np.eye(len(fallen)) if later is fallen else 0)
        ).max() < 5 / sqrt(K)


def test_narrow_and_wide_rows_lose_alike(monkeypatch):
    s = np.random.default_rng(0).standard_normal((7, 9))
    for dtype in (np.float64, np.float32):
        _, narrow = made(dtype=dtype)
        found = narrow @ s
        monkeypatch.setattr(gossip, "MAX_NARROW_WIDTH", 0)
        _, wide = made(dtype=dtype)
        assert (
            np.allclose(found, wide @ s, rtol=0, atol=8 * np.finfo(dtype).eps)
            and found.dtype == dtype
        )
        for W in (narrow, wide):  # routes that are there already hear of it
            W.at(9)
        assert np.allclose(
            narrow @ s, wide @ s, rtol=0, atol=8 * np.finfo(dtype).eps
        ) and not np.allclose(found, narrow @ s)
        monkeypatch.undo()


EXPLICIT = {
    "ed": lambda W, s, u, m: (W @ (2 * s - m[0] - (u - m[1])), (s, u)),
    "extra": lambda W, s, u, m: (W @ (2 * s - m[0]) - (u - m[1]), (s, u)),
    "gt": lambda W, s, u, m: (W @ (s - (h := W @ (m[0] + u - m[1]))), (h, u)),
    "semi-gt": lambda W, s, u, m: (W @ s - (h := W @ (m[0] + u - m[1])), (h, u)),
    "non-gt": lambda W, s, u, m: (W @ s - (h := W @ m[0] + u - m[1]), (h, u)),
    "sgd": lambda W, s, u, m: (W @ (s - u), m),
    "dgd": lambda W, s, u, m: (W @ s - u, m),
}


@pytest.mark.parametrize("name", EXPLICIT)
def test_rows_are_their_recursions_with_a_matrix_for_each_iteration(name):
    """Also those of two rounds, which both meet the same failures."""
    full, W = made()
    rng = np.random.default_rng(1)
    s = np.repeat(rng.standard_normal((1, 3)), 7, axis=0)
    row, zero = STRATEGIES[name], np.zeros((7, 3))
    t, memory, explicit, found, expected = (
        s,
        row.start(s),
        (s if name in ("ed", "extra") else zero, zero),
        [],
        [],
    )
    for k in range(60):
        u = rng.standard_normal((7, 3))
        W.at(k)
        s, memory = W @ row(s, u, memory)
        t, explicit = EXPLICIT[name](dense(full, k, 5, SPEC["drop"]), t, u, explicit)
        found.append(s)
        expected.append(t)
    assert deviation(found, expected) < 1e-12


def test_a_method_is_its_recursion_with_matrices_of_its_levels():
    """D-SOBA with a failing graph at each level: an edge that both have fails in both; losses
    are not counted as sent."""
    n, K, problem = 6, 50, {"p": 3, "q": 4, "noise": 0.2}
    specs = {"upper": {"name": "ring", "drop": 0.4}, "lower": {"name": "complete", "drop": 0.4}}
    plan = Plan(
        config.check(
            {
                "problem": {"name": Twisted, **problem},
                "method": {"name": "d-soba"},
                "topology": specs,
                "steps": {"alpha": 0.1, "beta": 0.2, "gamma": 0.2, "theta": 0.5},
                "run": {"agents": n, "seed": 3},
            }
        )
    )
    X, Y = (topologies.make(specs[side], n).W.toarray() for side in ("upper", "lower"))
    o = Rows([Twisted(i, n, xp=np, seed=3, **problem) for i in range(n)], 3)
    x, y = plan.rows()
    z, r, state, loop = (
        0 * y,
        0 * x,
        plan.method.start(x, y),
        Loop(plan.method, plan.oracle, plan.W),
    )
    found, expected, edges = [], [], [0, 0]
    for k in range(K):
        state = loop.steps(state, k, k + 1)
        o.draw(k)
        Wx, Wy = (dense(full, k, 3, 0.4) for full in (X, Y))
        edges = [edges[i] + np.count_nonzero(W) - n for i, W in enumerate((Wx, Wy))]
        assert not ((Wx > 0) & (Wy == 0)).any()
        x, y, z, r = (
            Wx @ (x - 0.1 * r),
            Wy @ (y - 0.2 * o.g_y(x, y)),
            Wy @ (z - 0.2 * (o.g_yy(x, y, z) - o.f_y(x, y))),
            0.5 * r + 0.5 * (o.f_x(x, y) - o.g_xy(x, y, z)),
        )
        found.append(np.concatenate([state.x, state.y, state.z], axis=1))
        expected.append(np.concatenate([x, y, z], axis=1))
    assert deviation(found, expected) < 1e-11
    arrived = Sent(*(all_ - lost for all_, lost in zip(plan.W.sent, plan.W.lost, strict=True)))
    floats = 3 * edges[0] + 8 * edges[1]
    assert arrived == Sent(floats, sum(edges), 2 * K, 8 * floats)


STEPS = {"alpha": 0.05, "beta": 0.2, "gamma": 0.2}


def solved(row, drop, problem="quadratic", iterations=1500, **more):
    return mpidbo.solve(
        problem,
        {"name": "sparkle", "strategy": row},
        {"name": "ring", "drop": drop},
        8,
        STEPS,
        iterations,
        evaluate_every=iterations,
        **more,
    )


@pytest.mark.parametrize("row", ["gt", "semi-gt", "non-gt", "ed", "extra"])
def test_corrected_rows_stay_exact(row):
    """A fifth of the links fail at any time; without the weights on the diagonals the mean would
    be lost."""
    assert solved(row, 0.2).history["distance"][-1] < 1e-10


def test_plain_gossip_keeps_its_bias():
    without, few, many = (solved("sgd", drop).history["distance"][-1] for drop in (0.0, 0.05, 0.5))
    assert without < few < 1.1 * without and 1.5 * without < many < 3 * without


def test_what_was_lost_is_not_counted():
    history = solved("semi-gt", 0.2, iterations=20).history
    edges = {tuple(sorted((i, (i + 1) % 8))) for i in range(8)}
    held = sum(2 * (not fails(*edge, k, 0, 0.2)) for k in range(20) for edge in edges)
    p = q = 5
    assert (
        history["messages"][-1] == 3 * held < 3 * 16 * 20
        and history["floats"][-1] == 2 * (p + 2 * q) * held
        and history["bytes"][-1] == 8 * history["floats"][-1]
    )
    assert history["rounds"][-1] == 60


@pytest.mark.parametrize("drop", [0.2, 0.5])
def test_ed_and_extra_warn_where_links_fail_often(drop):
    with warnings.catch_warnings(record=True) as printed:
        warnings.simplefilter("always")
        solved("ed", drop, iterations=2)
        solved("gt", drop, iterations=2)
    assert [str(each.message)[:39] for each in printed] == (
        ["ed at x, over links that fail with prob"] if drop == 0.5 else []
    )


def test_ed_diverges_where_it_is_warned_of_and_gt_does_not():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert solved("ed", 0.8).history["distance"][-1] > 1e6
    assert solved("gt", 0.8).history["distance"][-1] < 0.1


def test_a_dry_run_has_the_mean():
    def words(**drop):
        return describe(
            Plan(
                config.check(
                    {
                        "problem": {"name": "quadratic"},
                        "method": {"name": "d-soba"},
                        "topology": {"name": "ring", **drop},
                        "run": {"agents": 10, "iterations": 100},
                    }
                )
            )
        )

    assert (
        "in 20 messages" in words() and "in all" in words() and "about 30 k floats" not in words()
    )
    assert "links fail with probability 0.1" in words(drop=0.1) and "in 18 messages" in words(
        drop=0.1
    )
    assert re.search(r"in all +about 27 k floats .* in 1800 messages", words(drop=0.1)), words(
        drop=0.1
    )


def test_without_drop_nothing_is_asked():
    plan = Plan(
        config.check(
            {
                "problem": {"name": "quadratic"},
                "method": {"name": "sparkle"},
                "topology": {"name": "ring", "drop": 0.0},
                "run": {"agents": 4},
            }
        )
    )
    assert (
        type(plan.W.x) is Gossip
        and not plan.W.changing
        and topologies.make("ring", 4).fingerprint
        == topologies.make({"name": "ring", "drop": 0}, 4).fingerprint
    )
    assert type(made()[1]) is FailingGossip


def test_a_restart_meets_the_same_failures(tmp_path, capsys):
    tables = {**QUADRATIC, "topology.name": "ring", "topology.drop": 0.4}
    path = toml(tmp_path, tables)
    run(path, tmp_path / "whole")
    run(path, tmp_path / "cut", run__iterations=21)
    assert kept(tmp_path / "cut")
    run(path, tmp_path / "cut")
    assert same(tmp_path / "whole", tmp_path / "cut")
    run(toml(tmp_path, {**QUADRATIC, "topology.name": "ring"}, "b.toml"), tmp_path / "without")
    with pytest.raises(AssertionError):
        same(tmp_path / "whole", tmp_path / "without")
    capsys.readouterr()
    run(toml(tmp_path, {**tables, "topology.drop": 0.3}, "c.toml"), tmp_path / "whole", code=2)
    assert "topology.drop" in capsys.readouterr().err


@pytest.mark.parametrize("drop", [1, 1.5, -0.1, True, "few", float("nan")])
def test_refused(drop):
    with pytest.raises(UserError, match=r"topology\.drop: "):
        topologies.make({"name": "ring", "drop": drop}, 6)


@pytest.mark.parametrize("strategy", ["gt", "sgd", "ed"])
def test_a_doubly_stochastic_matrix_does_not_survive_failures_in_one_direction(strategy):
    topology = topologies.make({"name": "exponential", "directed": True, "drop": 0.1}, 6)
    with pytest.raises(
        UserError, match="has none where links of a directed graph fail; leave drop"
    ):
        topologies.suits(topology, STRATEGIES[strategy])
    for name in ("push-pull", "ab", "push-sum"):
        topologies.suits(topology, STRATEGIES[name])


@pytest.mark.parametrize(
    ("method", "topology"),
    [("soba", {"drop": 0.1}), ("sparkle-ed-centralized", {"upper": {"name": "ring", "drop": 0.1}})],
)
def test_an_average_has_no_links(method, topology):
    with pytest.raises(
        UserError,
        match=(
            r"drop: centralized averages over all agents and has no links that fail; leave the key "
            r"out"
        ),
    ):
        Plan(
            config.check(
                {
                    "problem": {"name": "quadratic"},
                    "method": {"name": method},
                    "topology": {"name": "ring", **topology},
                    "run": {"agents": 4},
                }
            )
        )


@pytest.mark.slow
def test_the_command_tells_the_mean(capsys):
    assert cli.main(["topology", "ring", "-n", "8", "--set", "drop=0.25"]) == 0
    printed = capsys.readouterr().out
    mean = np.mean(
        [dense(topologies.make("ring", 8).W.toarray(), k, 0, 0.25) for k in range(4000)], axis=0
    )
    exact = topologies.make({"name": "ring", "drop": 0.25}, 8).mean
    assert np.abs(exact.W.toarray() - mean).max() < 0.01 and exact.gap == pytest.approx(
        0.75 * topologies.make("ring", 8).gap
    )
    assert (
        f"spectral gap {exact.gap:.6g}" in printed and "0.25, with which each edge fails" in printed
    )
