"""(i) Losses in PyTorch and JAX: oracles of the perceptron 784-300-10 on a batch of 64.

They are compared with the bare framework and with derivatives written by hand. Each call is at
another point, so that nothing cached by the previous call helps. One thread; processor time, since
wall-clock time on a shared machine includes other programs.
"""

import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

os.environ.setdefault("PJRT_NPROC", "1")  # read by JAX when it first computes

import numpy as np

import mpidbo
from images import random_images
from mpidbo.parallel import Threads, aligned, keep_freed
from mpidbo.problems.hyper_cleaning import HyperCleaning

TIMES = 60
SIZES, RIDGE = (784, 300, 10), 1e-3
SHAPES = [(784, 300), (300,), (300, 10), (10,)]
ORACLES = ("f_y", "g_y", "g_yy", "g_xy")
Oracle = Callable[..., Any]


def written(folder: Path, dtype: str) -> HyperCleaning:
    return HyperCleaning(
        0,
        1,
        xp=np,
        seed=0,
        dtype=np.dtype(dtype),
        data=str(folder),
        model="mlp",
        hidden=[300],
        batch=64,
        n_train=5000,
        n_validation=1000,
        ridge=RIDGE,
    )


def data(problem: HyperCleaning) -> dict[str, Any]:
    train, validation = problem.train, problem.validation
    numbers = np.arange(len(train))
    return {
        "data": [(train.X, train.labels, numbers)],
        "val_data": [(validation.X, validation.labels)],
        "batch": 64,
    }


def parts_of(y: np.ndarray) -> list[np.ndarray]:
    ends = np.cumsum([int(np.prod(shape)) for shape in SHAPES])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(y, ends), SHAPES, strict=True)]


def in_torch(
    problem: HyperCleaning,
) -> tuple[type[mpidbo.Problem], Callable[[Any, Any], dict[str, Oracle]]]:
    """The problem, and its oracles in bare PyTorch, with leaves and batches prepared."""
    import torch
    from torch.nn.functional import cross_entropy

    def logits(y, X):
        W, b, V, c = y
        return torch.relu(X @ W + b) @ V + c

    def f(x, y, batch):
        return cross_entropy(logits(y, batch[0]), batch[1])

    def g(x, y, batch):
        losses = cross_entropy(logits(y, batch[0]), batch[1], reduction="none")
        return (torch.sigmoid(x[batch[2]]) * losses).mean() + RIDGE * sum(
            (part * part).sum() for part in y
        )

    def bare(one, sample):
        lower, upper = (one._batch(loss, sample) for loss in "gf")

        def ready(vector):
            return [torch.from_numpy(part).detach().requires_grad_() for part in parts_of(vector)]

        x, points = torch.zeros(one.dims[0], dtype=one.framework.dtype).requires_grad_(), {}

        def leaves(y):
            return points.setdefault(id(y), ready(y))

        def product(y, v, of):
            slope = torch.autograd.grad(g(x, leaves(y), lower), leaves(y), create_graph=True)
            return torch.autograd.grad(slope, of, leaves(v))

        return {
            "f_y": lambda x0, y: torch.autograd.grad(f(x, leaves(y), upper), leaves(y)),
            "g_y": lambda x0, y: torch.autograd.grad(g(x, leaves(y), lower), leaves(y)),
            "g_yy": lambda x0, y, v: product(y, v, leaves(y)),
            "g_xy": lambda x0, y, v: product(y, v, [x]),
        }

    x0, y0 = problem.start()
    return mpidbo.from_torch(f, g, x0, parts_of(y0), **data(problem)), bare


