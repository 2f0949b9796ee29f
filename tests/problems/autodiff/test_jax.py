"""Losses in JAX alone: types, data, threads, mistakes."""

import dataclasses
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install 'mpidbo[jax]'")

import jax.numpy as jnp  # noqa: E402
from jax.experimental.sparse import BCOO  # noqa: E402

import mpidbo  # noqa: E402
from mpidbo.problems.autodiff.jax_vectors import JaxFramework  # noqa: E402
from support import losses_jax  # noqa: E402
from support.launch import environment as environment_of  # noqa: E402
from support.runs import made  # noqa: E402

pytestmark = pytest.mark.jax
SAMPLES = 10


def f(x, y, batch):
    A, b = batch
    return ((A @ y - b) ** 2).mean()


def g(x, y, batch):
    return f(x, y, batch) + jnp.exp(x).sum() * (y @ y)


def data(samples=SAMPLES, agents=2):
    rng = np.random.default_rng(1)
    return [
        (rng.standard_normal((samples, 3)), rng.standard_normal(samples)) for _ in range(agents)
    ]


def linear(upper=f, lower=g, x0=None, y0=None, entries=None, **options):
    return mpidbo.from_jax(
        upper,
        lower,
        np.zeros(1) if x0 is None else x0,
        np.ones(3) if y0 is None else y0,
        data() if entries is None else entries,
        **options,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_floats_have_the_dtype_of_the_run_and_only_within_a_call(dtype):
    seen = set()

    def watched(x, y, batch):
        seen.update(str(part.dtype) for part in (x, y, *batch, jnp.zeros(1)))
        return g(x, y, batch)

    one = made(linear(lower=watched), dtype=np.dtype(dtype))
    x, y = one.start()
    for found in (x, one.g_y(x, y, None), one.g_yy(x, y, y, None), one.g_xy(x, y, y, None)):
        assert found.dtype == dtype
    assert seen == {dtype}
    assert jnp.ones(1).dtype == np.float32 and not jax.config.jax_enable_x64


class Rows:
    """A data set that only has a length and items."""

    def __init__(self, A, b):
        self.A, self.b = A, b

    def __len__(self):
        return len(self.b)

    def __getitem__(self, i):
        return self.A[i], self.b[i]


@pytest.mark.parametrize(
    "entry",
    [
        lambda A, b: (jnp.asarray(A), b),
        Rows,
        lambda A, b: mpidbo.subsets(Rows(A, b), [np.arange(SAMPLES)])[0],
    ],
)
def test_every_kind_of_data_gives_the_same_draws(entry):
    A, b = (part.astype(np.float32) for part in data()[0])
    problems = [made(linear(entries=[given] * 2), batch=4) for given in ((A, b), entry(A, b))]
    x, (y, v) = np.zeros(1), np.random.default_rng(5).standard_normal((2, 3))
    samples = [problem.draw(np.random.default_rng(3)) for problem in problems]
    for sample in (samples, (None, None)):
        first, second = (
            problem.g_yy(x, y, v, part) for problem, part in zip(problems, sample, strict=True)
        )
        assert first.tobytes() == second.tobytes()
    rows = samples[0]["data"]
    np.testing.assert_allclose(
        problems[0].f_y(x, y, samples[0]),
        2 * A[rows].T.astype(float) @ (A[rows] @ y - b[rows]) / 4,
        rtol=1e-12,
    )


@pytest.mark.parametrize("dtype", ["f4", "i4", "u1", "?"])
def test_rows_are_taken_by_jax_without_a_copy(dtype):
    framework = JaxFramework(np, np.dtype(np.float32))
    array = np.arange(60).reshape(4, 3, 5).astype(dtype)
    indices, kept = np.array([3, 0, 2]), []
    for _ in range(8):  # memory is aligned by chance at times
        kept.append(framework.rows(array, indices))
        taken = jax.device_put(kept[-1], framework.device)
        assert taken.unsafe_buffer_pointer() == kept[-1].ctypes.data
        np.testing.assert_array_equal(taken, array[indices], strict=True)


@pytest.mark.parametrize("form", ["columns first", "every second", "other byte order"])
def test_only_the_rows_of_an_array_are_copied(form):
    plain = np.arange(4e5).reshape(1000, 400)
    array = {
        "columns first": np.asfortranarray(plain),
        "every second": np.repeat(plain, 2, axis=1)[:, ::2],
        "other byte order": plain.astype(plain.dtype.newbyteorder()),
    }[form]
    framework, indices = JaxFramework(np, np.dtype(np.float64)), np.array([3, 0, 999])
    tracemalloc.start()
    try:
        taken = framework.rows(array, indices)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(taken, plain[indices])
    assert peak < array.nbytes / 10


def test_what_is_no_array_in_an_entry_is_a_constant():
    """A slice, another for each agent, and a text."""

    def upper(x, y, batch):
        return (x[batch["own"]] * y[:2]).sum() * (2 if batch["kind"] == "twice" else 1)

    problem = linear(
        upper,
        lambda x, y, batch: x[batch["own"]].sum() * y @ y,
        np.arange(4.0),
        entries=[{"own": slice(0, 2), "kind": "twice"}, {"own": slice(2, 4), "kind": "once"}],
    )
    x, y = np.arange(4.0), np.ones(3)
    assert [made(problem, i).f_x(x, y, None).tolist() for i in range(2)] == [
        [2, 2, 0, 0],
        [0, 0, 1, 1],
    ]


def test_losses_are_traced_once_for_all_agents():
    traces = []

    def traced(x, y, batch):
        traces.append(1)
        return g(x, y, batch)

    cls = linear(lower=traced)
    problems = [made(cls, agent) for agent in range(2)]
    x, y = problems[0].start()
    traces.clear()
    for problem in problems * 2:
        problem.g_yy(x, y, y, None)
    assert len(traces) == 1


@jax.tree_util.register_pytree_node_class
class Layer:
    """A node of the user's own."""

    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias

    def tree_flatten(self):
        return (self.weight, self.bias), None

    @classmethod
    def tree_unflatten(cls, structure, parts):
        return cls(*parts)


def test_trees():
    x0 = {"b": [np.ones(1), (2.5, np.full(2, 3.0))], "a": np.zeros((2, 3))}
    y0 = {"net": [Layer(np.ones((3, 2)), np.zeros(2))]}

    def g(x, y, batch):
        layer = y["net"][0]
        return (x["a"].sum() + x["b"][1][0]) * ((batch[0] @ layer.weight + layer.bias) ** 2).mean()

    one = made(linear(lambda x, y, b: y["net"][0].bias.sum(), g, x0, y0))
    assert one.dims == (10, 8)
    tree = one.x_tree(one.start()[0])
    assert (
        tree["a"].shape == (2, 3)
        and tree["b"][1][0] == 2.5
        and type(tree["b"][1]) is tuple
        and tree["b"][1][1].tolist() == [3, 3]
    )
    tree = one.y_tree(np.arange(8.0))
    assert [part.tolist() for part in tree["net"][0].values()] == [[[0, 1], [2, 3], [4, 5]], [6, 7]]


CASES = {
    "vector": (
        lambda: linear(lower=lambda x, y, b: (b[0] @ y - b[1]) ** 2 * x),
        "g: agent 0 returns shape (10,), expected a scalar",
    ),
    "nothing": (
        lambda: linear(upper=lambda x, y, b: None),
        "f: agent 0 returns nothing; return a scalar",
    ),
    "no y": (lambda: linear(lower=lambda x, y, b: x.sum()), "g: does not depend on y"),
    "no x": (
        lambda: linear(lower=lambda x, y, b: y @ y),
        "f: does not depend on x, neither by itself nor through y and g",
    ),
    "integers": (
        lambda: linear(y0={"a": np.zeros(3, int)}),
        "y0: a part of shape (3,) is int64, which has no derivative",
    ),
    "text": (lambda: linear(x0=["a"]), "x0: str is not an array"),
    "lengths": (
        lambda: linear(entries=[(np.zeros((5, 3)), np.zeros(4))] * 2, batch=2),
        "data of agent 0: arrays of different length",
    ),
    "lengths unsampled": (
        lambda: linear(entries=[(np.zeros((5, 3)), np.zeros(4))] * 2),
        r"test_jax.py, line \d+: TypeError: sub got incomp",
    ),
    "not traceable": (
        lambda: linear(upper=lambda x, y, b: x.sum() if y[0] > 0 else y.sum()),
        r"test_jax.py, line \d+: TracerBoolConv",
    ),
    "fewer entries": (lambda: linear(entries=data(agents=1)), "data: 1 entries for 2 agents"),
    "batch": (
        lambda: linear(batch=11),
        "problem.batch: 11 samples in a draw, but data of agent 0 has 10; lower it",
    ),
}


@jax.custom_vjp
def doubled(y):
    return 2 * y


@jax.custom_vjp
def squares(y):
    return (y**2).sum()


doubled.defvjp(lambda y: (2 * y, None), lambda _, slope: (2 * slope,))
squares.defvjp(lambda y: ((y**2).sum(), y), lambda y, slope: (slope * doubled(y),))


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Net:
    """As modules of flax and equinox are: arrays, and fields that are none."""

    weight: jax.Array
    act: object = dataclasses.field(metadata={"static": True}, default=jnp.tanh)
    name: object = None


def test_modules_with_static_fields():
    def g(x, y, batch):
        return (y.act(batch[0] @ y.weight) ** 2).mean() * x.sum()

    one = made(linear(g, g, np.ones(1), Net(np.ones(3))))
    x, y = one.start()
    assert one.g_yy(x, y, y, None).shape == (3,) and list(one.y_tree(y)) == ["weight"]


LIKE = {
    "big-endian": lambda A, b: (A.astype(">f8"), b.astype(">f4")),
    "negative strides": lambda A, b: (np.ascontiguousarray(A[::-1])[::-1], b[::-1].copy()[::-1]),
    "read-only": lambda A, b: (np.frombuffer(A.tobytes()).reshape(A.shape), b),
    "float16": lambda A, b: (A, b.astype(np.float16)),
    "tables": lambda A, b: (
        pd.DataFrame(A).iloc[::-1].iloc[::-1],
        pd.Series(b, index=np.arange(len(b))[::-1]),
    ),
    "records": lambda A, b: (A, np.rec.fromarrays([b, b], names="a,b")["a"]),
}


@pytest.mark.parametrize("name", LIKE)
@pytest.mark.parametrize("batch", [0, 4])
def test_arrays_of_any_kind(name, batch):
    A, b = data()[0]
    b = b.round(1).astype(np.float16).astype(float)
    one, other = (
        made(linear(entries=[entry] * 2), batch=batch) for entry in (LIKE[name](A, b), (A, b))
    )
    x, y = one.start()
    drawn = [problem.draw(np.random.default_rng(0)) for problem in (one, other)]
    assert one.g_y(x, y, drawn[0]).tobytes() == other.g_y(x, y, drawn[1]).tobytes()


def test_tensors_of_pytorch():
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install 'mpidbo[torch]'"
    )
    A, b = data()[0]
    tensors = torch.tensor(A, requires_grad=True), torch.tensor(b).neg().neg()
    one, other = (
        made(linear(y0=y0, entries=[entry] * 2))
        for y0, entry in ((torch.ones(3, requires_grad=True), tensors), (None, (A, b)))
    )
    x, y = one.start()
    assert one.g_y(x, y, None).tobytes() == other.g_y(x, y, None).tobytes()


