"""MDBO, VRDBO, SLAM and DBSA, which share the hypergradient by a Neumann series.

Its mean is the truncated series, they are their dense recursions iterate by iterate, and their
limit is the fixed point of local inverses, which is not the solution.
"""

from itertools import product
from math import ceil, sqrt

import numpy as np
import pytest

import mpidbo
from mpidbo import config
from mpidbo.algorithms import communication_formula
from mpidbo.algorithms.neumann import Neumann
from mpidbo.algorithms.slam import Slam
from mpidbo.network import make
from mpidbo.parallel.agents import Agents
from mpidbo.problems import Problem
from mpidbo.problems.oracle import Oracle
from mpidbo.problems.quadratic import Quadratic
from mpidbo.solver.plan import Plan
from mpidbo.storage import files
from support.dense import PrimalDual, Twisted
from support.trials import GRAPHS, QUADRATIC, SEED, TWISTED, Trial

NAMES = ("mdbo", "vrdbo", "slam", "dbsa")


# the estimator


class Coin(Problem):
    """A sample is one of two outcomes, which decides every coefficient, as scripted."""

    dims = (2, 3)

    def __init__(self, agent=0, n_agents=1, *, xp=np, seed=0):
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        rng = np.random.default_rng(5)
        skew = rng.standard_normal((2, 3, 3))
        self.H = np.eye(3) / 2 + skew @ skew.transpose(0, 2, 1) / 4
        self.P, self.u, self.v = (
            rng.standard_normal((2, 2, 3)),
            rng.standard_normal((2, 2)),
            rng.standard_normal((2, 3)),
        )
        self.script = iter(())

    def draw(self, rng):
        return next(self.script)

    def f_x(self, x, y, sample):
        return self.u[sample] + x

    def f_y(self, x, y, sample):
        return self.v[sample] * y

    def g_y(self, x, y, sample):
        return self.H[sample] @ y

    def g_yy(self, x, y, v, sample):
        return self.H[sample] @ v

    def g_xy(self, x, y, v, sample):
        return self.P[sample] @ v


def truncated(H, J, L):
    """(1/L) sum_{j<J} (I - H/L)^j."""
    return sum(np.linalg.matrix_power(np.eye(len(H)) - H / L, j) for j in range(J)) / L


def test_mean_over_lengths_and_samples():
    """Over every Jt and every outcome of every sample, which are independent.

    One is for the gradients of f, one for g_xy, one for each product.
    """
    problem, J, L = Coin(), 4, 2.5
    oracle = Oracle([problem], Agents(1))
    x, y = np.array([[1.0, -2.0]]), np.array([[0.5, 1.0, -1.0]])
    mean = np.zeros((1, 2))
    for Jt in range(J):
        oracle.integers = lambda k, phase, below, Jt=Jt: np.array([Jt])
        for outcomes in product((0, 1), repeat=2 + Jt):
            problem.script = iter(outcomes)
            (found,) = Slam(J=J, L=L).hypergradients(oracle, 0, 1, (x, y))
            assert next(problem.script, None) is None
            mean += found / (J * 2 ** (2 + Jt))
    assert oracle.calls["g_yy"] == sum(Jt * 2 ** (2 + Jt) for Jt in range(J))
    H, P, u, v = (part.mean(axis=0) for part in (problem.H, problem.P, problem.u, problem.v))
    np.testing.assert_allclose(mean[0], u + x[0] - P @ truncated(H, J, L) @ (v * y[0]), rtol=1e-12)


