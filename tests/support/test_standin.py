"""The stand-in for CuPy: it refuses what CuPy refuses, computes what numpy computes, and shows
old numbers where nobody waited."""

import sys
from subprocess import run

import numpy as np
import pytest

from support import standin

needs_compiler = pytest.mark.skipif(
    standin.compiler() is None, reason="no C compiler: apt install gcc libc6-dev"
)


@pytest.fixture
def cp(monkeypatch):
    return standin.install(monkeypatch)


@pytest.fixture
def x(cp):
    return cp.asarray(np.arange(6.0).reshape(2, 3))


@pytest.fixture
def beside(cp):
    """A stream that does not wait for the null stream, nor the null stream for it."""
    return cp.cuda.Stream(non_blocking=True)


HOST = np.arange(1.0, 4.0)
REFUSED = {
    "implicit conversion": lambda cp, x: np.asarray(x),
    "numpy function without __array_function__": lambda cp, x: np.ascontiguousarray(x),
    "numpy array of device arrays": lambda cp, x: np.array([x, x]),
    "numpy array on the right": lambda cp, x: x + HOST,
    "numpy array on the left": lambda cp, x: HOST * x,
    "0-d numpy array": lambda cp, x: x - np.array(1.0),
    "numpy array in matmul": lambda cp, x: x @ HOST,
    "numpy array in a ufunc": lambda cp, x: np.maximum(x, HOST),
    "numpy array in place": lambda cp, x: x.__iadd__(HOST),
    "into a numpy array": lambda cp, x: np.add(x, x, out=np.zeros((2, 3))),
    "numpy += device": lambda cp, x: np.zeros((2, 3)).__iadd__(x),
    "numpy[:] = device": lambda cp, x: np.zeros((2, 3)).__setitem__(slice(None), x),
    "mixed concatenate": lambda cp, x: np.concatenate([x, np.ones((2, 3))]),
    "mixed stack": lambda cp, x: cp.stack([x, np.ones((2, 3))]),
    "numpy array in where": lambda cp, x: cp.where(np.ones(3, bool), x, 0),
    "numpy array alone": lambda cp, x: cp.sum(HOST),
    "numpy array in a ufunc alone": lambda cp, x: cp.sqrt(HOST),
    "list as operand": lambda cp, x: x - [1, 2, 3],
    "parameter that CuPy lacks": lambda cp, x: np.sum(x, where=True),
    "eye like a device array": lambda cp, x: np.eye(3, like=x),
    "function that CuPy lacks": lambda cp, x: np.busday_count(x, x),
    "reduction by a ufunc": lambda cp, x: np.add.reduce(x),
    "an index of range": lambda cp, x: range(x[0, 0]),
    "narrowing in place": lambda cp, x: cp.arange(3).__iadd__(0.5),
    "copy to a numpy array of another type": lambda cp, x: x.get(out=np.empty((2, 3), np.float32)),
    "set from a device array": lambda cp, x: x.set(x),
    "length of a number": lambda cp, x: len(x.sum()),
    "a dictionary's key": lambda cp, x: {x: 1},
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(cp, x, what):
    with pytest.raises(TypeError):
        REFUSED[what](cp, x)


@pytest.mark.parametrize(
    "act",
    [
        lambda cp, x: x.__setitem__(0, HOST),
        lambda cp, x: x.__setitem__(slice(None), np.ones((2, 3))),
        lambda cp, x: x.fill(HOST),
        lambda cp, x: bool(x),
        lambda cp, x: x.set(HOST),
        lambda cp, x: x.get(out=np.empty(3)),
        lambda cp, x: cp.asarray(["a"]),
        lambda cp, x: x + cp.ones(2),
    ],
)
def test_refused_values(cp, x, act):
    with pytest.raises(ValueError):
        act(cp, x)


def test_sentences(x):
    with pytest.raises(
        TypeError,
        match=r"Implicit conversion to a NumPy array is not allowed. Please use `.get\(\)`",
    ):
        np.asarray(x)
    with pytest.raises(TypeError, match=r"Unsupported type <class 'numpy.ndarray'>"):
        x + HOST
    with pytest.raises(ValueError, match=r"non-scalar numpy.ndarray cannot be used for fill"):
        x[0] = HOST


def test_numbers_are_taken(cp, x):
    for number in (2, 2.0, True, np.float64(2), np.int64(2)):
        assert type(number * x) is type(x) is type(x * number) is cp.ndarray
    assert (
        x == np.array(3.0)
    ).get().sum() == 1  # CuPy makes a number of a 0-d array in comparisons alone
    x[0] = np.array(7.0)
    assert x.get().tolist() == [[7.0] * 3, [3.0, 4.0, 5.0]]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "compute",
    [
        lambda xp, a, b: 2 * a - b / 3 + a**2,
        lambda xp, a, b: a.T @ b,
        lambda xp, a, b: (a * b).sum(axis=0),
        lambda xp, a, b: np.sqrt(abs(a)),
        lambda xp, a, b: np.stack([a, b], axis=2),
        lambda xp, a, b: np.where(a > b, a, b * 2),
        lambda xp, a, b: a[:, ::-1].copy(),
        lambda xp, a, b: a[[2, 0]],
        lambda xp, a, b: a[a > 0],
        lambda xp, a, b: xp.linalg.norm(a, axis=1),
        lambda xp, a, b: a[None] @ b.T,
        lambda xp, a, b: np.zeros((2, 2), a.dtype, like=a),
        lambda xp, a, b: np.ones_like(a[:, :1]),
        lambda xp, a, b: np.sort(a[0])[::-1].cumsum(),
        lambda xp, a, b: a.max(axis=1, keepdims=True).clip(0.1),
        lambda xp, a, b: xp.linalg.qr(a)[0],
        lambda xp, a, b: a.T.reshape(-1),
        lambda xp, a, b: xp.linalg.solve(a[:3, :3], b[:3]),
        lambda xp, a, b: np.float64(2) * a,
        lambda xp, a, b: np.repeat(a[None], 2, axis=0),
        lambda xp, a, b: xp.exp(a, out=a),
        lambda xp, a, b: xp.matmul(a.T, b, out=xp.empty((5, 5), a.dtype)),
        lambda xp, a, b: a.mean(),
        lambda xp, a, b: np.tile(a, 2),
        lambda xp, a, b: np.broadcast_to(a, (2, *a.shape)),
        lambda xp, a, b: ~(a > b),
    ],
)
def test_numbers_are_numpys(cp, compute, dtype):
    """To the bit, with numpy's type and the same layout in memory."""
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal((7, 5)).astype(dtype) for _ in range(2))
    got, expected = compute(cp, cp.asarray(a), cp.asarray(b)), np.asarray(compute(np, a.copy(), b))
    assert type(got) is cp.ndarray
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    if expected.base is None:
        assert got.strides == expected.strides
    assert got.get().tobytes() == expected.tobytes()


