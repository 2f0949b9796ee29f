"""x and y in convex sets: the projections, projected methods against dense recursions, and
constrained problems in closed form."""

import warnings
from typing import Any

import numpy as np
import pytest

import mpidbo
from mpidbo import network as topologies
from mpidbo.algorithms import METHODS
from mpidbo.errors import UserError
from mpidbo.problems import Problem
from mpidbo.problems.checks import check
from mpidbo.problems.projections import ball, box, simplex

N, LOW, HIGH = 5, -0.3, 0.4
STEPS = {"alpha": 0.1, "beta": 0.3, "gamma": 0.3, "theta": 0.5}


class Boxed(Problem):
    """f_i = |y - b_i|^2/2, g_i = |y - x - c_i|^2/2 and x in a box, so that x* is mean(b_i) -
    mean(c_i), clipped."""

    dims = (4, 4)

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.b, self.c = self.own(agent)

    def own(self, agent):
        return np.random.default_rng([self.seed, agent]).standard_normal((2, 4)) + np.array(
            [[2.0, -2.0, 0.05, 0.1], [0, 0, 0, 0]]
        )

    def f(self, x, y, sample):
        return (y - self.b) @ (y - self.b) / 2

    def g(self, x, y, sample):
        return (y - x - self.c) @ (y - x - self.c) / 2

    def f_x(self, x, y, sample):
        return 0 * x

    def f_y(self, x, y, sample):
        return y - self.b

    def g_x(self, x, y, sample):
        return x + self.c - y

    def g_y(self, x, y, sample):
        return y - x - self.c

    def g_yy(self, x, y, v, sample):
        return v.copy()

    def g_xy(self, x, y, v, sample):
        return -v

    def project_x(self, x):
        return box(x, LOW, HIGH)

    def solution(self):
        b, c = sum(self.own(i) for i in range(self.n_agents)) / self.n_agents
        return (b - c).clip(LOW, HIGH)


class Wrong(Boxed):
    def project_x(self, x):
        return x[:2]


def solve(method, iterations=600, **run):
    return mpidbo.solve(
        Boxed, method, "ring", N, STEPS, iterations, evaluate_every=iterations, **run
    )


def test_simplex_is_the_nearest_point():
    rng = np.random.default_rng(0)
    for size in (1, 2, 7):
        for scale in (0.1, 1, 10):
            x = scale * rng.standard_normal(size)
            p = simplex(x)
            assert p.min() >= 0 and p.sum() == pytest.approx(1)
            assert (
                (x - p) @ (np.eye(size) - p).T
            ).max() < 1e-12 * scale  # no corner lies on x's side of p
            assert simplex(p) == pytest.approx(p, abs=1e-15)
    assert simplex(np.float32([2, 1, 0])).dtype == np.float32
    assert box(np.array([-2.0, 0.5, 2.0]), -1, 1).tolist() == [-1, 0.5, 1]


def test_ball_is_the_nearest_point():
    assert ball(np.array([3.0, 4.0])) == pytest.approx([0.6, 0.8])
    assert ball(np.array([0.3, 0.4])).tolist() == [0.3, 0.4]
    assert ball(np.array([4.0, 6.0]), 2.5, np.array([1.0, 2.0])) == pytest.approx([2.5, 4.0])
    assert ball(np.float32([3, 4]), 2).dtype == np.float32
    assert np.isnan(ball(np.array([np.nan, 1.0]))).any()  # what diverged is not hidden


@pytest.mark.parametrize(
    "method", ["sparkle-ed-gt", "sparkle-ed-semi-gt", "sparkle-ed-non-gt", "d-soba-gt", "soba"]
)
def test_projected_methods_reach_the_constrained_solution(method):
    result = solve(method)
    solution = Boxed(0, N, xp=np, seed=0).solution()
    assert (
        sorted(solution)[0] == LOW
        and sorted(solution)[-1] == HIGH
        and ((LOW < solution) & (solution < HIGH)).any()
    )
    assert np.abs(result.x - solution).max() < 1e-9


@pytest.mark.parametrize("row", ["ed", "extra"])
def test_others_are_warned_of(row):
    with pytest.warns(UserWarning, match=f"{row} at x, which the problem projects"):
        result = solve(f"sparkle-ed-{row}")
    assert (result.x >= LOW).all() and (result.x <= HIGH).all()
    assert result.history["distance"][-1] > 1e-3