@pytest.mark.parametrize("J", [1, 2, 7, 150])
def test_mean_over_lengths(J):
    """Of agents that differ, at points of their own, nonlinear; the inverse itself for large J."""
    team = [Twisted(i, 3, xp=np, seed=2) for i in range(3)]
    oracle, L = Oracle(team, Agents(3)), 2.0
    rng = np.random.default_rng(1)
    x, y, other = (
        rng.standard_normal((3, 3)),
        rng.standard_normal((3, 4)),
        rng.standard_normal((3, 4)),
    )
    mean, mean_of_other = np.zeros((3, 3)), np.zeros((3, 3))
    for shift in range(J):
        oracle.integers = lambda k, phase, below, shift=shift: (np.arange(3) + shift) % below
        found, found_of_other = Slam(J=J, L=L).hypergradients(oracle, 0, 1, (x, y), (x, other))
        mean, mean_of_other = mean + found / J, mean_of_other + found_of_other / J
    for points, means in ((y, mean), (other, mean_of_other)):
        for agent, a, b, found in zip(team, x, points, means, strict=True):
            H = np.stack([agent.g_yy(a, b, e, None) for e in np.eye(4)], axis=1)
            expected = [
                agent.f_x(a, b, None) - agent.g_xy(a, b, M @ agent.f_y(a, b, None), None)
                for M in (truncated(H, J, L), np.linalg.inv(H))
            ]
            np.testing.assert_allclose(found, expected[0], rtol=1e-11)
            assert (np.abs(found - expected[1]).max() < 1e-10) == (J == 150)


def lengths(k, phase, J, n, seed=SEED):
    """Jt of every agent, drawn anew."""
    return [
        int(
            np.random.Generator(
                np.random.Philox(
                    key=np.array([seed, i], np.uint64),
                    counter=np.array([0, 0, phase, k], np.uint64),
                )
            ).integers(J)
        )
        for i in range(n)
    ]


@pytest.mark.parametrize(("name", "twice"), [("mdbo", 1), ("vrdbo", 2), ("slam", 1), ("dbsa", 1)])
def test_calls_are_those_of_an_agent_that_does_Jt_products(name, twice):
    n, K, J = 3, 40, 5
    result = mpidbo.solve(
        "quadratic", {"name": name, "J": J}, agents=n, iterations=K, seed=SEED, evaluate_every=K
    )
    inner = [ceil(sqrt(k + 1)) if name == "dbsa" else 1 for k in range(K)]
    drawn = np.array([lengths(k, inner[k], J, n) for k in range(K)])
    assert result.history["calls_g_yy"][-1] == twice * drawn.sum() and result.history["calls_g_y"][
        -1
    ] == twice * n * sum(inner)
    assert all(
        result.history[f"calls_{oracle}"][-1] == twice * n * K for oracle in ("f_x", "f_y", "g_xy")
    )
    assert {*drawn.flat} == {*range(J)} and (np.ptp(drawn, axis=1) > 0).sum() > K / 2


# the recursions


def estimates(trial, k, phase, J, L, *points):
    """Ft at each point, from dense Hessians; phases: Jt, f's gradients, g_xy, the products."""
    o, n = trial.o, len(trial.x)
    Jt = lengths(k, phase, J, n)
    o.draw(k, phase + 1)
    u, z = [o.f_x(*point) for point in points], [J * o.f_y(*point) / L for point in points]
    for j in range(1, J):
        o.draw(k, phase + 2 + j)
        for x, y, v in ((*point, v) for point, v in zip(points, z, strict=True)):
            columns = [o.g_yy(x, y, np.tile(e, (n, 1))) for e in np.eye(y.shape[1])]
            for i in range(n):
                if j <= Jt[i]:
                    v[i] -= np.stack([column[i] for column in columns], axis=1) @ v[i] / L
    o.draw(k, phase + 2)
    return [u - o.g_xy(*point, v) for u, point, v in zip(u, points, z, strict=True)]


def at(trial, k, phase, *points):
    trial.o.draw(k, phase)
    return [trial.o.g_y(*point) for point in points]


def mdbo(trial, J, L, eta):
    x, y, I = trial.x, trial.y, np.eye(len(trial.x))
    W, M = trial.upper, trial.lower
    for k, s in enumerate(trial.steps):
        (v,), (u,) = at(trial, k, 0, (x, y)), estimates(trial, k, 1, J, L, (x, y))
        if k == 0:
            U = X = u
            V = Y = v
        else:
            u, v = (1 - s.theta) * U + s.theta * u, (1 - s.theta) * V + s.theta * v
            X, Y, U, V = W @ X + u - U, M @ Y + v - V, u, v
        x, y = x - eta * (I - W) @ x - s.alpha * X, y - eta * (I - M) @ y - s.beta * Y
        yield x, y


