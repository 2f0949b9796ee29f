"""SLDBO, F2SA, DSGDA, GDA, AdaSDBO, LoPA, MAML are their dense recursions, iterate by iterate."""

import numpy as np
import pytest

import mpidbo
from mpidbo import config
from mpidbo._linalg import squared_norms
from mpidbo._pytree import leaves
from mpidbo.algorithms import communication_formula
from mpidbo.algorithms.base import project_ball
from mpidbo.errors import Diverged, UserError
from mpidbo.problems.minimax import Minimax
from mpidbo.solver.plan import Plan
from support import trials
from support.dense import ALIKE, POWERS, PrimalDual
from support.trials import GRAPHS, MU, QUADRATIC, RANDOM, TWISTED, Trial

SADDLE = {"name": Minimax, "p": 3, "q": 4, "noise": 0.2}
PLACES = [("ring", 1), ("file", 2), ("two", 5)]
FREE = [row for row in POWERS if row not in ("ed", "extra")]
"""What may stand at a level that is projected."""


class Tracked:
    """A gt row by its tracker, all agents: what comes after a projection is not seen by it."""

    def __init__(self, row, W):
        self.row, self.W, self.h, self.u = row, W, np.zeros((len(W), 1)), 0

    def __call__(self, s, u):
        W, change, self.u = self.W, u - self.u, u
        self.h = W @ self.h + (W @ change if self.row in ("gt", "semi-gt") else change)
        assert np.allclose(self.h.mean(axis=0), u.mean(axis=0), rtol=0, atol=1e-10)
        return W @ (s - self.h) if self.row in ("gt", "push-pull") else W @ s - self.h


def nearest(z, R):
    return np.stack(
        [row if np.linalg.norm(row) <= R else R * row / np.linalg.norm(row) for row in z]
    )


def sldbo(trial, lower, upper, R):
    o, x, y = trial.o, trial.x, trial.y
    z = 0 * y
    X, Y, Z = trial.levels(lower, upper)
    if lower in ALIKE and R < 1000:
        Z = Tracked(lower, trial.lower)
    for k, s in enumerate(trial.steps):
        o.draw(k)
        u, v, p = o.f_x(x, y) - o.g_xy(x, y, z), o.g_y(x, y), o.g_yy(x, y, z) - o.f_y(x, y)
        x, y, z = X(x, s.alpha * u), Y(y, s.beta * v), nearest(Z(z, s.gamma * p), R)
        yield x, y, z


def f2sa(trial, lower, upper, mu):
    o, x, y = trial.o, trial.x, trial.y
    t = y
    X, Y, T = trial.levels(lower, upper)
    for k, s in enumerate(trial.steps):
        o.draw(k)
        u = o.f_x(x, y) + (o.g_x(x, y) - o.g_x(x, t)) / mu(k)
        v = o.f_y(x, y) + o.g_y(x, y) / mu(k)
        w = o.g_y(x, t)
        x, y, t = X(x, s.alpha * u), Y(y, s.beta * v), T(t, s.gamma * w)
        yield x, y, t


def gda(trial, lower, upper):
    o, x, y = trial.o, trial.x, trial.y
    X, Y, _ = trial.levels(lower, upper)
    for k, s in enumerate(trial.steps):
        o.draw(k)
        u, v = o.f_x(x, y), -o.f_y(x, y)
        x, y = X(x, s.alpha * u), Y(y, s.beta * v)
        yield x, y


def adasdbo(trial, R):
    o, x, y, U, L = trial.o, trial.x, trial.y, trial.upper, trial.lower
    z, squared = 0 * y, {name: np.ones(len(x)) for name in "xyz"}
    for k, s in enumerate(trial.steps):
        o.draw(k)
        D = {
            "x": o.f_x(x, y) - o.g_xy(x, y, z),
            "y": o.g_y(x, y),
            "z": o.g_yy(x, y, z) - o.f_y(x, y),
        }
        squared = {
            name: (U if name == "x" else L) @ (squared[name] + (D[name] ** 2).sum(axis=1))
            for name in D
        }
        m = {name: np.sqrt(value)[:, None] for name, value in squared.items()}
        larger = np.where(m["y"] > m["z"], m["y"], m["z"])
        x, y, z = (
            U @ (x - s.alpha * D["x"] / (m["x"] * larger)),
            L @ (y - s.beta * D["y"] / m["y"]),
            nearest(L @ (z - s.gamma * D["z"] / larger), R),
        )
        yield x, y, z


