"""Limits of MA-DSBO, DSBO, Gossip-DSBO and the double loop of policy evaluation.

Fixed points in closed form, their distance to the solution, and what the methods refuse.
"""

from dataclasses import replace

import numpy as np
import pytest

import mpidbo
from mpidbo import config
from mpidbo import network as topologies
from mpidbo.errors import UserError
from mpidbo.problems import Problem
from mpidbo.solver.plan import Plan
from support.closed_form import QUADRATIC, Exact, N

STEPS = {"alpha": 0.1, "beta": 0.4, "gamma": 0.4}


def solve(method, iterations, steps, problem=QUADRATIC, **run):
    return mpidbo.solve(
        problem, method, "ring", N, steps, iterations, evaluate_every=iterations, **run
    )


@pytest.fixture(scope="module")
def network():
    return Network()


class Network(Exact):
    """All agents of the quadratic in block matrices of size N p or N q, and the limits."""

    def __init__(self):
        super().__init__()
        W = topologies.make("ring", N).W.toarray()
        self.W = {d: np.kron(W, np.eye(d)) for d in (3, 4, 12, 16)}
        self.gradient_x = (
            self.blocks("A"),
            np.concatenate([agent.A @ agent.a for agent in self.team]),
        )
        self.gradient_y = (
            self.blocks("B"),
            np.concatenate([agent.B @ agent.b for agent in self.team]),
        )
        self.w = self.blocks("P"), np.concatenate([agent.c for agent in self.team])
        self.Hs = self.blocks("H")

    def blocks(self, name):
        parts = [getattr(agent, name) for agent in self.team]
        rows, columns = parts[0].shape
        found = np.zeros((N, rows, N, columns))
        for i, part in enumerate(parts):
            found[i, :, i, :] = part
        return found.reshape(N * rows, N * columns)

    def lower_level(self, row, T, beta):
        """(M, m) of the fixed point y = M x + m of T steps, y <- E y + F w with w = P x + c."""
        W, I = self.W[4], np.eye(4 * N)
        y = np.concatenate([I, 0 * I], axis=1)  # (E, F), now y itself
        h = u = 0 * y
        for t in range(T):
            new = beta * (self.Hs @ y - np.concatenate([0 * I, I], axis=1))
            h, u = (W @ h + new - u if t else new), new
            y = W @ y - (h if row == "gt" else u)
        inverse = np.linalg.solve(I - y[:, : 4 * N], y[:, 4 * N :])
        return inverse @ self.w[0], inverse @ self.w[1]

    def descended(self, right, steps, gamma):
        """z or Z after so many steps of HIGP or JHIP, for the right side of g_yy z = right."""
        z, s = 0 * right, -right
        d = s
        for _ in range(steps):
            z = self.W[4] @ z - gamma * d
            new = self.Hs @ z - right
            d, s = self.W[4] @ d + new - s, new
        return z

    def stationary(self, alpha, M, m):
        """x of all agents, stacked as rows, where (I - W) x + alpha (M x + m) = 0."""
        return np.linalg.solve(np.eye(3 * N) - self.W[3] + alpha * M, -alpha * m).reshape(N, 3)

    def off(self, x):
        """The distance from the solution, as in the history."""
        return np.sqrt(((x - self.solution()) ** 2).sum(axis=1).mean())

    def ma_dsbo(self, row, T, steps, alpha, beta, gamma):
        M, m = self.lower_level(row, T, beta)
        (A, Aa), (B, Bb) = self.gradient_x, self.gradient_y
        Z = self.w[0].T @ self.descended(np.eye(4 * N), steps, gamma)  # u = f_x + P'z
        return self.stationary(alpha, A + Z @ B @ M, Z @ (B @ m - Bb) - Aa)

    def dsbo(self, row, T, steps, alpha, beta, gamma):
        M, m = self.lower_level(row, T, beta)
        (A, Aa), (B, Bb) = self.gradient_x, self.gradient_y
        G_yx = np.concatenate([-agent.P for agent in self.team])  # each agent's below the other
        Zs = self.descended(G_yx, steps, gamma).reshape(N, 4, 3)
        Z = np.zeros((N, 3, N, 4))
        for i in range(N):
            Z[i, :, i, :] = Zs[i].T
        Z = Z.reshape(3 * N, 4 * N)
        return self.stationary(alpha, A - Z @ B @ M, -Z @ (B @ m - Bb) - Aa)

    def gossip_dsbo(self, b, L, alpha, beta, theta):
        def averaged(d):
            return theta * np.linalg.inv(np.eye(d * N) - (1 - theta) * self.W[d])

        M, m = self.lower_level("dgd", 1, beta)
        (A, Aa), (B, Bb) = self.gradient_x, self.gradient_y
        G_xy, G_yy = (
            np.concatenate([part(agent).ravel() for agent in self.team])
            for part in (lambda a: -a.P.T, lambda a: a.H)
        )
        u, v = (averaged(12) @ G_xy).reshape(N, 3, 4), (averaged(16) @ G_yy).reshape(N, 4, 4)
        Z = np.zeros((N, 3, N, 4))
        for i in range(N):
            Z[i, :, i, :] = (
                u[i]
                @ sum(np.linalg.matrix_power(np.eye(4) - v[i] / L, j) for j in range(b + 1))
                / L
            )
        Z, S, H = Z.reshape(3 * N, 4 * N), averaged(3), averaged(4)
        return self.stationary(alpha, S @ A - Z @ H @ B @ M, -Z @ H @ (B @ m - Bb) - S @ Aa)