def vrdbo(trial, J, L, eta):
    x, y, I = trial.x, trial.y, np.eye(len(trial.x))
    old = x, y
    W, M = trial.upper, trial.lower
    for k, s in enumerate(trial.steps):
        if k == 0:
            (V,), (U,) = at(trial, k, 0, (x, y)), estimates(trial, k, 1, J, L, (x, y))
            X, Y = U, V
        else:
            v, v_old = at(trial, k, 0, (x, y), old)
            u, u_old = estimates(trial, k, 1, J, L, (x, y), old)
            u, v = (
                (1 - s.theta) * (mean + new - then) + s.theta * new
                for mean, new, then in ((U, u, u_old), (V, v, v_old))
            )
            X, Y, U, V = W @ X + u - U, M @ Y + v - V, u, v
        old = x, y
        x, y = x - eta * (I - W) @ x - s.alpha * X, y - eta * (I - M) @ y - s.beta * Y
        yield x, y


def slam(trial, J, L):
    """The augmented Lagrangian, with multipliers l and m."""
    x, y, I = trial.x, trial.y, np.eye(len(trial.x))
    W, M = trial.upper, trial.lower
    l, m = 0 * x, 0 * y
    for k, s in enumerate(trial.steps):
        (v,), (u,) = at(trial, k, 0, (x, y)), estimates(trial, k, 1, J, L, (x, y))
        x, y = W @ x - s.alpha * u - l, M @ y - s.beta * v - m
        l, m = l + (I - W) @ x, m + (I - M) @ y
        yield x, y


def slam_by_rows(trial, J, L, lower, upper):
    x, y, X, Y = trial.x, trial.y, PrimalDual(upper, trial.upper), PrimalDual(lower, trial.lower)
    for k, s in enumerate(trial.steps):
        (v,), (u,) = at(trial, k, 0, (x, y)), estimates(trial, k, 1, J, L, (x, y))
        x, y = X(x, s.alpha * u), Y(y, s.beta * v)
        yield x, y


def dbsa(trial, J, L):
    x, y = trial.x, trial.y
    for k, s in enumerate(trial.steps):
        T = ceil(sqrt(k + 1))
        for t in range(T):
            (v,) = at(trial, k, t, (x, y))
            y = trial.lower @ y - s.beta * v
        (u,) = estimates(trial, k, T, J, L, (x, y))
        x = trial.upper @ x - s.alpha * u
        yield x, y


PLACES = [
    (TWISTED, "random", 5, 3),
    (TWISTED, "two", 5, 4),
    (QUADRATIC, "file", 8, 2),
    (TWISTED, "ring", 1, 3),
    (TWISTED, "ring", 2, 1),
]


@pytest.mark.parametrize(("problem", "topology", "n", "J"), PLACES)
@pytest.mark.parametrize(("name", "dense"), [("mdbo", mdbo), ("vrdbo", vrdbo)])
def test_with_momentum(name, dense, problem, topology, n, J, tmp_path):
    trial = Trial(
        problem, {"name": name, "J": J, "L": 2.0, "eta": 0.4}, n, GRAPHS[topology], tmp_path
    )
    assert trial.deviation(dense(trial, J, 2.0, 0.4)) < 1e-10


@pytest.mark.parametrize(("problem", "topology", "n", "J"), PLACES)
@pytest.mark.parametrize(("name", "dense"), [("slam", slam), ("dbsa", dbsa)])
def test_without_momentum(name, dense, problem, topology, n, J, tmp_path):
    trial = Trial(problem, {"name": name, "J": J, "L": 2.0}, n, GRAPHS[topology], tmp_path)
    assert trial.deviation(dense(trial, J, 2.0)) < 1e-10


