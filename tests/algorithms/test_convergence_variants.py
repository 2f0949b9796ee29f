"""Limits of SLDBO, F2SA, AdaSDBO, LoPA and MAML on the quadratic.

The solution, a bias of known size, or the closed form of another problem.
"""

import numpy as np
import pytest

from mpidbo import network as topologies
from mpidbo.problems.quadratic import Quadratic
from support.closed_form import QUADRATIC, STEPS, Exact, N, solve

ALIKE = {**QUADRATIC, "heterogeneity": 0.0}
LOOP = {name: STEPS[name] for name in ("alpha", "beta", "gamma")}


@pytest.fixture(scope="module")
def exact():
    return Exact()


def root(residual, size):
    """Where an affine map vanishes."""
    origin = residual(np.zeros(size))
    return np.linalg.solve(np.stack([residual(e) - origin for e in np.eye(size)], axis=1), -origin)


@pytest.mark.parametrize("row", ["non-gt", "semi-gt", "gt", "centralized"])
def test_sldbo_reaches_the_solution(row, exact):
    result = solve(f"sldbo-{row}", 1300, steps=LOOP)
    assert (
        np.abs(result.x - exact.solution()).max() < 1e-9 and result.history["distance"][-1] < 1e-9
    )


def test_sldbo_by_default():
    assert solve("sldbo", 4000, "quadratic", steps={}).history["distance"][-1] < 1e-8


@pytest.mark.parametrize("row", ["non-gt", "semi-gt", "gt", "centralized"])
def test_sldbo_in_a_ball_that_is_too_small(row, exact):
    """z is the best point of the ball, where the averaged gradient is radial, and x its root."""
    R = 0.5
    result = solve(
        {"name": "sldbo", "strategy": row, "R": R},
        3000,
        steps={"alpha": 0.03, "beta": 0.2, "gamma": 0.1},
    )
    x, y, z = (rows.mean(axis=0) for rows in (result.x, result.y, result.z))
    assert max(np.ptp(rows, axis=0).max() for rows in (result.x, result.y, result.z)) < 1e-9
    outward = exact.B @ y - exact.Bb - exact.H @ z
    assert np.linalg.norm(z) == pytest.approx(R, rel=1e-12) and outward @ z > 0.01
    assert np.abs(outward - (outward @ z) / R**2 * z).max() < 1e-9
    assert (
        np.abs(y - exact.y(x)).max() < 1e-9
        and np.abs(exact.A @ x - exact.Aa + exact.P.T @ z).max() < 1e-9
    )
    assert np.linalg.norm(x - exact.solution()) > 0.01


def penalty(exact, mu):
    """(x, y, t) where the averaged directions of F2SA vanish."""

    def residual(s):
        x, y, t = np.split(s, [3, 7])
        lower = exact.P @ x + exact.c
        return np.concatenate(
            [
                exact.A @ x - exact.Aa + exact.P.T @ (t - y) / mu,
                exact.B @ y - exact.Bb + (exact.H @ y - lower) / mu,
                exact.H @ t - lower,
            ]
        )

    return np.split(root(residual, 11), [3, 7])


@pytest.mark.parametrize("row", ["semi-gt", "gt", "non-gt", "ed", "centralized"])
def test_f2sa_reaches_its_penalised_solution(row, exact):
    mu = 0.2
    result = solve(
        {"name": "f2sa", "strategy": row, "mu": mu},
        1200,
        steps={"alpha": 0.2 * mu, "beta": 0.6 * mu, "gamma": 0.6},
    )
    for found, expected in zip((result.x, result.y, result.t), penalty(exact, mu), strict=True):
        assert np.abs(found - expected).max() < 1e-9


def test_bias_of_f2sa_is_linear_in_mu(exact):
    found = [np.linalg.norm(penalty(exact, mu)[0] - exact.solution()) for mu in (1e-2, 1e-3)]
    assert found[0] / found[1] == pytest.approx(10, rel=0.05)


def test_bias_of_f2sa_vanishes_with_mu(exact):
    """x follows the penalised solution of the present mu."""
    found = [
        solve(
            "f2sa",
            250 * 4**i,
            steps={
                "alpha": {"kind": "power", "start": 0.2, "exponent": -0.3333},
                "beta": {"kind": "power", "start": 0.6, "exponent": -0.3333},
                "gamma": 0.6,
            },
            metrics=["refined_residual"],
        )
        for i in range(3)
    ]
    for i, result in enumerate(found):
        limit = penalty(exact, (250 * 4**i) ** -0.3333)[0]
        assert np.linalg.norm(result.x.mean(axis=0) - limit) < 0.1 * 2**-i * np.linalg.norm(
            limit - exact.solution()
        )
    distances = [result.history["distance"][-1] for result in found]
    assert distances[0] > 1.4 * distances[1] > 1.4**2 * distances[2]
    x, y, t = (rows.mean(axis=0) for rows in (found[-1].x, found[-1].y, found[-1].t))
    assert found[-1].history["residual"][-1] == pytest.approx(
        exact.g(x, y) - exact.g(x, t), rel=1e-9
    )
    assert found[-1].history["refined_residual"][-1] == pytest.approx(
        exact.g(x, y) - exact.g(x, exact.y(x)), rel=1e-6
    )