def test_views_share_memory(cp, x):
    row, column, flat = x[1], x.T[0], x.reshape(-1)
    row[0] = 9
    x += 1
    assert (row.get().tolist(), column.get().tolist(), flat.get().tolist()) == (
        [10, 5, 6],
        [1, 10],
        [1, 2, 3, 10, 5, 6],
    )
    x.diagonal()[:] = 0
    assert x.get().tolist() == [[0, 2, 3], [10, 0, 6]]
    assert row.data.ptr == x.data.ptr + 24 and row.base is x and x[0, 0].shape == ()
    assert (x.nbytes, x.strides, x.flags.c_contiguous, x.T.flags.c_contiguous) == (
        48,
        (24, 8),
        True,
        False,
    )


def test_reading_waits(cp, x):
    """A number or a copy on the host is right, and the host waited for it."""
    cp.COUNTS.clear()
    total = (2 * x).sum()
    assert cp.COUNTS == {"launch": 2}
    assert float(total) == 30 and cp.COUNTS["synchronize"] == 1
    assert (
        cp.asnumpy(x).sum() == 15
        and [float(v) for v in x[0]] == [0, 1, 2]
        and x[1].tolist() == [3, 4, 5]
        and bool(x[0, 1])
    )


def test_nothing_is_there_before_somebody_waits(cp, x):
    got = (x + 1).get(blocking=False)
    assert np.isnan(got).all()
    cp.cuda.get_current_stream().synchronize()
    assert got.sum() == 21


def test_new_memory_is_not_a_number(cp):
    assert (
        np.isnan(cp.empty(3).get()).all()
        and np.isnan(standin.MODULES["cupyx"].empty_pinned(3)).all()
    )


def test_copy_to_the_host_without_waiting(cp, x, beside):
    cp.cuda.Device().synchronize()
    pinned = standin.MODULES["cupyx"].zeros_pinned((2, 3))
    x.get(stream=beside, out=pinned, blocking=False)
    assert not pinned.any()  # nobody waited
    beside.synchronize()
    assert pinned.sum() == 15


def test_copy_beside_the_work_that_makes_what_it_copies(cp, x, beside):
    cp.cuda.Device().synchronize()
    x += 1
    assert x.get(stream=beside).sum() == 15  # the null stream's work was not waited for
    beside.wait_event(cp.cuda.get_current_stream().record())
    assert x.get(stream=beside).sum() == 21


def test_work_beside_the_copy_that_brings_its_data(cp, x, beside):
    host = np.ones((2, 3))
    cp.cuda.Device().synchronize()
    x.set(host, stream=beside)
    assert float(x.sum()) == 15
    arrived = cp.cuda.Event(disable_timing=True)
    arrived.record(beside)
    cp.cuda.get_current_stream().wait_event(arrived)
    assert float(x.sum()) == 6


def test_page_locked_memory_changed_before_it_was_copied(cp, beside):
    pinned = standin.MODULES["cupyx"].zeros_pinned(3)
    x = cp.empty(3)
    x.set(pinned, stream=beside)
    early = cp.asarray(pinned)
    pinned[:] = 1
    beside.synchronize()
    assert x.get().sum() == 3 and early.get().sum() == 3
    plain = np.zeros(3)
    x = cp.asarray(plain)  # CuPy copies what is not page-locked at once
    plain[:] = 1
    assert not x.get().any()


