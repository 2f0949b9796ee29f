"""(o) Updates that numba compiles (`run.fused`), beside numpy's.

An iteration of a method whose oracles return an array that they have, in processor time:

    python benchmarks/fused.py [METHOD ...]

Printed are medians of interleaved pairs in one process, for several lengths d of x and y.
"""

import sys
from time import process_time
from typing import Any

import numpy as np

import mpidbo
from paired import median

PAIRS = 7
LENGTHS = [1_000, 10_000, 30_000, 100_000, 240_000, 1_000_000, 10_000_000]
FLOATS = 2e7
"""Floats of x in all iterations of one measurement."""


class Free(mpidbo.Problem):
    """A problem whose derivatives are a constant array."""

    def __init__(
        self, agent: int, n_agents: int, *, xp: Any = np, seed: int = 0, d: int = 10
    ) -> None:
        self.dims, self.v = (d, d), np.linspace(-1e-3, 1e-3, d)

    def f(self, x: Any, y: Any, sample: Any = None) -> float:
        return 0.0

    def f_x(self, x: Any, y: Any, sample: Any = None) -> Any:
        return self.v

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any = None) -> Any:
        return self.v

    g, f_y, g_x, g_y, g_xy = f, f_x, f_x, f_x, g_yy


def seconds(method: str, d: int, fused: Any, iterations: int) -> float:
    """Processor time of an iteration, after as many that compile."""
    seen: list[float] = []
    mpidbo.solve(
        {"name": Free, "d": d},
        method,
        "complete",
        1,
        iterations=2 * iterations,
        evaluate_every=iterations,
        callback=lambda progress: seen.append(process_time()),
        checks="never",
        steps={"alpha": 0.05, "beta": 0.3, "gamma": 0.3},
        progress=False,
        fused=fused,
    )
    return (seen[-1] - seen[-2]) / iterations


def main() -> None:
    print("| method | d | numpy, ms | compiled, ms | ratio |\n|---|---|---|---|---|")
    for method in sys.argv[1:] or ["d-soba", "sparkle-ed-gt"]:
        for d in LENGTHS:
            iterations = max(3, round(min(1000, FLOATS / d)))
            found = [
                (seconds(method, d, "never", iterations), seconds(method, d, "always", iterations))
                for _ in range(PAIRS)
            ]
            plain, compiled = (1e3 * median(times) for times in zip(*found, strict=True))
            ratio = median(b / a for a, b in found)
            print(f"| `{method}` | {d} | {plain:.3f} | {compiled:.3f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