def gradients_apart(method, steps):
    """The auxiliary steps alone, at points that differ between agents, and their distance to z*."""
    tables = {"problem": QUADRATIC, "method": method, "run": {"agents": N}}
    with Plan(config.check(tables)) as plan:
        rng, exact = np.random.default_rng(1), Exact()
        x, y = rng.standard_normal((N, 3)), rng.standard_normal((N, 4))
        rule = replace(plan.method, N=steps)
        if method["name"] == "dsbo":
            found, right = rule.jhip(0, plan.oracle, plan.W, x, y, 0.4), -exact.P
        else:
            found = rule.higp(0, plan.oracle, plan.W, x, y, 0.4)
            right = sum(agent.B @ (y[i] - agent.b) for i, agent in enumerate(exact.team)) / N
        return np.abs(found - np.linalg.solve(exact.H, right)).max()


@pytest.mark.parametrize("name", ["ma-dsbo", "dsbo"])
def test_auxiliary_steps_solve_exactly(name):
    """HIGP and JHIP, geometrically in N, to rounding; plain gossip does not."""
    errors = [gradients_apart({"name": name}, steps) for steps in (40, 80, 160, 400)]
    assert (
        errors[0] > 1e-3
        and errors[1] < 0.15 * errors[0]
        and errors[2] < 0.03 * errors[1]
        and errors[3] < 1e-11
    )
    if name == "ma-dsbo":
        assert gradients_apart({"name": name, "auxiliary": "dgd"}, 400) > 1e-2


