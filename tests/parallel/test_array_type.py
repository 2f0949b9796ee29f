"""Problems, oracles and methods on arrays of a device: the numbers of numpy to the bit, and no
array of numpy on the way."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from mpidbo import config
from mpidbo.algorithms import METHODS
from mpidbo.algorithms.base import project_ball
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.errors import UserError
from mpidbo.network import Levels, MixingOperator, Sent
from mpidbo.network.compressed import Compressed
from mpidbo.network.exchange import Narrow
from mpidbo.network.stochastic import Product
from mpidbo.parallel.agents import Agents
from mpidbo.parallel.backend import HOST, Cuda, Host
from mpidbo.problems import PROBLEMS, Problem
from mpidbo.problems.lookup import problem_class
from mpidbo.problems.oracle import Oracle
from mpidbo.problems.probing import probe
from mpidbo.problems.projections import ball, box, simplex
from mpidbo.solver.plan import Plan
from support import standin
from support.marks import with_sklearn

pytestmark = pytest.mark.usefixtures("records")

N, SEED, ITERATIONS = 3, 5, 3
CASES = [
    ("quadratic", {"p": 3, "q": 4, "noise": 0.3}),
    ("linear-regression", {"p": 2, "q": 3, "batch": 2}),
    ("policy-evaluation", {"states": 6, "p": 3, "batch": 2, "lam": 0.5}),
    ("policy-evaluation-residual", {"states": 6, "p": 3}),
    ("nonconvex-toy", {"dim": 3, "noise": 0.2, "heterogeneity": 0.5}),
    ("minimax", {"p": 3, "q": 4, "noise": 0.3}),
    ("compositional", {"p": 3, "q": 2, "noise": 0.3}),
    ("unbounded-dissimilarity", {"dim": 3, "noise": 0.3}),
    ("meta-learning", {"dim": 4, "features": 2, "tasks": 3, "batch": 2}),
    (
        "logistic-tuning",
        {"features": 4, "classes": 3, "n_train": 40, "n_validation": 20, "batch": 5},
    ),
    *with_sklearn(
        ("hyper-cleaning", {"n_train": 60, "n_validation": 30, "batch": 6}),
        (
            "hyper-cleaning",
            {"n_train": 60, "n_validation": 30, "batch": 6, "model": "mlp", "hidden": [5]},
        ),
        ("hyper-representation", {"n_train": 60, "n_validation": 30, "hidden": [4, 3], "batch": 6}),
        ("domain-reweighting", {"n_train": 60, "n_validation": 30, "batch": 6}),
        (
            "domain-reweighting",
            {"n_train": 60, "n_validation": 30, "weights": "simplex", "batch": 6},
        ),
        ("australian", {"batch": 6}),
        ("australian", {"batch": 6, "ridge": "floor"}),
    ),
]
SADDLE = ("minimax", {"p": 3, "q": 4, "noise": 0.3})
BLOCK = {"f_x": 0, "f_y": 1, "g_x": 0, "g_y": 1, "g_yy": 1, "g_xy": 0}
ROWS = (
    ("quadratic", {"p": 3, "q": 4, "noise": 0.3}),
    ("linear-regression", {"p": 2, "q": 3, "batch": 2}),
)
"""A problem that is stacked and one that is not."""
BELLMAN = ("policy-evaluation", {"states": 4, "p": 2, "batch": 2})

needs_compiler = pytest.mark.skipif(
    standin.compiler() is None, reason="no C compiler: apt install gcc libc6-dev"
)


@pytest.fixture
def cp(monkeypatch):
    return standin.install(monkeypatch)


class Device(Host):
    """Arrays of the stand-in, and methods that work with them as they are."""

    def __init__(self, cp: Any) -> None:
        self.xp = cp

    def array(self, rows: Any) -> Any:
        return self.xp.asarray(rows)

    rows = array


class Dense(MixingOperator):
    """W as a dense matrix, on a ring of agents that are all here."""

    def __init__(self, agents: Agents, backend: Host) -> None:
        super().__init__(None, agents, np.float64, backend)
        self.edges = agents.n
        W = 0.5 * np.eye(agents.n) + 0.25 * (
            np.roll(np.eye(agents.n), 1, axis=0) + np.roll(np.eye(agents.n), -1, axis=0)
        )
        self.W, self.sparse = backend.array(W), csr_array(W)

    @property
    def neighbours(self) -> set[int]:
        return set()

    @property
    def sent(self) -> Sent:
        return Sent(0, 0, 0, 0)

    def close(self) -> None:
        return

    def mix(self, message: Any) -> Any:
        if type(message) is tuple:
            return tuple(self.mix(part) for part in message)
        if isinstance(message, Product) and message.compressor:
            return self.compressed(message)
        if isinstance(message, Product):  # A and B are W
            message = message.array
        return self.backend.rows(self.W @ self.backend.array(message))

    def compressed(self, message: Product) -> Any:
        """C(s) and W @ C(s), by the package's own route."""
        widths, matrices = [message.array.shape[1]], [self.sparse]
        route = Compressed(
            widths,
            matrices,
            [message.compressor],
            Narrow(widths, matrices),
            [*range(self.agents.n)],
            self.keys,
            backend=self.backend,
        )
        return route.mix((message.array,))[0]


