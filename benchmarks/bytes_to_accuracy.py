"""(l) Bytes to an accuracy, with compressed messages and without: Fashion-MNIST.

Hyper-cleaning with the perceptron 784-300-10, 10 agents in one process, with the step sizes of the
problem or 0.3 times these. A run that is compared with one without compression ends at the best
accuracy of that one with the same seed, less BELOW. Each finished run is a line of runs.jsonl, and
is not repeated:

    python benchmarks/bytes_to_accuracy.py FOLDER_OF_FASHION_MNIST --out bytes --seeds 0 1 2
    python benchmarks/bytes_to_accuracy.py --out bytes  # the table alone
    python benchmarks/bytes_to_accuracy.py FOLDER --out bytes --network "D-SOBA" \\
        "D-SOBA-CHOCO, top 3 %"

The last command is for root: seconds to that accuracy with seed 0 on 8 ranks, over an emulated
network of 100 Mbit/s and 5 ms (`slow_network.py`, packets of 9000 bytes). The runs are whole, with
an evaluation at the start and one after the iterations that runs.jsonl has.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

from images import perceptron
from mpidbo import Result, solve

AGENTS, EVERY, BELOW = 10, 10, 0.005
RANKS = 8
"""Over the network; two of them have two agents."""


class Run(NamedTuple):
    """A run, and the one without compression that it is compared with."""

    baseline: str
    method: str | dict[str, Any]
    iterations: int
    topology: str = "ring"
    scale: float = 1.0
    """Of the step sizes."""


def compressed(method: str, strategy: str, **keys: Any) -> dict[str, Any]:
    return {"name": method, "strategy": {"name": strategy, **keys}}


STEPS = {"alpha": 30.0, "beta": 0.5, "gamma": 0.5}
"""Those of the problem."""
TOP_1, TOP_3, TOP_10 = ({"compress": "top-k", "k": k} for k in (0.01, 0.03, 0.1))
BITS = {"compress": "quantize", "bits": 4}
RUNS = {
    "SPARKLE-ED": Run("SPARKLE-ED", "sparkle-ed", 600),
    "D-SOBA": Run("D-SOBA", "d-soba", 600),
    "D-SOBA, one peer": Run("D-SOBA", "d-soba", 800, "matching"),
    "D-SOBA-CHOCO, top 10 %": Run("D-SOBA", compressed("d-soba", "choco", **TOP_10), 600),
    "D-SOBA-CHOCO, top 3 %": Run("D-SOBA", compressed("d-soba", "choco", **TOP_3), 1000),
    "D-SOBA-CHOCO, top 1 %": Run("D-SOBA", compressed("d-soba", "choco", **TOP_1), 1000),
    "SPARKLE-BEER, top 1 %, steps x 0.3": Run(
        "SPARKLE-ED", compressed("sparkle", "beer", **TOP_1), 1000, scale=0.3
    ),
    "SPARKLE-BEER, top 10 %, steps x 0.3": Run(
        "SPARKLE-ED", compressed("sparkle", "beer", **TOP_10), 1000, scale=0.3
    ),
    "SPARKLE-BEER, 4 bits, gamma = 0.6, steps x 0.3": Run(
        "SPARKLE-ED", compressed("sparkle", "beer", gamma=0.6, **BITS), 1000, scale=0.3
    ),
}


def solved(data: str, run: Run, **options: Any) -> Result:
    problem = perceptron(data, 32)
    steps = {key: run.scale * value for key, value in STEPS.items()}
    return solve(problem, run.method, run.topology, AGENTS, steps=steps, dtype="float32", **options)


def record(data: str, run: Run, seed: int, accuracy: float) -> dict[str, Any]:
    """Return the history of bytes and accuracy of a run, which ends above this accuracy."""
    began = process_time()
    result = solved(
        data,
        run,
        seed=seed,
        iterations=run.iterations,
        evaluate_every=EVERY,
        stop={"metric": "test_accuracy", "above": accuracy},
    )
    if result.stopped:
        raise SystemExit(f"{result.reason}; the runs that have finished are in runs.jsonl")
    columns = ("iteration", "bytes", "test_accuracy")
    history = {column: result.history[column].tolist() for column in columns}
    return {"reason": result.reason, "seconds": process_time() - began, **history}


def target(base: dict[str, Any]) -> float:
    best: float = max(base["test_accuracy"])
    return best - BELOW


def first(found: dict[str, Any], accuracy: float) -> int | None:
    """Return the number of the first evaluation with this accuracy."""
    return next((i for i, value in enumerate(found["test_accuracy"]) if value >= accuracy), None)


def fewer(found: dict[str, Any], base: dict[str, Any]) -> tuple[str, str]:
    """MB to the accuracy of a run without compression, and how many times fewer than this one."""
    i, full = first(found, target(base)), first(base, target(base))
    assert full is not None
    if i is None:
        return "not reached", ""
    return f"{found['bytes'][i] / 1e6:.0f}", f"{base['bytes'][full] / found['bytes'][i]:.1f}"


def table(found: dict[tuple[str, int], dict[str, Any]]) -> None:
    """Print a row for each run, with its seeds in order."""
    seeds = sorted({seed for _, seed in found})
    print(
        f"| run | MB of an iteration | best accuracy | MB to the accuracy | times fewer |  {seeds}"
    )
    print("|---|---|---|---|---|")
    for name, run in RUNS.items():
        both = [(found.get((name, s)), found.get((run.baseline, s))) for s in seeds]
        pairs = [(one, base) for one, base in both if one and base]
        if not pairs:
            continue
        one = pairs[0][0]
        cells = [
            f"{one['bytes'][-1] / one['iteration'][-1] / 1e6:.2f}",
            ", ".join(f"{100 * max(one['test_accuracy']):.1f}" for one, _ in pairs),
            *map(", ".join, zip(*(fewer(one, base) for one, base in pairs), strict=True)),
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def figure(found: dict[tuple[str, int], dict[str, Any]], path: Path) -> None:
    """Draw the test accuracy of seed 0 against the bytes of all agents."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name in RUNS:
        one = found.get((name, 0))
        if one:
            sent = [1e-6 * number for number in one["bytes"][1:]]
            axes.plot(sent, one["test_accuracy"][1:], linewidth=1, label=name)
    axes.set(xscale="log", xlabel="MB sent by all agents", ylabel="test accuracy")
    axes.set(xlim=(40, None), ylim=(0.7, 0.83))
    axes.legend(fontsize=7)
    fig.savefig(path, dpi=110)


