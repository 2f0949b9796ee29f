"""A method adds metrics of its own, and a strategy its bound on W, without a line elsewhere."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

import mpidbo
from mpidbo.algorithms import METHODS, STRATEGIES, Method
from mpidbo.algorithms.sparkle import Sparkle
from mpidbo.errors import UserError
from mpidbo.network import make, suits


@dataclass(frozen=True, kw_only=True)
class Measured(Sparkle):
    """SPARKLE with two metrics."""

    own_metrics: ClassVar = {"size_of_x": (), "g_at_mean": ("g",)}

    def metrics(self, averaged, means, names):
        x, y = means["x"], means["y"]
        found = {"size_of_x": abs(x).max()}
        if "g_at_mean" in names:
            found["g_at_mean"] = averaged("g", x, y)
        return {name: float(value) for name, value in found.items()}


class WithoutLosses(mpidbo.problems.Quadratic):
    g = None


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    monkeypatch.setitem(METHODS, "measured", (Measured, {}))


def solve(problem="quadratic", method="measured", **run):
    return mpidbo.solve(problem, method, agents=3, iterations=100, evaluate_every=50, **run)


def test_metrics_of_a_method_are_columns_of_the_history():
    result = solve()
    assert (result.history["g_at_mean"] == result.history["lower_loss"]).all()
    assert result.history["size_of_x"][-1] == abs(result.x.mean(axis=0)).max()
    assert "size_of_x" not in solve(method="sparkle").history


def test_a_metric_whose_loss_is_missing_is_left_out():
    history = solve(WithoutLosses).history
    assert "size_of_x" in history and "g_at_mean" not in history


def test_a_stop_rule_may_name_it():
    result = solve(stop={"metric": "size_of_x", "above": 0.01})
    assert result.reason.startswith("size_of_x = ")
    with pytest.raises(UserError, match=r"run\.stop\.metric: this run has no metric .size_of_x."):
        solve(method="sparkle", stop={"metric": "size_of_x", "above": 0.01})


def test_a_problem_may_not_take_its_name():
    class Same(mpidbo.problems.Quadratic):
        def metrics(self, x, y):
            return {"size_of_x": 1.0}

    with pytest.raises(UserError, match="size_of_x is a name of mpidbo's own"):
        solve(Same, method="sparkle")


def test_metrics_of_shipped_methods_are_registered():
    """So that a problem's metrics are compared with them, though the methods are not imported."""
    for rule, _ in METHODS.values():
        assert rule is Measured or set(rule.own_metrics) <= set(mpidbo.problems.METRICS)


@pytest.mark.parametrize(("strict", "words"), [(True, "above 1/2"), (False, "at least 1/2")])
def test_a_strategy_has_its_bound_on_the_spectrum(strict, words):
    demanding = replace(STRATEGIES["sgd"], name="demanding", min_eigenvalue=0.5, strict=strict)
    with pytest.raises(UserError, match=f"place: .* and demanding diverges unless it is {words};"):
        suits(make("ring", 8), demanding, where="place")
    suits(make({"name": "ring", "lazy": False}, 8), replace(demanding, min_eigenvalue=-0.5))


def test_a_method_without_its_rules_cannot_be_made():
    with pytest.raises(TypeError, match=r"abstract methods '?needs'?, '?start'?, '?step'?"):
        Method()
