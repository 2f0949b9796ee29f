"""Every kind of schedule is its formula, with and without a warm-up; a wrong table is a sentence."""

from dataclasses import FrozenInstanceError
from math import sqrt

import pytest

from mpidbo.algorithms.schedules import KINDS, Schedule, schedule
from mpidbo.errors import UserError

N, HORIZON, ITERATIONS = 6, 300, 50
TABLE = [
    (0.3, lambda k: 0.3),
    (2, lambda k: 2.0),
    (0, lambda k: 0.0),
    ({"start": 0.3}, lambda k: 0.3),
    ({"kind": "constant", "start": 0.3}, lambda k: 0.3),
    ({"kind": "inverse-sqrt", "start": 0.5}, lambda k: 0.5 / sqrt(1 + k)),
    ({"kind": "inverse-sqrt", "start": 0.5, "offset": 20}, lambda k: 0.5 / sqrt(1 + k / 20)),
    ({"kind": "inverse-time", "start": 0.5}, lambda k: 0.5 / (1 + k)),
    ({"kind": "inverse-time", "start": 0.5, "offset": 0.5}, lambda k: 0.5 / (1 + 2 * k)),
    ({"kind": "power", "start": 2, "exponent": -0.49}, lambda k: 2 / (k + 1)**0.49),
    ({"kind": "power", "start": 2, "exponent": 0.3, "offset": 9}, lambda k: 2 * (1 + k / 9)**0.3),
    ({"kind": "power", "start": 2, "exponent": 0}, lambda k: 2.0),
    ({"kind": "sqrt-n-over-t"}, lambda k: sqrt(N / HORIZON)),
    ({"kind": "sqrt-n-over-t", "scale": 10}, lambda k: 10 * sqrt(N / HORIZON)),
    ({"kind": "sqrt-n-over-t", "scale": 10, "horizon": 50}, lambda k: 10 * sqrt(N / 50)),
]
TABLES = [case for case in TABLE if isinstance(case[0], dict)]
WRONG = [
    ("0.1", r"steps\.alpha: \S*0\.1\S* is not a finite number; give a number or a schedule's table"),
    (True, r"steps\.alpha: \S+ is not a finite number"),
    (float("nan"), r"steps\.alpha: \S+ is not a finite number"),
    (float("inf"), r"steps\.alpha: \S+ is not a finite number"),
    (-0.1, r"steps\.alpha: -0\.1 is negative"),
    ([0.1], r"steps\.alpha: \[0\.1\] is not a finite number"),
    ({"kind": "inverse-root", "start": 1}, r"steps\.alpha\.kind: .*inverse-root.*did you mean inverse-"),
    ({"kind": 3, "start": 1}, r"steps\.alpha\.kind: .*3"),
    ({"kind": ["power"], "start": 1}, r"steps\.alpha\.kind: "),
    ({"kind": "constant", "start": 1, "offset": 3}, r"steps\.alpha\.offset: unknown key of schedule constant; known: start, warmup"),
    ({"kind": "power", "start": 1, "exponnent": 3}, r"steps\.alpha\.exponnent: .*did you mean exponent\?"),
    ({"kind": "inverse-sqrt"}, r"steps\.alpha\.start: needed by schedule inverse-sqrt"),
    ({}, r"steps\.alpha\.start: needed by schedule constant"),
    ({"kind": "power", "start": 1}, r"steps\.alpha\.exponent: needed by schedule power"),
    ({"kind": "inverse-sqrt", "start": 1, "offset": 0}, r"steps\.alpha\.offset: 0 is not positive"),
    ({"kind": "inverse-sqrt", "start": 1, "offset": -2}, r"steps\.alpha\.offset: -2 is n"),
    ({"kind": "inverse-sqrt", "start": -1}, r"steps\.alpha\.start: -1 is negative"),
    ({"kind": "inverse-sqrt", "start": "1"}, r"steps\.alpha\.start: \S*1\S* is not a finite number"),
    ({"start": 1, "warmup": -3}, r"steps\.alpha\.warmup: -3 is negative"),
    ({"kind": "sqrt-n-over-t", "horizon": 0}, r"steps\.alpha\.horizon: needed"),
]


def test_every_kind_is_tried():
    assert {spec.get("kind") for spec, _ in TABLE if isinstance(spec, dict)} == {None, *KINDS}


@pytest.mark.parametrize(("spec", "formula"), TABLE, ids=[str(spec) for spec, _ in TABLE])
def test_formulas(spec, formula):
    made = schedule(spec, N, "steps.alpha", HORIZON)
    for k in range(ITERATIONS):
        assert made(k) == pytest.approx(formula(k), rel=1e-14)


@pytest.mark.parametrize("warmup", [0, 1, 2, 7])
@pytest.mark.parametrize(("spec", "formula"), TABLES, ids=[str(spec) for spec, _ in TABLES])
def test_warmup(spec, formula, warmup):
    made = schedule({**spec, "warmup": warmup}, N, "steps.alpha", HORIZON)
    for k in range(ITERATIONS):
        assert made(k) == pytest.approx(formula(k) * (min(1, (k + 1) / warmup) if warmup else 1), rel=1e-14)


@pytest.mark.parametrize(("spec", "words"), WRONG, ids=[str(spec) for spec, _ in WRONG])
def test_wrong_tables(spec, words):
    with pytest.raises(UserError, match=words):
        schedule(spec, N, "steps.alpha", HORIZON)


def test_a_horizon_is_needed():
    with pytest.raises(UserError, match=r"method\.mu\.horizon: needed, a number of iterations"):
        schedule({"kind": "sqrt-n-over-t", "scale": 2}, N, "method.mu")


def test_a_schedule_is_itself_and_frozen():
    made = Schedule(0.1, -0.5, 3.0, 4)
    assert schedule(made, N, "steps.alpha") is made
    assert made == schedule({"kind": "inverse-sqrt", "start": 0.1, "offset": 3, "warmup": 4}, N, "steps.alpha")
    with pytest.raises(FrozenInstanceError):
        made.start = 2.0
