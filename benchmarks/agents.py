"""(n) Many agents in one process: the cost of an agent, stacked and one by one, and its growth.

The script starts mpiexec itself, for the table of ranks:

    .venv/bin/python benchmarks/agents.py [problems] [digits] [simulation] [graphs] [growth] [ranks]

Times of one process are those of the processor. An exponent is the slope between a row and the row
above it on logarithmic axes. Memory is what the peak (VmHWM) has grown by since the imports.
"""

import json
import os
import sys
from collections.abc import Callable
from math import log
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from many import peak
from mpidbo import Problem
from mpidbo.network import TOPOLOGIES, make
from mpidbo.parallel import keep_freed
from mpidbo.problems.streams import Stream
from run import mpiexec

ROUNDS = 7
CASES: list[tuple[str, dict[str, Any]]] = [
    ("quadratic", {}),
    ("quadratic", {"noise": 0.1}),
    ("minimax", {"noise": 0.1}),
    ("compositional", {"noise": 0.1}),
    ("unbounded-dissimilarity", {"noise": 0.1}),
    ("nonconvex-toy", {"noise": 0.1}),
    ("linear-regression", {}),
    ("policy-evaluation", {}),
    ("policy-evaluation-residual", {}),
    ("meta-learning", {"batch": 2}),
    ("logistic-tuning", {}),
    ("logistic-tuning", {"batch": 10}),
    ("hyper-cleaning", {}),
    ("hyper-cleaning", {"batch": 5}),
    ("hyper-cleaning", {"model": "mlp", "hidden": [30]}),
    ("domain-reweighting", {}),
    ("hyper-representation", {}),
]
GROWTH: dict[str, tuple[list[int], Callable[[int], dict[str, Any]]]] = {
    "quadratic, p = q = 10": (
        [8, 64, 512, 4096, 10_000],
        lambda n: {"problem": {"name": "quadratic", "p": 10, "q": 10, "noise": 0.1}, "agents": n},
    ),
    "logistic-tuning, 10 samples an agent": (
        [8, 64, 512, 4096, 10_000],
        lambda n: {
            "problem": {"name": "logistic-tuning", "n_train": 10 * n, "n_validation": 5 * n},
            "agents": n,
        },
    ),
    "nonconvex-toy, one agent": (
        [10**e for e in range(2, 8)],
        lambda d: {"problem": {"name": "nonconvex-toy", "dim": d}, "agents": 1},
    ),
}


D = 50
"""p = q of the problem of the simulation, so that d = 100."""


class Derivatives:
    """Of f = 1/2 |y - b_i|^2 and g = 1/2 |y - x|^2, of an agent or of several."""

    b: Any

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return np.zeros_like(x)

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        return y - self.b

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        return x - y

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        return y - x

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return v.copy()

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return -v


class Cheap(Derivatives, Problem):
    """A user's class with the cheapest oracles."""

    dims = (D, D)

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.b = np.random.default_rng([seed, agent]).standard_normal(D)

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return 0.5 * float((y - self.b) @ (y - self.b))

    def g(self, x: Any, y: Any, sample: Any) -> float:
        return 0.5 * float((y - x) @ (y - x))


class StackedCheap(Cheap):
    """The same with stacked oracles."""

    @classmethod
    def stacked(cls, agents: list[Any]) -> Derivatives:
        stack = Derivatives()
        stack.b = np.stack([agent.b for agent in agents])
        return stack


def made(given: dict[str, Any], comm: Any = None) -> Any:
    """A plan, its loop and its state after two iterations."""
    from mpidbo import config
    from mpidbo.solver.loop import Loop
    from mpidbo.solver.plan import Plan

    run = {key: value for key, value in given.items() if key not in ("problem", "method")}
    table = {
        "problem": given["problem"],
        "method": {"name": given.get("method", "sparkle-ed")},
        "topology": {"name": "ring"},
        "run": {"checks": "never", **run},
    }
    plan = Plan(config.check(table), comm)
    loop, state = Loop(plan.method, plan.oracle, plan.W), plan.method.start(*plan.rows())
    return plan, loop, loop.steps(state, 0, 2)