def in_jax(
    problem: HyperCleaning,
) -> tuple[type[mpidbo.Problem], Callable[[Any, Any], dict[str, Oracle]]]:
    """The problem, and its oracles in bare JAX: compiled, with arrays and batches prepared."""
    import jax
    import jax.numpy as jnp

    def losses(y, X, labels):
        W, b, V, c = y
        return -jnp.take_along_axis(
            jax.nn.log_softmax(jax.nn.relu(X @ W + b) @ V + c), labels[:, None], 1
        )[:, 0]

    def f(x, y, batch):
        return losses(y, *batch).mean()

    def g(x, y, batch):
        return (jax.nn.sigmoid(x[batch[2]]) * losses(y, *batch[:2])).mean() + RIDGE * sum(
            (part * part).sum() for part in y
        )

    def bare(one, sample):
        with one.framework.here():
            lower, upper = (one._batch(loss, sample)[1] for loss in "gf")
            x, points = jnp.zeros(one.dims[0], one.dtype), {}

        def leaves(y):
            if id(y) not in points:
                points[id(y)] = [jnp.asarray(part) for part in parts_of(y)]
            return points[id(y)]

        def product(argnum):
            return jax.jit(
                lambda x, y, v, batch: jax.jvp(
                    lambda y: jax.grad(g, argnum)(x, y, batch), (y,), (v,)
                )[1]
            )

        f_y, g_y, g_yy, g_xy = (
            jax.jit(jax.grad(f, 1)),
            jax.jit(jax.grad(g, 1)),
            product(1),
            product(0),
        )

        def waited(function):
            def call(*arguments):
                with one.framework.here():
                    return jax.block_until_ready(function(*arguments))

            return call

        return {
            "f_y": waited(lambda x0, y: f_y(x, leaves(y), upper)),
            "g_y": waited(lambda x0, y: g_y(x, leaves(y), lower)),
            "g_yy": waited(lambda x0, y, v: g_yy(x, leaves(y), leaves(v), lower)),
            "g_xy": waited(lambda x0, y, v: g_xy(x, leaves(y), leaves(v), lower)),
        }

    x0, y0 = problem.start()
    return mpidbo.from_jax(f, g, x0, parts_of(y0), **data(problem)), bare


def placed(rows: np.ndarray) -> np.ndarray:
    """Copy to the start of a page, where `W @` puts its result."""
    array = aligned(rows.shape, rows.dtype)
    array[:] = rows
    return array


def compare(name: str, make: Callable[[HyperCleaning], Any], problem: HyperCleaning) -> None:
    cls, bare = make(problem)
    one = cls(0, 1, xp=np, seed=0, dtype=problem.dtype)
    rng = np.random.default_rng(1)
    (x, y), v = problem.start(), rng.standard_normal(problem.dims[1]).astype(problem.dtype)
    x, y, other, v = (placed(rows) for rows in (x, y, y + np.asarray(0.01, problem.dtype) * v, v))
    ys = [y, other]
    sample = one.draw(np.random.default_rng(0))
    plain = bare(one, sample)
    for oracle in ORACLES:
        more = (v,) if oracle in ("g_yy", "g_xy") else ()
        found = getattr(one, oracle)(x, y, *more, sample)
        expected = getattr(problem, oracle)(x, y, *more, (sample["data"], sample["val_data"]))
        assert np.abs(found - expected).max() < (1e-10 if problem.dtype == np.float64 else 1e-4), (
            oracle
        )

        calls = {
            "ours": (getattr(one, oracle), (*more, sample)),
            "bare": (plain[oracle], more),
            "written out": (
                getattr(problem, oracle),
                (*more, (sample["data"], sample["val_data"])),
            ),
        }
        taken: dict[str, list[float]] = {call: [] for call in calls}
        for i in range(TIMES):
            for call, (function, arguments) in calls.items():
                began = process_time()
                function(x, ys[i % 2], *arguments)
                taken[call].append(process_time() - began)
        ours, ready, by_hand = (median(taken[call]) for call in calls)
        print(
            f"(i) {name}, {problem.dtype.name}, {oracle}: {ours * 1e3:.2f} ms; "
            f"bare {ready * 1e3:.2f} ms, ratio {ours / ready:.2f}; "
            f"written out {by_hand * 1e3:.2f} ms, ratio {ours / by_hand:.2f}",
            flush=True,
        )


keep_freed()
with TemporaryDirectory() as place, Threads(1).limited():
    random_images(Path(place), 6000, "train")
    random_images(Path(place), 500, "t10k")
    for dtype in ("float64", "float32"):
        problem = written(Path(place), dtype)
        for name, make in (("PyTorch", in_torch), ("JAX", in_jax)):
            try:
                compare(name, make, problem)
            except ImportError as error:
                print(f"(i) {name}: {error}", flush=True)
