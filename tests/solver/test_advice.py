"""The line of advice at the end of a run in which x has hardly moved, or a loss grows."""

import logging
import warnings

import numpy as np
import pytest

import mpidbo
from mpidbo.problems.quadratic import Quadratic
from mpidbo.problems.shipped import PROBLEMS
from mpidbo.reports import show
from mpidbo.solver import advice
from mpidbo.storage import read_run
from support.negated import Classifier, Ridge, negated
from support.runs import QUADRATIC, run, toml


def last(x, y, k=100, **more):
    return {
        "iteration": np.array([0, k]),
        "moved_x": np.array([0, x]),
        "moved_y": np.array([0, y]),
        **{name: np.array([np.nan, value]) for name, value in more.items()},
    }


@pytest.mark.parametrize(
    ("x", "y", "factor"), [(1e-4, 1.0, "10000"), (0.02, 30.0, "2000"), (3e-12, 2.0, "7e+11")]
)
def test_the_factor_is_the_ratio_in_one_digit(x, y, factor):
    text = advice(last(x, y), {"alpha": 0.1})
    assert text.endswith(f"raise steps.alpha, for example by a factor of {factor}")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("history", "alpha"),
    [
        (last(2e-3, 1.0), 0.1),  # x has moved
        (last(0.0, 0.0), 0.1),  # neither has
        (last(0.0, 1.0), 0),  # x is meant to stay
        (last(0.0, 1.0, hypergradient_estimate=0.0), 0.1),  # nothing to follow
        (last(1e-9, 1.0, k=9), 0.1),  # too early to tell
    ],
)
def test_silent_elsewhere(history, alpha):
    assert advice(history, {"alpha": alpha}) == ""


def test_x_that_has_not_moved_at_all():
    text = advice(last(0.0, 1.0, hypergradient_estimate=0.5), {"alpha": 1e-300})
    assert text == "x has not moved at all (|y - y0| = 1): raise steps.alpha"


def test_the_factor_helps():
    """With alpha raised by it x moves about as far as y."""
    steps = {"alpha": 1e-6, "beta": 0.4, "gamma": 0.4}
    history = mpidbo.solve("quadratic", agents=4, steps=steps, iterations=200).history
    factor = float(advice(history, steps).split()[-1])
    raised = {**steps, "alpha": factor * steps["alpha"]}
    history = mpidbo.solve("quadratic", agents=4, steps=raised, iterations=200).history
    assert 0.2 < history["moved_x"][-1] / history["moved_y"][-1] < 2


def test_solve_logs_it(caplog):
    with caplog.at_level(logging.WARNING, "mpidbo"):
        mpidbo.solve("quadratic", agents=4, steps={"alpha": 0.05}, iterations=60)
        assert not caplog.records
        mpidbo.solve("quadratic", agents=4, steps={"alpha": 1e-7}, iterations=60)
    (record,) = caplog.records
    assert record.name == "mpidbo" and "raise steps.alpha" in record.getMessage()


def test_the_command_prints_it_before_the_folder(tmp_path, capsys):
    run(toml(tmp_path, {**QUADRATIC, "steps.alpha": 1e-8}), tmp_path / "out")
    *_, text, out = capsys.readouterr().out.splitlines()
    assert "raise steps.alpha, for example" in text and out == str(tmp_path / "out")
    run(toml(tmp_path, QUADRATIC), tmp_path / "other")
    assert "steps.alpha" not in capsys.readouterr().out


def column(values, name="lower_loss", every=50):
    return {"iteration": every * np.arange(len(values)), name: np.asarray(values, float)}


K = np.arange(21.0)


@pytest.mark.parametrize(
    ("values", "how"),
    [
        (-(1.2 ** (10 * K)), "falls"),
        (1e-3 * 1.1 ** (5 * K), "grows"),
        (1 - 3 * K, "falls"),  # no curvature: -log p of a classifier
        (2 + 5 * K, "grows"),
        (0.1 * K**2 + 0.01, "grows"),
        ([1, 2, 4, 30], "grows"),
        ([0, 0.1, 2, np.nan, 60], "grows"),
    ],
)
def test_growth(values, how):
    text = advice(column(values), {"alpha": 0.1})
    assert text.startswith(f"lower_loss {how} without bound (") and "\n" not in text
    assert text.endswith(": check the sign of g, and reduce steps.beta")
    assert f"{values[-1]:.3g} at iteration {50 * (len(values) - 1)})" in text


@pytest.mark.parametrize(
    "values",
    [
        np.exp(-K),
        1 - 0.01 * K,  # slow
        1 - np.sqrt(K),  # it becomes slower
        -5 * (1 - np.exp(-K / 4)),  # from 0 to a minimum
        -5 * (1 - np.exp(-K / 100)),  # the same with a small step, cut off
        1e-9 + K / 5 * (K < 5) + (K >= 5),  # from a solution to another one
        3 + 0.5 * (-1) ** K,
        np.zeros(21),
        [1, 50, 3000],  # too few rows
        [np.nan] * 21,
        1e6 * np.exp(-K) + 2,
    ],
)
def test_no_growth(values):
    assert advice(column(values), {}) == ""


def test_growth_comes_before_other_advice():
    history = {**column(-(3.0**K)), "moved_x": 1e-9 * K, "moved_y": 3.0**K}
    assert advice(history, {"alpha": 0.1}).startswith("lower_loss falls")


def test_distances_stand_in_for_losses():
    assert "moved_y grows without bound" in advice(column(3.0**K - 1, "moved_y"), {})
    assert advice(column(K**4, "moved_x"), {}) == ""
    assert advice({**column(1 + K / 100), "moved_y": 3.0**K, "moved_x": 3.0**K}, {}) == ""


@pytest.mark.parametrize(
    ("problem", "loss", "sign"),
    [
        (Quadratic, "lower_loss falls", "the sign of g"),
        pytest.param(Ridge, "lower_loss falls", "the sign of g", marks=pytest.mark.slow),
        pytest.param(  # its f is a square
            Classifier, "upper_loss grows", "the signs of f and g", marks=pytest.mark.slow
        ),
    ],
)
def test_a_negated_g(problem, loss, sign):
    """The same problem with the sign of g changed, and nothing else."""
    settings = {"agents": 2, "iterations": 200, "evaluate_every": 20, "checks": "never"}
    right = mpidbo.solve(problem, **settings)
    assert "without bound" not in advice(right.history, right.config.steps)
    wrong = mpidbo.solve(negated(problem), **settings)
    assert wrong.success
    text = advice(wrong.history, wrong.config.steps)
    assert text.startswith(f"{loss} without bound") and f"check {sign}" in text


METHODS = {"policy-evaluation": "dsgd", "policy-evaluation-residual": "dsgd", "minimax": "gda"}
QUICK = ("quadratic", "minimax")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in PROBLEMS],
)
@pytest.mark.timeout(500)
def test_no_false_alarm(name, australian):
    problem = {"name": name, **(australian if name == "australian" else {})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = mpidbo.solve(
            problem, METHODS.get(name, "sparkle"), agents=4, iterations=300, evaluate_every=20
        )
    k = result.history["iteration"]
    for rows in range(1, len(k) + 1):  # also where it had been shorter
        history = {column: values[:rows] for column, values in result.history.items()}
        assert "without bound" not in advice(history, result.config.steps)


def test_show_has_it(tmp_path):
    run(toml(tmp_path, {**QUADRATIC, "steps.alpha": 1e-8}), tmp_path / "out")
    assert "\n\nx has hardly moved (" in show(read_run(tmp_path / "out"))
