"""Whether x gets better: phi, its cost, the method's own estimate of the hypergradient, and how far
x has moved."""

import numpy as np
import pytest

import mpidbo
from mpidbo import UserError
from mpidbo.parallel import Agents
from mpidbo.problems import Averaged, Oracle, Quadratic
from mpidbo.problems.lower_level import EXACT, ROUGH, solve_lower_level
from support.closed_form import QUADRATIC, Exact, N, solve

STEPS = {"alpha": 0.03, "beta": 0.4, "gamma": 0.4}


@pytest.fixture(scope="module")
def exact():
    return Exact()


def closed_form(exact, x):
    """f of the network at x and y*(x)."""
    return sum(agent.f(x, exact.y(x), None) for agent in exact.team) / N


@pytest.mark.parametrize("method", ["sparkle-ed", "d-soba"])
def test_phi_is_f_at_the_average_x_and_the_lower_solution(method, exact):
    result = solve(method, 100, {**QUADRATIC, "noise": 0.3}, steps=STEPS)
    points = (np.zeros(3), result.x.mean(axis=0))
    assert result.history["phi"] == pytest.approx([closed_form(exact, x) for x in points], rel=1e-9)


def test_phi_does_not_mix_x_and_y():
    """Of plain gossip the upper loss is below the optimum, since y is not the solution; phi never
    is."""
    optimum = solve("sparkle-ed", 1300).history["phi"][-1]
    plain = solve({"name": "sparkle", "strategy": "sgd"}, 600).history
    assert plain["upper_loss"][-1] != pytest.approx(plain["phi"][-1], rel=1e-3)
    assert plain["phi"][-1] > optimum + 1e-6


class FirstOrder(mpidbo.Problem):
    """The quadratic problem by gradients alone."""

    def __init__(self, agent, n_agents, *, xp, seed, dtype, **options):
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        own = Quadratic(agent, n_agents, xp=xp, seed=seed, dtype=dtype, **options)
        self.dims, self.H, self.P, self.c, self.g = own.dims, own.H, own.P, own.c, own.g

    def g_y(self, x, y, sample):
        return self.H @ y - self.P @ x - self.c


class Ring(mpidbo.Problem):
    """g = |y - x|^4/4 - |y - x|^2/2, a valley where |y - x| = 1 about a hill."""

    dims = (3, 3)

    def g(self, x, y, sample):
        s = float((y - x) @ (y - x))
        return s * s / 4 - s / 2

    def g_y(self, x, y, sample):
        return ((y - x) @ (y - x) - 1) * (y - x)

    def g_yy(self, x, y, v, sample):
        return ((y - x) @ (y - x) - 1) * v + 2 * (y - x) * ((y - x) @ v)


class Slope(mpidbo.Problem):
    """g = sum of y, which has no minimum."""

    dims = (3, 3)

    def g(self, x, y, sample):
        return float(y.sum())

    def g_y(self, x, y, sample):
        return np.ones_like(y)

    def g_yy(self, x, y, v, sample):
        return 0 * v


def averaged(problem, **options):
    agents = Agents(N)
    team = [problem(i, N, xp=np, seed=0, **options) for i in range(N)]
    return Averaged(Oracle(team, agents, dtype=options.get("dtype", np.float64)), agents)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("problem", [Quadratic, FirstOrder])
def test_the_lower_level_is_solved(problem, dtype):
    """Also from differences of gradients, and as well as single precision allows."""
    options = {key: QUADRATIC[key] for key in ("p", "q", "condition", "heterogeneity")}
    exact, x = Exact(), np.array([0.3, -2.0, 1.0])
    found = solve_lower_level(averaged(problem, dtype=dtype, **options), x, np.full(4, 5.0))
    tolerance = 1e-6 if dtype == np.float64 else 1e-4
    assert found.y == pytest.approx(exact.y(x), abs=tolerance)
    assert N < found.calls <= 40 * N and found.calls % N == 0


def test_a_near_start_is_cheap():
    problem, x = averaged(Quadratic, q=30), np.ones(5)
    far = solve_lower_level(problem, x, np.full(30, 9.0))
    near = solve_lower_level(problem, x, far.y)
    assert near.calls < far.calls and near.y == pytest.approx(far.y, abs=1e-7)


def test_a_trust_region_leads_over_a_hill():
    """At the start g_yy is negative definite."""
    found = solve_lower_level(averaged(Ring), np.zeros(3), np.array([0.1, 0, 0]))
    assert np.linalg.norm(found.y) == pytest.approx(1, abs=1e-6)


def test_without_a_minimum_phi_is_nan():
    assert np.isnan(solve_lower_level(averaged(Slope), np.zeros(3), np.zeros(3)).y).all()


