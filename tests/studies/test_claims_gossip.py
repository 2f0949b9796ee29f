"""The measures of the claims on Gossip-DSBO: slopes, samples, a centre that is lost."""

import numpy as np
import pytest

from mpidbo import config
from mpidbo.problems.oracle import Oracle
from mpidbo.problems.quadratic import Quadratic
from mpidbo.solver.loop import Loop
from mpidbo.solver.plan import Plan
from mpidbo.studies.claims import SIZES
from mpidbo.studies.claims.failing_link import (
    AFTER,
    BEFORE,
    NO_LINKS,
    FailingLink,
    _plan,
    followed,
)
from mpidbo.studies.claims.finding import FAILS, HOLDS, findings
from mpidbo.studies.claims.gossip_policy_evaluation import (
    GossipPolicyEvaluation,
    affordable_iterations,
    samples_of_iteration,
    slope,
)


@pytest.mark.parametrize("power", [-2.0, -1.0, -0.5])
def test_slope_of_a_power_that_begins_late(power):
    k = np.arange(1, 1001.0)
    assert slope(k, 3 * k**power) == pytest.approx(power)
    assert slope(k, np.where(k < 90, 5.0, 3 * k**power)) == pytest.approx(power)


class Counted(Quadratic):
    drawn = 0

    def draw(self, rng):
        type(self).drawn += 1
        return super().draw(rng)

    def g_yy(self, x, y, v, sample):
        return 2 * v

    stacked = classmethod(lambda cls, agents: None)


@pytest.mark.parametrize(
    ("method", "table"),
    [("gossip-dsbo", {"b": 4, "L": 2.0, "mu_g": 2.0}), ("dsgd", {}), ("dbsa", {"J": 4, "L": 3.0})],
)
def test_samples_are_those_that_a_run_draws(method, table):
    """Those of dbsa on average over its random number of products."""
    n, K = 6, 60
    plan = Plan(
        config.check(
            {
                "problem": {"name": Counted, "p": 2, "q": 2, "noise": 0.1},
                "method": {"name": method, **table},
                "topology": {"name": "ring"},
                "steps": {"alpha": 0.0},
                "run": {"agents": n, "iterations": K, "checks": "never"},
            }
        )
    )
    state, Counted.drawn = plan.method.start(*plan.rows()), 0
    Loop(plan.method, plan.oracle, plan.W).steps(state, 0, K)
    expected = sum(samples_of_iteration(method, k, 4) for k in range(K))
    assert Counted.drawn / n == pytest.approx(expected, rel=0 if method != "dbsa" else 0.05)
    assert (
        isinstance(plan.oracle, Oracle)
        and affordable_iterations(method, expected, 4) == K
        and affordable_iterations(method, expected - 0.5, 4) == K - 1
    )


@pytest.mark.parametrize("size", SIZES)
def test_methods_are_compared_at_equal_samples(size, monkeypatch):
    monkeypatch.setattr(
        "mpidbo.studies.claims.gossip_policy_evaluation.is_fetched", lambda name: True
    )
    studies = GossipPolicyEvaluation().studies(size)
    for ours, theirs in (
        ("gossip-dsbo, n = 5", "dsgd, n = 5"),
        ("gossip-dsbo, australian", "dbsa, australian"),
    ):
        samples = []
        for tables in (studies[ours], studies[theirs]):
            (method,) = tables["study"]["methods"]
            b = method.get("b", method.get("J", 1))
            K = tables["run"]["iterations"]
            samples.append(sum(samples_of_iteration(method["name"], k, b) for k in range(K)))
            assert tables["tune"]["budget"] >= K * np.prod(
                [len(choices) for choices in tables["tune"]["steps"].values()]
            )
        assert samples[1] <= samples[0] < samples[1] * 1.1


def test_when_the_centre_is_lost_no_agent_receives_anything():
    """The state is handed over unchanged; from then on agents keep what they have."""
    problem = {"name": "policy-evaluation-residual", "states": 5, "p": 3}

    def plan(method, topology):
        return _plan(problem, method, topology, 60, 0, None)

    centre, lost = BEFORE["one centre"], AFTER["the centre is lost"][1:]
    state, before = followed(plan(*centre), None, 0, 30, 10)
    assert len(before) == 3 and np.ptp(state.x, axis=0).max() == 0 < np.ptp(state.x)
    rows = np.random.default_rng(0).standard_normal((10, 4))
    W = plan(*lost).W
    for k in (0, 31, 10**6):
        W.at(k)
        assert (W.x @ rows == rows).all() and AFTER["the centre is lost"][2] is NO_LINKS
    after, _ = followed(plan(*lost), state, 30, 60, 10)
    resumed, _ = followed(plan(*centre), state, 30, 60, 10)
    uninterrupted, _ = followed(plan(*centre), None, 0, 60, 10)
    assert all((a == b).all() for a, b in zip(resumed[:7], uninterrupted[:7], strict=True))
    assert np.ptp(after.x, axis=0).min() > 0


def test_what_was_survived_decides():
    def found(**ends):
        rows = np.linspace(1, 1.1, 5)[:, None] * np.ones(60)
        return {
            name: (
                np.arange(60),
                rows * ends.get(name.replace(" ", "_").replace("%", "percent"), 1.0),
            )
            for name in AFTER
        }

    def verdicts(**ends):
        return [finding.verdict for finding in findings(FailingLink().judge(found(**ends)))]

    assert verdicts(the_centre_is_lost=5.0) == [HOLDS, HOLDS]
    assert verdicts(the_centre_is_lost=1.5) == [HOLDS, FAILS]
    assert verdicts(the_centre_is_lost=5.0, **{"5_percent_of_the_links_fail": 1.2}) == [
        FAILS,
        HOLDS,
    ]