@pytest.mark.parametrize(
    ("project", "words"),
    [
        (lambda x: x / 2, "moves its own points"),
        (lambda x: np.floor(x * 1e3) / 1e3 + 1, "moves its own points"),
        (lambda x: 0 * x + 1, "moves the start"),
        (lambda x: x[:2], "returns shape (2,), not (4,)"),
        (lambda x: np.round(x * 20) / 20, "brings points further apart"),
        (lambda x: box(x, LOW, HIGH), ""),
    ],
    ids=range(6),
)
def test_check_looks_at_projections(project, words):
    problem = Boxed(0, N, xp=np, seed=0)
    problem.project_x = project
    found = {
        finding.name: finding for finding in check(problem, rng=np.random.default_rng(0), points=5)
    }["project_x"]
    assert words in found.detail and found.ok == (not words)


def test_no_warning_without_need():
    with warnings.catch_warnings(record=True) as printed:
        warnings.simplefilter("always")
        solve("sparkle-ed-gt", 1)
        mpidbo.solve(Boxed, "sparkle-ed", agents=1, iterations=1)
        mpidbo.solve("quadratic", "sparkle-ed", agents=3, iterations=1)
    assert not printed


@pytest.mark.parametrize("row", ["sgd", "dgd", "gt", "semi-gt"])
def test_dense_projected_recursion(row):
    """D-SOBA with that row at x: x is projected after each iteration, trackers are not."""
    W = topologies.make("ring", N).W.toarray()
    b, c = np.swapaxes([Boxed(i, N, xp=np, seed=0).own(i) for i in range(N)], 0, 1)
    x, y, z, r, h, u = np.zeros((6, N, 4))
    for _ in range(30):
        new = STEPS["alpha"] * r
        if row == "sgd":
            moved = W @ (x - new)
        elif row == "dgd":
            moved = W @ x - new
        else:
            h, u = W @ (h + new - u), new
            moved = W @ (x - h) if row == "gt" else W @ x - h
        r = 0.5 * r + 0.5 * z
        y, z = W @ (y - STEPS["beta"] * (y - x - c)), W @ (z - STEPS["gamma"] * (z - y + b))
        x = moved.clip(LOW, HIGH)
    found = solve({"name": "d-soba", "lower": "sgd", "upper": row}, 30)
    assert np.abs(found.x - x).max() < 1e-13 and np.abs(found.z - z).max() < 1e-13
    assert (x == LOW).any() and (x == HIGH).any()


def test_a_projection_of_another_shape_is_refused():
    with pytest.raises(
        UserError, match=r"problem Wrong.project_x: returns shape \(2,\), expected shape \(4,\)"
    ):
        mpidbo.solve(Wrong, "sparkle-ed-gt", agents=2, iterations=1)


# y in a set


class Saddle(Problem):
    """f_i = |x - a_i|^2/2 + x'C_i y - |y - b_i|^2/2, g_i = -f_i: min over x in a box, max over y in
    the simplex."""

    dims = (3, 4)

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        rng = np.random.default_rng([seed, agent])
        self.a, self.b, self.C = (rng.standard_normal(shape) for shape in (3, 4, (3, 4)))
        self.a += [2, 0, 0]
        self.b += [-0.5, 0.5, 0.3, -1]

    def f(self, x, y, sample):
        return (x - self.a) @ (x - self.a) / 2 + x @ self.C @ y - (y - self.b) @ (y - self.b) / 2

    def f_x(self, x, y, sample):
        return x - self.a + self.C @ y

    def f_y(self, x, y, sample):
        return self.C.T @ x - y + self.b

    def g(self, x, y, sample):
        return -self.f(x, y, sample)

    def g_x(self, x, y, sample):
        return -self.f_x(x, y, sample)

    def g_y(self, x, y, sample):
        return -self.f_y(x, y, sample)

    def g_yy(self, x, y, v, sample):
        return v.copy()

    def g_xy(self, x, y, v, sample):
        return -self.C @ v

    def start(self):
        return np.zeros(3), np.full(4, 0.25)

    def project_x(self, x):
        return box(x, LOW, HIGH)

    def project_y(self, y):
        return simplex(y)


