"""The part `mlp` of gpu.py: perceptrons on CPU and GPU, and oracles against matrix products."""

import os
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from gpu_common import Clock, Rows, Sizes, images, perceptron, plan_of, stepping, waiting, wall

Shapes = list[tuple[tuple[int, ...], tuple[int, ...]]]
SAMPLES = 3
"""A batch size that differs from the width of every layer."""
MAX_ITERATION_S = 15
"""How long an iteration on the CPU may take."""


class Noting(np.ndarray):
    """An array that records the shapes of its matrix products, of the first agent's in a stack."""

    shapes: Shapes = []  # noqa: RUF012

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **options: Any
    ) -> Any:
        if ufunc is np.matmul:
            Noting.shapes.append((inputs[0].shape[-2:], inputs[1].shape[-2:]))
        plain = [part.view(np.ndarray) if isinstance(part, Noting) else part for part in inputs]
        into = {"out": tuple(np.asarray(part) for part in out)} if out else {}
        found = getattr(ufunc, method)(*plain, **into, **options)
        return out[0] if out else found.view(Noting) if isinstance(found, np.ndarray) else found


def products(plan: Any) -> Shapes:
    """The matrix products of the oracles of an agent at SAMPLES samples, each called once."""
    problem, rng, sample = (
        plan.problems[0],
        np.random.default_rng(0),
        (np.arange(SAMPLES), np.arange(SAMPLES)),
    )
    x, y, v = (
        rng.standard_normal(d).astype(problem.dtype).view(Noting)
        for d in (*problem.dims, problem.dims[1])
    )
    Noting.shapes = []
    for name in plan.method.needs:
        getattr(problem, name)(*((x, y, v) if name in ("g_yy", "g_xy") else (x, y)), sample)
    return Noting.shapes


def mlp(size: Sizes) -> Rows:
    from mpidbo.parallel import Threads

    cores = len(os.sched_getaffinity(0))
    with TemporaryDirectory() as folder, Threads(cores).limited():
        images(folder, size)

        def plan(hidden: tuple[int, ...], batch: int, where: str, dtype: str) -> Any:
            return plan_of(
                problem=perceptron(folder, size, hidden, batch),
                run={"agents": 1, "dtype": dtype, "device": where},
            )

        noted = {hidden: products(plan(hidden, SAMPLES, "cpu", "float32")) for hidden in size.nets}
        for where, dtype in (
            ("cuda", "float32"),
            ("cuda", "float64"),
            ("cpu", "float32"),
            ("cpu", "float64"),
        ):
            for hidden in size.nets:
                for batch in size.batches:
                    net = "-".join(map(str, (784, *hidden, 10)))
                    shapes: Any = [
                        tuple(
                            tuple(batch if side == SAMPLES else side for side in shape)
                            for shape in pair
                        )
                        for pair in noted[hidden]
                    ]
                    flops = sum(2 * a[0] * a[1] * b[1] for a, b in shapes)
                    if where == "cpu" and (needs := flops / rate(dtype)) > MAX_ITERATION_S:
                        yield (
                            f"{net}, batch {batch}, {dtype}: skipped on the CPU, "
                            f"where an iteration would take {needs:.0f} s"
                        )
                        continue
                    yield {
                        "network": net,
                        "batch": batch,
                        "dtype": dtype,
                        "on": "GPU" if where == "cuda" else f"CPU, {cores} threads",
                        **measured(plan(hidden, batch, where, dtype), shapes, flops, size),
                    }


def rate(dtype: str) -> float:
    """Operations per second of a matrix product of medium size on the CPU."""
    a = np.random.default_rng(0).standard_normal((1024, 1024)).astype(dtype)
    a @ a
    began = perf_counter()
    a @ a
    return 2 * 1024**3 / (perf_counter() - began)


def measured(plan: Any, shapes: Shapes, flops: int, size: Sizes) -> dict[str, Any]:
    """Milliseconds of an iteration and its oracles; operations per second, also of products."""
    xp, rng, rows = (
        plan.backend.xp,
        np.random.default_rng(0),
        [plan.backend.rows(part) for part in plan.rows()],
    )
    full = {
        shape: xp.asarray(rng.standard_normal(shape).astype(plan.config.run.dtype))
        for pair in shapes
        for shape in pair
    }
    sample = plan.oracle.draw(0)

    def oracles(_: int) -> None:
        for name in plan.method.needs:
            getattr(sample, name)(*rows, *rows[1:] if name in ("g_yy", "g_xy") else ())

    def plain(_: int) -> None:
        for a, b in shapes:
            xp.matmul(full[a], full[b])

    if xp is np:
        ours, theirs = (
            wall(lambda times: [work(i) for i in range(times)], size) for work in (oracles, plain)
        )
    else:
        clock = Clock(xp, size.repeats)
        ours, theirs = clock(oracles, 2), clock(plain, 2)
    return {
        "iteration, ms": wall(waiting(plan, stepping(plan)), size) * 1e3,
        "oracles, ms": ours * 1e3,
        "TFLOP/s": flops / ours / 1e12,
        "plain, TFLOP/s": flops / theirs / 1e12,
        "share, %": 100 * theirs / ours,
    }