def processor_time(loop: Any, state: Any, seconds: float) -> float:
    """Processor time of an iteration, from about as many seconds of them."""
    began, iterations = process_time(), 0
    while process_time() - began < seconds:
        state = loop.steps(state, 2, 4)
        iterations += 2
    return (process_time() - began) / iterations


def problems() -> None:
    n = 64
    print(f"(n) {n} agents, sparkle-ed: us per agent and iteration", flush=True)
    for name, options in CASES:
        given = {"problem": {"name": name, **options}, "agents": n}
        runs = {how: made({**given, "batched": how})[1:] for how in ("exact", "never")}
        taken: dict[str, list[float]] = {how: [] for how in runs}
        for _ in range(ROUNDS):
            for how, run in runs.items():
                taken[how].append(processor_time(*run, 0.05))
        stacked, alone = (1e6 * median(taken[how]) / n for how in ("exact", "never"))
        ratio = median(a / b for a, b in zip(taken["exact"], taken["never"], strict=True))
        print(
            f"    {name} {options}: {stacked:.1f}, one by one {alone:.1f}, ratio {ratio:.2f}",
            flush=True,
        )


def digits() -> None:
    """Parts of an iteration of hyper-cleaning of the digits without which there is none.

    These are the matrix products of the oracles, what is added and multiplied in the rows of x, and
    for mini-batches the calls of numpy that draw; without anything of mpidbo.
    """
    n, batch = 64, 5
    plan, loop, state = made({"problem": {"name": "hyper-cleaning"}, "agents": n})
    rng, rows = np.random.default_rng(0), plan.problems
    d, classes = rows[0].classifier.sizes
    sizes = [[len(agent.train) for agent in rows], [len(agent.validation) for agent in rows]]

    def operands(own: list[int]) -> list[tuple[Any, Any, Any, Any]]:
        """Samples, parameters and room for both products of each agent."""
        shapes = [((size, d), (d, classes), (size, classes), (d, classes)) for size in own]
        return [tuple(rng.random(shape) for shape in agent) for agent in shapes]

    train, validation = map(operands, sizes)

    def products() -> None:
        # g_y and f_y have one of each kind, g_yy two and one, g_xy two and none.
        for samples, forward, backward in ((train, 5, 2), (validation, 1, 1)):
            for X, y, z, gradient in samples:
                for _ in range(forward):
                    np.dot(X, y, z)
                for _ in range(backward):
                    np.dot(X.T, z, gradient)

    x, old, r, u, f, g = rng.random((6, n, plan.dims[0]))

    def update() -> Any:
        new = 0.8 * r + 0.2 * (f - g)
        step = 0.1 * new
        return 2 * x - old - (step - u)

    streams = [Stream(0, agent) for agent in range(n)]

    def draws() -> None:
        for stream, *own in zip(streams, *sizes, strict=True):
            for phase in range(3):
                generator = stream.at(1, phase)
                for size in own:
                    generator.choice(size, min(batch, size), replace=False, shuffle=False)

    def iteration() -> None:
        loop.steps(state, 2, 3)

    works = {"iteration": iteration, "products": products, "update of x": update, "draws": draws}
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            began, times = process_time(), 0
            while process_time() - began < 0.05:
                work()
                times += 1
            taken[name].append((process_time() - began) / times)
    print(
        f"(n) hyper-cleaning of the digits, {n} agents: us per agent: "
        + ", ".join(f"{name} {1e6 * median(times) / n:.1f}" for name, times in taken.items()),
        flush=True,
    )