def lopa(trial, upper):
    o, x, y = trial.o, trial.x, trial.y
    z, r, X = 0 * y, 0 * x, PrimalDual(upper, trial.upper)
    for k, s in enumerate(trial.steps):
        o.draw(k)
        v, p, u = o.g_y(x, y), o.g_yy(x, y, z) - o.f_y(x, y), o.f_x(x, y) - o.g_xy(x, y, z)
        y, z = y - s.beta * v, z - s.gamma * p
        r = (1 - s.theta) * r + s.theta * u
        x = X(x, s.alpha * r)  # with the new r
        yield x, y, z


def maml(trial, lower, upper, a):
    o, x, y = trial.o, trial.x, trial.y
    X, Y, _ = trial.levels(lower, upper)
    for k, s in enumerate(trial.steps):
        o.draw(k)
        head = y - a * o.g_y(x, y)
        w = o.f_y(x, head)
        u, v = o.f_x(x, head) - a * o.g_xy(x, y, w), w - a * o.g_yy(x, y, w)
        x, y = X(x, s.alpha * u), Y(y, s.beta * v)
        yield x, y


@pytest.mark.parametrize(("topology", "n"), PLACES)
@pytest.mark.parametrize(
    ("lower", "upper"),
    [(row, row) for row in FREE] + [("gt", "ed"), ("semi-gt", "extra"), ("sgd", "gt")],
)
def test_sldbo(lower, upper, topology, n, tmp_path):
    trial = Trial(TWISTED, {"name": f"sldbo-{lower}-{upper}"}, n, GRAPHS[topology], tmp_path)
    assert trial.deviation(sldbo(trial, lower, upper, 1000)) < 1e-10


@pytest.mark.parametrize("row", [*ALIKE, "sgd", "centralized"])
def test_sldbo_with_a_small_ball(row, tmp_path, monkeypatch):
    """Agents are projected, then less so; the tracker's mean stays that of the directions."""
    monkeypatch.setattr(trials, "ITERATIONS", 200)
    trial = Trial(TWISTED, {"name": f"sldbo-{row}", "R": 1.72}, 5, RANDOM, tmp_path)
    sizes = np.linalg.norm([z for _, _, z in sldbo(trial, row, row, 1.72)], axis=2)
    inside = sizes < 1.72 - 1e-9
    assert (~inside[10]).any() and inside[-1].any() and (sizes < 1.72 + 1e-9).all()
    assert trial.deviation(sldbo(trial, row, row, 1.72)) < 1e-10


@pytest.mark.parametrize("name", ["sldbo", "sldbo-non-gt"])
def test_rows_of_sldbo(name, tmp_path):
    trial = Trial(QUADRATIC, {"name": name}, 5, RANDOM, tmp_path)
    assert trial.deviation(sldbo(trial, "non-gt", "non-gt", 1000)) < 1e-10


@pytest.mark.parametrize("mu", ["constant", "decreasing"])
@pytest.mark.parametrize("row", POWERS)
def test_f2sa(row, mu, tmp_path):
    spec, weight = (0.8, lambda k: 0.8) if mu == "constant" else MU
    trial = Trial(TWISTED, {"name": f"f2sa-{row}", "mu": spec}, 5, RANDOM, tmp_path)
    assert trial.deviation(f2sa(trial, row, row, weight)) < 1e-10


