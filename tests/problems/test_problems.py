"""Every shipped problem: its oracles, draws and closed-form solution."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from mpidbo.errors import UserError
from mpidbo.problems import PROBLEMS, problem_class
from mpidbo.problems.blocks import Blocks
from mpidbo.problems.checks import check, report
from mpidbo.problems.classifiers import Classifier
from mpidbo.problems.nonconvex_toy import NonconvexToy
from mpidbo.problems.stackable import Stackable
from support.marks import with_sklearn

pytestmark = pytest.mark.usefixtures("records")

N = 3
TABLE = [
    ("quadratic", {}),
    ("quadratic", {"p": 3, "q": 7, "noise": 0.3}),
    ("linear-regression", {}),
    ("linear-regression", {"p": 2, "q": 2, "batch": 4, "heterogeneity": 0.1}),
    ("linear-regression", {"batch": 0}),
    ("policy-evaluation", {}),
    ("policy-evaluation", {"states": 20, "p": 3, "batch": 5, "lam": 0.5}),
    ("policy-evaluation-residual", {}),
    ("policy-evaluation-residual", {"states": 20, "p": 3, "batch": 0}),
    ("nonconvex-toy", {}),
    ("nonconvex-toy", {"dim": 3, "noise": 0.2, "heterogeneity": 0.5}),
    ("minimax", {}),
    ("minimax", {"p": 3, "q": 4, "noise": 0.3}),
    ("compositional", {}),
    ("compositional", {"p": 3, "q": 2, "noise": 0.3}),
    ("unbounded-dissimilarity", {}),
    ("unbounded-dissimilarity", {"dim": 3, "noise": 0.3, "heterogeneity": 2.0}),
]


SMOOTH = [
    ("logistic-tuning", {}),
    ("logistic-tuning", {"batch": 10}),
    ("meta-learning", {}),
    ("meta-learning", {"batch": 2, "dim": 6}),
    *with_sklearn(
        ("hyper-cleaning", {}),
        ("hyper-cleaning", {"batch": 20}),
        ("domain-reweighting", {"n_train": 300}),
        ("domain-reweighting", {"batch": 20, "n_train": 300, "weights": "simplex"}),
        ("australian", {}),
        ("australian", {"batch": 20, "ridge": "floor"}),
    ),
]
# Short steps in single precision meet the kinks of a ReLU.
KINKED = with_sklearn(
    ("hyper-cleaning", {"model": "mlp", "hidden": [30], "batch": 20, "n_train": 300}),
    ("hyper-representation", {"n_train": 300}),
    ("hyper-representation", {"hidden": [8, 5], "batch": 20, "n_train": 300}),
)
LEARNING = SMOOTH + KINKED
SMALL = [
    ("quadratic", {"p": 2, "q": 3}),
    ("linear-regression", {"p": 2, "q": 3}),
    ("policy-evaluation", {"states": 4, "p": 2}),
    ("policy-evaluation-residual", {"states": 4, "p": 2}),
    ("minimax", {"p": 2, "q": 3}),
    ("compositional", {"p": 2, "q": 3}),
    ("unbounded-dissimilarity", {"dim": 2}),
]
STOCHASTIC = [
    ("quadratic", {"noise": 0.3}),
    ("linear-regression", {"p": 3, "q": 4, "noise": 0.5, "batch": 2}),
    ("policy-evaluation", {"states": 8, "p": 3}),
    ("policy-evaluation-residual", {"states": 8, "p": 3, "batch": 2}),
    ("nonconvex-toy", {"dim": 2, "noise": 0.3}),
    ("minimax", {"p": 3, "q": 2, "noise": 0.3}),
    ("compositional", {"p": 3, "q": 2, "noise": 0.3}),
    ("unbounded-dissimilarity", {"dim": 2, "noise": 0.3}),
    pytest.param(
        "meta-learning",
        {"dim": 4, "features": 2, "tasks": 3, "batch": 2},
        marks=pytest.mark.slow,
    ),
    *with_sklearn(
        ("domain-reweighting", {"batch": 15, "n_train": 100}), ("australian", {"batch": 15})
    ),
]


def make(name: str, options: dict[str, Any], agent: int = 0, n: int = N, **given: Any) -> Any:
    module, kind = PROBLEMS[name].split(":")
    return getattr(import_module(f"mpidbo.problems.{module}"), kind)(
        agent, n, xp=np, **{"seed": 5, **given}, **options
    )


def team(name: str, options: dict[str, Any]) -> list[Any]:
    return [make(name, options, agent) for agent in range(N)]


def mean(agents: list[Any], oracle: str, *arguments: Any) -> Any:
    """The averaged problem's oracle, full batch."""
    return sum(getattr(agent, oracle)(*arguments, None) for agent in agents) / len(agents)