def test_f2sa_with_the_default_steps_does_not_diverge():
    """1 / mu grows, yet alpha / mu and beta / mu do not."""
    result = solve("f2sa", 6000, "quadratic", steps={})
    assert result.history["distance"][-1] < 0.1 * result.history["distance"][0]


def test_f2sa_with_plain_rows_is_biased(exact):
    result = solve(
        {"name": "f2sa-sgd", "mu": 0.2}, 1000, steps={"alpha": 0.02, "beta": 0.08, "gamma": 0.4}
    )
    assert np.abs(result.x.mean(axis=0) - penalty(exact, 0.2)[0]).max() > 0.005


@pytest.mark.parametrize("scale", [0.3, 1.0, 10.0])
def test_adasdbo_adapts(scale):
    """Where all agents are alike to the solution, whatever its steps."""
    result = solve(
        "adasdbo",
        1500,
        ALIKE,
        steps={
            name: scale * step for name, step in {"alpha": 1.0, "beta": 1.0, "gamma": 1.0}.items()
        },
    )
    assert result.history["distance"][-1] < 1e-9


def test_bias_of_adasdbo_falls():
    """With its step sizes, as about 1/sqrt(k); D-SOBA with sgd keeps the bias of its own."""
    found = [solve("adasdbo", 300 * 4**i, steps={}).history["distance"][-1] for i in range(3)]
    assert found[0] > 1.5 * found[1] > 1.5**2 * found[2]
    assert found[2] < 0.2 * solve("d-soba", 1000, steps=STEPS).history["distance"][-1]


class Personal:
    """LoPA's problem: y_i*(x) = argmin g_i."""

    def __init__(self, team):
        self.team = team

    def own(self, agent, x):
        y = np.linalg.solve(agent.H, agent.P @ x + agent.c)
        return y, np.linalg.solve(agent.H, agent.B @ (y - agent.b))

    def gradient(self, agent, x):
        return agent.A @ (x - agent.a) + agent.P.T @ self.own(agent, x)[1]

    def solution(self):
        return root(lambda x: sum(self.gradient(agent, x) for agent in self.team), 3)


@pytest.mark.parametrize("row", ["gt", "semi-gt", "ed", "centralized"])
def test_lopa_with_a_corrected_row_solves_its_own_problem(row, exact):
    personal = Personal(exact.team)
    result = solve({"name": "lopa", "upper": row}, 800, steps={**STEPS, "alpha": 0.1})
    x = personal.solution()
    assert np.abs(result.x - x).max() < 1e-9
    for i, agent in enumerate(exact.team):
        for found, expected in zip((result.y[i], result.z[i]), personal.own(agent, x), strict=True):
            assert np.abs(found - expected).max() < 1e-9
    assert (
        np.ptp(result.y, axis=0).max() > 0.1 and np.linalg.norm(x - exact.solution()) > 0.03
    )  # another problem


def test_lopa_without_tracking(exact):
    """The fixed point of x = W x - alpha u(x), every agent's u at its own x: linear in alpha."""
    personal, W, x = (
        Personal(exact.team),
        topologies.make("ring", N).W.toarray(),
        Personal(exact.team).solution(),
    )
    errors = []
    for alpha in (0.1, 0.05):

        def residual(s, alpha=alpha):
            rows = s.reshape(N, 3)
            return (
                rows
                - W @ rows
                + alpha
                * np.stack(
                    [personal.gradient(*pair) for pair in zip(exact.team, rows, strict=True)]
                )
            ).ravel()

        fixed = root(residual, 3 * N).reshape(N, 3)
        assert np.abs(solve("lopa", 2500, steps={**STEPS, "alpha": alpha}).x - fixed).max() < 1e-9
        errors.append(np.sqrt(((fixed - x) ** 2).sum(axis=1).mean()))
    assert 1.5 < errors[0] / errors[1] < 2.1 and errors[0] > 0.02


def test_lopa_where_all_agents_are_alike():
    """There its problem is the network's."""
    result = solve("lopa", 2000, ALIKE, steps={**STEPS, "alpha": 0.1})
    assert np.abs(result.x - Exact(heterogeneity=0.0).solution()).max() < 1e-9