def team(name: str, options: dict[str, Any], xp: Any, n: int = N, **given: Any) -> list[Any]:
    return [problem_class(name)(i, n, xp=xp, seed=SEED, **options, **given) for i in range(n)]


def same(cp: Any, got: Any, expected: Any) -> None:
    """An array of the device for an array, a float for a number, with the same bits."""
    if isinstance(expected, np.ndarray):
        assert type(got) is cp.ndarray
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        assert got.get().tobytes() == expected.tobytes()
    else:
        assert type(got) is type(expected) is float or got is expected is None
        assert got == expected


def test_every_problem_has_a_case():
    assert {(case.values if hasattr(case, "values") else case)[0] for case in CASES} == set(
        PROBLEMS
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_problems(cp, name, options, dtype):
    there, here = (team(name, options, xp, dtype=np.dtype(dtype)) for xp in (cp, np))
    rng, size = np.random.default_rng(0), dict(enumerate(here[0].dims))
    for mine, theirs in zip(there, here, strict=True):
        assert mine.dims == theirs.dims
        for got, expected in zip(mine.start(), theirs.start(), strict=True):
            same(cp, got, expected)
        same(cp, mine.solution(), theirs.solution())
        point = [
            part + 0.1 * rng.standard_normal(part.size).astype(dtype) for part in theirs.start()
        ]
        v = rng.standard_normal(size[1]).astype(dtype)
        samples = mine.draw(np.random.default_rng(1)), theirs.draw(np.random.default_rng(1))
        assert samples[1] is not None
        for sample, expected_sample in ((None, None), samples):
            for oracle in ("f", "g", *BLOCK):
                at = [*point, v] if oracle in ("g_yy", "g_xy") else point
                same(
                    cp,
                    getattr(mine, oracle)(*map(cp.asarray, at), sample),
                    getattr(theirs, oracle)(*at, expected_sample),
                )
        got, expected = mine.metrics(*map(cp.asarray, point)), theirs.metrics(*point)
        assert got.keys() == expected.keys()
        for metric in got:
            same(cp, got[metric], expected[metric])
        if theirs.project_x is not None:
            same(cp, mine.project_x(cp.asarray(point[0])), theirs.project_x(point[0]))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_oracles(cp, name, options):
    """All agents', stacked where the problem stacks them; some agents'; one agent's; projections
    and losses."""
    for n in (N, 1):
        there = Oracle(team(name, options, cp, n), Agents(n), seed=SEED, backend=Device(cp))
        here = Oracle(team(name, options, np, n), Agents(n), seed=SEED)
        rng, q = np.random.default_rng(3), here.dims[1]
        x, y = (
            np.repeat(part[None], n, axis=0) + 0.1 * rng.standard_normal((n, part.size))
            for part in here.problems[0].start()
        )
        v = rng.standard_normal((n, q))
        for active in (None, np.arange(n) % 2 == 0):
            for oracle in BLOCK:
                at = (x, y, v) if oracle in ("g_yy", "g_xy") else (x, y)
                expected = getattr(here.draw(2, active=active), oracle)(*at)
                same(
                    cp,
                    getattr(there.draw(2, active=active), oracle)(*map(cp.asarray, at)),
                    expected,
                )
        assert there.calls == here.calls
        if here.constrained:
            same(cp, there.project("x", cp.asarray(x)), here.project("x", x))
        for loss in ("f", "g"):
            for at in (y, y[0]):
                got = there.losses(loss, x[0], at)
                assert (
                    type(got) is np.ndarray
                    and got.tobytes() == here.losses(loss, x[0], at).tobytes()
                )
        probe(there, BLOCK, x[0], y[0])


class HostAnswers(Problem):
    """Forgets self.xp."""

    dims = (2, 2)

    def f_x(self, x, y, sample):
        return np.ones(2)


@pytest.mark.parametrize("n", [1, N])
def test_answers_of_numpy_are_refused_in_a_sentence(cp, n):
    oracle = Oracle(
        [HostAnswers(i, n, xp=cp, seed=0) for i in range(n)], Agents(n), backend=Device(cp)
    )
    for ask in (
        lambda: oracle.full().f_x(cp.zeros((n, 2)), cp.zeros((n, 2))),
        lambda: probe(oracle, ["f_x"], np.zeros(2), np.zeros(2)),
    ):
        with pytest.raises(
            UserError,
            match=(
                r"HostAnswers.f_x: agent 0 returns an array of numpy, .* bring data there by "
                r"self.xp.asarray"
            ),
        ):
            ask()


def test_projections(cp):
    for x in np.random.default_rng(4).standard_normal((5, 6)):
        for project in (
            simplex,
            box,
            ball,
            lambda x: ball(x, 0.3, 0.1),
            lambda x: box(x, -0.5, 0.5),
        ):
            same(cp, project(cp.asarray(x)), project(x))
    rows = np.random.default_rng(5).standard_normal((4, 6))
    standin.COUNTS.clear()
    got = project_ball(cp.asarray(rows), 2.0)
    assert not standin.COUNTS["synchronize"]
    same(cp, got, project_ball(rows, 2.0))


def leaves(state: Any) -> list[Any]:
    return (
        [leaf for part in state for leaf in leaves(part)] if isinstance(state, tuple) else [state]
    )


def plan_of(problem: tuple[str, dict[str, Any]], method: dict[str, Any]) -> Plan:
    name, options = problem
    return Plan(
        config.check(
            {
                "problem": {"name": name, **options},
                "method": method,
                "topology": {"name": "ring"},
                "run": {"agents": N, "seed": SEED},
            }
        )
    )


def trajectory(plan: Plan, backend: Host, problem: tuple[str, dict[str, Any]]) -> list[Any]:
    """Every array of the states that the plan's method goes through, W a dense matrix."""
    oracle = Oracle(team(*problem, backend.xp), Agents(N), seed=SEED, backend=backend)
    W = Levels.of([Dense(oracle.agents, backend)])
    start = [backend.rows(np.repeat(part[None], N, axis=0)) for part in (plan.x0, plan.y0)]
    plan.method.accept(oracle, *(backend.rows(part) for part in (plan.x0, plan.y0)))
    state, found = plan.method.start(*start), []
    for k in range(ITERATIONS):
        state = plan.method.step(k, oracle, W, state)
        found += leaves(state)
        assert type(plan.method.heads(oracle.full(), *state[:2], state)) is type(state.x)
    return found


def has_bits_of_numpy(
    cp: Any, method: dict[str, Any], problem: tuple[str, dict[str, Any]], backend: Host
) -> bool:
    """Whether a method's trajectory on a backend is that on numpy's arrays."""
    plan = plan_of(problem, method)
    got, expected = trajectory(plan, backend, problem), trajectory(plan, HOST, problem)
    assert len(got) == len(expected) > ITERATIONS
    for mine, theirs in zip(got, expected, strict=True):
        same(cp, backend.array(mine), theirs)
    return True


METHOD_CASES = (
    [
        ({"name": name}, problem)
        for name in METHODS
        for problem in ({"dsgd": [BELLMAN], "gda": [SADDLE], "dm-hsgd": [SADDLE]}.get(name, ROWS))
    ]
    + [({"name": "sparkle", "lower": row, "upper": row}, ROWS[0]) for row in STRATEGIES]
    + [
        ({"name": "d-soba", "variant": "first-order", "scheme": scheme}, ROWS[0])
        for scheme in ("central", "forward")
    ]
    + [
        ({"name": "sldbo", "R": 0.01}, ROWS[0]),
        ({"name": "sparkle", "schedule": "jacobi"}, ROWS[1]),
        ({"name": "sun-dsbo", "schedule": "gauss-seidel"}, ROWS[0]),
        ({"name": "ma-dsbo", "lower": "gt"}, ROWS[0]),
        ({"name": "gossip-dsbo", "lower": "centralized", "upper": "centralized"}, ROWS[0]),
        ({"name": "lopa", "upper": "gt"}, ROWS[0]),
        ({"name": "mdbo", "lower_ridge": 0.3}, ROWS[0]),
    ]
)
IDS = ["-".join(map(str, (*method.values(), problem[0]))) for method, problem in METHOD_CASES]


@pytest.mark.parametrize(("method", "problem"), METHOD_CASES, ids=IDS)
def test_methods(cp, method, problem):
    assert has_bits_of_numpy(cp, method, problem, Device(cp))


@needs_compiler
@pytest.mark.parametrize(
    ("method", "problem"),
    [
        # test_device.py runs every method as it is; every fourth of the others is an everyday test
        pytest.param(
            *case, id=name, marks=pytest.mark.slow if [*case[0]] == ["name"] or turn % 4 else ()
        )
        for turn, (name, case) in enumerate(zip(IDS, METHOD_CASES, strict=True))
        if case[1] is not ROWS[1]
    ],
)
def test_methods_with_fused_updates(cp, method, problem):
    assert has_bits_of_numpy(cp, method, problem, Cuda(cp, 0))


@pytest.mark.parametrize("name", ["sparkle", "sldbo", "adasdbo"])
def test_an_iteration_does_not_wait_for_the_device(cp, name):
    """Without a draw there is nothing to bring there either."""
    problem = "quadratic", {"p": 3, "q": 4}
    plan, backend = plan_of(problem, {"name": name}), Device(cp)
    oracle = Oracle(team(*problem, cp), Agents(N), seed=SEED, backend=backend)
    W = Levels.of([Dense(oracle.agents, backend)])
    state = plan.method.start(*(cp.zeros((N, d)) for d in oracle.dims))
    standin.COUNTS.clear()
    plan.method.step(0, oracle, W, state)
    assert standin.COUNTS.keys() == {"launch"}


@pytest.mark.parametrize(
    "stray",
    [
        lambda self, x, y, v, sample: np.asarray(v),
        lambda self, x, y, v, sample: v + np.zeros(4),
        lambda self, x, y, v, sample: np.ascontiguousarray(v),
        lambda self, x, y, v, sample: np.array([float(part) for part in v]),
    ],
)
def test_a_stray_numpy_array_is_found(cp, monkeypatch, stray):
    """The tests above would fail."""
    plan, kind = plan_of(ROWS[0], {"name": "sparkle"}), problem_class(ROWS[0][0])
    monkeypatch.setattr(kind, "g_yy", stray)
    monkeypatch.setattr(kind, "stacked", classmethod(lambda cls, agents: None))
    with pytest.raises((TypeError, UserError)):
        trajectory(plan, Device(cp), ROWS[0])
