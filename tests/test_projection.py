"""x in a convex set: the projections, projected methods against dense recursions, and a constrained problem in closed form."""

import warnings
from typing import Any

import numpy as np
import pytest

import mpidbo
from mpidbo.errors import UserError
from mpidbo.network import topology as topologies
from mpidbo.problems import Problem
from mpidbo.problems.checks import check
from mpidbo.problems.projections import box, simplex

N, LOW, HIGH = 5, -0.3, 0.4
STEPS = {"alpha": 0.1, "beta": 0.3, "gamma": 0.3, "theta": 0.5}


class Boxed(Problem):
    """f_i = |y - b_i|^2/2, g_i = |y - x - c_i|^2/2 and x in a box, so that x* is mean(b_i) - mean(c_i), clipped."""

    dims = (4, 4)

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.b, self.c = self.own(agent)

    def own(self, agent):
        return np.random.default_rng([self.seed, agent]).standard_normal((2, 4)) + np.array([[2.0, -2.0, 0.05, 0.1], [0, 0, 0, 0]])

    def f(self, x, y, sample): return (y - self.b) @ (y - self.b) / 2
    def g(self, x, y, sample): return (y - x - self.c) @ (y - x - self.c) / 2
    def f_x(self, x, y, sample): return 0 * x
    def f_y(self, x, y, sample): return y - self.b
    def g_x(self, x, y, sample): return x + self.c - y
    def g_y(self, x, y, sample): return y - x - self.c
    def g_yy(self, x, y, v, sample): return v.copy()
    def g_xy(self, x, y, v, sample): return -v
    def project_x(self, x): return box(x, LOW, HIGH)

    def solution(self):
        b, c = sum(self.own(i) for i in range(self.n_agents)) / self.n_agents
        return (b - c).clip(LOW, HIGH)


class Wrong(Boxed):
    def project_x(self, x): return x[:2]


def solve(method, iterations=600, **run):
    return mpidbo.solve(Boxed, method, "ring", N, STEPS, iterations, evaluate_every=iterations, **run)


def test_simplex_is_the_nearest_point():
    rng = np.random.default_rng(0)
    for size in (1, 2, 7):
        for scale in (0.1, 1, 10):
            x = scale * rng.standard_normal(size)
            p = simplex(x)
            assert p.min() >= 0 and p.sum() == pytest.approx(1)
            assert ((x - p) @ (np.eye(size) - p).T).max() < 1e-12 * scale     # no corner lies on x's side of p
            assert simplex(p) == pytest.approx(p, abs=1e-15)
    assert simplex(np.float32([2, 1, 0])).dtype == np.float32
    assert box(np.array([-2.0, 0.5, 2.0]), -1, 1).tolist() == [-1, 0.5, 1]


@pytest.mark.parametrize("method", ["sparkle-ed-gt", "sparkle-ed-semi-gt", "sparkle-ed-non-gt", "d-soba-gt", "soba"])
def test_projected_methods_reach_the_constrained_solution(method):
    result = solve(method)
    solution = Boxed(0, N, xp=np, seed=0).solution()
    assert sorted(solution)[0] == LOW and sorted(solution)[-1] == HIGH and ((LOW < solution) & (solution < HIGH)).any()
    assert np.abs(result.x - solution).max() < 1e-9


@pytest.mark.parametrize("row", ["ed", "extra"])
def test_others_are_warned_of(row):
    with pytest.warns(UserWarning, match=f"{row} at x, which the problem projects"):
        result = solve(f"sparkle-ed-{row}")
    assert (result.x >= LOW).all() and (result.x <= HIGH).all()
    assert result.history["distance"][-1] > 1e-3


@pytest.mark.parametrize(("project", "words"), [
    (lambda x: x / 2, "moves its own points"), (lambda x: np.floor(x * 1e3) / 1e3 + 1, "moves its own points"),
    (lambda x: 0 * x + 1, "moves the start"), (lambda x: x[:2], "returns shape (2,), not (4,)"),
    (lambda x: np.round(x * 20) / 20, "brings points further apart"), (lambda x: box(x, LOW, HIGH), "")], ids=range(6))
def test_check_looks_at_projections(project, words):
    problem = Boxed(0, N, xp=np, seed=0)
    problem.project_x = project
    found = {finding.name: finding for finding in check(problem, rng=np.random.default_rng(0), points=5)}["project_x"]
    assert words in found.detail and found.ok == (not words)


def test_no_warning_without_need():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        solve("sparkle-ed-gt", 1)
        mpidbo.solve(Boxed, "sparkle-ed", agents=1, iterations=1)
        mpidbo.solve("quadratic", "sparkle-ed", agents=3, iterations=1)
    assert not said


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
    with pytest.raises(UserError, match=r"problem Wrong.project_x: returns shape \(2,\), expected shape \(4,\)"):
        mpidbo.solve(Wrong, "sparkle-ed-gt", agents=2, iterations=1)