@pytest.mark.parametrize("name", ["uint16", "uint32", "int8", "int64", "bool"])
def test_whole_numbers_arrive(name):
    def g(x, y, batch):
        return (y[batch.astype(int)] ** 2).sum() * jnp.exp(x).sum()

    one = made(linear(g, g, entries=[np.array([0, 1, 1], name)] * 2), dtype=np.dtype("float32"))
    x, y = one.start()
    assert one.g_y(x, y, None).tolist() == [2, 4, 0]


CASES |= {
    "custom_vjp": (
        lambda: linear(lower=lambda x, y, b: squares(y) * jnp.exp(x).sum()),
        "method without second derivatives (see: mpidbo methods)",
    ),
    "callback": (
        lambda: linear(
            lower=lambda x, y, b: (
                g(x, y, b) + jax.pure_callback(np.sum, jax.ShapeDtypeStruct((), y.dtype), y)
            )
        ),
        "this operation has no derivative: write it with others",
    ),
    "while": (
        lambda: linear(
            lower=lambda x, y, b: jax.lax.while_loop(
                lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 2), (0, g(x, y, b))
            )[1]
        ),
        "this operation has no derivative",
    ),
    "numpy inside": (
        lambda: linear(upper=lambda x, y, b: np.sin(y).sum() + x.sum()),
        "JAX compiles your functions, so that they must be",
    ),
    "function in y0": (
        lambda: linear(y0={"w": np.ones(3), "act": jnp.tanh}),
        "give a pytree of arrays; make other fields static",
    ),
    "complex": (
        lambda: linear(y0=np.ones(3, complex)),
        "y0: a part of shape (3,) is complex128, which has no derivative; give its real",
    ),
    "no numbers": (lambda: linear(x0={}), "x0: holds no number; give at least one"),
    "if in metrics": (
        lambda: linear(metrics=lambda x, y, b: {"a": 1 if y[0] > 0 else 0}),
        "JAX compiles your functions, so that they",
    ),
    "key": (lambda: linear(entries=[jax.random.key(0)] * 2), "data of agent 0: "),
    "texts": (
        lambda: linear(entries=[np.array(["a"])] * 2),
        "data of agent 0: dtype <U1 is not an array of numbers",
    ),
    "sparse": (
        lambda: linear(entries=[BCOO.fromdense(jnp.eye(3))] * 2),
        "data of agent 0: BCOO of shape (3, 3) is sparse",
    ),
    "bool batch": (lambda: linear(batch=True), "problem.batch: true is not a number of samples"),
    "tuple": (
        lambda: linear(entries=data()[0]),
        "data: a tuple of arrays, (10, 3) and (10,), is one data set",
    ),
}