@pytest.mark.parametrize(
    ("lower", "upper"), [("ed", "semi-gt"), ("gt", "non-gt"), ("sgd", "dgd"), ("centralized", "ed")]
)
def test_slam_by_other_rows(lower, upper, tmp_path):
    trial = Trial(
        TWISTED, {"name": f"slam-{lower}-{upper}", "J": 3, "L": 2.0}, 5, GRAPHS["random"], tmp_path
    )
    assert trial.deviation(slam_by_rows(trial, 3, 2.0, lower, upper)) < 1e-10


# what they are told and send


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("mdbo", ("2p + 2q", 1)),
        ("vrdbo", ("2p + 2q", 1)),
        ("slam", ("p + q", 1)),
        ("dbsa", ("p + 2q", 3)),
    ],
)
def test_what_they_send(name, formula):
    checked = config.check({"problem": {"name": "quadratic"}, "method": {"name": name}})
    rule = config.rule_of(checked.method, checked.steps, n=2, horizon=10)
    assert communication_formula(rule) == formula
    assert communication_formula(rule, 99) == (("p + 10q", 11) if name == "dbsa" else formula)


@pytest.mark.parametrize("name", NAMES)
def test_L_is_estimated_and_written(name, tmp_path):
    result = mpidbo.solve("quadratic", name, agents=4, iterations=5, out=tmp_path / "run")
    largest = max(np.linalg.eigvalsh(Quadratic(i, 4, xp=np, seed=0).H).max() for i in range(4))
    assert 1.05 * largest < result.config.method["L"] <= 1.1 * largest * (1 + 1e-12)
    assert f"L = {result.config.method['L']!r}\n" in (tmp_path / "run" / files.CONFIG).read_text()
    again = mpidbo.solve(
        "quadratic", {"name": name, "L": result.config.method["L"]}, agents=4, iterations=5
    )
    assert (again.x == result.x).all() and (again.y == result.y).all()
    assert (
        mpidbo.solve("quadratic", {"name": name, "L": 3.0}, agents=4, iterations=5).x != result.x
    ).any()


class Flat(Problem):
    """g is linear in y: there is no curvature."""

    dims = (2, 3)

    def f_x(self, x, y, sample):
        return x

    def f_y(self, x, y, sample):
        return y

    def g_y(self, x, y, sample):
        return y + 1

    def g_yy(self, x, y, v, sample):
        return 0 * v

    def g_xy(self, x, y, v, sample):
        return 0 * x


def test_no_curvature_to_estimate():
    with pytest.raises(
        mpidbo.UserError,
        match=r"^method\.L: g_yy at the start gives 0, no curvature to scale by; give L",
    ):
        mpidbo.solve(Flat, "mdbo", agents=3, iterations=2, checks="never")
    assert (
        mpidbo.solve(
            Flat, {"name": "mdbo", "L": 1.0}, agents=3, iterations=2, checks="never"
        ).config.method["L"]
        == 1.0
    )


@pytest.mark.parametrize("name", ["mdbo", "vrdbo"])
def test_theta_is_a_weight(name):
    for theta, wrong in (
        (1.0, False),
        (1.01, True),
        ({"kind": "inverse-sqrt", "start": 2.0}, True),
    ):
        tables = {
            "problem": {"name": "quadratic"},
            "method": {"name": name},
            "steps": {"theta": theta},
        }
        if not wrong:
            config.check(tables)
            continue
        with pytest.raises(
            mpidbo.UserError,
            match=r"^steps\.theta: .* is not a weight of an average; give at most 1",
        ):
            config.check(tables)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"name": "mdbo", "J": 0}, "method.J: 0 is out of range; give at least 1"),
        ({"name": "slam", "J": 2.5}, "method.J: 2.5 is not a whole number"),
        ({"name": "dbsa", "L": 0.0}, "method.L: 0.0 is out of range"),
        ({"name": "mdbo", "eta": 1.5}, "method.eta: 1.5 goes beyond"),
        ({"name": "vrdbo", "eta": 0}, "method.eta: 0 is out of range"),
        ({"name": "slam", "eta": 0.1}, "method.eta: unknown key of slam"),
        ({"name": "mdbo", "strategy": "ed"}, "method.strategy: fixed by mdbo; leave it out"),
        ({"name": "vrdbo-ed"}, 'method.name: "vrdbo-ed" names no strategies of vrdbo'),
    ],
)
def test_mistakes(table, sentence):
    with pytest.raises(mpidbo.UserError, match="^" + sentence.replace(".", r"\.")):
        config.check({"problem": {"name": "quadratic"}, "method": table})


