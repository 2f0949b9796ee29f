"""SUN-DSBO's condition on lam, the weak convexity of the network's g, and its momentum."""

import warnings

import numpy as np
import pytest

import mpidbo
from mpidbo.errors import UserError
from mpidbo.parallel import Agents
from mpidbo.problems import Oracle, Problem, smallest_curvature
from support.closed_form import QUADRATIC, Exact, solve

N, Q = 4, 30
RHO = 0.8


class WeaklyConvex(Problem):
    """g_i = y'H_i y/2 + a quartic that is flat at 0; the mean of H_i has the eigenvalues -RHO to 2.

    A single H_i has much smaller eigenvalues. f = |x|^2/2 + |y|^2/2.
    """

    dims = (2, Q)

    def __init__(self, agent, n_agents, *, xp, seed):
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        rng = np.random.default_rng(5)
        basis = np.linalg.qr(rng.standard_normal((Q, Q)))[0]
        others = [own + own.T for own in rng.standard_normal((n_agents, Q, Q))]
        self.mean = (basis * np.linspace(-RHO, 2, Q)) @ basis.T
        self.H = self.mean + others[agent] - sum(others) / n_agents

    def f(self, x, y, sample):
        return float(x @ x + y @ y) / 2

    def f_x(self, x, y, sample):
        return x.copy()

    def f_y(self, x, y, sample):
        return y.copy()

    def g(self, x, y, sample):
        return float(y @ self.H @ y / 2 + (y**4).sum() + x.sum())

    def g_x(self, x, y, sample):
        return np.ones_like(x)

    def g_y(self, x, y, sample):
        return self.H @ y + 4 * y**3


class Failing(WeaklyConvex):
    """Its g_y cannot be had near the start."""

    def g_y(self, x, y, sample):
        if y.any() and self.agent == 1:
            raise ValueError("outside of the domain")
        return super().g_y(x, y, sample)


def oracle_of(kind, n=N, dtype=np.float64, **options):
    problems = [kind(i, n, xp=np, seed=0, **options) for i in range(n)]
    return Oracle(problems, Agents(n), dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 0.02), (np.float32, 0.03)])
def test_the_smallest_curvature_of_the_mean(dtype, tolerance):
    """Never below the smallest eigenvalue, and near it; single agents have smaller ones."""
    oracle = oracle_of(WeaklyConvex, dtype=dtype)
    found = smallest_curvature(oracle, np.zeros((N, 2), dtype), np.zeros((N, Q), dtype))
    assert -RHO - 1e-3 < found < -RHO * (1 - tolerance)
    assert np.linalg.eigvalsh(oracle.problems[0].H)[0] < -3 * RHO
    assert not any(oracle.calls.values())


def test_the_smallest_curvature_of_a_small_problem():
    """As many steps as dimensions, or one where the Hessian is a multiple of the identity."""
    exact = Exact()
    quadratic = mpidbo.problems.problem_class("quadratic")
    options = {key: value for key, value in QUADRATIC.items() if key != "name"}
    oracle = oracle_of(quadratic, 5, **options)
    found = smallest_curvature(oracle, np.zeros((5, 3)), np.ones((5, 4)))
    assert found == pytest.approx(np.linalg.eigvalsh(exact.H)[0], rel=1e-7)
    policy = oracle_of(
        mpidbo.problems.problem_class("policy-evaluation"), 5, states=9, p=3, batch=0
    )
    p, q = policy.dims
    assert smallest_curvature(policy, np.zeros((5, p)), np.zeros((5, q))) == pytest.approx(2.0)


def test_a_failure_nearby_is_no_curvature():
    found = smallest_curvature(oracle_of(Failing), np.zeros((N, 2)), np.zeros((N, Q)))
    assert np.isnan(found)


@pytest.mark.parametrize(("lam", "warned"), [(0.6, False), (1.2, False), (1.3, True), (9.0, True)])
@pytest.mark.parametrize("checks", ["start", "never"])
def test_lam_is_compared_with_the_weak_convexity(lam, warned, checks):
    """1/RHO is 1.25; the condition 1/(2 RHO) of MEHA's theorem is what the warning proposes."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        mpidbo.solve(
            WeaklyConvex, {"name": "sun-dsbo", "lam": lam}, agents=N, iterations=1, checks=checks
        )
    texts = [str(warning.message) for warning in seen if "method.lam" in str(warning.message)]
    assert len(texts) == (1 if warned and checks == "start" else 0)
    for text in texts:
        assert text.startswith(f"method.lam: {lam:g} is not below 1/rho = 1.2")
        assert (
            "rho = 0.8 is the weak convexity of g in y at the start" in text or "rho = 0.79" in text
        )
        assert "take lam below 1/(2 rho) = 0.6" in text


@pytest.mark.parametrize("schedule", ["jacobi", "gauss-seidel"])
@pytest.mark.parametrize("row", ["semi-gt", "ed"])
def test_momentum_keeps_the_penalised_solution(row, schedule):
    """A point where all directions vanish is one where their averages do."""
    table = {"name": "sun-dsbo", "strategy": row, "mu": 0.3, "lam": 1.0, "schedule": schedule}
    steps = {"alpha": 0.1, "beta": 0.1, "gamma": 0.2, "theta": 0.3}
    result = solve(table, 2500, steps=steps)
    for found, expected in zip(
        (result.x, result.y, result.t), Exact().penalty(0.3, 1.0), strict=True
    ):
        assert np.abs(found - expected).max() < 1e-9


def test_the_average_estimates_the_hypergradient():
    """Over mu, also with a strategy that keeps no direction."""
    steps = {"alpha": 0.01, "beta": 0.1, "gamma": 0.1}
    run = {"n": 3, "metrics": ["hypergradient_estimate"]}
    with_theta, without = (
        solve("sun-dsbo-semi-gt", 40, steps={**steps, **more}, **run).history
        for more in ({"theta": 1.0}, {})
    )
    np.testing.assert_allclose(
        with_theta["hypergradient_estimate"], without["hypergradient_estimate"], rtol=1e-9
    )
    plain = solve("sun-dsbo-sgd", 40, steps={**steps, "theta": 0.5}, **run).history
    assert np.isfinite(plain["hypergradient_estimate"][-1])


def test_theta_is_a_weight():
    with pytest.raises(UserError, match=r"steps.theta: 1.5; the weight of an average must stay"):
        solve("sun-dsbo", 1, steps={"theta": 1.5})
