"""LoPA is its paper's lines, iterate by iterate, and goes to the solution of its own problem."""

from dataclasses import replace

import numpy as np
import pytest

import mpidbo
from mpidbo import config
from mpidbo.algorithms import METHODS, STRATEGIES
from mpidbo.errors import UserError
from support.closed_form import QUADRATIC, solve
from support.dense import POWERS, CompressedLevel, PrimalDual
from support.trials import GRAPHS, TWISTED, Trial

PLACES = [("ring", 1), ("file", 2), ("file", 5), ("random", 5)]
WHOLE = ("ed", "extra", "push-sum")
"""Strategies that need whole steps."""


def paper(trial, row, tau, order="old-average", samples="independent"):
    """th+ = th - beta d; v+ = v - gamma h; x+ = (1 - tau) x + tau U(x, alpha y) with the old y, the
    average of s; d, h, s from five samples: one of g for d, one of g and f each for h and s."""
    o, x, th = trial.o, trial.x, trial.y
    v, y, X = 0 * th, 0 * x, PrimalDual(row, trial.upper)
    for k, step in enumerate(trial.steps):

        def at(phase, name, *point, k=k):
            o.draw(k, phase if samples == "independent" else 0)
            return getattr(o, name)(*point)

        d = at(0, "g_y", x, th)
        h = at(1, "g_yy", x, th, v) - at(2, "f_y", x, th)
        s = at(4, "f_x", x, th) - at(3, "g_xy", x, th, v)
        newest = (1 - step.theta) * y + step.theta * s
        moved = X(x, step.alpha * (y if order == "old-average" else newest))
        x, th, v, y = (
            (1 - tau) * x + tau * moved,
            th - step.beta * d,
            v - step.gamma * h,
            newest,
        )
        yield x, th, v


class NonGt:
    """s+ = W s - h, h+ = W h + u+ - u, where s may be moved in between."""

    def __init__(self, W):
        self.W, self.h, self.u = W, np.zeros((len(W), 1)), 0

    def __call__(self, s, u):
        self.h, self.u = self.W @ self.h + u - self.u, u
        return self.W @ s - self.h


@pytest.mark.parametrize(("topology", "n"), PLACES)
def test_lopa_lg_is_the_papers_lines(topology, n, tmp_path):
    trial = Trial(TWISTED, {"name": "lopa-lg"}, n, GRAPHS[topology], tmp_path)
    assert trial.deviation(paper(trial, "dgd", 0.4), ["x", "y", "z"]) < 1e-10
    for other in (paper(trial, "dgd", 1.0), paper(trial, "dgd", 0.4, "new-average")):
        assert trial.deviation(other, ["x", "y", "z"]) > 1e-6


def tracking(trial, move, tau):
    """x+ = (1 - tau) x + tau U(x, alpha z) with the old z, the average of directions."""
    o, x, th = trial.o, trial.x, trial.y
    v, z = 0 * th, 0 * x
    for k, step in enumerate(trial.steps):
        found = []
        for phase, name in enumerate(("g_y", "g_yy", "f_y", "g_xy", "f_x")):
            o.draw(k, phase)
            more = (v,) if name in ("g_yy", "g_xy") else ()
            found.append(getattr(o, name)(x, th, *more))
        d, Hv, fy, Jv, fx = found
        x = (1 - tau) * x + tau * move(x, step.alpha * z)
        th, v = th - step.beta * d, v - step.gamma * (Hv - fy)
        z = (1 - step.theta) * z + step.theta * (fx - Jv)
        yield x, th, v


@pytest.mark.parametrize(("topology", "n"), PLACES)
@pytest.mark.parametrize("tau", [0.4, 0.7])
def test_lopa_gt_is_the_papers_lines(topology, n, tau, tmp_path):
    """The tracker follows r, and x takes a part of a step only."""
    trial = Trial(TWISTED, {"name": "lopa-gt", "tau": tau}, n, GRAPHS[topology], tmp_path)

    assert trial.deviation(tracking(trial, NonGt(trial.upper), tau), ["x", "y", "z"]) < 1e-10


@pytest.mark.parametrize("name", ["choco", "beer", "lead"])
def test_a_part_of_a_compressed_step(name, tmp_path):
    """The reference H follows what U returns, not the part of it that x takes."""
    upper = {"name": name, "compress": "quantize", "bits": 3, "gamma": 0.4}
    trial = Trial(
        TWISTED, {"name": "lopa", "upper": upper, "tau": 0.4}, 5, GRAPHS["ring"], tmp_path
    )

    def three_bits(v, *_):
        largest = abs(v).max()
        return np.rint(v * 3 / largest) * largest / 3 if largest else v

    a = trial.plan.method.upper.compression.a
    level = CompressedLevel(name, trial.upper, trial.x, three_bits, 0.4, a)
    calls = iter(range(10**6))
    lines = tracking(trial, lambda x, u: level.step(next(calls), x, u), 0.4)
    assert trial.deviation(lines, ["x", "y", "z"]) < 1e-10


