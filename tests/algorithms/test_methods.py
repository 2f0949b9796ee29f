"""Every method is its dense recursion: for any strategies, graphs, samples and schedules.

The recursions below are written from the equations, with all agents in dense matrices, the
primal-dual form at every level, and samples drawn again from (seed, agent, iteration, phase).
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from mpidbo.algorithms import METHODS
from mpidbo.algorithms.strategies import STRATEGIES
from support.dense import POWERS, PrimalDual
from support.trials import (
    GRAPHS,
    MU,
    QUADRATIC,
    RANDOM,
    TOY,
    TWISTED,
    Trial,
)


def sparkle(trial, lower, upper, schedule):
    o, x, y = trial.o, trial.x, trial.y
    z, r = 0 * y, 0 * x
    X, Y, Z = trial.levels(lower, upper)
    for k, s in enumerate(trial.steps):
        o.draw(k, phase=0)
        if schedule == "gauss-seidel":
            y = Y(y, s.beta * o.g_y(x, y))
            o.draw(k, phase=1)
            z = Z(z, s.gamma * (o.g_yy(x, y, z) - o.f_y(x, y)))
            o.draw(k, phase=2)
            r = (1 - s.theta) * r + s.theta * (o.f_x(x, y) - o.g_xy(x, y, z))
            x = X(x, s.alpha * r)
        else:
            v, p, u = o.g_y(x, y), o.g_yy(x, y, z) - o.f_y(x, y), o.f_x(x, y) - o.g_xy(x, y, z)
            r = (1 - s.theta) * r + s.theta * u
            x, y, z = X(x, s.alpha * r), Y(y, s.beta * v), Z(z, s.gamma * p)
        yield x, y, z


def d_soba(trial, lower, upper, products=None):
    o, x, y = trial.o, trial.x, trial.y
    z, r = 0 * y, 0 * x
    X, Y, Z = trial.levels(lower, upper)
    for k, s in enumerate(trial.steps):
        o.draw(k)
        Hz, Jz = (o.g_yy(x, y, z), o.g_xy(x, y, z)) if products is None else products(o, x, y, z)
        v, p, u = o.g_y(x, y), Hz - o.f_y(x, y), o.f_x(x, y) - Jz
        x, y, z = X(x, s.alpha * r), Y(y, s.beta * v), Z(z, s.gamma * p)  # x with the old r
        r = (1 - s.theta) * r + s.theta * u
        yield x, y, z


def central(d):
    return lambda o, x, y, z: tuple(
        (part(x, y + d * z) - part(x, y - d * z)) / (2 * d) for part in (o.g_y, o.g_x)
    )


def forward(d):
    return lambda o, x, y, z: tuple(
        (part(x, y + d * z) - part(x, y)) / d for part in (o.g_y, o.g_x)
    )


def sun_dsbo(trial, lower, upper, schedule, mu, lam, momentum=False):
    o, x, y = trial.o, trial.x, trial.y
    t, m = y, {"x": 0 * x, "y": 0 * y, "t": 0 * y}
    X, Y, T = trial.levels(lower, upper)
    for k, s in enumerate(trial.steps):

        def average(level, D, theta=s.theta):
            m[level] = (1 - theta) * m[level] + theta * D if momentum else D
            return m[level]

        def D_x(x, y, t, k=k):
            return mu(k) * o.f_x(x, y) + o.g_x(x, y) - o.g_x(x, t)

        def D_y(x, y, t, k=k):
            return mu(k) * o.f_y(x, y) + o.g_y(x, y) - (y - t) / lam

        def D_t(x, y, t):
            return o.g_y(x, t) + (t - y) / lam

        o.draw(k, phase=0)
        if schedule == "jacobi":
            u, v, w = (
                average("x", D_x(x, y, t)),
                average("y", D_y(x, y, t)),
                average("t", D_t(x, y, t)),
            )
            x, y, t = X(x, s.alpha * u), Y(y, s.beta * v), T(t, s.gamma * w)
        else:
            t = T(t, s.gamma * average("t", D_t(x, y, t)))
            o.draw(k, phase=1)
            x = X(x, s.alpha * average("x", D_x(x, y, t)))
            o.draw(k, phase=2)
            y = Y(y, s.beta * average("y", D_y(x, y, t)))
        yield x, y, t


def single_level(trial, upper):
    o, x, X = trial.o, trial.x, PrimalDual(upper, trial.upper)
    for k, s in enumerate(trial.steps):
        o.draw(k)
        x = X(x, s.alpha * o.f_x(x, trial.y))
        yield (x,)


PAIRS = [
    pytest.param(*pair, marks=() if pair[0] == pair[1] else pytest.mark.slow)
    for pair in product(POWERS, POWERS)
]
"""Of strategies at the lower and the upper level; each with itself every day."""


@pytest.mark.parametrize("schedule", ["gauss-seidel", "jacobi"])
@pytest.mark.parametrize(("lower", "upper"), PAIRS)
def test_sparkle_all_pairs(lower, upper, schedule, tmp_path):
    trial = Trial(
        QUADRATIC, {"name": f"sparkle-{lower}-{upper}", "schedule": schedule}, 5, RANDOM, tmp_path
    )
    assert trial.deviation(sparkle(trial, lower, upper, schedule)) < 1e-10


@pytest.mark.parametrize(
    "schedule", ["gauss-seidel", pytest.param("jacobi", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(("topology", "n"), [("ring", 1), ("random", 2), ("file", 8), ("two", 5)])
@pytest.mark.parametrize("row", POWERS)
def test_sparkle_on_graphs(row, topology, n, schedule, tmp_path):
    """Nothing here is linear, so that the point of every oracle tells."""
    trial = Trial(
        TWISTED,
        {"name": "sparkle", "strategy": row, "schedule": schedule},
        n,
        GRAPHS[topology],
        tmp_path,
    )
    assert trial.deviation(sparkle(trial, row, row, schedule)) < 1e-10


@pytest.mark.parametrize("row", POWERS)
def test_sparkle_without_noise(row, tmp_path):
    trial = Trial(
        {**QUADRATIC, "noise": 0.0}, {"name": f"sparkle-{row}"}, 5, GRAPHS["file"], tmp_path
    )
    assert trial.deviation(sparkle(trial, row, row, "gauss-seidel")) < 1e-10


@pytest.mark.parametrize(
    ("lower", "upper"),
    [(row, row) for row in POWERS] + [("ed", "gt"), ("gt", "sgd"), ("centralized", "extra")],
)
@pytest.mark.parametrize(("topology", "n"), [("random", 8), ("two", 5)])
def test_d_soba(lower, upper, topology, n, tmp_path):
    trial = Trial(TWISTED, {"name": f"d-soba-{lower}-{upper}"}, n, GRAPHS[topology], tmp_path)
    assert trial.deviation(d_soba(trial, lower, upper)) < 1e-10


@pytest.mark.parametrize(("scheme", "difference"), [("central", central), ("forward", forward)])
@pytest.mark.parametrize("row", ["sgd", "ed", "gt"])
def test_d_soba_of_first_order(row, scheme, difference, tmp_path):
    """With a difference so large that rounding does not show; and the two schemes are not alike."""
    table = {
        "name": "d-soba",
        "strategy": row,
        "variant": "first-order",
        "scheme": scheme,
        "delta": 0.1,
    }
    trial = Trial(TWISTED, table, 5, RANDOM, tmp_path)
    assert trial.deviation(d_soba(trial, row, row, difference(0.1))) < 1e-10
    assert trial.deviation(d_soba(trial, row, row)) > 1e-6


@pytest.mark.parametrize("scheme", ["central", "forward"])
@pytest.mark.parametrize("row", POWERS)
def test_first_order_is_exact_on_quadratics(row, scheme, tmp_path):
    """To the rounding of its differences, about 1e-16 / 1e-5."""
    table = {"name": "d-soba", "strategy": row, "variant": "first-order", "scheme": scheme}
    trial = Trial(QUADRATIC, table, 5, RANDOM, tmp_path)
    assert trial.deviation(d_soba(trial, row, row)) < 1e-8
    assert trial.plan.oracle.calls["g_yy"] == trial.plan.oracle.calls["g_xy"] == 0


def test_differences_of_first_order():
    """1e-5 in double precision; 1e-2 / max(|z_i|, 1) in single; never a division by zero."""
    rule, _ = METHODS["d-soba"]
    z = np.array([[0.0, 0.0], [0.5, -0.5], [3.0, -4.0]])
    assert rule().difference(z) == 1e-5 and rule(delta=0.1).difference(z) == 0.1
    np.testing.assert_allclose(
        rule().difference(z.astype(np.float32)), [[1e-2], [1e-2], [1e-2 / 4]], rtol=1e-6
    )


@pytest.mark.parametrize("mu", ["constant", "decreasing"])
@pytest.mark.parametrize("schedule", ["jacobi", "gauss-seidel"])
@pytest.mark.parametrize("row", POWERS)
def test_sun_dsbo(row, schedule, mu, tmp_path):
    spec, formula = (0.2, lambda k: 0.2) if mu == "constant" else MU
    table = {"name": "sun-dsbo", "strategy": row, "schedule": schedule, "mu": spec, "lam": 0.7}
    trial = Trial(TWISTED, table, 5, RANDOM, tmp_path, without=["theta"])
    if row == "gt":  # there the name of another row
        rule = replace(trial.plan.method, lower=STRATEGIES[row], upper=STRATEGIES[row])
        trial.plan = replace(trial.plan, method=rule)
    assert trial.deviation(sun_dsbo(trial, row, row, schedule, formula, 0.7)) < 1e-10


@pytest.mark.parametrize("problem", [TWISTED, QUADRATIC, TOY], ids=["twisted", "quadratic", "toy"])
@pytest.mark.parametrize(
    ("lower", "upper", "topology", "n", "schedule"),
    [
        ("semi-gt", "semi-gt", "file", 8, "jacobi"),
        ("ed", "extra", "two", 5, "gauss-seidel"),
        ("sgd", "ed", "two", 8, "jacobi"),
        ("non-gt", "sgd", "ring", 2, "gauss-seidel"),
        ("dgd", "non-gt", "ring", 1, "jacobi"),
    ],
)
def test_sun_dsbo_on_graphs(problem, lower, upper, topology, n, schedule, tmp_path):
    table = {"name": "sun-dsbo", "lower": lower, "upper": upper, "mu": 0.3, "schedule": schedule}
    trial = Trial(problem, table, n, GRAPHS[topology], tmp_path, without=["theta"])
    assert trial.deviation(sun_dsbo(trial, lower, upper, schedule, lambda k: 0.3, 1.0)) < 1e-10


@pytest.mark.parametrize(
    ("name", "row"), [("sun-dsbo", "semi-gt"), ("sun-dsbo-gt", "semi-gt"), ("sun-dsbo-se", "sgd")]
)
def test_sun_dsbo_by_its_own_names(name, row, tmp_path):
    trial = Trial(QUADRATIC, {"name": name}, 5, RANDOM, tmp_path, without=["theta"])
    assert trial.deviation(sun_dsbo(trial, row, row, "jacobi", lambda k: 0.1, 1.0)) < 1e-10


@pytest.mark.parametrize("schedule", ["jacobi", "gauss-seidel"])
@pytest.mark.parametrize(
    ("lower", "upper", "topology", "n"),
    [("semi-gt", "semi-gt", "random", 5), ("sgd", "ed", "two", 5), ("dgd", "non-gt", "ring", 1)],
)
def test_sun_dsbo_with_momentum(lower, upper, topology, n, schedule, tmp_path):
    """m+ = (1 - theta) m + theta D at each of the three levels, from zero."""
    table = {"name": "sun-dsbo", "lower": lower, "upper": upper, "mu": MU[0], "schedule": schedule}
    trial = Trial(TWISTED, table, n, GRAPHS[topology], tmp_path)
    dense = [sun_dsbo(trial, lower, upper, schedule, MU[1], 1.0, m) for m in (True, False)]
    assert trial.deviation(dense[0]) < 1e-10
    assert trial.deviation(dense[1]) > 1e-6


@pytest.mark.parametrize("n", [1, 2, 5])
def test_soba(n, tmp_path):
    """SPARKLE with averages for W, in jacobi order; one agent alone for n = 1."""
    trial = Trial(TWISTED, {"name": "soba"}, n, "ring", tmp_path)
    assert trial.deviation(sparkle(trial, "centralized", "centralized", "jacobi")) < 1e-10


@pytest.mark.parametrize(("topology", "n"), [("random", 5), ("file", 8), ("ring", 2)])
@pytest.mark.parametrize("row", POWERS)
def test_single_level(row, topology, n, tmp_path):
    trial = Trial(TWISTED, {"name": f"single-level-{row}"}, n, GRAPHS[topology], tmp_path)
    assert trial.deviation(single_level(trial, row)) < 1e-10
    state = trial.plan.method.start(*trial.plan.rows())
    assert (trial.plan.method.step(0, trial.plan.oracle, trial.plan.W, state).y == trial.y).all()
