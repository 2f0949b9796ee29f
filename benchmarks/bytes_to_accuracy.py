"""(l) Bytes to an accuracy, with compressed messages and without: Fashion-MNIST.

Hyper-cleaning with the perceptron 784-300-10, 10 agents in one process, and the step sizes of the
problem in every run. A run that is compared with one without compression ends at the best accuracy
of that one less BELOW. Each finished run is a line of runs.jsonl, and is not repeated:

    python benchmarks/bytes_to_accuracy.py FOLDER_OF_FASHION_MNIST --out bytes
    python benchmarks/bytes_to_accuracy.py --out bytes  # the table alone
    python benchmarks/bytes_to_accuracy.py FOLDER --network "D-SOBA" "D-SOBA-CHOCO, top 3 %"

The last line is for root: seconds of an iteration of 10 ranks over an emulated network of
100 Mbit/s and 5 ms (`slow_network.py`), with packets of 9000 bytes, as the switch shares the
machine.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

from mpidbo import Result, solve

AGENTS, EVERY, BELOW = 10, 10, 0.005
NETWORK_ITERATIONS = 10, 50


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
    "D-SOBA-CHOCO, top 3 %": Run("D-SOBA", compressed("d-soba", "choco", **TOP_3), 800),
    "D-SOBA-CHOCO, top 1 %": Run("D-SOBA", compressed("d-soba", "choco", **TOP_1), 1000),
    "SPARKLE-BEER, top 1 %, steps x 0.3": Run(
        "SPARKLE-ED", compressed("sparkle", "beer", **TOP_1), 1000, scale=0.3
    ),
    "SPARKLE-BEER, 4 bits, gamma = 0.6, steps x 0.3": Run(
        "SPARKLE-ED", compressed("sparkle", "beer", gamma=0.6, **BITS), 600, scale=0.3
    ),
    "SPARKLE-BEER, top 1 %": Run("SPARKLE-ED", compressed("sparkle", "beer", **TOP_1), 250),
    "SPARKLE-BEER, top 10 %": Run("SPARKLE-ED", compressed("sparkle", "beer", **TOP_10), 250),
    "SPARKLE-BEER, 4 bits": Run("SPARKLE-ED", compressed("sparkle", "beer", **BITS), 250),
    "SPARKLE-BEER, 4 bits, gamma = 0.6": Run(
        "SPARKLE-ED", compressed("sparkle", "beer", gamma=0.6, **BITS), 250
    ),
    "SPARKLE, non-gt in full": Run("SPARKLE-ED", "sparkle-non-gt", 250),
}


def solved(data: str, run: Run, **options: Any) -> Result:
    problem = {
        "name": "hyper-cleaning",
        "data": data,
        "model": "mlp",
        "hidden": [300],
        "batch": 32,
        "n_train": 5000,
        "n_validation": 1000,
    }
    steps = {key: run.scale * value for key, value in STEPS.items()}
    return solve(problem, run.method, run.topology, AGENTS, steps=steps, dtype="float32", **options)


def record(data: str, run: Run, accuracy: float) -> dict[str, Any]:
    """Return the history of bytes and accuracy of a run, which ends above this accuracy."""
    began = process_time()
    result = solved(
        data,
        run,
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


def cost(found: dict[str, Any], accuracy: float) -> int | None:
    """Return the bytes sent by the first evaluation with this accuracy."""
    both = zip(found["bytes"], found["test_accuracy"], strict=True)
    return next((sent for sent, reached in both if reached >= accuracy), None)


def table(found: dict[str, dict[str, Any]]) -> None:
    print("| run | MB of an iteration | best accuracy | MB to the accuracy | times fewer |")
    print("|---|---|---|---|---|")
    for name in [name for name in RUNS if name in found]:
        one, base = found[name], found.get(RUNS[name].baseline)
        each = one["bytes"][-1] / one["iteration"][-1] / 1e6
        cells = [f"{each:.2f}", f"{max(one['test_accuracy']):.3f}", "", ""]
        if base:
            accuracy = target(base)
            sent, full = cost(one, accuracy), cost(base, accuracy)
            if sent and full:
                cells[2:] = [f"{sent / 1e6:.0f}", f"{full / sent:.1f}"]
            else:
                cells[2:] = ["not reached", ""]
        print(f"| {name} | {' | '.join(cells)} |")


def one_rank(data: str, name: str, iterations: int) -> None:
    """A rank of a run over the network; the first prints the seconds to the last evaluation."""
    from mpi4py import MPI

    at: dict[int, float] = {}

    def look(progress: Any) -> None:
        at[progress.iteration] = perf_counter()

    few = dict.fromkeys(("iterations", "evaluate_every"), iterations)
    solved(data, RUNS[name], callback=look, comm=MPI.COMM_WORLD, checks="never", **few)
    if MPI.COMM_WORLD.rank == 0:
        print(f"seconds: {at[iterations] - at[0]}", flush=True)


def over_network(data: str, names: list[str]) -> None:
    """Run each over the emulated network, for few iterations and for more: the difference has no
    evaluation, which sends much."""
    here = Path(__file__)
    network = [here.with_name("slow_network.py"), "-n", str(AGENTS), "--mtu", "9000"]
    for name in names:
        seconds = []
        for iterations in NETWORK_ITERATIONS:
            rank = [sys.executable, here, data, "--rank", name, str(iterations)]
            done = subprocess.run(
                [sys.executable, *network, *rank], capture_output=True, text=True, check=True
            )
            seconds.append(float(done.stdout.partition("seconds: ")[2].split()[0]))
        few, more = NETWORK_ITERATIONS
        print(f"{name}: {(seconds[1] - seconds[0]) / (more - few):.3f} s an iteration", flush=True)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", nargs="?", help="folder with the four IDX files; default: no runs")
parser.add_argument("--out", type=Path, default=Path("bytes"))
parser.add_argument("--network", nargs="+", choices=RUNS, help="runs to time over a network")
parser.add_argument("--rank", nargs=2, help=argparse.SUPPRESS)
options = parser.parse_args()
if options.rank:
    one_rank(options.data, options.rank[0], int(options.rank[1]))
    sys.exit()
if options.network:
    over_network(options.data, options.network)
    sys.exit()
options.out.mkdir(parents=True, exist_ok=True)
lines = options.out / "runs.jsonl"
lines.touch()
found = {one["run"]: one for one in map(json.loads, lines.read_text().splitlines())}
for name, run in RUNS.items() if options.data else ():
    if name not in found:
        accuracy = target(found[run.baseline]) if run.baseline in found else 1.0
        found[name] = {"run": name, **record(options.data, run, accuracy)}
        with lines.open("a") as file:
            file.write(json.dumps(found[name]) + "\n")
table(found)
