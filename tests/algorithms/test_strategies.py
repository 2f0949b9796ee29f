"""Every strategy is its dense primal-dual form for any directions, and keeps its averages."""

import warnings

import numpy as np
import pytest

import mpidbo
from mpidbo import network as topologies
from mpidbo.algorithms.strategies import STRATEGIES, Strategy, strategy
from mpidbo.errors import UserError
from mpidbo.parallel.agents import Agents
from support.dense import (
    ALIKE,
    COMPRESSED,
    POWERS,
    PrimalDual,
    deviation,
    mixing_matrix,
    root,
)
from support.uncompressed import exact

ITERATIONS, WIDTH = 200, 3
GRAPHS = ("ring", "erdos-renyi", "file", "exponential")
TRACKING = (*ALIKE, "beer")
"""Rows with a tracker, whose mean is that of u."""


def graph(kind, n, folder):
    """A named graph, a random one, W from a file, and a directed one."""
    if kind == "file":
        np.save(folder / "W.npy", mixing_matrix(n))
        return topologies.make({"file": "W.npy"}, n, folder=folder)
    options = {"erdos-renyi": {"p": 0.5, "seed": 3}, "exponential": {"directed": True}}.get(
        kind, {}
    )
    return topologies.make({"name": kind, **options}, n)


def directions(n, seed=0):
    """u = step * direction, the step varying by three orders."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((ITERATIONS, n, WIDTH)) * 10 ** rng.uniform(
        -3, 0, (ITERATIONS, 1, 1)
    )


def start(name, n, seed=0):
    s = np.random.default_rng(seed).standard_normal((n, WIDTH))
    return np.repeat(s[:1], n, axis=0) if name in (*TRACKING, "lead") else s


def sequence(row, W, s, U):
    """s and the memory after each step of the package's recursion."""
    row = exact(row)
    m, found = row.start(s), []
    for u in U:
        s, m = W @ row(s, u, m)
        found.append((s, m))
    return found


def gossip_of(name, topology):
    n = topology.n
    return topologies.gossip_of(
        topologies.centralized(n) if name == "centralized" else topology, Agents(n)
    )