def one_rank(data: str, name: str, iterations: int) -> None:
    """A rank of a run over the network; the first prints the seconds between its evaluations."""
    from mpi4py import MPI

    at: dict[int, float] = {}

    def look(progress: Any) -> None:
        at[progress.iteration] = perf_counter()

    ends = dict.fromkeys(("iterations", "evaluate_every"), iterations)
    result = solved(data, RUNS[name], callback=look, comm=MPI.COMM_WORLD, **ends)
    if MPI.COMM_WORLD.rank == 0:
        accuracy = result.history["test_accuracy"][-1]
        print(f"seconds: {at[iterations] - at[0]:.0f}, accuracy {accuracy:.4f}", flush=True)


def over_network(data: str, names: list[str], found: dict[tuple[str, int], dict[str, Any]]) -> None:
    """Run each over the emulated network until it has the accuracy of the run without compression,
    which it reaches after the same iterations as in one process."""
    here = Path(__file__)
    network: list[str | Path] = [
        here.with_name("slow_network.py"),
        "-n",
        str(RANKS),
        "--mtu",
        "9000",
    ]
    for name in names:
        one, accuracy = found[name, 0], target(found[RUNS[name].baseline, 0])
        reached = first(one, accuracy)
        if reached is None:
            raise SystemExit(f"{name} does not reach {accuracy:.4f}")
        rank: list[str | Path] = [here, data, "--rank", name, str(one["iteration"][reached])]
        line = [sys.executable, *network, sys.executable, *rank]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        report = done.stdout.partition("seconds: ")[2].splitlines()[0]
        print(f"{name}: {one['iteration'][reached]} iterations, seconds: {report}", flush=True)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", nargs="?", help="folder with the four IDX files; default: no runs")
parser.add_argument("--out", type=Path, default=Path("bytes"))
parser.add_argument("--seeds", nargs="+", type=int, default=[0])
parser.add_argument("--network", nargs="+", choices=RUNS, help="runs to time over a network")
parser.add_argument("--figure", type=Path, help="draw the runs of seed 0 into this file")
parser.add_argument("--rank", nargs=2, help=argparse.SUPPRESS)
options = parser.parse_args()
if options.rank:
    one_rank(options.data, options.rank[0], int(options.rank[1]))
    sys.exit()
options.out.mkdir(parents=True, exist_ok=True)
lines = options.out / "runs.jsonl"
lines.touch()
found = {(one["run"], one["seed"]): one for one in map(json.loads, lines.read_text().splitlines())}
if options.network:
    over_network(options.data, options.network, found)
    sys.exit()
for seed in options.seeds if options.data else ():
    for name, run in RUNS.items():
        if (name, seed) in found:
            continue
        base = found.get((run.baseline, seed))
        one = record(options.data, run, seed, target(base) if base else 1.0)
        found[name, seed] = {"run": name, "seed": seed, **one}
        with lines.open("a") as file:
            file.write(json.dumps(found[name, seed]) + "\n")
table(found)
if options.figure:
    figure(found, options.figure)