@pytest.mark.parametrize(
    ("lower", "upper", "topology", "n"),
    [("semi-gt", "gt", "ring", 1), ("gt", "non-gt", "random", 2), ("ed", "sgd", "two", 5)],
)
def test_f2sa_on_graphs(lower, upper, topology, n, tmp_path):
    trial = Trial(
        QUADRATIC, {"name": f"f2sa-{lower}-{upper}", "mu": 0.8}, n, GRAPHS[topology], tmp_path
    )
    assert trial.deviation(f2sa(trial, lower, upper, lambda k: 0.8)) < 1e-10


@pytest.mark.parametrize("row", POWERS)
def test_dsgda(row, tmp_path):
    """f2sa with a constant penalty; dsgda-gt is DSGDA-GT."""
    trial = Trial(TWISTED, {"name": f"dsgda-{row}", "mu": 0.8}, 5, RANDOM, tmp_path)
    assert trial.deviation(f2sa(trial, row, row, lambda k: 0.8)) < 1e-10


def test_defaults_of_dsgda(tmp_path):
    trial = Trial(TWISTED, {"name": "dsgda"}, 5, RANDOM, tmp_path)
    assert trial.deviation(f2sa(trial, "sgd", "sgd", lambda k: 1.0)) < 1e-10
    checked = config.check({"problem": {"name": "quadratic"}, "method": {"name": "DSGDA_GT"}})
    assert checked.steps == {"alpha": 0.01, "beta": 0.1, "gamma": 0.1}
    assert checked.method == {"name": "dsgda", "lower": "gt", "upper": "gt", "mu": 1.0}


@pytest.mark.parametrize("row", POWERS)
def test_gda(row, tmp_path):
    trial = Trial(SADDLE, {"name": f"gda-{row}"}, 5, RANDOM, tmp_path)
    assert trial.deviation(gda(trial, row, row)) < 1e-10


@pytest.mark.parametrize(
    ("lower", "upper", "topology", "n"),
    [("semi-gt", "gt", "ring", 1), ("gt", "non-gt", "random", 2), ("ed", "sgd", "two", 5)],
)
def test_gda_on_graphs(lower, upper, topology, n, tmp_path):
    trial = Trial(SADDLE, {"name": f"gda-{lower}-{upper}"}, n, GRAPHS[topology], tmp_path)
    assert trial.deviation(gda(trial, lower, upper)) < 1e-10


def test_gda_is_plain_descent_ascent_in_one_line(tmp_path):
    """x+ = W(x - alpha f_x), y+ = W(y + beta f_y)."""
    trial = Trial(SADDLE, {"name": "gda-sgd"}, 5, RANDOM, tmp_path)

    def lines():
        o, x, y, W, V = trial.o, trial.x, trial.y, trial.upper, trial.lower
        for k, s in enumerate(trial.steps):
            o.draw(k)
            x, y = W @ (x - s.alpha * o.f_x(x, y)), V @ (y + s.beta * o.f_y(x, y))
            yield x, y

    assert trial.deviation(lines()) < 1e-10


def test_dsgda_with_mu_1_is_descent_ascent_on_a_minimax_problem():
    """x and t are those of gda, and y stays where it starts."""
    steps = {"alpha": 0.05, "beta": 0.2}
    run = {"agents": 5, "iterations": 30, "evaluate_every": 30}
    plain = mpidbo.solve("minimax", "gda-gt", steps=steps, **run)
    penalty = mpidbo.solve("minimax", "dsgda-gt", steps={**steps, "gamma": 0.2}, **run)
    np.testing.assert_allclose(penalty.x, plain.x, atol=1e-13)
    np.testing.assert_allclose(penalty.t, plain.y, atol=1e-13)
    assert np.abs(penalty.y).max() < 1e-14


def test_defaults_of_f2sa(tmp_path):
    """The row of SUN-DSBO, mu = (k+1)^-1/3, and steps that fall with it."""
    trial = Trial(TWISTED, {"name": "f2sa"}, 5, RANDOM, tmp_path)
    assert trial.deviation(f2sa(trial, "semi-gt", "semi-gt", lambda k: (k + 1) ** -0.3333)) < 1e-10
    steps = config.check({"problem": {"name": "quadratic"}, "method": {"name": "f2sa"}}).steps
    assert [steps[name]["exponent"] for name in ("alpha", "beta")] == [-0.3333] * 2 and steps[
        "gamma"
    ] == 0.1