class Clipped(Boxed):
    """`Boxed` with y in a box instead: y* is mean(c_i) + x, clipped, and f has a term in x."""

    def f(self, x, y, sample):
        return (y - self.b) @ (y - self.b) / 2 + (x - 0.2) @ (x - 0.2) / 2

    def f_x(self, x, y, sample):
        return x - 0.2

    project_x = None

    def project_y(self, y):
        return box(y, LOW, HIGH)

    def solution(self):
        """Of each entry by itself: the best x with y* = x + c in the box, or 0.2 outside of it."""
        b, c = sum(self.own(i) for i in range(self.n_agents)) / self.n_agents

        def phi(x):
            return ((x + c).clip(LOW, HIGH) - b) ** 2 + (x - 0.2) ** 2

        inside = ((b - c + 0.2) / 2).clip(LOW - c, HIGH - c)
        return np.where(phi(inside) < phi(0.2), inside, 0.2)


def saddle_point():
    """(x, y) of the average over agents, by many steps of extragradient."""
    agents = [Saddle(i, N, xp=np, seed=0) for i in range(N)]
    a, b, C = (np.mean([getattr(agent, name) for agent in agents], axis=0) for name in "abC")
    x, y = agents[0].start()
    for _ in range(5000):
        u = box(x - 0.2 * (x - a + C @ y), LOW, HIGH)
        v = simplex(y + 0.2 * (C.T @ x - y + b))
        x = box(x - 0.2 * (u - a + C @ v), LOW, HIGH)
        y = simplex(y + 0.2 * (C.T @ u - v + b))
    return x, y


@pytest.mark.parametrize("method", ["gda", "gda-gt", "gda-non-gt-semi-gt", "gda-centralized"])
def test_descent_ascent_reaches_the_constrained_saddle_point(method):
    steps = {"alpha": 0.1, "beta": 0.1}
    result = mpidbo.solve(Saddle, method, "ring", N, steps, 800, evaluate_every=800)
    x, y = saddle_point()
    assert {LOW, HIGH} & set(x) and (y == 0).any() and (y > 0).sum() > 1
    assert np.abs(result.x - x).max() < 1e-8 and np.abs(result.y - y).max() < 1e-8


@pytest.mark.parametrize("method", ["dsgda-gt", "f2sa", "sun-dsbo"])
@pytest.mark.parametrize("mu", [pytest.param(0.1, marks=pytest.mark.slow), 0.02])
def test_penalty_methods_reach_a_constrained_lower_level(method, mu):
    """t is in the set, too; the bias is linear in mu."""
    exact = Clipped(0, N, xp=np, seed=0).solution()
    scale = 0.3 * mu
    steps = {"alpha": 0.3 if method == "sun-dsbo" else scale, "beta": scale, "gamma": 0.3}
    if method == "sun-dsbo":
        steps["beta"] = 0.3
    found = mpidbo.solve(
        Clipped, {"name": method, "mu": mu}, "ring", N, steps, 4000, evaluate_every=4000
    )
    y = found.y.mean(axis=0)
    assert (y == LOW).any() or (y == HIGH).any()
    for rows in (found.y, found.t):
        assert rows.min() >= LOW and rows.max() <= HIGH
    assert np.abs(found.x - exact).max() < 2 * mu


@pytest.mark.parametrize("row", ["sgd", "dgd", "gt", "semi-gt"])
def test_dense_projected_descent_ascent(row):
    """Both variables are projected after each iteration, trackers are not."""
    agents = [Saddle(i, N, xp=np, seed=0) for i in range(N)]
    a, b, C = (np.stack([getattr(agent, name) for agent in agents]) for name in "abC")
    W = topologies.make("ring", N).W.toarray()
    alpha, beta = 0.2, 0.3
    x, y = (np.repeat(part[None], N, axis=0) for part in agents[0].start())
    h, l, u, v = 0 * x, 0 * y, 0 * x, 0 * y
    for _ in range(25):
        new_u = alpha * (x - a + np.einsum("ipq,iq->ip", C, y))
        new_v = -beta * (np.einsum("ipq,ip->iq", C, x) - y + b)
        if row in ("sgd", "dgd"):
            moved = [W @ (x - new_u), W @ (y - new_v)]
            if row == "dgd":
                moved = [W @ x - new_u, W @ y - new_v]
        else:
            h, l = W @ (h + new_u - u), W @ (l + new_v - v)
            moved = [W @ (x - h), W @ (y - l)] if row == "gt" else [W @ x - h, W @ y - l]
            u, v = new_u, new_v
        x, y = moved[0].clip(LOW, HIGH), np.stack([simplex(part) for part in moved[1]])
    found = mpidbo.solve(
        Saddle, f"gda-{row}", "ring", N, {"alpha": alpha, "beta": beta}, 25, evaluate_every=25
    )
    assert np.abs(found.x - x).max() < 1e-13 and np.abs(found.y - y).max() < 1e-13
    assert (y == 0).any() and {LOW, HIGH} & set(x.ravel())