# where they go


class Limit:
    """The fixed points on the quadratic of five agents, in closed form."""

    N, OPTIONS = 5, {"p": 3, "q": 4, "condition": 2.0}

    def __init__(self, J, heterogeneity=1.0, L=1.5):
        """J = None is the inverse itself."""
        self.problem = {"name": "quadratic", **self.OPTIONS, "heterogeneity": heterogeneity}
        self.table = {"J": J or 60, "L": L}
        team = [
            Quadratic(i, self.N, xp=np, seed=0, heterogeneity=heterogeneity, **self.OPTIONS)
            for i in range(self.N)
        ]
        self.team, self.star = team, team[0].solution()
        self.inverses = [np.linalg.inv(a.H) if J is None else truncated(a.H, J, L) for a in team]
        # Ft_i = A_i x + R_i y - r_i, R_i = P_i' M_i B_i with M_i for the inverse
        self.R = [a.P.T @ M @ a.B for a, M in zip(team, self.inverses, strict=True)]
        self.r = [a.A @ a.a + R @ a.b for a, R in zip(team, self.R, strict=True)]

    def tracked(self):
        """Where the agents' mean of Ft and of g_y vanishes: MDBO, VRDBO, SLAM."""
        A, R, H, P = (
            sum(parts)
            for parts in (
                [a.A for a in self.team],
                self.R,
                [a.H for a in self.team],
                [a.P for a in self.team],
            )
        )
        point = np.linalg.solve(
            np.block([[A, R], [-P, H]]), np.concatenate([sum(self.r), sum(a.c for a in self.team)])
        )
        return np.tile(point[:3], (self.N, 1))

    def plain(self, W, alpha, beta):
        """Where (I - W) x + alpha Ft and (I - W) y + beta g_y vanish: DBSA."""
        n, p, q = self.N, 3, 4
        K, right = np.zeros((n * (p + q), n * (p + q))), np.zeros(n * (p + q))
        K[: n * p, : n * p], K[n * p :, n * p :] = (
            np.kron(np.eye(n) - W, np.eye(p)),
            np.kron(np.eye(n) - W, np.eye(q)),
        )
        for i, a in enumerate(self.team):
            x, y = slice(i * p, (i + 1) * p), slice(n * p + i * q, n * p + (i + 1) * q)
            K[x, x] += alpha * a.A
            K[x, y], K[y, x], K[y, y] = alpha * self.R[i], -beta * a.P, K[y, y] + beta * a.H
            right[x], right[y] = alpha * self.r[i], beta * a.c
        return np.linalg.solve(K, right)[: n * p].reshape(n, p)

    def solve(self, name, iterations, steps, **run):
        return mpidbo.solve(
            self.problem,
            {"name": name, **self.table},
            "ring",
            self.N,
            steps,
            iterations,
            evaluate_every=iterations,
            **run,
        ).x


@pytest.fixture
def in_expectation(monkeypatch):
    """Every estimate is its mean over Jt: with linear oracles the iterates are then their mean."""

    def mean(self, oracle, k, phase, *points):
        o, found = oracle.draw(k, phase + 1), []
        for x, y in points:
            v = total = o.f_y(x, y) / self.L
            for _ in range(self.J - 1):
                v = v - o.g_yy(x, y, v) / self.L
                total = total + v
            found.append(o.f_x(x, y) - o.g_xy(x, y, total))
        return found

    monkeypatch.setattr(Neumann, "hypergradients", mean)