def hessian(agents: list[Any], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([mean(agents, "g_yy", x, y, e) for e in np.eye(y.size)], axis=1)


def hypergradient(agents: list[Any], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """f_x - g_xy z* at x and the minimiser y*(x) that Newton's method finds from y, by dense
    solves."""
    for _ in range(8):
        y = y - np.linalg.solve(hessian(agents, x, y), mean(agents, "g_y", x, y))
    assert np.linalg.norm(mean(agents, "g_y", x, y)) < 1e-12
    z = np.linalg.solve(hessian(agents, x, y), mean(agents, "f_y", x, y))
    return mean(agents, "f_x", x, y) - mean(agents, "g_xy", x, y, z)


@pytest.mark.parametrize("agent", [0, 1])
@pytest.mark.parametrize(("name", "options"), TABLE + LEARNING)
def test_oracles(name: str, options: dict[str, Any], agent: int) -> None:
    findings = check(make(name, options, agent), rng=np.random.default_rng(7))
    assert all(finding.ok for finding in findings), report(findings)
    assert "missing" not in report(findings)


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize(("name", "options"), TABLE + LEARNING)
def test_stacked_oracles_are_those_of_the_agents(
    name: str, options: dict[str, Any], in_blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, full batch and drawn sample, on rows that differ; all at once or in blocks."""
    agents, rng = team(name, options), np.random.default_rng(8)
    if in_blocks:  # of two agents and of one
        limit = sum(agent.temporary_size for agent in agents[:2])
        monkeypatch.setattr("mpidbo.problems.blocks.ON_CPU", limit)
    stacked = type(agents[0]).stacked(agents)
    assert isinstance(stacked, Blocks) == in_blocks
    p, q = agents[0].dims
    x, y, v = (rng.standard_normal((N, d)) for d in (p, q, q))
    for samples in ([None] * N, [agent.draw(rng) for agent in agents]):
        for oracle in ("f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy"):
            rows = (x, y, v) if oracle in ("g_yy", "g_xy") else (x, y)
            expected = np.stack(
                [
                    getattr(agent, oracle)(*(row[i] for row in rows), samples[i])
                    for i, agent in enumerate(agents)
                ]
            )
            assert getattr(stacked, oracle)(*rows, samples).tobytes() == expected.tobytes(), oracle


@pytest.mark.parametrize(("name", "options"), LEARNING)
def test_a_point_may_change_in_place(name: str, options: dict[str, Any]) -> None:
    """What stacked oracles keep of the last point is not used at another one."""
    rng, agents = np.random.default_rng(9), team(name, options)
    stacked, full = type(agents[0]).stacked(agents), [None] * N
    p, q = agents[0].dims
    x, y, v = (rng.standard_normal((N, d)) for d in (p, q, q))
    for changed in (x, y, y, v):
        for oracle in ("f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy"):
            rows = (x, y, v) if oracle in ("g_yy", "g_xy") else (x, y)
            fresh = type(agents[0]).stacked(team(name, options))
            answers = [getattr(stack, oracle)(*rows, full) for stack in (fresh, stacked, stacked)]
            assert len({answer.tobytes() for answer in answers}) == 1, oracle
        changed[1] *= 1.5


@pytest.mark.parametrize("shared", [True, False])
def test_a_draw_that_oracles_share_has_one_forward_pass(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the second draw on; oracles with draws of their own keep nothing."""
    agents, rng = team("hyper-cleaning", {"batch": 4}), np.random.default_rng(10)
    stacked, passes, forward = type(agents[0]).stacked(agents), [], Classifier._forward

    def counting(self: Classifier, y: Any, batch: Any) -> Any:
        passes.append(1)
        return forward(self, y, batch)

    monkeypatch.setattr(Classifier, "_forward", counting)
    x, y, v = (rng.standard_normal((N, d)) for d in (*agents[0].dims, agents[0].dims[1]))
    for _ in range(3):
        passes.clear()
        samples = stacked.draw([rng] * N)
        for oracle, rows in (("g_y", (x, y)), ("g_yy", (x, y, v)), ("g_xy", (x, y, v))):
            getattr(stacked, oracle)(*rows, samples)
            if not shared:
                samples = stacked.draw([rng] * N)
    assert len(passes) == (1 if shared else 3)


def arrays(sample: Any) -> list[np.ndarray]:
    """The arrays of a sample."""
    if isinstance(sample, tuple | list):
        return [array for part in sample for array in arrays(part)]
    return [] if sample is None else [np.asarray(sample)]


@pytest.mark.parametrize(("name", "options"), TABLE + LEARNING)
def test_stacked_draws_are_those_of_the_agents(name: str, options: dict[str, Any]) -> None:
    """To the bit; where nothing is drawn, no generator is made."""
    agents = team(name, options)
    stacked = type(agents[0]).stacked(agents)
    seeds = iter(range(N))
    samples = stacked.draw(np.random.default_rng(seed) for seed in seeds)
    assert next(seeds, N) in (0, N)
    for agent, seed, sample in zip(agents, range(N), samples, strict=True):
        expected = arrays(agent.draw(np.random.default_rng(seed)))
        got = arrays(sample)
        assert [part.tobytes() for part in got] == [part.tobytes() for part in expected]


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_is_stacked(name: str) -> None:
    assert issubclass(problem_class(name), Stackable)


@pytest.mark.parametrize(("name", "options"), TABLE + SMOOTH)
def test_single_precision_stays(name: str, options: dict[str, Any]) -> None:
    findings = check(make(name, options, dtype=np.float32), rng=np.random.default_rng(7))
    assert all(finding.ok for finding in findings), report(findings)


@pytest.mark.parametrize(("name", "options"), TABLE + LEARNING)
def test_data_from_seed_and_agent_alone(name: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    one, same, other = (
        make(name, options, 1),
        make(name, options, 1),
        make(name, options, 1, seed=6),
    )
    x, y = (part + rng.standard_normal(part.size) for part in one.start())
    assert one.g_y(x, y, None).tobytes() == same.g_y(x, y, None).tobytes()
    if name != "nonconvex-toy" or options:
        assert not np.array_equal(one.g_y(x, y, None), other.g_y(x, y, None))


@pytest.mark.parametrize(("name", "options"), TABLE)
def test_solution_has_no_hypergradient(name: str, options: dict[str, Any]) -> None:
    agents = team(name, options)
    x = agents[0].solution()
    y = x + 2.1 if name == "nonconvex-toy" else np.zeros(agents[0].dims[1])
    assert all(np.array_equal(x, agent.solution()) for agent in agents)
    assert np.linalg.norm(hypergradient(agents, x, y)) < 1e-11
    assert np.linalg.norm(hypergradient(agents, x + 0.1, y)) > 1e-4


@pytest.mark.parametrize(("name", "options"), SMALL)
def test_solution_by_brute_force(name: str, options: dict[str, Any]) -> None:
    """Nested minimisation that sees the losses only."""
    agents = team(name, options)
    p, q = agents[0].dims

    def phi(x: np.ndarray) -> float:
        y = minimize(lambda y: mean(agents, "g", x, y), np.zeros(q), method="BFGS").x
        return mean(agents, "f", x, y)

    found = minimize(
        phi, np.zeros(p), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-10}
    ).x
    np.testing.assert_allclose(found, agents[0].solution(), atol=2e-3)


@pytest.mark.parametrize(("a", "c"), [(2.0, 2.0), (-1.0, 0.5), (9.0, -2.0)])
def test_toy_by_brute_force(a: float, c: float) -> None:
    """On a grid: the least f among the lower-level minimisers, up to the grid's width."""
    agents = [NonconvexToy(i, N, xp=np, seed=0, a=a, c=c, heterogeneity=0.5) for i in range(N)]
    x_star = agents[0].solution()[0]
    x = np.linspace(a - 4, a + 4, 801)[:, None]
    y = np.linspace(a + c - 6, a + c + 6, 1201)[None, :]
    with np.errstate(all="raise"):
        g, f = (np.broadcast_to(0.0, (801, 1201)).copy() for _ in range(2))
        for agent in agents:
            s, t, u, v = (float(part[0]) for part in agent.linear)
            g += (agent.amplitude * np.sin(x + y - c) + u * x + v * y) / N
            f += ((x - a) ** 2 + (y - a - c) ** 2 + s * x + t * y) / N
    assert mean(agents, "g", x[3], y[0, 5:6]) == pytest.approx(g[3, 5])
    assert mean(agents, "f", x[3], y[0, 5:6]) == pytest.approx(f[3, 5])
    solves = g < g.min(axis=1, keepdims=True) + 1e-4
    best = np.unravel_index(np.where(solves, f, np.inf).argmin(), f.shape)
    assert x[best[0], 0] == pytest.approx(x_star, abs=0.02)
    assert y[0, best[1]] == pytest.approx(x_star + c, abs=0.02)
    assert agents[0].metrics(np.array([x_star]), np.array([x_star + c]))["y_distance"] < 1e-12


def test_toy_of_the_paper() -> None:
    toy = NonconvexToy(0, 1, xp=np, seed=0)
    assert toy.solution() == pytest.approx(0.75 * np.pi)
    assert [part.tolist() for part in toy.start()] == [[-6.0], [0.0]]


def test_metrics_vanish_where_they_should() -> None:
    agents = team("linear-regression", {})
    x, y = agents[0].solution(), np.zeros(20)
    y = y - np.linalg.solve(hessian(agents, x, y), mean(agents, "g_y", x, y))
    assert agents[0].metrics(x, y)["lower_distance"] < 1e-12
    square = make("policy-evaluation", {"states": 6, "p": 6})
    assert square.metrics(square.solution(), np.zeros(6))["bellman_error"] < 1e-10


@pytest.mark.parametrize(("name", "options"), STOCHASTIC)
def test_draws_are_unbiased(name: str, options: dict[str, Any]) -> None:
    """Each component of the mean over draws within 5 standard errors; of g_x the differences
    that methods use."""
    agent, rng, draws = make(name, options), np.random.default_rng(3), 4000
    x, y, t, v = (rng.standard_normal(agent.dims[level]) for level in (0, 1, 1, 1))

    def everything(sample: Any) -> np.ndarray:
        return np.concatenate(
            [
                agent.f_x(x, y, sample),
                agent.f_y(x, y, sample),
                agent.g_y(x, y, sample),
                agent.g_x(x, y, sample) - agent.g_x(x, t, sample),
                agent.g_yy(x, y, v, sample),
                agent.g_xy(x, y, v, sample),
            ]
        )

    seen = np.stack([everything(agent.draw(rng)) for _ in range(draws)])
    error = np.abs(seen.mean(axis=0) - everything(None))
    assert (error <= 5 * seen.std(axis=0, ddof=1) / np.sqrt(draws) + 1e-12).all()
    assert seen.std(axis=0).max() > 0.01


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("linear-regression", {"p": 5, "q": 4}, "problem.p"),
        ("linear-regression", {"ridge": 0.0}, "problem.ridge"),
        ("linear-regression", {"batch": -1}, "problem.batch"),
        ("policy-evaluation", {"discount": 1.0}, "problem.discount"),
        ("policy-evaluation", {"states": 5, "p": 6}, "problem.p"),
        ("policy-evaluation-residual", {"batch": -1}, "problem.batch"),
        ("minimax", {"p": 0}, "p = 0 and q = 5"),
        ("compositional", {"lam": 0.0}, "problem.lam"),
        ("unbounded-dissimilarity", {"dim": 0}, "problem.dim"),
        ("meta-learning", {"features": 11}, "problem.features"),
        ("meta-learning", {"ridge": 0.0}, "problem.ridge"),
        ("hyper-representation", {"hidden": []}, "problem.hidden"),
        ("domain-reweighting", {"noisy": 6}, "problem.noisy"),
        ("domain-reweighting", {"weights": "simplx"}, "did you mean simplex"),
        ("australian", {"ridge": "flor"}, "did you mean floor"),
        ("australian", {"floor": 0.0}, "problem.floor"),
    ],
)
def test_impossible_options_are_refused(name: str, options: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=key):
        make(name, options)