@pytest.mark.parametrize("problem", [TWISTED, QUADRATIC], ids=["twisted", "quadratic"])
@pytest.mark.parametrize(("topology", "n"), PLACES)
@pytest.mark.parametrize("R", [1000.0, 0.4])
def test_adasdbo(R, topology, n, problem, tmp_path):
    trial = Trial(problem, {"name": "adasdbo", "R": R}, n, GRAPHS[topology], tmp_path)
    assert trial.deviation(adasdbo(trial, R)) < 1e-10
    assert any((np.linalg.norm(z, axis=1) > R - 1e-9).any() for _, _, z in adasdbo(trial, R)) == (
        R == 0.4
    )


WHOLE_STEPS = {"tau": 1.0, "order": "new-average", "samples": "one"}
"""Whole steps of the newest average, at one sample; the paper's lines are in test_lopa.py."""


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ({"name": "lopa"}, "dgd"),
        ({"name": "lopa-lg"}, "dgd"),
        ({"name": "lopa", "upper": "gt"}, "non-gt"),
        ({"name": "lopa-gt"}, "non-gt"),
        *(({"name": f"lopa-{row}"}, row) for row in POWERS if row not in ("gt", "dgd")),
    ],
    ids=str,
)
@pytest.mark.parametrize(("topology", "n"), PLACES)
def test_lopa_with_whole_steps_of_the_newest_average(table, row, topology, n, tmp_path):
    graph = (
        GRAPHS["two"]["upper"] if topology == "two" else GRAPHS[topology]
    )  # y is the agent's own
    trial = Trial(TWISTED, {**table, **WHOLE_STEPS}, n, graph, tmp_path)
    assert trial.deviation(lopa(trial, row), ["x", "y", "z"]) < 1e-10


@pytest.mark.parametrize(("topology", "n"), PLACES)
@pytest.mark.parametrize(("lower", "upper"), [(row, row) for row in POWERS] + [("ed", "gt")])
def test_maml(lower, upper, topology, n, tmp_path):
    trial = Trial(
        TWISTED, {"name": f"maml-{lower}-{upper}", "a": 0.3}, n, GRAPHS[topology], tmp_path
    )
    assert trial.deviation(maml(trial, lower, upper, 0.3)) < 1e-10


def test_maml_by_default(tmp_path):
    trial = Trial(QUADRATIC, {"name": "maml"}, 5, RANDOM, tmp_path)
    assert trial.deviation(maml(trial, "sgd", "sgd", 0.1)) < 1e-10


@pytest.mark.parametrize(
    ("name", "floats", "rounds", "numbers"),
    [
        ("sldbo", "2p + 4q", 1, 34),
        ("sldbo-gt", "2p + 4q", 2, 34),
        ("f2sa", "2p + 4q", 1, 34),
        ("f2sa-gt", "2p + 4q", 2, 34),
        ("dsgda", "p + 2q", 1, 17),
        ("dsgda-gt", "2p + 4q", 2, 34),
        ("gda", "2p + 2q", 1, 20),
        ("gda-sgd", "p + q", 1, 10),
        ("adasdbo", "p + 2q + 3", 2, 20),
        ("lopa", "p", 1, 3),
        ("lopa-gt", "2p", 1, 6),
        ("maml", "p + q", 1, 10),
    ],
)
def test_what_is_sent(name, floats, rounds, numbers):
    checked = config.check({"problem": {"name": "quadratic"}, "method": {"name": name}})
    rule = config.rule_of(checked.method, checked.steps, n=2, horizon=1)
    assert communication_formula(rule) == (floats, rounds)
    assert rule.floats((3, 7)) == numbers


