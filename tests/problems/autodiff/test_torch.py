"""Losses in PyTorch alone: modules, data, what is kept, mistakes."""

import mmap
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mpidbo[torch]'")

from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset  # noqa: E402

import mpidbo  # noqa: E402
from mpidbo.parallel import owns_numbers  # noqa: E402
from mpidbo.parallel.agents import Agents  # noqa: E402
from mpidbo.problems.autodiff.torch import TorchLosses  # noqa: E402
from mpidbo.problems.autodiff.torch_vectors import TorchFramework  # noqa: E402
from mpidbo.problems.oracle import Oracle  # noqa: E402
from mpidbo.storage import read_run  # noqa: E402
from support import losses_torch  # noqa: E402
from support.launch import environment as environment_of  # noqa: E402
from support.runs import made, same  # noqa: E402

pytestmark = pytest.mark.torch
SAMPLES = 10


# two losses to vary: f = mean of (a'y - b)^2 over the batch, g the same plus a ridge


def f(x, y, batch):
    A, b = batch
    return ((A @ y - b) ** 2).mean()


def g(x, y, batch):
    return f(x, y, batch) + torch.exp(x).sum() * (y @ y)


def data(samples=SAMPLES, agents=2):
    rng = np.random.default_rng(1)
    return [
        (rng.standard_normal((samples, 3)), rng.standard_normal(samples)) for _ in range(agents)
    ]


def linear(upper=f, lower=g, x0=None, y0=None, entries=None, **options):
    return mpidbo.from_torch(
        upper,
        lower,
        torch.zeros(1) if x0 is None else x0,
        torch.ones(3) if y0 is None else y0,
        data() if entries is None else entries,
        **options,
    )


