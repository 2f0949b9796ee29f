"""DM-HSGD and NR-DSBO, momentum that corrects itself, are their dense recursions and reach x*."""

import numpy as np
import pytest

import mpidbo
from mpidbo import config
from mpidbo import network as topologies
from mpidbo._pytree import leaves
from mpidbo.algorithms import METHODS, communication_formula
from mpidbo.errors import UserError
from mpidbo.problems.minimax import Minimax
from mpidbo.solver.plan import Plan
from support.closed_form import Exact, solve
from support.dense import POWERS, PrimalDual
from support.trials import GRAPHS, MU, QUADRATIC, RANDOM, TWISTED, Trial

SADDLE = {"name": Minimax, "p": 3, "q": 4, "noise": 0.2}
PLACES = [("ring", 1), ("file", 2), ("two", 5)]


def dm_hsgd(trial, lower, upper):
    """v = STORM of f_x and of -f_y, each moved by its strategy."""
    o, x, y = trial.o, trial.x, trial.y
    X, Y = PrimalDual(upper, trial.upper), PrimalDual(lower, trial.lower)
    u = v = last = None
    for k, s in enumerate(trial.steps):
        o.draw(k)
        if last is None:
            u, v = o.f_x(x, y), -o.f_y(x, y)
        else:
            u = o.f_x(x, y) + (1 - s.theta) * (u - o.f_x(*last))
            v = -o.f_y(x, y) + (1 - s.theta) * (v + o.f_y(*last))
        last = x, y
        x, y = X(x, s.alpha * u), Y(y, s.beta * v)
        yield x, y


class Normalized:
    """h+ = W h + m+ - m, s+ = W s - step h/|h| row by row, m by STORM."""

    def __init__(self, W):
        self.W, self.m, self.h = W, None, None

    def __call__(self, s, step, theta, now, before):
        m = now if self.m is None else now + (1 - theta) * (self.m - before)
        self.h = m if self.m is None else self.W @ self.h + m - self.m
        self.m = m
        return self.W @ s - np.stack([step * row / np.linalg.norm(row) for row in self.h])


def nr_dsbo(trial, mu):
    o, x, y = trial.o, trial.x, trial.y
    t, last = y, (trial.x, y, y)
    X, Y, T = Normalized(trial.upper), Normalized(trial.lower), Normalized(trial.lower)

    def D(weight, x, y, t):
        u = o.f_x(x, y) + (o.g_x(x, y) - o.g_x(x, t)) / weight
        return u, o.f_y(x, y) + o.g_y(x, y) / weight, o.g_y(x, t)

    for k, s in enumerate(trial.steps):
        o.draw(k)
        now, before = D(mu(k), x, y, t), D(mu(k - 1) if k else 1.0, *last)
        last = x, y, t
        x, y, t = (
            level(rows, step, s.theta, new, old)
            for level, rows, step, new, old in zip(
                (X, Y, T), last, (s.alpha, s.beta, s.gamma), now, before, strict=True
            )
        )
        yield x, y, t


@pytest.mark.parametrize("row", POWERS)
def test_dm_hsgd(row, tmp_path):
    trial = Trial(SADDLE, {"name": f"dm-hsgd-{row}"}, 5, RANDOM, tmp_path)
    assert trial.deviation(dm_hsgd(trial, row, row)) < 1e-10


@pytest.mark.parametrize(
    ("lower", "upper", "topology", "n"),
    [("semi-gt", "gt", "ring", 1), ("gt", "non-gt", "random", 2), ("ed", "sgd", "two", 5)],
)
def test_dm_hsgd_on_graphs(lower, upper, topology, n, tmp_path):
    trial = Trial(SADDLE, {"name": f"dm-hsgd-{lower}-{upper}"}, n, GRAPHS[topology], tmp_path)
    assert trial.deviation(dm_hsgd(trial, lower, upper)) < 1e-10


class Boxed(Minimax):
    """y stays in a box, whose faces the solution touches."""

    def project_y(self, y):
        return y.clip(-0.2, 0.3)