def test_a_constant_alpha_is_outside_of_the_papers_tracker():
    """x+ = (1 - tau) x + tau (W x - alpha y), y+ = W y + z+ - z, in the paper's letters."""
    steps = {"alpha": 0.05, "beta": 0.2, "gamma": 0.15, "theta": 0.3}
    result = solve({"name": "lopa-gt", "tau": 0.4}, 40, n=6, steps=steps)
    kind = mpidbo.problems.problem_class("quadratic")
    options = {key: value for key, value in QUADRATIC.items() if key != "name"}
    team = [kind(i, 6, xp=np, seed=0, **options) for i in range(6)]
    W = mpidbo.network.make("ring", 6).W.toarray()
    x, th, v = np.zeros((6, 3)), np.zeros((6, 4)), np.zeros((6, 4))
    y, z = 0 * x, 0 * x

    def rows(name, *points):
        many = zip(team, *points, strict=True)
        return np.stack([getattr(agent, name)(*own, None) for agent, *own in many])

    for _ in range(40):
        d = rows("g_y", x, th)
        h = rows("g_yy", x, th, v) - rows("f_y", x, th)
        s = rows("f_x", x, th) - rows("g_xy", x, th, v)
        x = 0.6 * x + 0.4 * (W @ x - 0.05 * y)
        th, v = th - 0.2 * d, v - 0.15 * h
        newest = 0.7 * z + 0.3 * s
        y, z = W @ y + newest - z, newest
    for found, expected in ((result.x, x), (result.y, th), (result.z, v)):
        assert np.abs(found - expected).max() < 1e-13
    assert np.abs(x).max() > 0.01


@pytest.mark.parametrize("order", ["old-average", "new-average"])
@pytest.mark.parametrize("samples", ["independent", "one"])
@pytest.mark.parametrize("row", ["sgd", "centralized", "ed"])
def test_options_of_lopa(row, order, samples, tmp_path):
    """Whole steps by default where the strategy needs them."""
    table = {"name": f"lopa-{row}", "order": order, "samples": samples}
    trial = Trial(TWISTED, table, 5, GRAPHS["random"], tmp_path)
    tau = 1.0 if row in WHOLE else 0.4
    assert trial.deviation(paper(trial, row, tau, order, samples), ["x", "y", "z"]) < 1e-10


def test_which_strategies_take_a_part_of_a_step():
    rule, _ = METHODS["lopa"]
    found = {name: rule(upper=row).part_of_step() for name, row in STRATEGIES.items()}
    assert {name: found[name] for name in POWERS} == {
        name: 1.0 if name in WHOLE else 0.4 for name in POWERS
    }
    assert replace(rule(upper=STRATEGIES["gt"]), tau=0.9).part_of_step() == 0.9


LIMITS = ["gt", "push-pull", "ed"]
OTHERS = ["semi-gt", "ab", "centralized", "extra"]


@pytest.mark.parametrize(
    "row", [*LIMITS, *(pytest.param(row, marks=pytest.mark.slow) for row in OTHERS)]
)
def test_the_limit_is_that_of_whole_steps(row):
    steps = {"alpha": 0.1, "beta": 0.4, "gamma": 0.4, "theta": 1.0}
    table = {"name": "lopa", "upper": row}
    whole = solve({**table, "tau": 1.0, "order": "new-average"}, 2000, steps=steps)
    assert np.abs(solve(table, 2000, steps=steps).x - whole.x).max() < 1e-9


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"tau": 0}, "method.tau: 0 is out of range; give more than 0 and at most 1"),
        ({"tau": 1.5}, "method.tau: 1.5 is out of range"),
        ({"tau": 0.5, "upper": "ed"}, "method.tau: 0.5 with ed, which keeps .* set tau = 1, or"),
        ({"tau": 0.5, "upper": "push-sum"}, "method.tau: 0.5 with push-sum"),
        ({"order": "old"}, "method.order: .* did you mean old-average"),
        ({"samples": 5}, "method.samples: 5 is none of independent, one"),
    ],
    ids=str,
)
def test_mistakes(table, message):
    with pytest.raises(UserError, match=message):
        config.check({"problem": {"name": "quadratic"}, "method": {"name": "lopa", **table}})
