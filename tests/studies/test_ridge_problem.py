"""The problem of the claim `ridge-tuning`."""

from typing import Any

import numpy as np
import pytest

from mpidbo.problems import check, report
from mpidbo.studies.claims.ridge_problem import RidgeTuning

N = 3


def team(**options: Any) -> list[RidgeTuning]:
    return [RidgeTuning(agent, N, xp=np, seed=5, **options) for agent in range(N)]


@pytest.mark.parametrize("batch", [0, 1, 10])
def test_oracles(batch: int) -> None:
    findings = check(team(batch=batch)[1], rng=np.random.default_rng(7))
    assert all(finding.ok for finding in findings), report(findings)
    assert "missing" not in report(findings)


def test_a_draw_has_the_expectation_of_the_full_batch() -> None:
    agent, rng = team(batch=200_000)[0], np.random.default_rng(0)
    sample = agent.draw(rng)
    x, y, v = np.array([0.7]), rng.standard_normal(10), rng.standard_normal(10)
    for oracle, given in (("f", (x, y)), ("g_y", (x, y)), ("g_yy", (x, y, v))):
        mean, exact = (getattr(agent, oracle)(*given, which) for which in (sample, None))
        assert np.linalg.norm(mean - exact) < 0.02 * np.linalg.norm(exact), oracle


def test_stacked_oracles_are_those_of_the_agents() -> None:
    agents, rng = team(batch=4), np.random.default_rng(8)
    stacked = RidgeTuning.stacked(agents)
    x, y, v = (rng.standard_normal((N, d)) for d in (1, 10, 10))
    for samples in ([None] * N, stacked.draw(np.random.default_rng(i) for i in range(N))):
        for oracle in ("f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy"):
            rows = (x, y, v) if oracle in ("g_yy", "g_xy") else (x, y)
            alone = [
                getattr(agent, oracle)(*(row[i] for row in rows), samples[i])
                for i, agent in enumerate(agents)
            ]
            assert getattr(stacked, oracle)(*rows, samples).tobytes() == np.array(alone).tobytes()


@pytest.mark.parametrize("x", [-2.0, 0.1, 1.0])
def test_the_closed_form(x: float) -> None:
    """y*(x) solves the lower level, and Phi increases with |x|."""
    agents, at = team(), np.array([x])

    def solved(at: np.ndarray) -> np.ndarray:
        zero = np.zeros(10)
        g_y = np.mean([agent.g_y(at, zero, None) for agent in agents], axis=0)
        columns = [np.mean([a.g_yy(at, zero, e, None) for a in agents], axis=0) for e in np.eye(10)]
        return np.linalg.solve(np.array(columns).T, -g_y)

    def phi(at: np.ndarray) -> float:
        return sum(agent.f(at, solved(at), None) for agent in agents)

    assert agents[0].metrics(at, solved(at))["lower_distance"] < 1e-12
    assert phi(at) > phi(at / 2) > phi(agents[0].solution())