def test_an_agent_of_a_class():
    problem = linear()
    assert (
        issubclass(problem, mpidbo.Problem)
        and issubclass(problem, TorchLosses)
        and problem.agents == 2
    )
    one = made(problem)
    assert one.dims == (1, 3) and [part.tolist() for part in one.start()] == [[0], [1, 1, 1]]
    (A, b), y = data()[0], np.array([1.0, 2, 3])
    assert one.f(np.zeros(1), y, None) == pytest.approx(((A @ y - b) ** 2).mean(), rel=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_floats_have_the_dtype_of_the_run(dtype):
    seen = set()

    def watched(x, y, batch):
        seen.update(part.dtype for part in (x, y, *batch))
        return g(x, y, batch)

    one = made(linear(lower=watched), dtype=np.dtype(dtype))
    x, y = one.start()
    for found in (x, one.g_y(x, y, None), one.g_yy(x, y, y, None), one.g_xy(x, y, y, None)):
        assert found.dtype == dtype
    assert seen == {getattr(torch, dtype)}


@pytest.mark.parametrize(
    "entry",
    [
        lambda A, b: (A, b),
        lambda A, b: (torch.tensor(A), torch.tensor(b)),
        lambda A, b: TensorDataset(torch.tensor(A), torch.tensor(b)),
        lambda A, b: Subset(
            TensorDataset(torch.tensor(A).repeat(2, 1), torch.tensor(b).repeat(2)), range(SAMPLES)
        ),
        lambda A, b: Rows(A, b),
        lambda A, b: mpidbo.subsets(Rows(A, b), [np.arange(SAMPLES)])[0],
    ],
)
def test_every_kind_of_data_gives_the_same_draws(entry):
    """Arrays, tensors and data sets of one kind or another: the same numbers, of the full batch
    and of a draw."""
    (A, b), rng = data()[0], np.random.default_rng(5)
    problems = [made(linear(entries=[given] * 2), batch=4) for given in ((A, b), entry(A, b))]
    x, y, v = np.zeros(1), *rng.standard_normal((2, 3))
    samples = [problem.draw(np.random.default_rng(3)) for problem in problems]
    for sample in (samples, (None, None)):
        first, second = (
            problem.g_yy(x, y, v, part) for problem, part in zip(problems, sample, strict=True)
        )
        assert first.tobytes() == second.tobytes()
    rows = samples[0]["data"]
    assert len({*rows}) == 4
    np.testing.assert_allclose(
        problems[0].f_y(x, y, samples[0]), 2 * A[rows].T @ (A[rows] @ y - b[rows]) / 4, rtol=1e-12
    )


class Rows:
    """A data set that only has a length and items."""

    def __init__(self, A, b):
        self.A, self.b = A, b

    def __len__(self):
        return len(self.b)

    def __getitem__(self, i):
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self.A[i], self.b[i]


LIKE = {
    "big-endian": lambda A, b: (A.astype(">f8"), b.astype(">f4")),
    "negative strides": lambda A, b: (np.ascontiguousarray(A[::-1])[::-1], b[::-1].copy()[::-1]),
    "read-only": lambda A, b: (np.frombuffer(A.tobytes()).reshape(A.shape), b),
    "float16": lambda A, b: (A, b.astype(np.float16)),
    "bfloat16": lambda A, b: (torch.tensor(A), torch.tensor(b).half().float()),
    "tables": lambda A, b: (
        pd.DataFrame(A).iloc[::-1].iloc[::-1],
        pd.Series(b, index=np.arange(len(b))[::-1]),
    ),
    "records": lambda A, b: (A, np.rec.fromarrays([b, b], names="a,b")["a"]),
    "with a gradient": lambda A, b: (
        torch.tensor(A, requires_grad=True),
        torch.tensor(b, requires_grad=True),
    ),
    "inference tensors": lambda A, b: inference(A, b),
    "flipped samples": lambda A, b: Rows(np.ascontiguousarray(A[:, ::-1])[:, ::-1], pd.Series(b)),
}


def inference(A, b):
    with torch.inference_mode():
        return torch.tensor(A), torch.tensor(b)


@pytest.mark.parametrize("name", LIKE)
@pytest.mark.parametrize("batch", [0, np.int64(4)])
def test_arrays_of_any_kind(name, batch):
    A, b = data()[0]
    b = b.round(1).astype(np.float16).astype(float)
    one, other = (
        made(linear(entries=[entry] * 2, batch=batch)) for entry in (LIKE[name](A, b), (A, b))
    )
    x, y = one.start()
    drawn = [problem.draw(np.random.default_rng(0)) for problem in (one, other)]
    for oracle in ("g", "g_y", "f_y"):
        assert np.array_equal(
            getattr(one, oracle)(x, y, drawn[0]), getattr(other, oracle)(x, y, drawn[1])
        )


@pytest.mark.parametrize("name", ["uint8", "uint16", "uint32", "uint64", "int16", ">u2"])
@pytest.mark.parametrize(
    "as_data",
    [
        np.asarray,
        lambda rows: torch.from_numpy(rows.astype(rows.dtype.newbyteorder("="))),
        lambda rows: Items(rows),
        lambda rows: Items(list(rows[:, None])),
    ],
)
@pytest.mark.parametrize("batch", [0, 2])
def test_whole_numbers_of_any_type(name, as_data, batch):
    """PyTorch has unsigned types that it cannot index with, or take rows of."""

    def g(x, y, batch):
        return (y[batch.reshape(-1).long() % 3] ** 2).sum() * torch.exp(x).sum() + (
            batch + 1
        ).sum() * y.sum()

    one = made(linear(g, g, entries=[as_data(np.array([0, 1, 1], name))] * 2, batch=batch))
    x, y = one.start()
    assert one.g_y(x, y, None).tolist() == [2 + 5, 4 + 5, 5]
    assert np.isfinite(one.g_y(x, y, one.draw(np.random.default_rng(0)))).all()


class Items:
    """A data set of some items."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def test_starts_of_any_kind():
    for start in (
        np.array([1, 2, 3.0], ">f4"),
        pd.Series([1.0, 2, 3], index=[2, 0, 1]),
        torch.tensor([1.0, 2, 3]).half().requires_grad_(),
        memoryview(np.array([1.0, 2, 3])),
        [1.0, np.float32(2), 3.0],
        np.array([3.0, 2, 1])[::-1],
    ):
        y = made(
            linear(
                lambda x, y, b: x.sum(),
                lambda x, y, b: sum((part**2).sum() for part in y),
                y0=start,
            )
        ).start()[1]
        assert y.dtype == np.float64 and y.tolist() == [1, 2, 3]


def test_data_that_are_asked_for_where_they_are_needed():
    asked = []

    def entry(agent):
        asked.append(agent)
        return data()[agent]

    made(linear(entries=entry), agent=1)
    assert asked == [1]


def test_validation_data_have_draws_of_their_own():
    problem = linear(
        entries=data(SAMPLES),
        val_data=data(7),
        test_data=data(5),
        batch=4,
        val_batch=3,
        metrics=lambda x, y, batch: {"size": torch.tensor(float(len(batch[1])))},
    )
    one = made(problem)
    sample = one.draw(np.random.default_rng(0))
    assert {name: len(rows) for name, rows in sample.items()} == {"data": 4, "val_data": 3}
    assert one.metrics(*one.start()) == {"size": 5.0}
    assert made(problem, batch=SAMPLES, val_batch=0).draw(np.random.default_rng(0)) is None
    assert (
        len(made(linear(batch=4, val_data=data(7))).draw(np.random.default_rng(0))["val_data"]) == 4
    )


def test_a_draw_is_of_seed_agent_and_iteration():
    def rows(k, seed=0):
        problems = [made(linear(batch=4), agent=i) for i in range(2)]
        o = Oracle(problems, Agents(2), seed=seed).draw(k)
        return [sample["data"].tolist() for sample in o.samples]

    assert (
        rows(3) == rows(3)
        and rows(3) != rows(4)
        and rows(3) != rows(3, seed=1)
        and rows(3)[0] != rows(3)[1]
    )


# what is kept between calls


def test_what_is_kept_is_never_stale():
    """Every oracle after every other, at points and samples that share some of x, y and sample,
    is what a new agent gives."""
    rng, problem = (
        np.random.default_rng(0),
        linear(lambda x, y, b: f(x, y, b) * torch.cos(x).sum(), batch=4),
    )
    kept = made(problem)
    x, y = rng.standard_normal((2, 1)), rng.standard_normal((3, 3))
    v, samples = (
        rng.standard_normal((2, 3)),
        [None, *(kept.draw(np.random.default_rng(s)) for s in (1, 2, 2))],
    )
    for _ in range(300):
        name = rng.choice(["f", "g", "f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy"])
        point = [
            x[rng.integers(2)],
            y[rng.integers(3)],
            *([v[rng.integers(2)]] if name in ("g_yy", "g_xy") else []),
        ]
        sample = samples[rng.integers(4)]
        assert (
            np.array(getattr(kept, name)(*point, sample)).tobytes()
            == np.array(getattr(made(problem), name)(*point, sample)).tobytes()
        )
        if rng.random() < 0.2:
            y[rng.integers(3), rng.integers(3)] += 0.1  # in place: the same array is another point


@pytest.mark.parametrize("level", ["x", "y"])
def test_an_array_that_was_changed_in_place_is_another_point(level):
    problem = linear(lambda x, y, b: f(x, y**2, b) * torch.cos(x).sum())
    kept, point = made(problem), {"x": np.ones(1), "y": np.ones(3)}
    kept.f_y(**point, sample=None)
    point[level] += 0.5
    assert (
        kept.f_y(**point, sample=None).tobytes()
        == made(problem).f_y(**point, sample=None).tobytes()
    )


@pytest.mark.parametrize("level", ["x", "y"])
def test_a_change_beyond_the_first_entries_is_another_point(level):
    def lower(x, y, batch):
        return torch.exp(x).sum() * (y**4).sum()

    problem = mpidbo.from_torch(lower, lower, torch.zeros(100), torch.ones(100), [None] * 2)
    kept = made(problem)
    point = {"x": np.zeros(100), "y": np.ones(100)}
    for _ in range(3):
        kept.g_yy(**point, v=np.ones(100), sample=None)
    point[level][-1] += 0.5
    expected = made(problem).g_yy(**point, v=np.ones(100), sample=None)
    assert kept.g_yy(**point, v=np.ones(100), sample=None).tobytes() == expected.tobytes()


def test_one_linearisation_serves_all_products_of_a_point():
    calls = []

    def counted(x, y, batch):
        calls.append(1)
        return g(x, y, batch)

    one = made(linear(lower=counted))
    x, y = one.start()
    calls.clear()
    (
        one.g_y(x, y, None),
        one.g_x(x, y, None),
        one.g_yy(x, y, y, None),
        one.g_yy(x, y, 2 * y, None),
        one.g_xy(x, y, y, None),
    )
    assert len(calls) == 2, "the first may stand alone"
    one.g_y(x, y + 1, None), one.g_yy(x, y + 1, y, None), one.g_xy(x, y + 1, y, None)
    assert len(calls) == 3
    one.g_y(x, y + 2, None), one.g_y(x, y + 3, None), one.g_yy(x, y + 3, y, None)
    assert len(calls) == 6, "what stood alone was not kept"


def test_a_double_loop_computes_each_loss_once_a_point():
    """From its second iteration on: steps at a point each, products at one, f_y and f_x at one."""
    calls = []

    def counted(loss, name):
        return lambda x, y, batch: (calls.append(name), loss(x, y, batch))[1]

    one = made(linear(counted(f, "f"), counted(g, "g")))
    x, y = one.start()
    for k in range(3):
        calls.clear()
        for _ in range(3):
            y = y + 1
            one.g_y(x, y, None)
        y = y + 1
        one.f_y(x, y, None)
        for t in range(3):
            one.g_yy(x, y, t * y, None)
        one.f_x(x, y, None), one.g_xy(x, y, y, None)
        assert k == 0 or sorted(calls) == ["f", "g", "g", "g", "g"]


def test_a_gradient_is_an_array_of_its_own():
    """So that a run takes it without a copy."""
    one = made(linear())
    x, y = one.start()
    found = [one.g_y(x, y, None), one.g_yy(x, y, y, None), one.f_x(x, y, None)]
    assert all(map(owns_numbers, found))


def test_products_of_losses_that_are_linear():
    one = made(linear(lower=lambda x, y, batch: y.sum() * x.sum()))
    x, y = np.ones(1), np.ones(3)
    assert one.g_yy(x, y, y, None).tolist() == [0, 0, 0] and one.g_xy(x, y, y, None).tolist() == [3]
    assert made(linear(lower=lambda x, y, batch: y.sum() + x.sum())).g_yy(
        x, y, y, None
    ).tolist() == [0, 0, 0]


# trees and modules


def test_trees():
    x0 = {"a": torch.zeros(2, 3), "b": [torch.ones(1), (2.5, np.full(2, 3.0))]}

    def g(x, y, batch):
        return (x["a"].sum() + x["b"][1][1].sum()) * (y["net"](batch[0]) ** 2).mean() + y[
            "scale"
        ] ** 2 * x["b"][1][0]

    y0 = {"net": nn.Linear(3, 1), "scale": torch.tensor(4.0)}
    one = made(linear(lambda x, y, b: y["scale"] * x["b"][0].sum(), g, x0, y0))
    assert one.dims == (10, 5)
    x, y = one.start()
    assert x.tolist() == [0] * 6 + [1, 2.5, 3, 3]
    tree = one.x_tree(x)
    assert tree["a"].shape == (2, 3) and tree["b"][1][0] == 2.5 and type(tree["b"][1]) is tuple
    tree = one.y_tree(y)
    assert {name: part.shape for name, part in tree["net"].items()} == {
        "weight": (1, 3),
        "bias": (1,),
    } and tree["scale"] == 4
    np.testing.assert_array_equal(tree["net"]["weight"], y0["net"].weight.detach().numpy())
    y0["net"].load_state_dict({name: torch.as_tensor(part) for name, part in tree["net"].items()})


def test_the_module_itself_stays_as_it_is():
    """Running averages of a batch norm and frozen parameters are the same at every call, the
    module's own are not touched."""
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    net[0].bias.requires_grad_(False)
    before = {name: part.clone() for name, part in net.state_dict().items()}
    names = []

    def upper(x, y, batch):
        names[:] = [name for name, _ in y.named_parameters()]
        assert y["0.weight"].shape == (4, 3) and len(list(y.parameters())) == len(names)
        return (y(batch[0]) ** 2).mean()

    one = made(linear(upper, lambda x, y, batch: upper(x, y, batch) * torch.exp(x).sum(), y0=net))
    x, y = one.start()
    values = {one.f(x, y, None) for _ in range(3)} | {
        one.f(x, y + 0 * one.g_y(x, 2 * y, None), None)
    }
    assert len(values) == 1 and "0.bias" not in names and set(one.y_tree(y)) == set(names)
    assert all(torch.equal(part, before[name]) for name, part in net.state_dict().items())


THREADS = """
import re, sys, torch, mpidbo

def g(x, y, batch):
    number = "(?:at::get_num|omp_get_max|mkl_get_max)_threads.. : ([0-9]+)"
    counts = re.findall(number, torch.__config__.parallel_info())
    seen.append([int(count) for count in counts])
    return (x.sum() * y).sum()**2 + y @ y

seen = []
before = torch.get_num_threads()
problem = mpidbo.from_torch(lambda x, y, batch: x @ y, g, torch.ones(2), torch.ones(2), [None])
mpidbo.solve(problem, "sparkle", iterations=3, threads=int(sys.argv[1]))
assert torch.get_num_threads() == before, "not as before"
print(sorted(set(seen[-1])))
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_of_the_run(threads):
    """Of PyTorch, OpenMP and MKL, whatever the environment says."""
    environment = environment_of({}) | {"MKL_NUM_THREADS": "3", "OMP_NUM_THREADS": "3"}
    done = subprocess.run(
        [sys.executable, "-c", THREADS, str(threads)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"[{threads}]"]


# mistakes


def compressed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that their support is in beta state
        return torch.eye(10).to_sparse_csr()


class Stream(IterableDataset):
    def __iter__(self):
        return iter([1.0])


CASES = {
    "vector": (
        lambda: linear(lower=lambda x, y, b: (b[0] @ y - b[1]) ** 2 * x),
        "g: agent 0 returns shape (10,), expected a scalar; return a mean",
    ),
    "nothing": (
        lambda: linear(upper=lambda x, y, b: None),
        "f: agent 0 returns nothing; return a scalar",
    ),
    "number": (
        lambda: linear(upper=lambda x, y, b: f(x, y, b).item()),
        "f: agent 0 returns float; return a scalar computed from x and y",
    ),
    "no y": (lambda: linear(lower=lambda x, y, b: x.sum()), "g: does not depend on y"),
    "no x": (
        lambda: linear(lower=lambda x, y, b: y @ y),
        "f: does not depend on x, neither by itself nor through y and g",
    ),
    "no y in f": (
        lambda: linear(upper=lambda x, y, b: torch.ones(()).sum()),
        "f: does not depend on x",
    ),
    "integers": (
        lambda: linear(y0={"a": torch.zeros(3, dtype=torch.long)}),
        "y0: a part of shape (3,) is torch.int64, which has no derivative",
    ),
    "text": (lambda: linear(x0=["a"]), "x0: str is not a tensor"),
    "frozen": (
        lambda: linear(y0=nn.Linear(3, 1).requires_grad_(False)),
        "y0: no parameter of Linear requires grad",
    ),
    "lengths": (
        lambda: linear(entries=[(np.zeros((5, 3)), np.zeros(4))] * 2, batch=2),
        "data of agent 0: arrays of different length, (5, 3) and (4,); give as many of each",
    ),
    "lengths unsampled": (
        lambda: linear(entries=[(np.zeros((5, 3)), np.zeros(4))] * 2),
        r"test_torch.py, line \d+: RuntimeError: The size of",
    ),
    "no samples": (
        lambda: linear(entries=[3, 3], batch=2),
        "data of agent 0: int holds no samples to draw",
    ),
    "more entries": (
        lambda: linear(entries=data(agents=3)),
        "data: 3 entries for 2 agents; give one for each agent, or set agents = 3",
    ),
    "fewer validation": (
        lambda: linear(val_data=data(agents=1)),
        "val_data: 1 entries for 2 agents",
    ),
    "no list": (
        lambda: linear(entries=TensorDataset(torch.zeros(4, 3))),
        "data: TensorDataset is neither a list with an entry for each agent",
    ),
    "batch": (
        lambda: linear(batch=11),
        "problem.batch: 11 samples in a draw, but data of agent 0 has 10; lower it",
    ),
    "val_batch": (
        lambda: linear(batch=5, val_data=data(3)),
        "problem.val_batch: 5 samples in a draw, but val_data of agent 0 has 3",
    ),
    "bool batch": (lambda: linear(batch=True), "problem.batch: true is not a number of samples"),
    "loader": (
        lambda: linear(entries=[DataLoader(TensorDataset(torch.ones(4, 3)), batch_size=2)] * 2),
        (
            "data of agent 0: DataLoader draws samples by itself, but draws are mpidbo's; give its "
            ".dataset and batch=2"
        ),
    ),
    "one loader": (
        lambda: linear(entries=DataLoader(TensorDataset(torch.ones(4, 3)))),
        "data: DataLoader draws samples by itself",
    ),
    "stream": (
        lambda: linear(entries=[Stream()] * 2),
        "data of agent 0: Stream is an iterable data set",
    ),
    "tuple": (
        lambda: linear(entries=data()[0]),
        "data: a tuple of arrays, (10, 3) and (10,), is one data set",
    ),
    "nested lists": (
        lambda: linear(entries=[np.ones((1000, 30)).tolist()] * 2, batch=3),
        (
            "data of agent 0: float and float and float and float and 29,996 more holds no samples "
            "to draw"
        ),
    ),
    "texts as data": (
        lambda: linear(entries=[{"t": np.array(["a"])}] * 2),
        'data of agent 0, "t": dtype <U1 is not an array of numbers',
    ),
    "sparse matrix": (
        lambda: linear(entries=[(scipy.sparse.eye_array(3, format="csr"), np.ones(3))] * 2),
        "data of agent 0, part 0: csr_array of shape (3, 3) is sparse; make it dense by .toarray()",
    ),
    "sparse rows": (lambda: linear(entries=[compressed()] * 2, batch=2), "data of agent 0: "),
    "different samples": (
        lambda: linear(entries=[Items([np.ones(3), np.ones(2)])] * 2),
        r"data of agent 0: .*test_torch.py, line \d+: RuntimeError: stack expects",
    ),
    "no samples at all": (
        lambda: linear(entries=[Items([])] * 2),
        "data of agent 0: no samples, Items; give every agent at least one",
    ),
    "no numbers": (lambda: linear(x0=[]), "x0: holds no number; give at least one"),
    "a nested tensor": (
        lambda: linear(
            entries=[torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged)] * 2
        ),
        "f: agent 0: ",
    ),
    "objects in samples": (
        lambda: linear(entries=[Items([np.array([None])])] * 2),
        "data of agent 0: dtype object",
    ),
    "no tensor without numbers": (
        lambda: linear(entries=[torch.ones(3, device="meta")] * 2),
        "data of agent 0: a tensor without numbers",
    ),
    "a large number": (
        lambda: linear(entries=[np.array([2**63], np.uint64)] * 2),
        "data of agent 0: uint64 up to 9223372036854775808",
    ),
    "negative": (lambda: linear(batch=-1), "problem.batch: -1 is not a number of samples"),
    "float32 inside": (
        lambda: linear(upper=lambda x, y, b: torch.ones(3) @ y),
        r"RuntimeError: .*all floats arrive as float64",
    ),
    "no function": (lambda: linear(upper=3), "from_torch: f is not a function"),
}


@pytest.mark.parametrize("case", CASES)
def test_mistakes(case):
    build, sentence = CASES[case]
    with pytest.raises(
        mpidbo.UserError,
        match=sentence if "\\d" in sentence or ".*" in sentence else re.escape(sentence),
    ):
        mpidbo.solve(build(), "sparkle", agents=2, iterations=1)


def test_nan_at_the_start_is_named():
    given = linear(entries=[data()[0], tuple(np.nan * part for part in data()[1])])
    with pytest.raises(
        mpidbo.UserError,
        match="agent 1 is not finite at the start: data, array 0, holds NaN in row 0",
    ):
        mpidbo.solve(given, "sparkle", iterations=3, evaluate_every=1)
    with pytest.raises(mpidbo.Diverged, match="g_y of agent 1"):
        mpidbo.solve(given, "sparkle", iterations=3, evaluate_every=1, checks="never")


WRONG = """
import torch, mpidbo

def g(x, y, batch):
    return (batch - y)**2 * x

entry = lambda agent: torch.zeros(()) if agent < 2 else torch.zeros(5)
problem = mpidbo.from_torch(lambda x, y, batch: x @ y, g, torch.ones(1), torch.ones(1), entry)
"""


def test_a_mistake_of_some_ranks_is_told_once(mpi, tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "a.toml").write_text('problem.name = "wrong.py:problem"\nrun.agents = 3\n')
    done = mpi(3, ["-m", "mpidbo", "run", tmp_path / "a.toml"], timeout=60)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("g: agent 0 returns shape (1,), expected a scalar") == 1


LATE = """
import torch, mpidbo

def g(x, y, batch):
    if batch and float(x.detach()) != 0.5:
        raise ValueError("no longer")
    return (y * y * (1 + x)).sum()

x, y = torch.ones(1) / 2, torch.ones(1)
problem = mpidbo.from_torch(lambda x, y, batch: x @ x + y @ y, g, x, y, [0, 1, 0])
"""


def test_a_mistake_of_one_rank_during_the_run_ends_all(mpi, tmp_path):
    (tmp_path / "late.py").write_text(LATE)
    (tmp_path / "a.toml").write_text(
        'problem.name = "late.py:problem"\nrun.agents = 3\nrun.iterations = 50\n'
    )
    done = mpi(
        3, ["-m", "mpidbo", "run", tmp_path / "a.toml", "--out", tmp_path / "out"], timeout=60
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stdout + done.stderr
    assert re.search(
        r"mpidbo: .*g: agent 1: .*late.py, line 6: ValueError: no longer; fix the loss", done.stderr
    )


def test_the_example_of_this_file_learns():
    history = mpidbo.solve(
        losses_torch.problem, "sparkle-ed-gt", iterations=80, evaluate_every=40
    ).history
    assert (
        history["upper_loss"][-1] < 0.9 * history["upper_loss"][0]
        and history["accuracy"][-1] > history["accuracy"][0]
    )


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_hyper_cleaning_with_a_convolutional_network(mpi, repo, tmp_path):
    """The example: cleaning gains some test accuracy over equal weights; on 4 ranks, and stopped
    and gone on with on 2, the same bits."""
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    line = [
        "-m",
        "mpidbo",
        "run",
        repo / "examples" / "hyper_cleaning_conv" / "hyper_cleaning_conv.toml",
        "--set",
        "checkpoint.every=90",
        "--out",
    ]

    def start(ranks, out, iterations, *more):
        done = mpi(
            ranks,
            [*line, tmp_path / out, "--set", f"run.iterations={iterations}", *more],
            timeout=400,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return read_run(tmp_path / out).columns["test_accuracy"]

    cleaned, equal = start(4, "whole", 300), start(0, "equal", 300, "--set", "steps.alpha=0")
    assert cleaned[-1] > 0.88 > 0.2 > cleaned[0] and cleaned[-1] > equal[-1] + 0.015
    start(4, "cut", 180)
    start(2, "cut", 300, "--resume", "must")
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_the_alignment_of_vectors_and_data_does_not_change_the_bits():
    """On some processors a BLAS adds in another order where an array begins at another multiple
    of 64 bytes."""
    rng = np.random.default_rng(0)
    samples, q = 57, 30

    def shifted(array, by):
        """The same numbers, `by` floats behind a multiple of 64 bytes."""
        room = np.empty(array.size + 16)
        start = (-room.ctypes.data % 64) // 8 + by
        view = room[start : start + array.size].reshape(array.shape)
        view[...] = array
        return view

    A, b = rng.standard_normal((samples, q)), rng.standard_normal(samples)
    x, y, v = rng.standard_normal(1), rng.standard_normal(q), rng.standard_normal(q)

    def answers(by):
        entries = [(shifted(A, by), shifted(b, by))]
        problem = linear(entries=entries, y0=torch.ones(q))(0, 1, xp=np, seed=0)
        at, along = (shifted(x, by), shifted(y, by)), shifted(v, by)
        first = [getattr(problem, name)(*at, None) for name in ("f_x", "f_y", "g_x", "g_y")]
        return [*first, *(getattr(problem, name)(*at, along, None) for name in ("g_yy", "g_xy"))]

    aligned = answers(0)
    for by in range(1, 8):
        for one, other in zip(aligned, answers(by), strict=True):
            assert np.array_equal(one, other), f"{by} floats behind a multiple of 64 bytes"


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_large_data_are_copied_to_pages_with_their_layout(memory_format):
    """To whole pages, and with the strides that choose the kernels of a loss."""
    given = torch.rand(700, 1, 28, 28, dtype=torch.float64).to(memory_format=memory_format)
    framework = TorchFramework(np, np.dtype(np.float32))
    found = framework.tensor(given)
    assert found.data_ptr() % mmap.PAGESIZE == 0
    assert found.dtype == torch.float32 and found.stride() == given.stride()
    assert torch.equal(found, given.float())
    wide = torch.rand(1000, 1400, dtype=torch.float64)
    for part in (wide.T, wide[:, ::2], wide[:1].expand(1000, -1)):
        copy = framework.tensor(part)
        assert copy.stride() == part.float().stride() and torch.equal(copy, part.float())
    own = torch.rand(2000, 700)
    assert framework.tensor(own).data_ptr() == own.data_ptr()  # no copy where none is needed


def test_full_batches_are_not_drawn():
    """Unless some agent has a batch, or a subclass draws in its own way."""

    class Own(linear()):
        def draw(self, rng):
            return {"data": rng.integers(SAMPLES, size=2)}

    def oracle(cls, **options):
        return Oracle([cls(i, 2, xp=np, seed=0, **options) for i in range(2)], Agents(2))

    for full in (oracle(linear()), oracle(linear(), batch=SAMPLES)):
        assert full.draw(0).is_full and full.draw(0) is full.draw(1)
    for some in (oracle(linear(), batch=3), oracle(linear(val_data=data()), val_batch=3)):
        assert not some.draw(0).is_full
    assert oracle(Own).draw(0).samples[0]["data"].shape == (2,)


def test_threads_that_divide_agents_give_the_same_bits():
    """Once a class declares that its losses share nothing that they write."""

    def f(x, y, batch):
        return ((batch @ y) ** 2).mean() + (x * y).sum()

    def g(x, y, batch):
        return ((torch.tanh(batch @ y) - x.sum()) ** 2).mean() + (y * y).sum()

    rng = np.random.default_rng(0)
    data = [rng.standard_normal((40, 5)) for _ in range(4)]
    losses = mpidbo.from_torch(f, g, np.zeros(5), np.ones(5), data, batch=8)
    with pytest.raises(mpidbo.errors.UserError, match="thread_safe = True"):
        mpidbo.solve(losses, agents=4, iterations=1, workers=2)
    losses.thread_safe = True
    first, *others = [
        mpidbo.solve(losses, "sparkle-ed-gt", agents=4, iterations=10, workers=count)
        for count in (1, 2, 2)
    ]
    assert all(other.x.tobytes() == first.x.tobytes() for other in others)
    assert all(other.y.tobytes() == first.y.tobytes() for other in others)
