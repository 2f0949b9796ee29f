"""What the claims on transients measure: the iteration, the exponents, the mixing matrices, the
reduced problem."""

import warnings
from pathlib import Path

import numpy as np
import pytest

import mpidbo
from mpidbo import network as topologies
from mpidbo.algorithms.schedules import schedule
from mpidbo.reports import FigureFolder
from mpidbo.studies import claims
from mpidbo.studies.claims import transient as transient_claim
from mpidbo.studies.claims.decay import (
    MAX_ALPHA,
    SCALE,
    exponents,
    growth,
    mixing,
    offset,
    steps,
    transient,
)
from mpidbo.studies.claims.outcome import cost_to_reach
from mpidbo.studies.claims.reduced import Reduced


def test_the_transient_ends_where_the_ratio_stays_below_two():
    k = np.arange(0, 20001, 50)
    central = 1 / np.sqrt(k + 1.0)
    own = central * (1 + np.sqrt(1000 / (k + 1.0)))  # twice the other at k = 999
    assert transient(k, own, central) == pytest.approx(1000, rel=0.05)
    assert (
        transient(k, own[:1].repeat(k.size), central) == np.inf
        and transient(k, central, central) == k[1]
    )
    later = own.copy()
    later[280:340] *= 6
    assert transient(k, later, central) > k[280]


def test_exponents_are_those_of_a_power():
    sizes, constants = np.array([4, 6, 10]), np.array([[1.0], [7.0]])
    np.testing.assert_allclose(exponents(sizes, constants * sizes**2.5), [2.5, 2.5])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(exponents(sizes, np.array([[1.0, 2.0, np.inf]]))).all()


@pytest.mark.parametrize(("n", "rho"), [(4, 0.9), (13, 0.8)])
def test_the_mixing_matrix_has_that_rho_and_no_other_mode(n, rho):
    label, table = mixing(n, rho)
    table.pop("label")
    values = np.linalg.eigvalsh(topologies.make(table, n).W.toarray())
    assert label == f"rho-{rho}" and values == pytest.approx([rho] * (n - 1) + [1])


@pytest.mark.parametrize(("power", "counts"), [(3.0, [True] * 3), (0.5, [False, False, True])])
def test_a_transient_counts_once_the_steps_fall(power, counts, monkeypatch):
    """Planted horizons k0 + (1 - rho)^-power, k0 = 44 for n = 4, at rho = 0.92, 0.95 and 0.9999."""
    rhos = (0.92, 0.95, 0.9999)
    monkeypatch.setattr(
        transient_claim,
        "transients",
        lambda outcome, *_: np.full(5, offset(4) + (1 - outcome) ** -power),
    )
    found = {f"{kind}rho 4 {rho:g}": rho for rho in rhos for kind in ("", "single ")}
    sizes, values = transient_claim.Transient().measured(found, "rho", "d-soba")
    assert sizes.tolist() == [
        1 / (1 - rho) for rho, counted in zip(rhos, counts, strict=True) if counted
    ]
    assert values.shape == (5, sum(counts))
    found |= {"n 4 0.9": 0.9, "single n 4 0.9": 0.9}
    *_, comparison, difference = transient_claim.Transient().judge(found)
    assert comparison.what == "d-soba, 1/(1-rho)"
    assert np.isnan(comparison.values).all() == (sum(counts) < 3)
    assert difference.what == "d-soba, 1/(1-rho), less that of sgd"
    assert difference.values == pytest.approx(0 * comparison.values, nan_ok=True)


def test_points_of_a_method_replace_those_of_all_and_are_of_no_other(monkeypatch):
    """An outcome is here the horizon itself; EXTRA's runs were too short for 9 agents."""
    monkeypatch.setattr(transient_claim, "transients", lambda outcome, *_: np.full(5, outcome))
    found = {"n 6 0.8": 1e3, "n 9 0.8": np.inf, "n 9 0.8 sparkle-extra": 2e3}
    found |= {"n 12 0.8 sparkle-extra": 3e3, "single n 6 0.8": 4e3}
    measured = transient_claim.Transient().measured
    sizes, values = measured(found, "n", "sparkle-extra")
    assert sizes.tolist() == [6, 9, 12] and values[0].tolist() == [1e3, 2e3, 3e3]
    sizes, values = measured(found, "n", "sparkle-ed")
    assert sizes.tolist() == [6, 9] and values[0].tolist() == [1e3, np.inf]
    assert measured(found, "n", "extra")[0].tolist() == [6]


def test_a_single_level_with_another_exponent_shows(monkeypatch):
    """Planted horizons (1 - rho)^-3, of which those of the single level are (1 - rho)^-2."""
    powers = {"d-soba": 3.0, "sgd": 2.0}
    monkeypatch.setattr(
        transient_claim,
        "transients",
        lambda outcome, method, *_: 1e3 * np.ones(5) * (1 - outcome) ** -powers.get(method, 2.5),
    )
    found = {f"{kind}rho 4 {rho:g}": rho for rho in (0.5, 0.8, 0.9) for kind in ("", "single ")}
    found |= {"n 4 0.9": 0.9, "single n 4 0.9": 0.9}
    *_, exponent, difference = transient_claim.Transient().judge(found)
    assert exponent.values == pytest.approx([3.0] * 5)
    assert difference.values == pytest.approx([1.0] * 5) and difference.p_fails < 1e-6


def test_steps_are_those_of_theory_for_the_horizon():
    n = 9
    alpha = schedule(steps(n)["alpha"], n, "steps.alpha")
    assert alpha(0) == pytest.approx(MAX_ALPHA) and alpha(500) == pytest.approx(
        SCALE * np.sqrt(n / (500 + offset(n)))
    )


def test_the_reduced_problem_has_the_solution_of_the_bilevel_one():
    name = f"{Path(claims.__file__).with_name('reduced.py')}:Reduced"
    result = mpidbo.solve(
        {"name": name, "heterogeneity": 0.5},
        "single-level-ed",
        "ring",
        5,
        {"alpha": 0.3},
        2000,
        evaluate_every=2000,
    )
    assert result.history["error"][0] > 0.1 and result.history["error"][-1] < 1e-9
    agent = Reduced(1, 3, xp=np, seed=0, noise=1.0)
    rng = np.random.default_rng(0)
    x, y, sample = rng.standard_normal(5), rng.standard_normal(5), agent.draw(rng)
    at = agent.M @ x + agent.w
    expected = (
        agent.A @ (x - agent.a) + sample[:5] + agent.M.T @ (agent.B @ (at - agent.b) + sample[5:10])
    )
    np.testing.assert_allclose(agent.f_x(x, y, sample), expected)


def test_there_is_a_figure_where_a_run_never_ends_its_transient(tmp_path):
    values = np.array([[10.0, 80.0], [20.0, np.inf]])
    shown = {"n": {"a": (np.array([4.0, 8.0]), values)}}
    assert growth(FigureFolder(tmp_path), "figure", shown, {"n": 3}, "iterations").is_file()


def test_each_seed_has_its_own_cost():
    losses = np.array([[1.0, 0.4, 0.2], [1.0, 0.1, 0.4], [np.inf] * 3])
    at = np.array([[0.0, 10, 20], [0.0, 11, 22], [np.inf] * 3])
    assert cost_to_reach(losses, at, np.array([0.4, 0.4, 0.4])).tolist() == [10, 11, np.inf]
    assert cost_to_reach(losses, at, np.array([0.3, 0.3, 0.3])).tolist() == [20, np.inf, np.inf]