STEPS = {
    "mdbo": {"alpha": 0.05, "beta": 0.1, "theta": 0.5},
    "vrdbo": {"alpha": 0.06, "beta": 0.3},
    "slam": {"alpha": 0.06, "beta": 0.3},
    "dbsa": {"alpha": 0.06, "beta": 0.3},
}


def expected(limit, name):
    if name != "dbsa":
        return limit.tracked()
    return limit.plain(make("ring", limit.N).W.toarray(), **STEPS["dbsa"])


@pytest.mark.parametrize("name", NAMES)
def test_limit_with_one_term(name):
    """J = 1 is Ft = f_x - g_xy f_y / L, where nothing is random."""
    limit = Limit(J=1)
    found = limit.solve(name, 600 if name == "dbsa" else 1500, STEPS[name])
    np.testing.assert_allclose(found, expected(limit, name), rtol=0, atol=1e-9)
    assert np.linalg.norm(found.mean(axis=0) - limit.star) > 0.1


@pytest.mark.parametrize("J", [5, None])
@pytest.mark.parametrize("name", NAMES)
def test_limit_in_expectation(name, J, in_expectation):
    """With five terms, and with so many that inverses are exact: not the solution either way."""
    limit = Limit(J)
    found = limit.solve(name, 600 if name == "dbsa" else 1200, STEPS[name])
    np.testing.assert_allclose(found, expected(limit, name), rtol=0, atol=1e-9)
    assert np.linalg.norm(found - limit.star, axis=1).min() > 0.04


@pytest.mark.parametrize("name", NAMES)
def test_solution_where_agents_are_alike(name, in_expectation):
    limit = Limit(J=None, heterogeneity=0.0)
    found = limit.solve(name, 600 if name == "dbsa" else 1200, STEPS[name])
    np.testing.assert_allclose(found, np.tile(limit.star, (5, 1)), rtol=0, atol=1e-9)


def test_bias_of_local_inverses():
    """Zero where agents are alike; it grows as the square of what differs, whatever the terms."""

    def miss(J, heterogeneity):
        limit = Limit(J, heterogeneity)
        return float(np.linalg.norm(limit.tracked()[0] - limit.star))

    exact = [miss(None, h) for h in (0.0, 0.05, 0.1, 0.2, 1.0)]
    assert (
        exact[0] < 1e-12
        and exact[2] / exact[1] == pytest.approx(4, rel=0.1)
        and exact[3] / exact[2] == pytest.approx(4, rel=0.1)
    )
    assert exact == sorted(exact) and exact[-1] > 0.06
    few = [miss(J, 1.0) for J in (5, 10, 20, 40)]
    assert few == sorted(few) and few[-1] == pytest.approx(exact[-1], rel=1e-4)
    assert miss(5, 0.05) > 100 * miss(
        20, 0.05
    )  # where agents are nearly alike, terms are what counts


@pytest.mark.parametrize("name", NAMES)
def test_limit_of_a_run_as_it_is(name):
    """With Jt drawn, the average over iterations is near the fixed point, not the solution."""
    limit, K = Limit(J=5), 600 if name == "dbsa" else 2400
    tables = {
        "problem": limit.problem,
        "method": {"name": name, **limit.table},
        "steps": STEPS[name],
        "run": {"agents": limit.N},
    }
    total = np.zeros(3)
    with Plan(config.check(tables)) as plan:
        state = plan.method.start(*plan.rows())
        for k in range(K):
            state = plan.method.step(k, plan.oracle, plan.W, state)
            total += state.x.mean(axis=0) * (k >= K // 6)
    mean = total / (K - K // 6)
    assert np.linalg.norm(mean - expected(limit, name).mean(axis=0)) < 0.02
    assert np.linalg.norm(mean - limit.star) > 0.04
