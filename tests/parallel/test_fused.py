"""Updates that numba compiles: the bits of numpy, where they are asked for or gain."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

import mpidbo
from mpidbo.algorithms import METHODS
from mpidbo.algorithms.sparkle import Sparkle
from mpidbo.config import Run, rule_of
from mpidbo.network import A, B, Gossip, exchange, make
from mpidbo.parallel import HOST, Agents, Fused, Rows, Workers, cpu_kernels, fusion, host
from mpidbo.solver import fusing

pytest.importorskip("numba", reason="numba is not installed (pip install 'mpidbo[fast]')")

EXPRESSIONS = {
    "sums": lambda a, b, c: (2 * a - b - (c - a), 0.1 * b),
    "quotients": lambda a, b, c: (a / b, c / 3.0, 1 / a),
    "roots": lambda a, b, c: (np.sqrt(a), np.sqrt(a * a + 1e-8), -b / np.sqrt(c)),
    "numbers": lambda a, b, c: (a - 1.0 + 0.1 * (b - 2), (1 - 0.3) * c + 0.3 * a),
    "columns": lambda a, b, c: (a[:, :1] * b - c, b / c[:, :1]),
}


@pytest.fixture
def _short_parts(monkeypatch):
    """Threads divide arrays that are too short for that."""
    monkeypatch.setattr(cpu_kernels, "MIN_PART", 10)
    monkeypatch.setattr(cpu_kernels, "MIN_COMPILED", 10)


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_kernels_have_the_bits_of_numpy(name, dtype, workers):
    rng = np.random.default_rng(0)
    given = [rng.standard_normal((3, 1001)).astype(dtype) for _ in range(3)]
    for array in given:  # zeros of both signs, numbers without end, the smallest and the largest
        array[0, :6] = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40]
    given[0][1, :3] = [np.finfo(dtype).max, np.finfo(dtype).tiny, -1.0]
    backend, expression = Fused(), EXPRESSIONS[name]
    with np.errstate(all="ignore"):
        expected = expression(*given)
        with backend.iterations(Workers(workers)):
            noted = expression(*map(backend.rows, given))
            found = backend.arrays(noted)
    assert all(type(part) is Rows for part in noted)
    for one, other in zip(found, expected, strict=True):
        assert type(one) is np.ndarray and one.dtype == other.dtype
        # By the bits but for the sign of a NaN, which no program may rely on.
        assert np.array_equal(one, other, equal_nan=True)
        assert np.array_equal(np.signbit(one[one == 0]), np.signbit(other[other == 0]))


LONG = exchange.MAX_NARROW_WIDTH + 1000
"""Floats of a row that is mixed in blocks."""


def mixed(backend, topology, message, dtype, workers=1):
    """The arrays that a message of arrays becomes, as numpy's."""
    rng = np.random.default_rng(1)
    given = [rng.standard_normal((topology.n, LONG)).astype(dtype) for _ in range(3)]
    given[0][:, :3] = [0.0, -0.0, np.inf]
    W = Gossip(topology, Agents(topology.n), dtype, backend)
    with np.errstate(invalid="ignore"), backend.iterations(Workers(workers)):
        answer = W @ message(*map(backend.rows, given))
    return [host(array) for array in (answer if type(answer) is tuple else (answer,))]


@pytest.mark.usefixtures("_short_parts")
@pytest.mark.parametrize("workers", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "dtype", [np.float64, pytest.param(np.float32, marks=pytest.mark.slow)], ids=str
)
@pytest.mark.parametrize(
    "graph, message",
    [
        ("ring", lambda a, b, c: (2 * a - b, c, c - a)),
        pytest.param("directed-ring", lambda a, b, c: (A @ (a - c), B @ c), marks=pytest.mark.slow),
    ],
)
def test_messages_have_the_bits_of_numpy(graph, message, dtype, workers):
    topology = make({"name": graph}, 5)
    expected = mixed(HOST, topology, message, dtype)
    found = mixed(Fused(), topology, message, dtype, workers)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other, equal_nan=True)
        assert np.array_equal(np.signbit(one[one == 0]), np.signbit(other[other == 0]))


@pytest.mark.usefixtures("_short_parts")
def test_kernels_are_divided_among_threads(monkeypatch):
    rows, asked = Rows(np.ones((2, 1000))), []
    workers = Workers(3)
    divide = workers.divide
    monkeypatch.setattr(workers, "divide", lambda m, work: (asked.append(m), divide(m, work)))
    with Fused().iterations(workers):
        assert np.all((rows + 1).array == 2) and asked == [2000]
    assert np.all((rows + 2).array == 3) and asked == [2000]  # no thread more after iterations