def test_on_by_default_where_it_is_cheap():
    def columns(problem, **more):
        return mpidbo.solve(problem, agents=3, iterations=2, **more).history

    assert {"phi", "phi_calls"} <= columns("quadratic").keys()
    wide = {"name": "quadratic", "q": 101}
    assert not {"phi", "phi_calls"} & columns(wide).keys()
    for name in ("phi", "phi_calls"):  # whose request is one of phi
        assert {"phi", "phi_calls"} <= columns(wide, metrics=[name]).keys()
    stop = {"metric": "phi", "below": -1e9}
    assert "phi" in columns(wide, stop=stop)
    many_numbers = {"name": "logistic-tuning", "n_train": 4000, "n_validation": 6000}
    assert "phi" not in columns(many_numbers)
    # of other methods x is not what phi is a function of
    assert "phi" not in columns("quadratic", method="single-level")
    assert "phi" not in columns("quadratic", method="lopa")


def test_its_cost_is_reported():
    history = mpidbo.solve("quadratic", agents=4, iterations=3, evaluate_every=1).history
    assert (history["phi_calls"] >= 3 * 4).all() and (history["phi_calls"] % 4 == 0).all()
    # not counted as the method's own
    assert history["calls_g_y"].tolist() == [0, 4, 8, 12]


def test_refused_where_there_is_no_common_y():
    with pytest.raises(UserError, match=r"run\.metrics: phi is of one y for the network"):
        mpidbo.solve("quadratic", "lopa", agents=3, iterations=2, metrics=["phi"])


ESTIMATING = [
    "sparkle-ed",
    "sparkle-gt",
    "soba",
    "d-soba-ed",
    "ma-dsbo-gt",
    "sldbo",
    "gossip-dsbo-centralized",
    "sun-dsbo-gt",
    "f2sa",
    "mdbo",
    "dsbo-gt",
]


@pytest.mark.parametrize("name", ESTIMATING)
def test_the_estimate_is_the_hypergradient_where_x_rests(name):
    """The agents are alike, so that methods of local Hessians have the same limit; of methods with
    a penalty, or a short series, it is near."""
    method = {"name": name}
    steps = {"alpha": 1e-7, "beta": 0.4}
    if name.startswith(("sun-dsbo", "f2sa")):
        method["mu"] = 1e-3
    if name == "f2sa":
        steps["beta"] = 4e-4
    if name == "mdbo":
        method["J"] = 40
    if name == "gossip-dsbo-centralized":
        method["b"] = 30
    if name not in ("mdbo", "gossip-dsbo-centralized"):
        steps["gamma"] = 0.4
    if "ma-dsbo" in name:
        steps["theta"] = 0.2
    problem = {**QUADRATIC, "heterogeneity": 0.0}
    result = solve(method, 400, problem, 2, steps=steps, metrics=["hypergradient_norm"])
    estimate, norm = (
        result.history[key][-1] for key in ("hypergradient_estimate", "hypergradient_norm")
    )
    tolerance = {
        "mdbo": 0.5,
        "ma-dsbo-gt": 0.02,
        "dsbo-gt": 0.02,
        "sun-dsbo-gt": 0.05,
        "f2sa": 0.05,
    }
    assert estimate == pytest.approx(norm, rel=tolerance.get(name, 1e-3))
    assert np.isnan(result.history["hypergradient_estimate"][0])


@pytest.mark.parametrize("method", ["slam", "sldbo", "dsbo-gt-ed", "sun-dsbo"])
def test_it_is_the_last_direction_of_a_method_that_keeps_no_average(method):
    """alpha times it is how far the average of x moves in the last iteration."""
    alpha = {"start": 0.05, "kind": "inverse-sqrt"}
    x = [solve(method, k, steps={"alpha": alpha}).x.mean(axis=0) for k in (6, 7)]
    history = solve(method, 7, steps={"alpha": alpha}).history
    step = 0.05 / np.sqrt(7) * (0.1 if method == "sun-dsbo" else 1)  # mu is 0.1
    expected = np.linalg.norm(x[1] - x[0]) / step
    assert history["hypergradient_estimate"][-1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("method", ["single-level", "adasdbo", "dbsa", "maml"])
def test_a_method_without_an_estimate_has_no_column(method):
    assert "hypergradient_estimate" not in solve(method, 3, steps={}).history


def test_how_far_x_and_y_have_moved(tmp_path):
    """From the point where the run started, also where that is the end of another."""
    first = solve("sparkle-ed", 60, out=tmp_path / "first")
    x, y = first.x.mean(axis=0), first.y.mean(axis=0)
    assert first.history["moved_x"] == pytest.approx([0, np.linalg.norm(x)])
    assert first.history["moved_y"] == pytest.approx([0, np.linalg.norm(y)])
    second = solve("sparkle-ed", 60, start=str(tmp_path / "first/result.h5"))
    moved = np.linalg.norm(second.x.mean(axis=0) - x)
    assert second.history["moved_x"] == pytest.approx([0, moved])


def test_a_rough_search_is_cheaper_and_ends_after_its_calls():
    problem, x, y = averaged(Quadratic, q=30), np.ones(5), np.full(30, 9.0)
    exact, rough = (solve_lower_level(problem, x, y, accuracy=each) for each in (EXACT, ROUGH))
    assert rough.calls < exact.calls
    assert np.linalg.norm(rough.y - exact.y) < 1e-2 * (1 + np.linalg.norm(exact.y))
    given_up = solve_lower_level(problem, x, y, accuracy=ROUGH._replace(calls=5))
    assert np.isnan(given_up.y).all() and given_up.calls == 5 * N