def test_lopa_is_evaluated_at_each_agents_own_y(exact):
    """No disagreement of y, which is none, no distance to the solution of another problem."""
    result = solve({"name": "lopa", "upper": "gt"}, 30)
    history, x = result.history, result.x.mean(axis=0)
    assert [name for name in history if name.startswith(("consensus", "distance"))] == [
        "consensus_x"
    ]
    for column, loss in (("upper_loss", "f"), ("lower_loss", "g")):
        own = np.mean(
            [
                getattr(agent, loss)(x, y, None)
                for agent, y in zip(exact.team, result.y, strict=True)
            ]
        )
        common = np.mean(
            [getattr(agent, loss)(x, result.y.mean(axis=0), None) for agent in exact.team]
        )
        assert history[column][-1] == pytest.approx(own, rel=1e-12) and abs(own - common) > 1e-3


class Telling(Quadratic):
    """With its upper loss as a metric."""

    def metrics(self, x, y):
        return {"own": self.f(x, y, None)}


@pytest.mark.parametrize("method", ["lopa", "maml", "sparkle-ed"])
def test_a_problems_metrics_are_taken_where_the_losses_are(method):
    history = solve(
        method, 40, {**QUADRATIC, "name": Telling}, steps={"alpha": 0.03, "beta": 0.3}
    ).history
    np.testing.assert_allclose(history["own"], history["upper_loss"], rtol=1e-14)


class Adapted:
    """MAML's problem: F_i(x, y) = f_i(x, y') with y' = y - a (H y - P x - c)."""

    def __init__(self, team, a):
        self.team, self.a = team, a

    def head(self, agent, x, y):
        return y - self.a * (agent.H @ y - agent.P @ x - agent.c)

    def objective(self, x, y):
        return np.mean([agent.f(x, self.head(agent, x, y), None) for agent in self.team])

    def gradient(self, agent, x, y):
        w = agent.B @ (self.head(agent, x, y) - agent.b)
        return np.concatenate(
            [agent.A @ (x - agent.a) + self.a * agent.P.T @ w, w - self.a * agent.H @ w]
        )

    def solution(self):
        return np.split(
            root(lambda s: sum(self.gradient(agent, *np.split(s, [3])) for agent in self.team), 7),
            [3],
        )


@pytest.mark.parametrize("row", ["ed", "gt", "centralized"])
def test_maml_with_a_corrected_row_minimises_its_objective(row, exact):
    adapted = Adapted(exact.team, 0.3)
    x, y = adapted.solution()
    for i in range(7):  # the gradient is that of the objective, which is lowest there
        s, e = np.ones(7), np.eye(7)[i]
        slope = (
            adapted.objective(*np.split(s + 1e-5 * e, [3]))
            - adapted.objective(*np.split(s - 1e-5 * e, [3]))
        ) / 2e-5
        assert slope == pytest.approx(
            np.mean([adapted.gradient(agent, s[:3], s[3:])[i] for agent in exact.team]), abs=1e-8
        )
        assert adapted.objective(
            *np.split(np.concatenate([x, y]) + 0.1 * e, [3])
        ) > adapted.objective(x, y)
    result = solve(
        {"name": "maml", "strategy": row, "a": 0.3}, 800, steps={"alpha": 0.3, "beta": 0.3}
    )
    assert np.abs(result.x - x).max() < 1e-9 and np.abs(result.y - y).max() < 1e-9
    assert (
        result.history["upper_loss"][-1] == pytest.approx(adapted.objective(x, y), rel=1e-9)
        and "distance" not in result.history
    )
    assert np.linalg.norm(x - exact.solution()) > 0.1  # not the bilevel solution


def test_maml_with_plain_rows(exact):
    """The fixed point of s = W(s - step D(s)), agents at their own s, tends to the minimiser."""
    adapted, W = Adapted(exact.team, 0.1), topologies.make("ring", N).W.toarray()
    errors = []
    for scale in (1.0, 0.5):
        alpha, beta = 0.1 * scale, 0.2 * scale

        def residual(s, alpha=alpha, beta=beta):
            rows = s.reshape(N, 7)
            D = np.stack(
                [
                    adapted.gradient(agent, row[:3], row[3:])
                    for agent, row in zip(exact.team, rows, strict=True)
                ]
            )
            return (rows - W @ (rows - D * np.repeat([alpha, beta], [3, 4]))).ravel()

        fixed = root(residual, 7 * N).reshape(N, 7)
        result = solve("maml", 2000, steps={"alpha": alpha, "beta": beta})
        assert np.abs(np.concatenate([result.x, result.y], axis=1) - fixed).max() < 1e-9
        errors.append(np.linalg.norm(fixed - np.concatenate(adapted.solution())))
    assert 1.5 < errors[0] / errors[1] < 2.2