FIRST_ORDER = ("sun-dsbo", "f2sa", "fab", "dsgda", "nr-dsbo", "gda", "dm-hsgd", "single-level")


@pytest.mark.parametrize("method", METHODS)
def test_methods_that_differentiate_refuse_a_constrained_y(method):
    first_order = {"variant": "first-order"} if method == "d-soba" else {}
    for more in ({}, first_order):
        if method in FIRST_ORDER:
            mpidbo.solve(Saddle, {"name": method, **more}, agents=2, iterations=1)
        else:
            with pytest.raises(UserError) as error:
                mpidbo.solve(Saddle, {"name": method, **more}, agents=2, iterations=1)
            assert str(error.value).startswith(
                f"problem Saddle.project_y: {method} takes the derivative of y*(x) from g_yy"
            )
            assert "choose sun-dsbo, f2sa, fab, dsgda, nr-dsbo, gda or dm-hsgd, or leave" in str(
                error.value
            )


@pytest.mark.parametrize(("row", "level"), [("ed", "x"), ("semi-gt-extra", "x"), ("extra-gt", "y")])
def test_strategies_at_y_are_warned_of(row, level):
    name = "extra" if "extra" in row else "ed"
    with pytest.warns(UserWarning, match=f"{name} at {level}, which the problem projects"):
        mpidbo.solve(Saddle, f"gda-{row}", agents=3, iterations=1)


def test_phi_is_of_a_constrained_y():
    result = mpidbo.solve(Saddle, "gda", agents=N, iterations=10, evaluate_every=5)
    agents = [Saddle(i, N, xp=np, seed=0) for i in range(N)]
    b, C = (np.mean([getattr(agent, name) for agent in agents], axis=0) for name in "bC")
    for x, found in ((agents[0].start()[0], 0), (result.x.mean(axis=0), -1)):
        y = simplex(C.T @ x + b)
        assert result.history["phi"][found] == pytest.approx(
            np.mean([agent.f(x, y, None) for agent in agents]), abs=1e-10
        )
    with pytest.raises(UserError, match="hypergradient_norm is of a y without constraints"):
        mpidbo.solve(Saddle, "gda", agents=2, iterations=1, metrics=["hypergradient_norm"])


def test_the_envelope_is_of_a_constrained_t():
    """min over t in the box of |t - m|^2/2 + |t - y|^2/(2 lam), entry by entry."""
    method = {"name": "sun-dsbo", "lam": 0.5}
    result = mpidbo.solve(
        Clipped, method, agents=N, iterations=20, evaluate_every=20, metrics="refined_residual"
    )
    x, y = result.x.mean(axis=0), result.y.mean(axis=0)
    agents = [Clipped(i, N, xp=np, seed=0) for i in range(N)]
    m = x + np.mean([agent.c for agent in agents], axis=0)
    t = ((m + y / 0.5) / 3).clip(LOW, HIGH)

    def mean_g(y):
        return np.mean([agent.g(x, y, None) for agent in agents])

    gap = mean_g(y) - mean_g(t) - (t - y) @ (t - y)
    assert result.history["refined_residual"][-1] == pytest.approx(gap, abs=1e-9)


def test_check_looks_at_project_y():
    problem = Saddle(0, N, xp=np, seed=0)
    found = {finding.name: finding for finding in check(problem, rng=np.random.default_rng(0))}
    assert found["project_x"].ok and found["project_y"].ok
    problem.project_y = lambda y: y / 2
    found = {finding.name: finding for finding in check(problem, rng=np.random.default_rng(0))}
    assert "moves its own points" in found["project_y"].detail


def test_a_projection_of_y_that_is_wrong_is_refused():
    for project, words in (
        (lambda self, y: y[:2], r"project_y: returns shape \(2,\), expected shape \(4,\)"),
        (lambda self, y: np.clip(y, 0.3, 1, out=y), "project_y: agent 0 changes y in place"),
        (lambda self: 0, "project_y: cannot be called as project_y"),
    ):
        wrong = type("Wrong", (Saddle,), {"project_y": project})
        with pytest.raises(UserError, match=words):
            mpidbo.solve(wrong, "gda", agents=2, iterations=1)