def test_a_large_whole_number_in_a_float32_run():
    with pytest.raises(
        mpidbo.UserError,
        match=re.escape("data of agent 0: int64 from 0 to 1099511627776, but JAX has 32 bits"),
    ):
        made(linear(entries=[np.array([0, 2**40])] * 2), dtype=np.dtype("float32"))


def test_a_mistake_during_the_run_is_a_sentence():
    class Rows:
        asked = 0

        def __len__(self):
            return 20

        def __getitem__(self, i):
            self.asked += 1
            if self.asked > 60:
                raise OSError("the disk is gone")
            return np.ones(3), 1.0

    problem = linear(entries=[Rows()] * 2, batch=np.int64(2))
    with pytest.raises(
        mpidbo.UserError,
        match=r"data of agent \d: .*test_jax.py, line \d+: OSError: the disk is gone; ",
    ):
        mpidbo.solve(problem, "sparkle", iterations=200)


@pytest.mark.parametrize("case", CASES)
def test_mistakes(case):
    build, sentence = CASES[case]
    with pytest.raises(
        mpidbo.UserError, match=sentence if "\\d" in sentence else re.escape(sentence)
    ):
        mpidbo.solve(build(), "sparkle", agents=2, iterations=1)


@pytest.mark.parametrize(("before", "warns"), [("", False), ("jnp.zeros(3)", True)])
def test_threads_are_limited_or_a_warning_says_so(before, warns):
    """JAX reads how many when it first computes."""
    code = (
        "import os, warnings, numpy as np, jax, jax.numpy as jnp, mpidbo\n"
        + before
        + "\nwarnings.simplefilter('error')\n"
        "problem = mpidbo.from_jax(lambda x, y, b: x @ y, lambda x, y, b: y @ y + x @ y, "
        "np.ones(2), np.ones(2), [None])\n"
        "problem(0, 1, xp=np, seed=0).f(np.ones(2), np.ones(2), None)\n"
        "names = [open(f'/proc/self/task/{task}/comm').read().strip() for task in "
        "os.listdir('/proc/self/task')]\n"
        "print(names.count('tf_XLAEigen'))\n"
    )
    environment = {key: value for key, value in environment_of({}).items() if key != "PJRT_NPROC"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    if warns:
        assert "call from_jax first, or set PJRT_NPROC=1" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["1"]


def test_the_example_of_this_file_learns():
    history = mpidbo.solve(
        losses_jax.problem, "sparkle-ed-gt", iterations=80, evaluate_every=40
    ).history
    assert (
        history["upper_loss"][-1] < 0.9 * history["upper_loss"][0]
        and history["worst"][-1] != history["worst"][0]
    )