@pytest.mark.parametrize(
    ("T", "inner"), [(1, 1), (4, 6), pytest.param(12, 12, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("lower", ["dgd", "gt"])
@pytest.mark.parametrize("name", ["ma-dsbo", "dsbo"])
def test_fixed_points(name, lower, T, inner, network):
    """In closed form, not at the solution."""
    result = solve(
        {"name": name, "lower": lower, "T": T, "N": inner},
        500,
        STEPS | ({"theta": 0.7} if name == "ma-dsbo" else {}),
    )
    expected = getattr(network, name.replace("-", "_"))(lower, T, inner, **STEPS)
    assert np.abs(result.x - expected).max() < 1e-9
    assert result.history["distance"][-1] > 0.03


@pytest.mark.slow
def test_bias_of_ma_dsbo(network):
    """With x corrected too it falls with T and N: 2.7e-2, 1.9e-3, 2.3e-4 for 10, 30, 60."""
    found = [
        solve(
            {"name": "ma-dsbo", "lower": "gt", "upper": "non-gt", "T": T, "N": T},
            200,
            STEPS | {"theta": 1.0},
        ).history["distance"][-1]
        for T in (10, 30, 60)
    ]
    assert found[0] > 0.02 and found[1] < 0.1 * found[0] and found[2] < 0.2 * found[1]


@pytest.mark.parametrize(
    ("b", "theta"), [(2, 0.5), (10, 0.5), (10, 1.0), pytest.param(30, 0.2, marks=pytest.mark.slow)]
)
def test_fixed_point_of_gossip_dsbo(b, theta, network):
    steps = {"alpha": 0.1, "beta": 0.4, "theta": theta}
    result = solve({"name": "gossip-dsbo", "b": b}, 500, steps)
    expected = network.gossip_dsbo(b, result.config.method["L"], **steps)
    assert np.abs(result.x - expected).max() < 1e-9
    assert result.history["distance"][-1] > 0.02


@pytest.mark.slow
def test_bias_of_gossip_dsbo(network):
    """Nearly as the square of the step sizes with a long series; for one centre the series'."""
    off = [
        network.off(network.gossip_dsbo(60, 1.2, 0.1 * scale, 0.4 * scale, 0.4 * scale))
        for scale in (1, 1 / 4, 1 / 16)
    ]
    assert off[0] > 0.05 and off[1] < off[0] / 6 and off[2] < off[1] / 10
    steps = {"alpha": 0.1, "beta": 0.4, "theta": 0.5}
    central = [
        solve({"name": "gossip-dsbo", "strategy": "centralized", "b": b}, 350, steps)
        for b in (2, 10, 50)
    ]
    distances = [result.history["distance"][-1] for result in central]
    assert distances[0] > 0.03 and 1e-4 < distances[1] < 1e-3 and distances[2] < 1e-9
    assert np.ptp(central[0].x, axis=0).max() == 0


@pytest.mark.slow
def test_gossip_dsbo_under_the_pl_condition():
    """alpha_k = 2/(mu (C1 + k)), theta_k = beta_k = C1/(C1 + k): all agents reach the solution."""
    mu, C1 = 0.5, 20
    averaged = {"kind": "inverse-time", "start": 1, "offset": C1}
    steps = {
        "alpha": {"kind": "inverse-time", "start": 2 / (mu * C1), "offset": C1},
        "beta": averaged,
        "theta": averaged,
    }
    rule = config.rule_of({"name": "gossip-dsbo", "b": 30}, steps, n=N, horizon=1)
    assert [rule.alpha(k) for k in (0, 7)] == pytest.approx([2 / (mu * (C1 + k)) for k in (0, 7)])
    assert [rule.theta(k) for k in (0, 7)] == pytest.approx([C1 / (C1 + k) for k in (0, 7)])
    found = [
        solve({"name": "gossip-dsbo", "b": 30}, iterations, steps).history["distance"][-1]
        for iterations in (200, 800)
    ]
    assert found[0] < 0.05 and found[1] < found[0] / 3


POLICY = {"name": "policy-evaluation-residual", "states": 12, "p": 3, "batch": 0}


@pytest.mark.parametrize("problem", ["policy-evaluation", "policy-evaluation-residual"])
def test_dsgd(problem):
    """Exact if bias-corrected, biased with dgd; iteration k has k + 1 samples for y, one for x."""
    table, alpha = (
        {**POLICY, "name": problem},
        {"alpha": 0.3 if problem != "policy-evaluation" else 4.0},
    )
    exact, plain = (
        solve({"name": "dsgd", "upper": row}, 120, alpha, table) for row in ("gt", "dgd")
    )
    assert (
        exact.history["distance"][0] > 0.05
        and exact.history["distance"][-1] < 1e-4
        and plain.history["distance"][-1] > 0.01
    )
    assert (
        exact.history["calls_g_y"][-1] == N * 120 * 121 / 2
        and exact.history["calls_f_x"][-1] == N * 120
    )


# what is refused


class Light(Problem):
    """Any dimensions, no data: g = |y|^2/2."""

    def __init__(self, agent, n_agents, *, xp, seed, p=3, q=4):
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.dims = p, q

    def f_x(self, x, y, sample):
        return x.copy()

    def f_y(self, x, y, sample):
        return y.copy()

    def g_y(self, x, y, sample):
        return y.copy()

    def g_yy(self, x, y, v, sample):
        return v.copy()

    def g_xy(self, x, y, v, sample):
        return 0 * x


@pytest.mark.parametrize(
    ("method", "problem", "sentence"),
    [
        (
            {"name": "gossip-dsbo"},
            {"p": 10, "q": 20000},
            "method.max_bytes: the matrices of gossip-dsbo with b = 10 take about 1.76 TB on a "
            "rank of 5 agents with p = 10 and q = 20000, more than 1.07 GB; take more ranks, "
            "choose a method without matrices, such as sparkle, or raise max_bytes",
        ),
        (
            {"name": "gossip-dsbo", "max_bytes": 1000},
            {},
            "with b = 10 take about 75.2 kB on a rank of 5 agents with p = 3 and q = 4, more than "
            "1 kB",
        ),
        (
            {"name": "dsbo"},
            {"p": 3000, "q": 2000},
            "the matrices of dsbo take about 2.4 GB on a rank of 5 agents with p = 3000 and q = "
            "2000",
        ),
        (
            {"name": "dsgd"},
            {},
            "method.name: dsgd takes g_yy = 2I for granted, the sum of squares of policy "
            "evaluation, and that of problem Light, agent 0, is not; choose another method",
        ),
    ],
    ids=["gossip-dsbo", "max_bytes", "dsbo", "dsgd"],
)
def test_refused(method, problem, sentence):
    with pytest.raises(UserError) as refused:
        Plan(
            config.check(
                {"problem": {"name": Light, **problem}, "method": method, "run": {"agents": N}}
            )
        )
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("theta", "sentence"),
    [
        (1.5, "steps.theta: 1.5; the weight"),
        (
            {"kind": "power", "start": 0.5, "exponent": 0.1},
            "steps.theta: 0.5 and growing; the weight",
        ),
        (
            {"kind": "sqrt-n-over-t", "scale": 10, "horizon": 400},
            "steps.theta: 1.11803; the weight of an average must stay within 1",
        ),
    ],
)
@pytest.mark.parametrize("name", ["gossip-dsbo", "ma-dsbo"])
def test_weights_above_one(name, theta, sentence):
    with pytest.raises(UserError) as refused:
        mpidbo.solve("quadratic", name, agents=5, steps={"theta": theta}, iterations=1)
    assert sentence in str(refused.value)


def test_the_weight_that_alpha_stands_for():
    with pytest.raises(UserError) as refused:
        mpidbo.solve("quadratic", "ma-dsbo", agents=5, steps={"alpha": 2.0}, iterations=1)
    assert (
        "steps.theta, which is alpha unless given: 2; the weight of an average must stay within 1"
        in str(refused.value)
    )


def test_no_hessian_is_taken_at_its_word():
    """dsgd does not need g_yy; a problem without one is not refused."""

    class Bare(Light):
        g_yy = None

    result = mpidbo.solve(Bare, "dsgd", agents=2, iterations=3)
    assert result.iteration == 3 and np.isfinite(result.x).all()
