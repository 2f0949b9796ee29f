"""The cost of the checks at the start of a run, in seconds and in iterations.

python benchmarks/start_checks.py
"""

import tomllib
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import mpidbo
from mpidbo import config
from mpidbo.problems import check_start, probe
from mpidbo.solver import Loop, Plan

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo" / "demo.toml"


class Large(mpidbo.Problem):
    """f_i = |y - b_i|^2 / 2, g_i = |y - x|^2 / 2: the cheapest oracles."""

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, d: int) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.dims, self.b = (d, d), np.random.default_rng([seed, agent]).standard_normal(d)

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return float((y - self.b) @ (y - self.b)) / 2

    def g(self, x: Any, y: Any, sample: Any) -> float:
        return float((y - x) @ (y - x)) / 2

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return np.zeros_like(x)

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        return y - self.b

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        return y - x

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return v.copy()

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return -v


def seconds(work: Callable[[], object], times: int) -> float:
    """The median."""
    found = []
    for _ in range(times):
        began = perf_counter()
        work()
        found.append(perf_counter() - began)
    return float(np.median(found))


def measure(name: str, tables: dict[str, Any], iterations: int, times: int) -> None:
    plan = Plan(config.check(tables))
    loop = Loop(plan.method, plan.oracle, plan.W)
    state = plan.method.start(*plan.rows())
    losses = probe(plan.oracle, plan.method.needs, plan.x0, plan.y0)
    checks, run = [], []
    for _ in range(times):  # in turn
        checks.append(
            seconds(
                lambda: check_start(plan.oracle, plan.method.needs, plan.x0, plan.y0, losses), 3
            )
        )
        run.append(seconds(lambda: loop.steps(state, 0, iterations), 1) / iterations)
    each, once = float(np.median(run)), float(np.median(checks))
    print(
        f"{name}: checks {once * 1e3:.1f} ms, iteration {each * 1e3:.2f} ms: "
        f"{once / each:.1f} iterations, {once / each / 10:.2f} % of 1000"
    )


if __name__ == "__main__":
    measure("examples/demo/demo.toml", {**tomllib.loads(DEMO.read_text()), "checkpoint": {}}, 50, 5)
    for d in (10**5, 10**6):
        measure(
            f"one agent, p = q = {d:,}",
            {"problem": {"name": Large, "d": d}, "run": {"agents": 1}},
            3,
            3,
        )
    measure(
        "one agent, p = q = 10,000,000",
        {"problem": {"name": Large, "d": 10**7}, "run": {"agents": 1, "dtype": "float32"}},
        2,
        1,
    )