def test_every_strategy_is_tried():
    assert set(STRATEGIES) == {*POWERS, *COMPRESSED}


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("kind", GRAPHS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_explicit_recursion_is_the_primal_dual_one(name, kind, n, tmp_path):
    topology = graph(kind, n, tmp_path)
    if STRATEGIES[name].symmetric and not topology.symmetric:
        with pytest.raises(UserError, match="needs a symmetric W"):
            topologies.suits(topology, STRATEGIES[name])
        return
    s, U, dense = start(name, n), directions(n), PrimalDual(name, topology.W.toarray())
    found = [s for s, _ in sequence(STRATEGIES[name], gossip_of(name, topology), s, U)]
    expected = []
    for u in U:
        expected.append(s := dense(s, u))
    assert deviation(found, expected) < 1e-11


@pytest.mark.parametrize("n", [1, 5, 8])
@pytest.mark.parametrize("kind", GRAPHS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_averages(name, kind, n, tmp_path):
    """mean(s+) = mean(s) - mean(u) for every row; mean(h) = mean(u) for those that track."""
    topology = graph(kind, n, tmp_path)
    s, U = start(name, n), directions(n)
    states = sequence(STRATEGIES[name], gossip_of(name, topology), s, U)
    means = np.array([s.mean(axis=0) for s, _ in states])
    # compressed rows sum up what rounding loses of their large random messages
    tolerance = 1e-11 if name in COMPRESSED else 1e-12
    assert deviation(means, s.mean(axis=0) - np.cumsum(U.mean(axis=1), axis=0)) < tolerance
    assert (name in TRACKING) == hasattr(states[0][1], "h")
    if name in TRACKING:
        assert deviation([m.h.mean(axis=0) for _, m in states], U.mean(axis=1)) < tolerance


@pytest.mark.parametrize("name", STRATEGIES)
def test_first_step(name, tmp_path):
    """s1 = C s0 - A u0."""
    topology = graph("erdos-renyi", 5, tmp_path)
    dense = PrimalDual(name, topology.W.toarray())
    s, u = start(name, 5), directions(5)[0]
    [(found, _)] = sequence(STRATEGIES[name], gossip_of(name, topology), s, [u])
    np.testing.assert_allclose(found, dense.C @ s - dense.A @ u, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["ed", "extra", "gt", "semi-gt", "non-gt"])
def test_one_recursion_for_all_corrected_rows(name, tmp_path):
    """s++ = 2 W s+ - W^c s - W^a (u+ - u)."""
    topology = graph("file", 5, tmp_path)
    dense, s, U = PrimalDual(name, topology.W.toarray()), start(name, 5), directions(5)
    found = [s, *(s for s, _ in sequence(STRATEGIES[name], gossip_of(name, topology), s, U))]
    expected = [
        2 * topology.W @ after - dense.C @ before - dense.A @ (new - old)
        for before, after, old, new in zip(found, found[1:], U, U[1:], strict=False)
    ]
    assert deviation(found[2:], expected) < 1e-14


@pytest.mark.parametrize("B", ["(I-W)^1/2", "(I+C-2W)^1/2"])
def test_misprint_of_exact_diffusion(B, tmp_path):
    """With C = W^2 in place of W, as a slide prints it, the sequence is another one."""
    topology = graph("ring", 5, tmp_path)
    W, s, U = topology.W.toarray(), start("gt", 5), directions(5)
    misprint = PrimalDual("ed", W)
    misprint.C = W @ W
    misprint.B = root(np.eye(5) - W) if B == "(I-W)^1/2" else np.eye(5) - W
    found = [s for s, _ in sequence(STRATEGIES["ed"], gossip_of("ed", topology), s, U)]
    expected, d = [], s
    for u in U:
        expected.append(d := misprint(d, u))
    assert deviation(found[:1], expected[:1]) < 1e-14  # the first step cannot tell
    assert deviation(found[:3], expected[:3]) > 1e-3
    assert deviation(found, expected) > 1e-2


@pytest.mark.parametrize("name", STRATEGIES)
def test_messages_and_widths_of_the_table(name, tmp_path):
    """`width` and `rounds` are what a step sends; it changes none of its arguments."""
    topology = graph("ring", 5, tmp_path)
    row, W = STRATEGIES[name], gossip_of(name, topology)
    s, u = start(name, 5), directions(5)[0]
    m = row.start(s)
    kept = [part.copy() for part in (s, u, *m)]
    W @ row(s, u, m)
    for part, copy in zip((s, u, *m), kept, strict=True):
        np.testing.assert_array_equal(part, copy)
    assert W.sent.rounds == row.rounds
    assert W.sent.floats == W.edges * (row.width * WIDTH + row.scalars)


def test_names():
    assert strategy("ed") is STRATEGIES["ed"] and strategy(STRATEGIES["gt"]) is STRATEGIES["gt"]
    assert {name: str(row) for name, row in STRATEGIES.items()} == {
        name: name for name in STRATEGIES
    }
    assert all(
        isinstance(row, Strategy)
        and row.corrected == (name not in ("sgd", "dgd", "push-sum", "choco"))
        for name, row in STRATEGIES.items()
    )
    with pytest.raises(
        UserError, match=r"method\.lower: no strategy is called .extar.; did you mean extra\?"
    ):
        strategy("extar", "method.lower")


@pytest.mark.parametrize(
    ("method", "dtype", "warned"),
    [
        ("sparkle-ed-gt", "float32", True),
        ("sparkle-gt", "float32", False),
        ("sparkle-ed", "float64", False),
    ],
)
def test_rows_that_drift_in_single_precision_are_warned_of(method, dtype, warned):
    with warnings.catch_warnings(record=True) as printed:
        warnings.simplefilter("always")
        mpidbo.solve("quadratic", method, agents=2, iterations=1, dtype=dtype)
    assert (
        any("in float32: rounding errors add up" in str(warning.message) for warning in printed)
        is warned
    )
