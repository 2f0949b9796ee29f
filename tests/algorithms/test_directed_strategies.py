"""Strategies on directed graphs: their recursions in dense matrices, what they keep, and where
methods go with them."""

import numpy as np
import pytest

from mpidbo import config
from mpidbo import network as topologies
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.parallel.agents import Agents
from mpidbo.solver.plan import Plan
from support.closed_form import STEPS, Exact, N, solve
from support.dense import Rows, Twisted, deviation

ITERATIONS, WIDTH = 200, 3
DIGRAPH = {"name": "directed-erdos-renyi", "p": 0.35, "seed": 1}
EXACT, BIASED = ("push-pull", "ab"), ("push-sum",)


def digraph(n=N):
    topology = topologies.make(DIGRAPH, n)
    A, B = (topology.weights[name].toarray() for name in "AB")
    assert abs(A.sum(axis=0) - 1).max() > 0.1 < abs(B.sum(axis=1) - 1).max()
    return topology, A, B


class PushPull:
    """s+ = A(s - h), h+ = B h + u+ - u, h0 = u0."""

    def __init__(self, A, B):
        self.A, self.B, self.h, self.u = A, B, np.zeros((len(A), 1)), 0

    def track(self, u):
        self.h, self.u = self.B @ self.h + u - self.u, u
        return self.h

    def __call__(self, s, u):
        return self.A @ (s - self.track(u))


class AB(PushPull):
    """s+ = A s - h, h+ = B h + u+ - u, h0 = u0."""

    def __call__(self, s, u):
        return self.A @ s - self.track(u)


class PushSum:
    """v+ = B(v - u), w+ = B w, s = v/w, from w = 1."""

    def __init__(self, A, B):
        self.B, self.v, self.w = B, None, np.ones((len(B), 1))

    def __call__(self, s, u):
        self.v = s if self.v is None else self.v
        self.v, self.w = self.B @ (self.v - u), self.B @ self.w
        return self.v / self.w


RECURSIONS = {"push-pull": PushPull, "ab": AB, "push-sum": PushSum}


