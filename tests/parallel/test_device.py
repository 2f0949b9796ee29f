"""State on a device, on the stand-in for CuPy: the numbers of the CPU to the bit, wherever
copies and kernels run as late as they may."""

import os
import re
import warnings

import numpy as np
import pytest

import mpidbo
from mpi.ranks_device import CASES, COMMON, digest
from mpidbo.algorithms import METHODS
from mpidbo.errors import UserError
from mpidbo.parallel import backend, fusion
from mpidbo.parallel import lazy as fused
from mpidbo.parallel.lazy import Rows
from mpidbo.problems.hyper_cleaning import HyperCleaning
from support import MPI, standin
from support.runs import QUADRATIC, kept, run, same, toml

pytestmark = [
    pytest.mark.skipif(
        standin.compiler() is None, reason="no C compiler: apt install gcc libc6-dev"
    ),
    pytest.mark.filterwarnings("ignore:ed in float32"),
    pytest.mark.filterwarnings("ignore:extra in float32"),
]
BELLMAN = {"name": "policy-evaluation", "states": 6, "p": 2, "batch": 2}
CLEANING = {
    "name": "hyper-cleaning",
    "batch": 5,
    "val_batch": 4,
    "n_train": 120,
    "n_validation": 60,
}


EVERY_METHOD = [
    pytest.param(method, marks=[pytest.mark.slow] if turn % 3 else [])
    for turn, method in enumerate(METHODS)
]
"""Every day one of three."""


@pytest.fixture
def cupy(monkeypatch):
    return standin.install(monkeypatch)