def test_what_travels_is_asked_for_later():
    a, b = (Rows(np.full((2, LONG), value)) for value in (1.0, 2.0))
    W = Gossip(make({"name": "complete"}, 2), Agents(2), np.float64, Fused())
    s = a - b
    assert (W @ s).known and not s.known
    assert np.all(host(3 * s) == -3)


class Long(mpidbo.Problem):
    """f_i = |x|^2/2 - b_i sum(y) and g_i = |y - x|^2/2, with long rows."""

    thread_safe = True
    dims = (LONG, LONG)

    def __init__(self, agent, n_agents, *, xp=np, seed=0):
        self.b = 0.1 * (agent + 1)

    def f(self, x, y, sample=None):
        return float(x @ x) / 2 - self.b * float(y.sum())

    def g(self, x, y, sample=None):
        return float((y - x) @ (y - x)) / 2

    def f_x(self, x, y, sample=None):
        return x

    def f_y(self, x, y, sample=None):
        return np.full_like(y, -self.b)

    def g_x(self, x, y, sample=None):
        return x - y

    def g_y(self, x, y, sample=None):
        return y - x

    def g_yy(self, x, y, v, sample=None):
        return v

    def g_xy(self, x, y, v, sample=None):
        return -v


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        "d-soba",
        "sparkle-ed-gt",
        {"name": "sparkle", "schedule": "jacobi", "lower": "extra", "upper": "semi-gt"},
        {"name": "sparkle", "lower": "non-gt", "upper": "push-pull"},
        {"name": "sparkle", "lower": "push-sum", "upper": "beer"},
        "sun-dsbo",
    ],
)
def test_runs_with_long_rows_have_the_same_bits(method):
    def run(fused, workers=1):
        return mpidbo.solve(Long, method, agents=3, iterations=6, evaluate_every=3, fused=fused,
                            workers=workers, checks="never", progress=False)  # fmt: skip

    assert_same(run("always", workers=2), run("never"))


def test_forms_that_were_met_with_other_arrays_and_numbers():
    """Expressions of few forms, whose arrays, numbers, sharing and requests change at each time."""
    rng, backend = np.random.default_rng(0), Fused()
    state = [rng.standard_normal((2, 5)) for _ in range(4)]
    rows = [*map(backend.rows, state)]
    for k in range(300):
        # Some arrays occur twice, and some are columns, or what is left of the time before.
        places = rng.integers(0, 4, size=3 if k % 3 else 4)
        step, column = float(rng.random()), np.s_[:, :1] if k % 7 == 0 else np.s_[:, :]

        def update(given, places=places, step=step, column=column, form=k // 2 % 4, k=k):
            a, b, c = (given[i] for i in places[:3])
            u = 0.5 * (a - step * b)
            v = u - (c[column] - u) / 4 if form else step * (b - a) / 4
            w = v + u if form % 2 else v - 0.25 * a
            new = [u, v, w, 0.5 * (u - step * b)] if form < 3 else [w, w, a, -u]
            return [0.5 * part for part in new] if k % 5 else new

        state, rows = update(state), update(rows)
        asked = rng.permutation(4)[: rng.integers(0, 5)]
        for i, found in zip(asked, backend.arrays(tuple(rows[i] for i in asked)), strict=True):
            assert found.tobytes() == state[i].tobytes(), k
    assert any(len(plans) > 1 for plans in fusion.PLANS.values())


def test_an_iteration_like_the_one_before_is_not_traced(monkeypatch):
    backend, traced, trace = Fused(), [], fusion.Trace
    monkeypatch.setattr(fusion, "PLANS", {})
    monkeypatch.setattr(fusion, "Trace", lambda wanted: traced.append(1) or trace(wanted))
    s, old, r = (backend.rows(np.full((2, 3), value)) for value in (1.0, 2.0, 3.0))
    for k in range(10):
        alpha, counted = 1 / (k + 1), len(traced)
        r = 0.8 * r + 0.2 * backend.rows(np.full((2, 3), float(k)))
        s, old = 2 * s - old - alpha * r, s
        backend.arrays((s,))
        assert k < 3 or len(traced) == counted


def test_a_number_in_the_place_of_an_array_is_another_form():
    a, b = (Rows(np.full((2, 3), value)) for value in (1.0, 2.0))
    for other, expected in ((3.0, -2), (b, -1), (3.0, -2), (a, 0), (b, -1), (2, -1)):
        assert np.all(host(a - other) == expected)


def test_a_column_in_the_place_of_an_array_is_another_form():
    a, b = (np.arange(6.0).reshape(2, 3) + value for value in (1, 2))
    for part in (a, a, a[:, :1]):
        total = Rows(part) + Rows(part)
        assert np.array_equal(host(total - Rows(b)), part + part - b)
        assert np.array_equal(host(total), part + part)


def test_what_expressions_of_one_form_compute_twice_is_kept():
    total = Rows(np.ones((2, 3))) / Rows(np.ones((2, 3)))
    assert np.all(host(2 * total) == 2) and not total.known
    assert np.all(host(3 * total) == 3) and total.known


def test_operands_that_have_become_known_do_not_make_an_expression_deep():
    a = Rows(np.ones((2, 3)))
    newest = a
    for _ in range(40):
        before, newest = newest, 0.5 * newest + a
        assert before.array is not None
        assert not newest.known


@pytest.mark.parametrize("method", ["d-soba", "sparkle-ed-gt"])
def test_long_rows_of_the_only_agent_have_the_same_bits(method):
    def run(fused):
        return mpidbo.solve(Long, method, agents=1, iterations=7, evaluate_every=3, fused=fused,
                            checks="never", progress=False)  # fmt: skip

    assert_same(run("always"), run("never"))


CHANGING = {
    "steps": {"steps": {"alpha": {"kind": "inverse-sqrt", "start": 0.1}}},
    "links that fail": {"topology": {"name": "ring", "drop": 0.3}},
    "graphs in turn": {"topology": {"name": "one-peer-exponential"}},
    "local steps": {"topology": {"name": "ring", "every": 3}},
}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sparkle", "slam", "lopa", "vrdbo"])
@pytest.mark.parametrize("change", CHANGING)
def test_what_changes_between_iterations(change, method):
    if change != "steps":
        method = (
            {"name": method, "strategy": "semi-gt"} if method in ("sparkle", "slam") else method
        )
    given = CHANGING[change]
    assert_same(solved("always", method, **given), solved("never", method, **given))


def solved(fused, method, dtype="float64", **given):
    given = {"agents": 4, "iterations": 12, "evaluate_every": 6, "checks": "never"} | given
    return mpidbo.solve("quadratic", method, fused=fused, dtype=dtype, progress=False, **given)


def assert_same(one, other):
    for name in "xyzt":
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None)
        assert a is None or a.tobytes() == b.tobytes()


