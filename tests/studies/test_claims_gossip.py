"""The measures of the claims on Gossip-DSBO: slopes, samples, a centre that is lost."""

import numpy as np
import pytest

from mpidbo import config
from mpidbo.problems.oracle import Oracle
from mpidbo.problems.quadratic import Quadratic
from mpidbo.solver.loop import Loop
from mpidbo.solver.plan import Plan
from mpidbo.studies.claims import SIZES
from mpidbo.studies.claims.archive import Archived
from mpidbo.studies.claims.failing_link import (
    AFTER,
    BEFORE,
    NO_LINKS,
    FailingLink,
    _plan,
    followed,
)
from mpidbo.studies.claims.finding import FAILS, HOLDS, UNDECIDED, findings
from mpidbo.studies.claims.gossip_policy_evaluation import (
    AGENTS,
    GossipPolicyEvaluation,
    affordable_iterations,
    loss_over_samples,
    samples_of_iteration,
    samples_until,
    slope,
    target_of,
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
        *((f"gossip-dsbo, australian, n = {n}", f"dbsa, australian, n = {n}") for n in AGENTS),
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


def planted(key, size="standard", **columns):
    """An outcome of one of the claim's studies."""
    tables = GossipPolicyEvaluation().studies(size)[key]
    (method,) = tables["study"]["methods"]
    found = {(method["name"], "ring", name): column for name, column in columns.items()}
    return Archived(tables, key, found, {})


TIMES = np.linspace(0.97, 1.03, 24)


def errors(n, power, size="standard", late=0.0, method="gossip-dsbo"):
    """Squared errors of 0.001 (5/n)^power/k, of 24 seeds that differ by at most 3 %."""
    times = TIMES[:, None]
    k = np.arange(0, 3001.0, 30) if method == "gossip-dsbo" else np.arange(0, 109.0)
    distance = np.sqrt(times * (0.001 * (5 / n) ** power / np.maximum(k, 1) + late * (k == k[-1])))
    rows = np.tile(k, (24, 1))
    return planted(
        f"{method}, n = {n}", size, distance=distance, consensus_x=0 * rows, iteration=rows
    )


@pytest.mark.parametrize("n", AGENTS)
def test_samples_until_the_error_stays_below_the_target(n):
    """0.005/(n k) is 1e-6 at k = 5000/n, and two samples are drawn in an iteration."""
    k = 30 * np.ceil(5000 * TIMES / n / 30)
    assert samples_until(errors(n, 1.0), n).tolist() == (2 * n * k).tolist()
    assert np.isinf(samples_until(errors(n, 1.0, late=1e-3), n)).all()


def test_the_quick_size_has_a_target_of_its_own():
    assert target_of(errors(5, 1.0)) == 1e-6 == target_of(errors(5, 1.0, size="full"))
    assert target_of(errors(5, 1.0, size="quick")) == 3e-5


@pytest.mark.parametrize(
    ("power", "verdict"), [(1.0, HOLDS), (0.8, HOLDS), (0.4, FAILS), (0.0, FAILS)]
)
def test_speed_up_in_samples_decides(power, verdict):
    """The samples are as n^(1 - power), of which sqrt(n) is the largest that passes."""
    found = {f"gossip-dsbo, n = {n}": errors(n, power) for n in AGENTS}
    found |= {f"dsgd, n = {n}": errors(n, -1.0, method="dsgd") for n in AGENTS}
    judged = {f.comparison.what: f for f in findings(GossipPolicyEvaluation().judge(found))}
    assert [judged[f"samples to 1e-06, n = {n}"].verdict for n in AGENTS[1:]] == [verdict] * 2
    assert [judged[f"n = {n}, slope"].verdict for n in AGENTS] == [HOLDS] * 3
    assert [judged[f"australian, n = {n}"].verdict for n in AGENTS] == [UNDECIDED] * 3
    words = judged["samples to 1e-06, n = 20"].comparison.numbers
    assert words.startswith("median and middle 75 % ") and " at n = 5, " in words


def test_losses_are_over_the_samples_that_were_drawn():
    k = np.array([0.0, 1.0, 4.0])
    rows = np.tile(k, (10, 1))
    for method, drawn in (("gossip-dsbo", [0, 21, 84]), ("dbsa", [0, 12.5, 53])):
        outcome = planted(f"{method}, australian, n = 20", iteration=rows, upper_loss=rows)
        used, loss = loss_over_samples(outcome)
        assert used.tolist() == drawn and loss is rows
    nothing = np.full((10, 1), np.inf)
    outcome = planted("dbsa, australian, n = 20", iteration=nothing, upper_loss=nothing)
    assert loss_over_samples(outcome)[0].tolist() == [0]


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
