"""MA-DSBO, DSBO, Gossip-DSBO and the double loop of policy evaluation are dense recursions."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from mpidbo import config, solve
from mpidbo.algorithms import communication_formula
from mpidbo.problems import Sample
from mpidbo.problems.policy_evaluation import PolicyEvaluation, ResidualPolicyEvaluation
from mpidbo.solver.plan import Plan
from support import trials
from support.dense import ALIKE, POWERS, PrimalDual
from support.trials import GRAPHS, QUADRATIC, RANDOM, TWISTED, Trial

PLACES = [("ring", 1), ("file", 2), ("random", 5), ("two", 5)]
ALONE = [row for row in POWERS if row not in ALIKE]
"""Strategies whose dense form holds from different starts, as those of an inner loop have."""


# dense recursions, from the equations


class Tracked:
    """non-gt by its tracker: s+ = W s - h, h+ = W h + u+ - u, h0 = u0."""

    def __init__(self, W):
        self.W, self.h, self.u = W, 0, 0

    def __call__(self, s, u):
        self.h, self.u = (u if np.ndim(self.h) == 0 else self.W @ self.h + u - self.u), u
        return self.W @ s - self.h


def inner(trial, lower, T, k, x, y, beta):
    """The T steps on y."""
    Y = Tracked(trial.lower) if lower in ("gt", "non-gt") else PrimalDual(lower, trial.lower)
    for t in range(T):
        trial.o.draw(k, t)
        y = Y(y, beta * trial.o.g_y(x, y))
    return y


def ma_dsbo(trial, lower, upper, T, N, theta=None):
    o, W, x, y = trial.o, trial.lower, trial.x, trial.y
    r, X = 0 * x, PrimalDual(upper, trial.upper)
    for k, step in enumerate(trial.steps):
        y = inner(trial, lower, T, k, x, y, step.beta)
        o.draw(k, T)
        z, s = 0 * y, -o.f_y(x, y)
        d = s
        for t in range(1, N + 1):
            z = W @ z - step.gamma * d
            if t < N:
                o.draw(k, T + t)
                new = o.g_yy(x, y, z) - o.f_y(x, y)
                d, s = W @ d + new - s, new
        o.draw(k, T + N)
        u = o.f_x(x, y) - o.g_xy(x, y, z)
        x = X(x, step.alpha * r)
        weight = step.alpha if theta is None else theta(k)
        r = (1 - weight) * r + weight * u
        yield x, y, z


def matrices(o, name, x, y):
    """G_yy (n, q, q) or G_xy (n, p, q) of each agent."""
    return np.stack(
        [
            np.stack(
                [getattr(agent, name)(x[i], y[i], e, o.samples[i]) for e in np.eye(y.shape[1])],
                axis=1,
            )
            for i, agent in enumerate(o.team)
        ]
    )


def mixed(W, stack):
    return np.tensordot(W, stack, axes=1)


def dsbo(trial, lower, upper, T, N):
    o, W, x, y = trial.o, trial.lower, trial.x, trial.y
    X = PrimalDual(upper, trial.upper)
    for k, step in enumerate(trial.steps):
        y = inner(trial, lower, T, k, x, y, step.beta)
        o.draw(k, T)
        S = -matrices(o, "g_xy", x, y).transpose(0, 2, 1)
        Z, D = 0 * S, S
        for t in range(1, N + 1):
            Z = mixed(W, Z) - step.gamma * D
            if t < N:
                o.draw(k, T + t)
                new = np.einsum("nij,njk->nik", matrices(o, "g_yy", x, y), Z) - matrices(
                    o, "g_xy", x, y
                ).transpose(0, 2, 1)
                D, S = mixed(W, D) + new - S, new
        o.draw(k, T + N)
        u = o.f_x(x, y) - np.einsum("nqp,nq->np", Z, o.f_y(x, y))
        x = X(x, step.alpha * u)
        yield x, y


def gossip_dsbo(trial, lower, upper, b, L, mu_g):
    o, x, y = trial.o, trial.x, trial.y
    (n, p), d = x.shape, y.shape[1]
    X, Y = PrimalDual(upper, trial.upper), PrimalDual(lower, trial.lower)
    J, I = np.full((n, n), 1 / n), np.eye(d)

    def averaged(theta, old, new):
        if lower == "centralized":
            return mixed(J, (1 - theta) * old + theta * new)
        return (1 - theta) * mixed(trial.lower, old) + theta * new

    s, h, u = np.zeros((n, p)), np.zeros((n, d)), np.zeros((n, p, d))
    v, q = [np.tile(mu_g * I, (n, 1, 1))] * b, np.tile(I / L, (n, 1, 1))
    for k, step in enumerate(trial.steps):
        o.draw(k)
        direction = s - np.stack([u[i] @ q[i] @ h[i] for i in range(n)])
        g_y, f_x, f_y, G_xy = o.g_y(x, y), o.f_x(x, y), o.f_y(x, y), matrices(o, "g_xy", x, y)
        G_yy = []
        for i in range(1, b + 1):
            o.draw(k, i)
            G_yy.append(matrices(o, "g_yy", x, y))
        x, y = X(x, step.alpha * direction), Y(y, step.beta * g_y)
        s, h, u = (
            averaged(step.theta, s, f_x),
            averaged(step.theta, h, f_y),
            averaged(step.theta, u, G_xy),
        )
        v = [averaged(step.theta, old, new) for old, new in zip(v, G_yy, strict=True)]
        q = []
        for i in range(n):
            Q = I
            for vi in v:
                Q = I + (I - vi[i] / L) @ Q
            q.append(Q / L)
        yield x, y, s, h, *(np.reshape(part, (n, -1)) for part in (u, np.stack(v, axis=1), q))


def dsgd(trial, upper):
    o, x, X = trial.o, trial.x, PrimalDual(upper, trial.upper)
    for k, step in enumerate(trial.steps):
        y = 0 * trial.y
        for j in range(1, k + 2):
            o.draw(k, j)
            y = y - o.g_y(x, y) / (2 * j)
        o.draw(k, 0)
        x = X(x, step.alpha * (o.f_x(x, y) - o.g_xy(x, y, o.f_y(x, y) / 2)))
        yield x, y


@pytest.mark.parametrize(("topology", "n"), PLACES)
@pytest.mark.parametrize(("lower", "upper"), [("dgd", "dgd"), ("gt", "dgd"), ("non-gt", "semi-gt")])
def test_ma_dsbo(lower, upper, topology, n, tmp_path):
    trial = Trial(
        TWISTED,
        {"name": "ma-dsbo", "lower": lower, "upper": upper, "T": 3, "N": 4},
        n,
        GRAPHS[topology],
        tmp_path,
    )
    theta = trials.STEPS["theta"][1]
    assert trial.deviation(ma_dsbo(trial, lower, upper, 3, 4, theta)) < 1e-10


@pytest.mark.parametrize("lower", ALONE)
def test_ma_dsbo_with_other_rows(lower, tmp_path):
    """Each begins again in every iteration, from where y is. theta left out is alpha."""
    trial = Trial(
        QUADRATIC, {"name": "ma-dsbo", "lower": lower, "T": 2, "N": 1}, 5, RANDOM, tmp_path
    )
    trial.plan = replace(trial.plan, method=replace(trial.plan.method, theta=None))
    assert trial.deviation(ma_dsbo(trial, lower, "dgd", 2, 1)) < 1e-10


@pytest.mark.parametrize(("topology", "n"), PLACES)
@pytest.mark.parametrize(
    ("lower", "upper"),
    [("dgd", "dgd"), ("gt", "dgd"), ("ed", "extra"), ("centralized", "centralized")],
)
def test_dsbo(lower, upper, topology, n, tmp_path):
    trial = Trial(
        TWISTED,
        {"name": "dsbo", "lower": lower, "upper": upper, "T": 2, "N": 3},
        n,
        GRAPHS[topology],
        tmp_path,
    )
    if lower == "centralized":
        trial.lower = np.full((n, n), 1 / n)
    assert trial.deviation(dsbo(trial, lower, upper, 2, 3)) < 1e-10


@pytest.mark.parametrize(
    ("method", "oracle", "once"), [("ma-dsbo", "f_y", 1), ("dsbo", "g_xy", QUADRATIC["q"])]
)
def test_what_the_steps_have_in_common_on_full_batches_is_computed_once(
    method, oracle, once, monkeypatch
):
    """With the bits of a computation in each of the steps, as it is done with mini-batches."""

    def solved(noise):
        problem = {**QUADRATIC, "noise": noise}
        found = solve(
            problem,
            {"name": method, "T": 2, "N": 3},
            agents=3,
            iterations=4,
            steps={"alpha": 0.1, "beta": 0.1, "gamma": 0.1},
        )
        return found, found.history[f"calls_{oracle}"][-1] / (4 * 3)

    found, calls = solved(0.0)
    assert calls == once and solved(0.3)[1] == 3 * once
    monkeypatch.setattr(Sample, "is_full", False)
    expected, calls = solved(0.0)
    assert calls == 3 * once and found.x.tobytes() == expected.x.tobytes()


@pytest.mark.parametrize(("topology", "n"), PLACES)
@pytest.mark.parametrize(
    ("lower", "upper"),
    [("dgd", "dgd"), ("sgd", "sgd"), ("ed", "gt"), ("centralized", "centralized")],
)
def test_gossip_dsbo(lower, upper, topology, n, tmp_path):
    table = {"name": "gossip-dsbo", "lower": lower, "upper": upper, "b": 3, "L": 4.0, "mu_g": 0.3}
    trial = Trial(TWISTED, table, n, GRAPHS[topology], tmp_path)
    dense = gossip_dsbo(trial, lower, upper, 3, 4.0, 0.3)
    assert trial.deviation(dense, list("xyshuvq")) < 1e-10


def test_gossip_dsbo_estimates_its_constants(tmp_path):
    """L is 1.1 times the largest curvature at the start, mu_g L/100; config.toml has them."""
    trial = Trial(QUADRATIC, {"name": "gossip-dsbo", "b": 2}, 5, RANDOM, tmp_path)
    L = 1.1 * max(np.linalg.eigvalsh(agent.H)[-1] for agent in trial.o.team)
    assert [trial.plan.config.method[key] for key in ("L", "mu_g")] == pytest.approx(
        [L, L / 100], rel=1e-3
    )
    found = trial.plan.method
    assert (found.start(trial.x, trial.y).q == np.eye(4).ravel() / found.L).all()
    assert (
        trial.deviation(gossip_dsbo(trial, "dgd", "dgd", 2, found.L, found.mu_g), list("xyshuvq"))
        < 1e-10
    )


@pytest.mark.parametrize(
    ("kind", "upper", "topology", "n"),
    [
        (PolicyEvaluation, "dgd", "ring", 1),
        (ResidualPolicyEvaluation, "gt", "random", 2),
        (PolicyEvaluation, "dgd", "file", 5),
    ],
)
def test_dsgd(kind, upper, topology, n, tmp_path):
    table = {"name": kind, "states": 5, "p": 3, "batch": 2 if n < 5 else 0}
    trial = Trial(table, {"name": "dsgd", "upper": upper}, n, GRAPHS[topology], tmp_path)
    assert trial.deviation(dsgd(trial, upper), ["x", "y"]) < 1e-10


# what is sent


@pytest.mark.parametrize(
    "method",
    [
        "ma-dsbo",
        "ma-dsbo-gt-dgd",
        "ma-dsbo-ed-gt",
        "dsbo",
        "dsbo-gt-ed",
        "gossip-dsbo",
        "gossip-dsbo-gt-semi-gt",
        "dsgd",
        "sparkle-gt",
    ],
)
def test_formula_is_what_is_sent(method):
    """At other dimensions and inner steps than those that it is made from."""
    checked = config.check({"problem": {"name": "quadratic"}, "method": {"name": method}})
    rule = config.rule_of(checked.method, checked.steps, n=2, horizon=10)
    text, _ = communication_formula(rule)
    for p, q, T, N, b in ((3, 7, 4, 5, 6), (6, 2, 1, 3, 2)):
        counts = {
            key: count for key, count in {"T": T, "N": N, "b": b}.items() if hasattr(rule, key)
        }
        table = {"name": method, **counts} | ({"L": 1.0, "mu_g": 0.1} if "b" in counts else {})
        problem = {"name": "quadratic", "p": p, "q": q}
        if method == "dsgd":
            problem = {"name": PolicyEvaluation, "states": max(p, q), "p": min(p, q)}
        with Plan(
            config.check({"problem": problem, "method": table, "run": {"agents": 2}})
        ) as plan:
            p, q = plan.dims
            state = plan.method.step(0, plan.oracle, plan.W, plan.method.start(*plan.rows()))
            before = plan.W.sent.floats
            plan.method.step(1, plan.oracle, plan.W, state)
            sent = (plan.W.sent.floats - before) // 2
            assert sent == plan.method.floats((p, q))
            assert sent == valued(text, {"p": p, "q": q, **counts})


def valued(text, letters):
    """The value of a polynomial as `formula` writes it, such as "p + 2Nq^2"."""
    total = 0
    for term in text.split(" + "):
        factors = re.findall(r"(\d+|[A-Za-z])(?:\^(\d))?", term)
        total += math.prod(
            (int(base) if base.isdigit() else letters[base]) ** int(power or 1)
            for base, power in factors
        )
    return total


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("ma-dsbo", ("p + Tq + 2Nq", 21)),
        ("ma-dsbo-gt-dgd", ("p + 2Tq + 2Nq", 21)),
        ("dsbo", ("p + Tq + 2Npq", 21)),
        ("gossip-dsbo", ("2p + 2q + pq + bq^2", 1)),
        ("dsgd", ("p", 1)),
    ],
)
def test_formulas(method, expected):
    checked = config.check({"problem": {"name": "quadratic"}, "method": {"name": method}})
    assert (
        communication_formula(config.rule_of(checked.method, checked.steps, n=2, horizon=10))
        == expected
    )