@pytest.mark.parametrize("method", ["d-soba"])
def test_a_run_has_the_same_bits(method):
    assert_same(solved("always", method), solved("never", method))


OF_OTHER_PROBLEMS = {"gda", "dm-hsgd", "dsgd"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:ed in float32")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", sorted({*METHODS} - OF_OTHER_PROBLEMS))
def test_every_method_has_the_same_bits(method, dtype):
    assert_same(solved("always", method, dtype), solved("never", method, dtype))


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        {"name": "sparkle", "lower": "choco", "upper": "beer"},
        {"name": "sparkle", "schedule": "jacobi", "lower": "push-pull", "upper": "push-sum"},
        {"name": "sparkle", "lower": "centralized", "upper": "lead"},
    ],
)
@pytest.mark.filterwarnings("ignore:lead with top-k", "ignore:.*top-k")
def test_every_kind_of_message_has_the_same_bits(method):
    assert_same(solved("always", method), solved("never", method))


def test_a_run_goes_on_without_it(tmp_path):
    half = {"out": tmp_path / "run", "checkpoint": {"every": 6}, "resume": "auto"}
    with mpidbo.Solver("quadratic", "d-soba", agents=4, iterations=12, evaluate_every=6,
                       fused="always", checks="never", **half) as solver:  # fmt: skip
        next(solver), next(solver)
    resumed = solved("never", "d-soba", **half)
    assert resumed.iteration == 12
    assert_same(resumed, solved("never", "d-soba"))


def backend_of(method="sparkle-ed-gt", iterations=100_000, d=10**6, backend=HOST, fused="auto"):
    run = Run(iterations=iterations, fused=fused)
    if isinstance(method, str):
        method = rule_of({"name": method}, {}, n=1, horizon=1)
    return fusing.with_kernels(backend, run, method, (d, d), SimpleNamespace(m=1))


def test_it_is_used_where_it_gains():
    assert isinstance(backend_of("sparkle"), Fused)
    assert backend_of("sparkle", d=1000) is HOST  # a kernel costs more than these sums
    assert backend_of("sparkle", iterations=100) is HOST  # it takes longer to compile
    assert backend_of("sparkle", fused="never") is HOST
    assert isinstance(backend_of("sparkle", d=10, fused="always"), Fused)


def test_a_method_of_the_user_is_left_to_numpy():
    class Mine(Sparkle):  # which may change arrays in place
        pass

    assert backend_of(Mine()) is HOST
    assert isinstance(backend_of(Mine(), fused="always"), Fused)


def test_without_numba(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "numba" else found(n))
    assert backend_of("sparkle") is HOST
    with pytest.raises(mpidbo.UserError, match=r"numba is not installed.*set fused = .auto."):
        backend_of("sparkle", fused="always")


def test_rows_of_the_host_are_arrays_for_observers():
    rows = Fused().rows(np.ones((2, 3)))
    assert type(host(2 * rows)) is np.ndarray