def both(**given):
    """(the result on the CPU, on the device)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mpidbo.solve(**given), mpidbo.solve(**given, device="cuda")


def alike(host, device):
    """Whether two results are the same to the bit, their histories too."""
    for name in "xyzt":
        a, b = getattr(host, name), getattr(device, name)
        assert (a is None and b is None) or (type(b) is np.ndarray and np.array_equal(a, b)), name
    for name, values in host.history.items():
        assert name.startswith("seconds_") or np.array_equal(
            values, device.history[name], equal_nan=True
        ), name
    return True


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", EVERY_METHOD)
def test_every_method_gives_the_bits_of_the_cpu(cupy, method, dtype):
    problem = {"name": "quadratic", "p": 4, "q": 3, "noise": 0.1}
    saddle = {**problem, "name": "minimax"}
    problem = {"dsgd": BELLMAN, "gda": saddle, "dm-hsgd": saddle}.get(method, problem)
    assert alike(
        *both(problem=problem, method=method, agents=5, iterations=9, evaluate_every=4, dtype=dtype)
    )


@pytest.mark.parametrize("case", CASES)
def test_strategies_orders_and_topologies(cupy, case):
    assert alike(*both(**{**COMMON, **CASES[case]}))


def test_metrics_on_request_a_stop_rule_and_projection(cupy):
    given = {
        "problem": {"name": "quadratic", "noise": 0.0},
        "method": "sparkle",
        "agents": 4,
        "iterations": 40,
        "evaluate_every": 5,
    }
    host, device = both(
        **given,
        metrics=("hypergradient_norm", "curvature"),
        stop={"metric": "distance", "below": 1.2},
    )
    assert alike(host, device) and host.iteration == device.iteration
    pytest.importorskip("sklearn")
    reweighting = {
        "name": "domain-reweighting",
        "weights": "simplex",
        "n_train": 60,
        "n_validation": 30,
        "batch": 6,
    }
    assert alike(*both(problem=reweighting, method="d-soba", agents=3, iterations=6))


def test_a_run_that_diverges_says_where(cupy):
    with pytest.raises(mpidbo.Diverged, match=r"diverged: level.* not finite after iteration"):
        mpidbo.solve("quadratic", agents=3, iterations=200, steps={"beta": 50.0}, device="cuda")


@pytest.mark.parametrize(
    "model", [pytest.param({}, marks=pytest.mark.slow), {"model": "mlp", "hidden": [7, 5]}]
)
def test_agents_of_a_perceptron_are_asked_at_once(cupy, model, monkeypatch):
    pytest.importorskip("sklearn")
    asked = []
    stacked = HyperCleaning.stacked.__func__
    monkeypatch.setattr(
        HyperCleaning,
        "stacked",
        classmethod(lambda cls, agents: asked.append(stacked(cls, agents)) or asked[-1]),
    )
    given = {
        "problem": {**CLEANING, **model},
        "method": "sparkle-gt",
        "agents": 4,
        "iterations": 5,
        "evaluate_every": 2,
    }
    host, device = both(**given)
    assert alike(host, device) and None not in asked
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert np.array_equal(mpidbo.solve(**given, device="cuda", batched="never").x, host.x)
    assert not caught
    right = type(asked[1]).f_y
    monkeypatch.setattr(
        type(asked[1]),
        "f_y",
        lambda self, x, y, samples: right(self, x, y, samples) if len(y) == 1 else 1 * y,
    )
    with pytest.warns(
        UserWarning,
        match=r"HyperCleaning: its stacked f_y gives other bits than its agents, so .* run.batched",
    ):
        assert np.array_equal(mpidbo.solve(**given, device="cuda").x, host.x)
    assert not np.array_equal(mpidbo.solve(**given, device="cuda", batched="always").x, host.x)


def devices_of_ranks(tmp_path):
    """The environment of ranks that have the stand-in."""
    folders = [str(standin.folder(tmp_path / "cupy")), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, folders)), "PYTHONWARNINGS": "ignore"}


def ranks(mpi, n, tmp_path, *what):
    """What `ranks_device.py what` prints on n ranks, and on standard error."""
    done = mpi(
        n,
        [MPI / "ranks_device.py", *what],
        timeout=120,
        env=devices_of_ranks(tmp_path),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.mark.slow
def test_a_rank_that_does_not_come_to_an_exchange_between_devices_ends_the_job(mpi, tmp_path):
    done = mpi(2, [MPI / "ranks_device.py", "hangs"], env=devices_of_ranks(tmp_path))
    assert done.returncode == 4, done.stdout + done.stderr
    assert re.search(r"rank 0 waits for rank 1 \(.+\) at iteration 0, level x", done.stderr), (
        done.stderr
    )
    assert re.search(
        r"rank 1: mpidbo: busy for 2 s at ranks_device\.py, line \d+: .*sleep", done.stderr
    ), done.stderr


@pytest.mark.parametrize(
    ("n", "buffers", "cases"),
    [
        pytest.param(2, "host", ["ed", "extra", "jacobi", "centralized"], marks=pytest.mark.long),
        (3, "device", ["gt", "two-graphs"]),
        pytest.param(2, "device", [*CASES], marks=pytest.mark.slow),
        pytest.param(3, "host", [*CASES], marks=pytest.mark.slow),
        pytest.param(6, "host", ["extra", "two-graphs", "failing-links"], marks=pytest.mark.slow),
    ],
)
def test_ranks_with_a_device_each_give_the_bits_of_the_cpu(mpi, n, buffers, cases, tmp_path):
    printed, errors = ranks(mpi, n, tmp_path, buffers, *cases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = "".join(
            f"{name}: {digest(mpidbo.solve(**{**COMMON, **CASES[name]}))}\n" for name in cases
        )
    assert printed == expected
    assert ('trying run.buffers = "device"; if the job ends here' in errors) == (
        buffers == "device"
    )


@pytest.mark.long
def test_a_message_that_is_known_early_travels_beside_the_oracle(mpi, tmp_path):
    printed, _ = ranks(mpi, 2, tmp_path, "early", "ed", "extra")
    (_, late, all_of_ed), (_, early, all_of_extra) = (line.split() for line in printed.splitlines())
    exchanges = 3 * COMMON["iterations"]
    assert (
        int(all_of_ed) == int(all_of_extra) == exchanges
        and int(late) == 0
        and int(early) >= exchanges - 3
    )


def test_a_checkpoint_moves_between_cpu_and_device_bitwise(cupy, tmp_path):
    path = toml(tmp_path, QUADRATIC)
    run(path, tmp_path / "whole")
    for first, second in (("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")):
        out = tmp_path / f"{first}-{second}"
        run(path, out, run__device=first, run__iterations=14)
        assert max(kept(out)) == 14
        run(path, out, run__device=second)
        assert same(tmp_path / "whole", out)


def launches(work):
    before = standin.COUNTS["launch"]
    work()
    return standin.COUNTS["launch"] - before


def test_an_update_is_one_kernel_and_keeps_what_is_asked_for_again(cupy):
    rng = np.random.default_rng(0)
    s, before, v, old = (rng.standard_normal((2, 50)) for _ in range(4))
    S, B, V, O = (Rows(cupy.asarray(part)) for part in (s, before, v, old))
    message = 2 * S - B - (0.1 * V - 0.3 * O)
    assert launches(lambda: message.array) == 1
    assert np.array_equal(message.array.get(), 2 * s - before - (0.1 * v - 0.3 * old))

    r, expected, counted = Rows(cupy.asarray(s)), s, []
    fusion.KERNELS.clear()
    fusion.PLANS.clear()
    for _ in range(6):  # SPARKLE's moving average, and the message made of it

        def step(r=r):
            u = V - B
            average = 0.8 * r + 0.2 * u
            (O - 0.1 * average).array  # noqa: B018
            return average

        result = []
        counted.append(launches(lambda step=step, result=result: result.append(step())))
        r, expected = result[0], 0.8 * expected + 0.2 * (v - before)
    assert np.array_equal(r.array.get(), expected) and set(counted) == {1}
    assert r.known and len(r._operands) == 0, (
        "the average is kept by the kernel that computes the message"
    )


def test_rows_behave_as_arrays_do(cupy):
    a, b = np.arange(6.0).reshape(2, 3) + 1, np.full((2, 1), 2.0)
    A, B = Rows(cupy.asarray(a)), Rows(cupy.asarray(b))
    for found, expected in (
        (A / B, a / b),
        (-A + 1, -a + 1),
        (1 - A, 1 - a),
        (2 / A, 2 / a),
        (np.sqrt(A), np.sqrt(a)),
        (A.T @ B, a.T @ b),
        (np.maximum(A, B), np.maximum(a, b)),
        (A[:, :1] * A, a[:, :1] * a),
        (abs(-A), abs(a)),
        (A**2, a**2),
        (np.concatenate([A, A]), np.concatenate([a, a])),
        (A.sum(axis=1), a.sum(axis=1)),
        (A <= B, a <= b),
    ):
        assert type(found) is Rows and np.array_equal(backend.host(found), expected)
    assert float(A.max()) == 6 and bool((A > 0).all()) and len(A) == 2 and A.ndim == 2
    with pytest.raises(TypeError, match=r"implicitly: see mpidbo\.parallel\.host"):
        np.asarray(A)
    old, noted = A, 2 * A
    A += B
    assert (
        A is not old
        and np.array_equal(noted.array.get(), 2 * a)
        and np.array_equal(A.array.get(), a + b)
    )
    with pytest.raises(TypeError, match=r"not changed in place"):
        np.add(A, B, out=A)
    A = old
    fusion.CLOCK.time += 1
    assert (A + A).made() < fusion.CLOCK.time == (A + B / B).made(), (
        "a column of its own comes first"
    )
    deep = A
    for _ in range(fused.MAX_DEPTH + 1):
        deep = deep + A * A
    assert 0 < deep._depth < fused.MAX_DEPTH, "nobody asked, but it had become long"


class Hungry(mpidbo.Problem):
    """From its third gradient on it wants more than there is."""

    dims, asked = (1, 1), 0

    def g_y(self, x, y, sample):
        self.asked += 1
        return y + self.xp.zeros(standin.memory.TOTAL // 8 + 1 if self.asked > 2 else 1)[:1]

    f_x = f_y = g_y

    def g_yy(self, x, y, v, sample):
        return v

    g_xy = g_yy


@pytest.mark.parametrize("first", [0, 3])
def test_a_device_that_is_full_is_a_sentence(cupy, monkeypatch, first):
    """While the run is planned, and later."""
    monkeypatch.setattr(Hungry, "asked", first)
    with pytest.raises(
        UserError,
        match=(
            r"^out of memory \(Out of memory allocating .*; spread the agents over more ranks, "
            r"draw smaller"
        ),
    ):
        mpidbo.solve(Hungry, agents=2, iterations=9, device="cuda")


@pytest.fixture
def devices(cupy, monkeypatch):
    monkeypatch.setattr(cupy.cuda.Device, "count", 4)
    return cupy


def test_a_process_takes_the_device_of_its_number_on_the_node(devices):
    for environment, name in (
        ({}, "cuda:0"),
        ({"SLURM_LOCALID": "3"}, "cuda:3"),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "6"}, "cuda:2"),
    ):
        assert backend.choose_backend("cuda", None, environment=environment).name == name


class Comm:
    """A node of 6 ranks, of which this is number 5; every rank says the same, but for what
    stands for devices."""

    size, rank = 6, 5

    def Split_type(self, kind):
        return self

    def Free(self):
        pass


def test_ranks_that_share_a_device_share_its_memory(devices, monkeypatch):
    monkeypatch.setitem(
        __import__("sys").modules, "mpi4py.MPI", type("MPI", (), {"COMM_TYPE_SHARED": 1})
    )
    monkeypatch.setattr(
        backend,
        "allgather_text",
        lambda comm, text: [text] if not text else ["a", text, "b", "c", "a", text],
    )
    monkeypatch.setattr(backend, "agreed", lambda comm: warnings.catch_warnings())
    assert backend.choose_backend("cuda", Comm()).name == "cuda:1"
    assert devices.get_default_memory_pool().get_limit() == int(standin.memory.TOTAL * 0.475)


@pytest.mark.parametrize(
    ("device", "has"),
    [("cuda", None), ("cuda", False), ("auto", None), ("auto", False), ("auto", True)],
)
def test_without_a_device(monkeypatch, device, has):
    """Without CuPy, and with CuPy but no GPU."""
    if has is None:
        monkeypatch.delitem(__import__("sys").modules, "cupy", raising=False)
        monkeypatch.setattr(backend.util, "find_spec", lambda name: None)
    else:
        monkeypatch.setattr(standin.install(monkeypatch), "is_available", lambda: has)
    why = (
        "CuPy is not installed (pip install"
        if has is None
        else "CuPy finds no CUDA device (look at nvidia-smi"
    )
    if device == "cuda":
        with pytest.raises(
            UserError,
            match=rf'^run.device "cuda": {re.escape(why)}.*; fix that, or set device = "cpu"$',
        ):
            backend.choose_backend(device, None)
    elif has:
        assert backend.choose_backend(device, None).name == "cuda:0"
    else:
        with pytest.warns(
            UserWarning, match=rf'^run.device "auto": {re.escape(why)}.*; the run is on the CPU$'
        ):
            assert backend.choose_backend(device, None).name == "cpu"


def test_mpi_that_cannot_read_device_memory_is_told_from_one_that_can(mpi, tmp_path):
    place = standin.folder(tmp_path / "cupy")
    (place / "sitecustomize.py").write_text(
        "import sys\nsys.path.append(" + repr(str(place.parent)) + ")\nimport cupy, numpy\n"
        "cupy.ndarray.__cuda_array_interface__ = property(lambda self: {**numpy.full(self.shape, "
        "7, self.dtype).__array_interface__, 'version': 3})\n"
    )
    path = toml(tmp_path, {**QUADRATIC, "run.device": "cuda", "run.buffers": "device"})
    done = mpi(
        2, ["-m", "mpidbo", "run", path, "--out", tmp_path / "out"], env={"PYTHONPATH": str(place)}
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stdout + done.stderr
    assert (
        'run.buffers "device": this MPI does not carry float64 from device memory (' in done.stderr
    )
    assert 'set buffers = "host", or take an MPI built with CUDA' in done.stderr
