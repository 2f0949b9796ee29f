"""What the tests of devices share: runs that a CPU and a GPU both do, and how far apart they may
end."""

import warnings
from typing import Any

import numpy as np

import mpidbo
from mpidbo.algorithms.strategies import Strategy
from mpidbo.network.stochastic import Product
from mpidbo.parallel import Rows, compute
from mpidbo.parallel.lazy import real

N, ITERATIONS = 8, 30
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}
"""The largest relative difference of x and of y after ITERATIONS on a CPU and a GPU; docs/gpu.md
states it."""
PROBLEMS: dict[str, dict[str, Any]] = {
    "quadratic": {"name": "quadratic", "noise": 0.3, "p": 30, "q": 40},
    "hyper-cleaning": {"name": "hyper-cleaning", "batch": 16, "n_train": 400, "n_validation": 200},
}
METHODS = ("sparkle-ed-gt", "sun-dsbo")


class Entrywise(mpidbo.Problem):
    """Every oracle is one pass over its rows, without a sum: the same bits on a CPU and a GPU,
    on any number of ranks."""

    def __init__(
        self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64, d: int = 37
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.dims, self.dtype = (d, d), np.dtype(dtype)
        self.slopes, self.target = (
            xp.asarray(np.linspace(a, a + 1, d), dtype=dtype) for a in (1, agent)
        )

    def draw(self, rng: np.random.Generator) -> Any:
        return self.xp.asarray(0.1 * rng.standard_normal(self.dims[0]), dtype=self.dtype)

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return x + y + sample

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        return y - self.target

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self.slopes * (x - y)

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        return self.slopes * (y - x) + sample

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self.slopes * v

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return -self.slopes * v


def solved(problem: Any, method: Any, device: str, **more: Any) -> mpidbo.Result:
    """A run on a ring, without the warning of what float32 may add up to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return mpidbo.solve(
            problem,
            method,
            **{
                "topology": "ring",
                "agents": N,
                "iterations": ITERATIONS,
                "evaluate_every": ITERATIONS,
                "seed": 4,
                "device": device,
                **more,
            },
        )


def apart(one: mpidbo.Result, other: mpidbo.Result) -> float:
    """The largest relative difference of x and of y."""
    return max(
        float(np.linalg.norm(a - b) / np.linalg.norm(b))
        for a, b in ((one.x, other.x), (one.y, other.y))
    )


def updated(row: Strategy, given: list[Any], rows: Any = lambda array: array) -> list[Any]:
    """Every array of one step of a strategy, of what it sends too: six arrays are s, u, its
    memory and what W @ would return.

    `rows` makes of an array what the strategy is to work with; rows that were only noted are
    computed where an exchange, and then the next iteration, would ask for them.
    """
    s, u, first, second, *mixed = map(rows, given)
    memory = row.start(s)
    step, answers, found = (
        row(s, u, type(memory)(first, second) if len(memory) == 2 else memory),
        iter(mixed),
        list[Any](),
    )
    message = next(step)
    while True:
        parts = message if type(message) is tuple else (message,)
        parts = [part.array if type(part) is Product else part for part in parts]
        compute([part for part in parts if type(part) is Rows])
        found += parts
        try:
            message = step.send(
                tuple(next(answers) for _ in parts) if type(message) is tuple else next(answers)
            )
        except StopIteration as stop:
            new, memory = stop.value
            compute([part for part in (new, *memory) if type(part) is Rows])
            return [real(part) for part in (*found, new, *memory)]