def test_nearest_point_of_a_ball():
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [0.3, 0.4], [np.nan, 1.0]])
    np.testing.assert_array_equal(project_ball(rows[:3], 5.0), rows[:3])
    np.testing.assert_allclose(
        project_ball(rows[:3], 1.0), [[0.6, 0.8], [0, 0], [0.3, 0.4]], rtol=1e-15
    )
    assert np.isnan(project_ball(rows, 1.0)[3]).any()  # what diverged is not hidden
    assert (
        project_ball(rows.astype(np.float32)[:3], 1.0).dtype
        == squared_norms(rows.astype(np.float32)).dtype
        == np.float32
    )


@pytest.mark.parametrize(
    "table",
    [
        {"name": "sldbo", "R": 0.1},
        {"name": "adasdbo", "R": 0.1},
        {"name": "f2sa"},
        {"name": "dsgda"},
        {"name": "lopa"},
        {"name": "maml"},
    ],
)
def test_single_precision_stays(table):
    with Plan(
        config.check(
            {"problem": QUADRATIC, "method": table, "run": {"agents": 3, "dtype": "float32"}}
        )
    ) as plan:
        state = plan.method.start(*plan.rows())
        for k in range(3):
            state = plan.method.step(k, plan.oracle, plan.W, state)
    assert {rows.dtype for _, rows in leaves(state)} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("method", "more", "message"),
    [
        (
            {"name": "sldbo", "lower": "ed"},
            {},
            "method.lower: ed loses its correction where z is projected",
        ),
        ({"name": "sldbo-extra"}, {}, "method.lower: extra loses its correction"),
        ({"name": "sldbo", "R": 0}, {}, "method.R: 0 is out of range; give more than 0"),
        ({"name": "adasdbo", "R": -1.0}, {}, "method.R: -1.0 is out of range"),
        ({"name": "adasdbo", "strategy": "ed"}, {}, "method.strategy: fixed by adasdbo"),
        ({"name": "adasdbo-ed"}, {}, "names no strategies of adasdbo"),
        ({"name": "maml", "a": -0.1}, {}, "method.a: -0.1 is out of range"),
        ({"name": "f2sa", "mu": 0}, {}, "method.mu: 0 is not positive"),
        ({"name": "f2sa", "mu": -1}, {}, "method.mu: -1 is out of range; give at least 0"),
        ({"name": "dsgda", "mu": 0}, {}, "method.mu: 0 is not positive"),
        ({"name": "gda"}, {}, "agent 0, g is not -f: at the start g_y is not opposite to f_y"),
        ({"name": "gda", "steps": {"gamma": 1}}, {}, "method.steps: "),
        ({"name": "lopa", "lower": "ed"}, {}, "method.lower: unknown key of lopa"),
        ({"name": "lopa-ed-gt"}, {}, "write lopa-UPPER"),
        (
            "lopa",
            {"metrics": ["hypergradient_norm"]},
            "hypergradient_norm is of one y for the network",
        ),
        (
            "maml",
            {"metrics": ["hypergradient_norm"]},
            "hypergradient_norm is of one y for the network",
        ),
        ("lopa", {"metrics": ["curvature"]}, "needs a method with a variable z"),
        ("maml", {"steps": {"gamma": 0.1}}, "not used by maml, whose steps are alpha, beta"),
        (
            "sldbo",
            {"steps": {"theta": 0.5}},
            "not used by sldbo, whose steps are alpha, beta, gamma",
        ),
    ],
)
def test_mistakes(method, more, message):
    with pytest.raises(UserError, match=message):
        mpidbo.solve("quadratic", method, agents=3, iterations=1, **more)


@pytest.mark.parametrize(
    ("method", "steps", "named"),
    [
        ("lopa", {"beta": 9.0}, "y .*steps.beta"),
        ("lopa", {"gamma": 9.0}, "z .*steps.gamma"),
        ("maml", {"beta": 9.0}, "y .*steps.beta"),
    ],
)
def test_divergence_names_the_variable(method, steps, named):
    """Also of one that does not gossip."""
    with pytest.raises(Diverged, match=f"level {named}"):
        mpidbo.solve(
            "quadratic", method, agents=3, steps=steps, iterations=2000, evaluate_every=2000
        )
