"""Of a large state only x and y are kept beside that of the current iteration."""

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

import mpidbo
from mpidbo.solver import outline

FAR = {"agents": 2, "iterations": 400, "evaluate_every": 40, "steps": {"beta": 50.0}}


def test_a_divergence_is_found_between_two_evaluations(monkeypatch):
    with pytest.raises(mpidbo.Diverged) as caught:
        mpidbo.solve("quadratic", **FAR)
    first = caught.value.iteration
    assert "found by iteration" in str(caught.value)

    monkeypatch.setattr(outline, "MAX_KEPT_BYTES", 0)
    with pytest.raises(mpidbo.Diverged) as caught:
        mpidbo.solve("quadratic", **FAR)
    error = caught.value
    # Signals are looked for in between, where states are not checked.
    assert error.last_finite == (first - 1) // 40 * 40 and error.iteration == error.last_finite + 40
    assert f"iteration {error.iteration}, finite after iteration {error.last_finite}; " in str(
        error
    )
    there = mpidbo.solve("quadratic", **{**FAR, "iterations": error.last_finite})
    assert np.array_equal(error.x, there.x) and np.array_equal(error.y, there.y)


def test_what_a_run_returns_does_not_depend_on_it(monkeypatch, tmp_path):
    few = {"agents": 3, "iterations": 20, "evaluate_every": 5}
    whole = mpidbo.solve("quadratic", **few)
    monkeypatch.setattr(outline, "MAX_KEPT_BYTES", 0)
    half = {**few, "out": tmp_path / "run", "checkpoint": {"every": 5}, "resume": "auto"}
    with mpidbo.Solver("quadratic", **half) as solver:
        next(solver), next(solver)
    assert solver.result.iteration < 20 and solver.result.z is not None
    resumed = mpidbo.solve("quadratic", **half)
    assert all(np.array_equal(getattr(resumed, v), getattr(whole, v)) for v in "xyz")


def test_ranks_with_different_numbers_of_agents_keep_the_same(monkeypatch):
    State = namedtuple("State", "x y z")
    monkeypatch.setattr(outline, "MAX_KEPT_BYTES", 8 * 9 * 2)
    for m in (1, 2):  # of three agents on two ranks
        agents = SimpleNamespace(n=3, size=2, m=m)
        large = State(np.ones((m, 5)), np.ones((m, 4)), np.ones((m, 4)))
        assert outline.outlined(large, agents) == outline.Outline(large.x, large.y)
        small = State(np.ones((m, 4)), np.ones((m, 4)), np.ones((m, 4)))
        assert outline.outlined(small, agents) is small
