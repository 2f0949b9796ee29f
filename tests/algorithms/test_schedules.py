"""Every kind of schedule is its formula, with or without a warm-up; wrong tables are refused."""

from dataclasses import FrozenInstanceError
from math import cos, inf, pi, sin, sqrt

import pytest

from mpidbo.algorithms.schedules import KINDS, Power, schedule
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
    ({"kind": "power", "start": 2, "exponent": -0.49}, lambda k: 2 / (k + 1) ** 0.49),
    ({"kind": "power", "start": 2, "exponent": 0.3, "offset": 9}, lambda k: 2 * (1 + k / 9) ** 0.3),
    ({"kind": "power", "start": 2, "exponent": 0}, lambda k: 2.0),
    ({"kind": "sqrt-n-over-t"}, lambda k: sqrt(N / HORIZON)),
    ({"kind": "sqrt-n-over-t", "scale": 10}, lambda k: 10 * sqrt(N / HORIZON)),
    ({"kind": "sqrt-n-over-t", "scale": 10, "horizon": 50}, lambda k: 10 * sqrt(N / 50)),
    ({"kind": "staircase", "start": 2, "factor": 0.5, "every": 7}, lambda k: 2 * 0.5 ** (k // 7)),
    (
        {"kind": "staircase", "start": 0.1, "factor": 3, "every": 1e1},
        lambda k: 0.1 * 3 ** (k // 10),
    ),
    ({"kind": "cosine", "start": 2}, lambda k: 1 + cos(pi * k / HORIZON)),
    (
        {"kind": "cosine", "start": 2, "end": 0.5, "horizon": 20},
        lambda k: 0.5 + 0.75 * (1 + cos(pi * min(k, 20) / 20)),
    ),
    (
        {"kind": "cosine", "start": 0, "end": 1, "horizon": 8},
        lambda k: sin(pi * min(k, 8) / 16) ** 2,
    ),
    ({"kind": "piecewise", "values": [3], "boundaries": []}, lambda k: 3.0),
    (
        {"kind": "piecewise", "values": [3, 0.5, 1], "boundaries": [1, 9]},
        lambda k: 3.0 if k < 1 else 0.5 if k < 9 else 1.0,
    ),
]
TABLES = [case for case in TABLE if isinstance(case[0], dict)]
WRONG = [
    (
        "0.1",
        r"steps\.alpha: \S*0\.1\S* is not a finite number; give a number or a schedule's table",
    ),
    (True, r"steps\.alpha: \S+ is not a finite number"),
    (float("nan"), r"steps\.alpha: \S+ is not a finite number"),
    (float("inf"), r"steps\.alpha: \S+ is not a finite number"),
    (-0.1, r"steps\.alpha: -0\.1 is out of range; give at least 0"),
    ([0.1], r"steps\.alpha: \[0\.1\] is not a finite number"),
    (
        {"kind": "inverse-root", "start": 1},
        r"steps\.alpha\.kind: .*inverse-root.*did you mean inverse-",
    ),
    ({"kind": 3, "start": 1}, r"steps\.alpha\.kind: .*3"),
    ({"kind": ["power"], "start": 1}, r"steps\.alpha\.kind: "),
    (
        {"kind": "constant", "start": 1, "offset": 3},
        r"steps\.alpha\.offset: unknown key of schedule constant; known: start, warmup",
    ),
    (
        {"kind": "power", "start": 1, "exponnent": 3},
        r"steps\.alpha\.exponnent: .*did you mean exponent\?",
    ),
    ({"kind": "inverse-sqrt"}, r"steps\.alpha\.start: needed by schedule inverse-sqrt"),
    ({}, r"steps\.alpha\.start: needed by schedule constant"),
    ({"kind": "power", "start": 1}, r"steps\.alpha\.exponent: needed by schedule power"),
    (
        {"kind": "inverse-sqrt", "start": 1, "offset": 0},
        r"steps\.alpha\.offset: 0 is out of range; give more than 0",
    ),
    (
        {"kind": "inverse-sqrt", "start": 1, "offset": -2},
        r"steps\.alpha\.offset: -2 is out of range",
    ),
    ({"kind": "inverse-sqrt", "start": -1}, r"steps\.alpha\.start: -1 is out of range"),
    (
        {"kind": "inverse-sqrt", "start": "1"},
        r"steps\.alpha\.start: \S*1\S* is not a finite number",
    ),
    ({"start": 1, "warmup": -3}, r"steps\.alpha\.warmup: -3 is out of range"),
    ({"start": 1, "warmup": 2.5}, r"steps\.alpha\.warmup: 2\.5 is not a whole number.* such as 3"),
    ({"kind": "sqrt-n-over-t", "horizon": 0}, r"steps\.alpha\.horizon: 0 is out of range"),
    ({"kind": "staircase", "start": 1, "factor": 0.5}, r"steps\.alpha\.every: needed by schedule"),
    (
        {"kind": "staircase", "start": 1, "factor": 0.5, "every": 0},
        r"steps\.alpha\.every: 0 is out of range; give at least 1",
    ),
    (
        {"kind": "staircase", "start": 1, "factor": 0.5, "every": 1.5},
        r"steps\.alpha\.every: 1\.5 is not a whole number",
    ),
    (
        {"kind": "staircase", "start": 1, "factor": -1, "every": 5},
        r"steps\.alpha\.factor: -1 is out",
    ),
    ({"kind": "cosine", "end": 1}, r"steps\.alpha\.start: needed by schedule cosine"),
    (
        {"kind": "cosine", "start": 1, "horizon": 0.5},
        r"steps\.alpha\.horizon: 0\.5 is out of range",
    ),
    ({"kind": "cosine", "start": 1, "end": -1}, r"steps\.alpha\.end: -1 is out of range"),
    (
        {"kind": "piecewise", "values": [1]},
        r"steps\.alpha\.boundaries: needed by schedule piecewise",
    ),
    (
        {"kind": "piecewise", "values": [1, 2], "boundaries": [5, 9]},
        r"steps\.alpha\.values: 2 for 2 boundaries; give one value more than boundaries",
    ),
    (
        {"kind": "piecewise", "values": [1, 2, 3], "boundaries": [9, 9]},
        r"steps\.alpha\.boundaries: \[9, 9\] do not increase",
    ),
    (
        {"kind": "piecewise", "values": 1, "boundaries": [9]},
        r"steps\.alpha\.values: 1 is not a list",
    ),
    (
        {"kind": "piecewise", "values": [1, -2], "boundaries": [9]},
        r"steps\.alpha\.values: -2 is out of range",
    ),
    (
        {"kind": "piecewise", "values": [1, 2], "boundaries": [2.5]},
        r"steps\.alpha\.boundaries: 2\.5 is not a whole number",
    ),
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
        assert made(k) == pytest.approx(
            formula(k) * (min(1, (k + 1) / warmup) if warmup else 1), rel=1e-14
        )


@pytest.mark.parametrize(("spec", "words"), WRONG, ids=[str(spec) for spec, _ in WRONG])
def test_wrong_tables(spec, words):
    with pytest.raises(UserError, match=words):
        schedule(spec, N, "steps.alpha", HORIZON)


def test_a_horizon_is_needed():
    for spec in ({"kind": "sqrt-n-over-t", "scale": 2}, {"kind": "cosine", "start": 2}):
        with pytest.raises(UserError, match=r"method\.mu\.horizon: needed by schedule"):
            schedule(spec, N, "method.mu")


def test_a_schedule_is_itself_and_frozen():
    made = Power(0.1, -0.5, 3.0, 4)
    assert schedule(made, N, "steps.alpha") is made
    assert made == schedule(
        {"kind": "inverse-sqrt", "start": 0.1, "offset": 3, "warmup": 4}, N, "steps.alpha"
    )
    with pytest.raises(FrozenInstanceError):
        made.start = 2.0


@pytest.mark.parametrize(("spec", "formula"), TABLE, ids=[str(spec) for spec, _ in TABLE])
def test_bounds(spec, formula):
    """What methods check: theta is at most 1, F2SA divides by mu."""
    made, values = schedule(spec, N, "theta", HORIZON), [formula(k) for k in range(ITERATIONS)]
    assert made.largest in (inf, pytest.approx(max(values)))
    assert not (made.is_positive and min(values) <= 0)


@pytest.mark.parametrize(
    ("kind", "growing"),
    [
        ({"kind": "staircase", "start": 0.5, "factor": 1.5, "every": 9}, True),
        ({"kind": "staircase", "start": 0.5, "factor": 0.5, "every": 9}, False),
        ({"kind": "cosine", "start": 0.5, "end": 1.5}, True),
        ({"kind": "piecewise", "values": [0.5, 1.5], "boundaries": [9]}, True),
        ({"kind": "piecewise", "values": [0.5, 1], "boundaries": [9]}, False),
    ],
)
def test_a_weight_stays_within_1(kind, growing):
    assert (schedule(kind, N, "theta", HORIZON).largest > 1) == growing


def test_a_staircase_that_overflows_is_infinite():
    assert schedule({"kind": "staircase", "start": 1, "factor": 9, "every": 1}, N, "a")(5000) == inf