def directions(n, seed=0):
    """u = step * direction, the step varying by three orders."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((ITERATIONS, n, WIDTH)) * 10 ** rng.uniform(
        -3, 0, (ITERATIONS, 1, 1)
    )


def test_every_strategy_for_directed_graphs_is_tried():
    assert RECURSIONS.keys() == {name for name, row in STRATEGIES.items() if "W" not in row.weights}


@pytest.mark.parametrize("name", RECURSIONS)
def test_recursions_and_invariants_at_every_iteration(name):
    """sum h = sum u, or sum v+ = sum v - sum u and sum w = n; the plain mean of s is not kept."""
    topology, A, B = digraph()
    s, U, expected = np.ones((N, WIDTH)), directions(N), []
    row, W, dense = STRATEGIES[name], topologies.gossip_of(topology, Agents(N)), None
    m, dense, t, total = row.start(s), RECURSIONS[name](A, B), s, s.sum(axis=0)
    found, kept, sums = [], [], []
    for u in U:
        t = dense(t, u)
        expected.append(t)
        s, m = W @ row(s, u, m)
        found.append(s)
        total = total - u.sum(axis=0)
        if name == "push-sum":
            kept.append((m.w * s).sum(axis=0))
            sums.append(total)
            assert m.w.sum() == pytest.approx(N, abs=1e-12)
        else:
            kept.append(m.h.sum(axis=0))
            sums.append(u.sum(axis=0))
    assert deviation(found, expected) < 1e-12
    assert deviation(kept, sums) < 1e-12
    assert abs(found[-1].sum(axis=0) - total).max() > 1e-3
    assert W.sent.rounds == ITERATIONS
    assert W.sent.floats == ITERATIONS * topology.edges * (WIDTH * row.width + row.scalars)


def test_perrons_mean_is_kept():
    """That of A for s+ = A(s - h): with its weights the mean moves by that of A h alone."""
    topology, A, _ = digraph()
    values, vectors = np.linalg.eig(A.T)
    pi = vectors[:, abs(values).argmax()].real
    pi /= pi.sum()
    W, row = topologies.gossip_of(topology, Agents(N)), STRATEGIES["ab"]
    s, m = np.ones((N, WIDTH)), STRATEGIES["ab"].start(np.ones((N, WIDTH)))
    for u in directions(N)[:50]:
        before = pi @ s
        s, m = W @ row(s, u, m)
        assert abs(pi @ s - before + pi @ m.h).max() < 1e-12


@pytest.mark.parametrize("schedule", ["gauss-seidel", "jacobi"])
@pytest.mark.parametrize("name", RECURSIONS)
def test_sparkle_is_its_dense_recursion(name, schedule):
    """On a problem that is not linear, with noise, another digraph at each level."""
    n, steps = 6, {"alpha": 0.02, "beta": 0.1, "gamma": 0.1, "theta": 0.5}
    specs = {"upper": {**DIGRAPH, "seed": 4}, "lower": {**DIGRAPH, "lazy": True}}
    options = {"p": 3, "q": 4, "noise": 0.2}
    tables = {
        "problem": {"name": Twisted, **options},
        "method": {"name": "sparkle", "strategy": name, "schedule": schedule},
        "topology": specs,
        "steps": steps,
        "run": {"agents": n, "seed": 3},
    }
    plan = Plan(config.check(tables))
    upper, lower = (
        [topologies.make(specs[side], n).weights[key].toarray() for key in "AB"]
        for side in ("upper", "lower")
    )
    X, Y, Z = (RECURSIONS[name](*pair) for pair in (upper, lower, lower))
    o = Rows([Twisted(i, n, xp=np, seed=3, **options) for i in range(n)], 3)
    x, y = plan.rows()
    z, r, state, found, expected = 0 * y, 0 * x, plan.method.start(x, y), [], []
    for k in range(60):
        state = plan.method.step(k, plan.oracle, plan.W, state)
        o.draw(k, phase=0)
        if schedule == "gauss-seidel":
            y = Y(y, 0.1 * o.g_y(x, y))
            o.draw(k, phase=1)
            z = Z(z, 0.1 * (o.g_yy(x, y, z) - o.f_y(x, y)))
            o.draw(k, phase=2)
            r = 0.5 * r + 0.5 * (o.f_x(x, y) - o.g_xy(x, y, z))
            x = X(x, 0.02 * r)
        else:
            v, p = o.g_y(x, y), o.g_yy(x, y, z) - o.f_y(x, y)
            r = 0.5 * r + 0.5 * (o.f_x(x, y) - o.g_xy(x, y, z))
            x, y, z = X(x, 0.02 * r), Y(y, 0.1 * v), Z(z, 0.1 * p)
        found.append(np.concatenate([state.x, state.y, state.z], axis=1))
        expected.append(np.concatenate([x, y, z], axis=1))
    assert deviation(found, expected) < 1e-11


@pytest.mark.parametrize(
    "table",
    [
        {"name": "sparkle"},
        {"name": "sparkle", "schedule": "jacobi"},
        {"name": "d-soba"},
        {"name": "d-soba", "variant": "first-order"},
        {"name": "sldbo"},
    ],
    ids=str,
)
@pytest.mark.parametrize("row", EXACT)
def test_methods_reach_the_solution_on_a_digraph(row, table):
    """Their agents have other f and g each; losses and x are plain means over agents."""
    exact = Exact()
    steps = {"alpha": 0.03, "beta": 0.2, "gamma": 0.2} | (
        {} if table["name"] == "sldbo" else {"theta": 1.0}
    )
    result = solve({**table, "strategy": row}, 1800, topology=DIGRAPH, steps=steps)
    bound = 1e-7 if "variant" in table else 1e-9
    assert result.history["distance"][-1] < bound < 0.1 < result.history["distance"][0]
    assert np.abs(result.x - exact.solution()).max() < bound
    assert np.abs(result.y - exact.y(exact.solution())).max() < 10 * bound


@pytest.mark.parametrize("row", EXACT)
def test_sun_dsbo_and_f2sa_reach_their_penalised_solutions(row):
    exact, steps = Exact(), {"alpha": 0.1, "beta": 0.1, "gamma": 0.2}
    table = {"name": "sun-dsbo", "strategy": row, "mu": 0.3, "lam": 1.0}
    result = solve(table, 3000, topology=DIGRAPH, steps=steps)
    for found, expected in zip(
        (result.x, result.y, result.t), exact.penalty(0.3, 1.0), strict=True
    ):
        assert np.abs(found - expected).max() < 1e-6
    table = {"name": "f2sa", "strategy": row, "mu": 0.3}
    result = solve(table, 3000, topology=DIGRAPH, steps={**steps, "alpha": 0.05, "beta": 0.05})
    other = solve({**table, "strategy": "centralized"}, 3000, steps={**steps, "alpha": 0.05})
    assert np.abs(result.x - other.x).max() < 1e-6


def test_fab_is_its_dense_recursion():
    """F2SA's directions by push-pull, with mu and step sizes that vary, a digraph for x and one for
    y and t."""
    n, fall = 6, {"kind": "inverse-sqrt", "offset": 20}
    specs = {"upper": {**DIGRAPH, "seed": 4}, "lower": {**DIGRAPH, "lazy": True}}
    options = {"p": 3, "q": 4, "noise": 0.2}
    tables = {
        "problem": {"name": Twisted, **options},
        "method": {"name": "FAB", "mu": {**fall, "start": 0.9}},
        "topology": specs,
        "steps": {"alpha": {**fall, "start": 0.02}, "beta": {**fall, "start": 0.1}, "gamma": 0.1},
        "run": {"agents": n, "seed": 3},
    }
    plan = Plan(config.check(tables))
    upper, lower = (
        [topologies.make(specs[side], n).weights[key].toarray() for key in "AB"]
        for side in ("upper", "lower")
    )
    X, Y, T = PushPull(*upper), PushPull(*lower), PushPull(*lower)
    o = Rows([Twisted(i, n, xp=np, seed=3, **options) for i in range(n)], 3)
    x, y = plan.rows()
    t, state, found, expected = y, plan.method.start(x, y), [], []
    for k in range(60):
        state = plan.method.step(k, plan.oracle, plan.W, state)
        o.draw(k)
        part = (1 + k / 20) ** -0.5
        mu = 0.9 * part
        u = o.f_x(x, y) + (o.g_x(x, y) - o.g_x(x, t)) / mu
        v = o.f_y(x, y) + o.g_y(x, y) / mu
        w = o.g_y(x, t)
        x, y, t = X(x, 0.02 * part * u), Y(y, 0.1 * part * v), T(t, 0.1 * w)
        found.append(np.concatenate([state.x, state.y, state.t], axis=1))
        expected.append(np.concatenate([x, y, t], axis=1))
    assert deviation(found, expected) < 1e-11


@pytest.mark.parametrize("topology", [DIGRAPH, "ring"], ids=["digraph", "ring"])
def test_fab_reaches_its_penalised_solution(topology):
    """Where the averages of the three directions vanish; on a ring it is f2sa with semi-gt."""
    exact, mu, steps = Exact(), 0.3, {"alpha": 0.05, "beta": 0.05, "gamma": 0.2}
    result = solve({"name": "fab", "mu": mu}, 3000, topology=topology, steps=steps)
    x, y, t = (rows.mean(axis=0) for rows in (result.x, result.y, result.t))
    assert max(np.ptp(rows, axis=0).max() for rows in (result.x, result.y, result.t)) < 1e-9
    assert np.abs(exact.A @ x - exact.Aa + exact.P.T @ (t - y) / mu).max() < 1e-9
    assert np.abs(exact.B @ y - exact.Bb + exact.H @ (y - exact.y(x)) / mu).max() < 1e-9
    assert np.abs(t - exact.y(x)).max() < 1e-9
    if topology == "ring":
        other = solve({"name": "f2sa", "mu": mu}, 3000, steps=steps)
        assert np.abs(result.x - other.x).max() < 1e-12


@pytest.mark.parametrize("row", EXACT)
def test_single_level_reaches_its_minimiser(row):
    exact = Exact()
    result = solve(f"single-level-{row}", 900, topology=DIGRAPH, steps={"alpha": 0.1})
    assert np.abs(result.x - np.linalg.solve(exact.A, exact.Aa)).max() < 1e-9


@pytest.mark.slow
def test_push_sum_is_biased_as_sgd_is():
    """By its step sizes, and where agents differ only; the mean of the problem is the right one."""
    large, small = (
        solve(
            "sparkle-push-sum",
            iterations,
            topology=DIGRAPH,
            steps={key: STEPS[key] / factor for key in ("alpha", "beta", "gamma")},
        ).history["distance"][-1]
        for factor, iterations in ((2, 1500), (8, 5000))
    )
    assert 1e-3 < small < large / 3 < 0.1
    alike = {"name": "quadratic", "p": 3, "q": 4, "condition": 2.0, "heterogeneity": 0.0}
    assert solve("sparkle-push-sum", 1500, alike, topology=DIGRAPH).history["distance"][-1] < 1e-9