def test_dm_hsgd_is_its_papers_lines_with_a_projection():
    """h+ = W(h + v+ - v), x+ = W x - alpha h_x, y+ = P(W y - beta h_y), constant step sizes."""
    n, alpha, beta, theta = 5, 0.05, 0.1, 0.3
    options = {"p": 3, "q": 4}
    team = [Boxed(i, n, xp=np, seed=0, **options) for i in range(n)]
    W = topologies.make("ring", n).W.toarray()
    x, y = np.zeros((n, 3)), np.zeros((n, 4))
    h, l, u, v, last = 0 * x, 0 * y, 0 * x, 0 * y, None

    def grads(x, y):
        both = list(zip(team, x, y, strict=True))
        return (
            np.stack([agent.f_x(a, b, None) for agent, a, b in both]),
            -np.stack([agent.f_y(a, b, None) for agent, a, b in both]),
        )

    for _ in range(30):
        new_u, new_v = grads(x, y)
        if last is not None:
            old_u, old_v = grads(*last)
            new_u, new_v = new_u + (1 - theta) * (u - old_u), new_v + (1 - theta) * (v - old_v)
        h, l, u, v, last = W @ (h + new_u - u), W @ (l + new_v - v), new_u, new_v, (x, y)
        x, y = W @ x - alpha * h, (W @ y - beta * l).clip(-0.2, 0.3)
    found = mpidbo.solve(
        {"name": Boxed, **options},
        "dm-hsgd",
        "ring",
        n,
        {"alpha": alpha, "beta": beta, "theta": theta},
        30,
        evaluate_every=30,
    )
    assert np.abs(found.x - x).max() < 1e-13 and np.abs(found.y - y).max() < 1e-13
    assert {-0.2, 0.3} & set(y.ravel())


def test_dm_hsgd_with_the_whole_weight_is_descent_ascent():
    """theta = 1: u and v are the newest directions."""
    run = {"agents": 4, "iterations": 25, "evaluate_every": 25, "seed": 2}
    problem, steps = {"name": "minimax", "noise": 0.3}, {"alpha": 0.05, "beta": 0.1}
    gda = mpidbo.solve(problem, "gda", steps=steps, **run)
    other = mpidbo.solve(problem, "dm-hsgd", steps={**steps, "theta": 1.0}, **run)
    np.testing.assert_allclose(other.x, gda.x, atol=1e-14)
    np.testing.assert_allclose(other.y, gda.y, atol=1e-14)


@pytest.mark.parametrize(("row", "topology"), [("semi-gt", "ring"), ("push-pull", "directed-ring")])
def test_dm_hsgd_reaches_the_saddle_point(row, topology):
    steps = {"alpha": 0.05, "beta": 0.2, "theta": 0.3}
    result = solve(f"dm-hsgd-{row}", 2500, "minimax", topology=topology, steps=steps)
    assert result.history["distance"][-1] < 1e-9


@pytest.mark.parametrize("mu", ["constant", "decreasing"])
@pytest.mark.parametrize("problem", [TWISTED, QUADRATIC], ids=["twisted", "quadratic"])
@pytest.mark.parametrize(("topology", "n"), PLACES)
def test_nr_dsbo(topology, n, problem, mu, tmp_path):
    spec, weight = (0.8, lambda k: 0.8) if mu == "constant" else MU
    trial = Trial(problem, {"name": "nr-dsbo", "mu": spec}, n, GRAPHS[topology], tmp_path)
    assert trial.deviation(nr_dsbo(trial, weight)) < 1e-10


def test_steps_of_nr_dsbo_have_their_length():
    """Whatever the direction: one agent moves by alpha, beta and gamma."""
    steps = {"alpha": 0.03, "beta": 0.05, "gamma": 0.07, "theta": 0.4}
    problem = {"name": "quadratic", "noise": 1e6}
    states = [mpidbo.solve(problem, "nr-dsbo", agents=1, steps=steps, iterations=k) for k in (6, 7)]
    for name, step in (("x", 0.03), ("y", 0.05), ("t", 0.07)):
        move = getattr(states[1], name) - getattr(states[0], name)
        assert np.linalg.norm(move) == pytest.approx(step, rel=1e-9)