def test_memory_let_go_while_another_stream_reads_it(cp, beside):
    """The null stream may use it again at once."""

    def total(keep):
        x = cp.ones(3)
        beside.wait_event(cp.cuda.get_current_stream().record())
        got = x.get(stream=beside, blocking=False)
        kept = x if keep else None
        del x
        cp.cuda.get_current_stream().synchronize()
        beside.synchronize()
        return got.sum(), kept

    assert total(keep=True)[0] == 3
    assert np.isnan(total(keep=False)[0])


def test_streams(cp, x, beside):
    with beside:
        assert cp.cuda.get_current_stream() is beside
        y = cp.zeros(3)
        y += 1
    assert cp.cuda.get_current_stream() is cp.cuda.Stream.null
    assert np.isnan(y.get()).all() and not beside.done
    event = beside.record()
    assert not event.done
    event.synchronize()
    assert event.done and y.get().sum() == 3
    waits = cp.cuda.Stream()  # not `non_blocking`: the null stream waits for it
    with waits:
        y += 1
    assert y.get().sum() == 6


def test_memory_pool(cp):
    pool, before = cp.get_default_memory_pool(), cp.get_default_memory_pool().used_bytes()
    x = cp.empty(1000)
    assert pool.used_bytes() - before == 8192
    pool.set_limit(size=pool.used_bytes())
    with pytest.raises(MemoryError, match="Out of memory"):
        cp.empty(1)
    pool.set_limit(size=0)
    del x
    assert pool.used_bytes() == before


@needs_compiler
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_elementwise_kernels(cp, dtype):
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((4, 3)).astype(dtype), rng.standard_normal(3).astype(dtype)
    kernel = cp.ElementwiseKernel(
        "T a, T b, float64 c, raw T w",
        "T sum, T root",
        "sum = a * b + (T)c * w[i % 3]; root = sqrt(abs(a));",
        "mix",
        preamble="#define abs fabs",
        options=("--fmad=false",),
    )
    total, root = kernel(cp.asarray(a), cp.asarray(b), 2, cp.asarray(b))
    assert (
        total.get().tobytes() == (a * b + 2 * b).tobytes()
        and root.get().tobytes() == np.sqrt(abs(a)).tobytes()
    )
    gather = cp.ElementwiseKernel(
        "raw T a, raw int32 at, int64 n", "T out", "out = a[at[i % n]];", "gather"
    )
    at, out = cp.asarray(np.array([2, 0], np.int32)), cp.empty(4, dtype)
    assert (
        gather(cp.asarray(b), at, 2, out) is out and out.get().tolist() == b[[2, 0, 2, 0]].tolist()
    )
    every_other = cp.zeros(8, dtype)[::2]
    gather(cp.asarray(b), at, 2, every_other)
    assert every_other.get().tolist() == out.get().tolist()


@needs_compiler
def test_kernels_refuse(cp, x):
    kernel = cp.ElementwiseKernel("T a, T b", "T c", "c = a + b", "sum_of_two")
    for wrong, error in (
        ((x, HOST), TypeError),
        ((x,), TypeError),
        ((x, x.astype(np.float32)), TypeError),
        ((1.0, 2.0), ValueError),
        ((x, x, cp.empty(3)), ValueError),
        ((x, x, cp.empty((2, 3), np.float32)), TypeError),
    ):
        with pytest.raises(error):
            kernel(*wrong)
    with pytest.raises(ValueError, match="size"):
        kernel(x, x, size=3)
    with pytest.raises(RuntimeError, match="nonsense"):
        cp.ElementwiseKernel("T a", "T b", "b = nonsense", "wrong")(x)


@needs_compiler
def test_kernels_run_on_their_stream(cp, x, beside):
    cp.cuda.Device().synchronize()
    twice = cp.ElementwiseKernel("T a", "T b", "b = 2 * a", "twice")
    with beside:
        y = twice(x)
    assert np.isnan(y.get()).all()
    beside.synchronize()
    assert y.get().sum() == 30


@needs_compiler
def test_raw_kernels(cp, x):
    code = """extern "C" __global__ void shifted(const double* a, double* b, int n, double by) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) b[i] = a[i] + by;
    }"""
    out = cp.empty(6)
    for kernel in (cp.RawKernel(code, "shifted"), cp.RawModule(code=code).get_function("shifted")):
        out.fill(0)
        kernel((2,), (4,), (x, out, np.int32(6), np.float64(0.5)))
        assert out.get().tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    with pytest.raises(TypeError, match="Unsupported type"):
        kernel((2,), (4,), (HOST, out, np.int32(6), 0.5))


def test_another_process_finds_it(tmp_path):
    found = run(
        [
            sys.executable,
            "-c",
            (
                "import cupy, cupyx, cupy.cuda; print(float(cupy.arange(3).sum()), "
                "cupy.is_available())"
            ),
        ],
        env={"PYTHONPATH": str(standin.folder(tmp_path / "with"))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert found.stdout.split() == ["3.0", "True"]