def simulation() -> None:
    """1000 agents with p = q = 50, in the user's class alone and with stacked oracles."""
    n, runs = 1000, {}
    for cls in (Cheap, StackedCheap):
        problem = {"name": f"{__file__}:{cls.__name__}"}
        runs[cls.__name__] = made({"problem": problem, "agents": n})[1:]
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            taken[name].append(processor_time(*run, 0.2))
    alone, stacked = (1e3 * median(taken[name]) for name in runs)
    print(
        f"(n) {n} agents, p = q = {D}, sparkle-ed: ms an iteration: a user's class {alone:.2f} "
        f"({1e3 * alone / n:.1f} us an agent), with stacked oracles {stacked:.2f}",
        flush=True,
    )


def graphs() -> None:
    """Mixing matrix, spectrum and fingerprint of each named graph, of about 10,000 agents."""
    print("(n) topologies: agents, processor s, rho", flush=True)
    for name in TOPOLOGIES:
        if name == "cycle":  # of files
            continue
        n = 8192 if name in ("hypercube", "one-peer-exponential") else 10_000
        began = process_time()
        topology = make(name, n)
        rho, _ = topology.rho, (topology.lambda_min, topology.fingerprint)
        print(f"    {name}: {n:,}, {process_time() - began:.2f}, {rho:.10f}", flush=True)


def job(text: str) -> None:
    """Run one setting of a table; print the seconds of set-up and iteration, and MB, of rank 0."""
    given = json.loads(text)
    comm = None
    if given.pop("mpi", False):
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    import mpidbo.solver.plan  # noqa: F401

    keep_freed()  # as a run does
    before, began = peak(), perf_counter()
    _, loop, state = made(given, comm)
    until = perf_counter() - began
    if comm is None:
        taken = processor_time(loop, state, 1.0)
    else:
        comm.Barrier()
        began = perf_counter()
        loop.steps(state, 2, 7)
        comm.Barrier()
        taken = (perf_counter() - began) / 5
    if comm is None or comm.rank == 0:
        print(until, taken, peak() - before, flush=True)


def table(title: str, sizes: list[int], given: Callable[[int], dict[str, Any]], mpi: bool) -> None:
    """Print a table of what `job` measures, with the exponents."""
    print(f"(n) {title}: set-up s, iteration ms, peak MB, and the exponents", flush=True)
    last: tuple[int, list[float]] | None = None
    for size in sizes:
        text = json.dumps({**given(size), "mpi": mpi})
        done = mpiexec(
            size if mpi else 0, __file__, "--job", text, timeout=600, text=True, capture_output=True
        )
        if done.returncode:
            sys.exit(f"{title}, {size}: exit code {done.returncode}\n{done.stderr[-3000:]}")
        found = [float(word) for word in done.stdout.split()]
        exponents = ""
        if last is not None and not mpi:
            step = log(size / last[0])
            slopes = [log(a / b) / step for a, b in zip(found, last[1], strict=True)]
            exponents = "; " + ", ".join(f"{slope:.2f}" for slope in slopes)
        print(
            f"    {size:>10,}: {found[0]:.2f}, {1e3 * found[1]:.3g}, {found[2]:.1f}{exponents}",
            flush=True,
        )
        last = size, found


def main(wanted: list[str]) -> int:
    keep_freed()  # as a run does
    for part in (problems, digits, simulation, graphs):
        if not wanted or part.__name__ in wanted:
            part()
    if not wanted or "growth" in wanted:
        for title, (sizes, given) in GROWTH.items():
            table(title, sizes, given, mpi=False)
    if not wanted or "ranks" in wanted:
        # On more ranks than cores it only says that it works: ranks wait for the processor.
        table(
            "64 agents on 1 to 64 ranks, MB of rank 0",
            [1, 2, 4, 8, 16, 32, 64],
            lambda _: {"problem": {"name": "quadratic", "p": 10, "q": 10}, "agents": 64},
            mpi=True,
        )
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        job(sys.argv[2])
    else:
        print(f"load {os.getloadavg()[0]:.1f} before the start", flush=True)
        sys.exit(main(sys.argv[1:]))