def test_nr_dsbo_stays_where_nothing_moves_it():
    """h = 0 is not divided by."""
    rule = METHODS["nr-dsbo"][0]()
    step = rule.normalized(np.ones((2, 3)), 0.1, np.zeros((2, 3)), np.zeros((2, 3)))
    next(step)
    with pytest.raises(StopIteration) as end:
        step.send((np.ones((2, 3)), np.zeros((2, 3))))
    s, h = end.value.value
    assert (s == 1).all() and (h == 0).all()


def test_nr_dsbo_reaches_its_penalized_solution():
    """With step sizes that fall in stages, where the averages of the three directions vanish."""
    exact, mu = Exact(), 0.3
    steps = {
        name: {"kind": "staircase", "start": start, "factor": 0.8, "every": 20}
        for name, start in (("alpha", 0.03), ("beta", 0.05), ("gamma", 0.1))
    }
    result = solve({"name": "nr-dsbo", "mu": mu}, 2000, steps={**steps, "theta": 0.5})
    x, y, t = (rows.mean(axis=0) for rows in (result.x, result.y, result.t))
    residuals = (
        exact.A @ x - exact.Aa + exact.P.T @ (t - y) / mu,
        exact.B @ y - exact.Bb + exact.H @ (y - exact.y(x)) / mu,
        exact.H @ (t - exact.y(x)),
    )
    assert max(np.abs(part).max() for part in residuals) < 1e-8
    assert max(np.ptp(rows, axis=0).max() for rows in (result.x, result.y, result.t)) < 1e-8


def test_progress_of_nr_dsbo_by_default():
    history = mpidbo.solve(
        "quadratic", "nr-dsbo", agents=5, iterations=1000, evaluate_every=1000
    ).history
    assert history["distance"][-1] < 0.3 * history["distance"][0]
    assert np.isfinite(history["residual"]).all()


@pytest.mark.parametrize(
    ("name", "floats", "rounds", "numbers"),
    [("dm-hsgd", "2p + 2q", 1, 20), ("dm-hsgd-sgd", "p + q", 1, 10), ("nr-dsbo", "2p + 4q", 1, 34)],
)
def test_what_is_sent(name, floats, rounds, numbers):
    checked = config.check({"problem": {"name": "quadratic"}, "method": {"name": name}})
    rule = config.rule_of(checked.method, checked.steps, n=2, horizon=1)
    assert communication_formula(rule) == (floats, rounds)
    assert rule.floats((3, 7)) == numbers


@pytest.mark.parametrize(
    ("problem", "name"),
    [({"name": "quadratic", "noise": 0.1}, "nr-dsbo"), ({"name": "minimax"}, "dm-hsgd")],
)
def test_single_precision_stays(problem, name):
    tables = {
        "problem": problem,
        "method": {"name": name},
        "run": {"agents": 3, "dtype": "float32"},
    }
    with Plan(config.check(tables)) as plan:
        state = plan.method.start(*plan.rows())
        for k in range(3):
            state = plan.method.step(k, plan.oracle, plan.W, state)
    assert {rows.dtype for _, rows in leaves(state)} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("problem", "method", "steps", "message"),
    [
        ("quadratic", "dm-hsgd", {}, "agent 0, g is not -f: at the start g_y is not opposite"),
        ("minimax", "dm-hsgd", {"theta": 1.1}, "steps.theta: 1.1; the weight of an average"),
        ("minimax", "dm-hsgd", {"gamma": 1}, "steps.gamma: not used by dm-hsgd"),
        ("quadratic", "nr-dsbo", {"theta": 2.0}, "steps.theta: 2; the weight of an average"),
        ("quadratic", {"name": "nr-dsbo", "mu": 0}, {}, "method.mu: 0 is not positive; NR-DSBO"),
        ("quadratic", {"name": "nr-dsbo", "lower": "ed"}, {}, "method.lower: unknown key"),
        ("quadratic", "nr-dsbo-ed", {}, "names no strategies of nr-dsbo"),
    ],
    ids=str,
)
def test_mistakes(problem, method, steps, message):
    with pytest.raises(UserError, match=message):
        mpidbo.solve(problem, method, agents=3, iterations=1, steps=steps)
