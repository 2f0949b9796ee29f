"""(m) What a network costs: bytes and seconds to an accuracy, over an emulated slow network.

    python benchmarks/networks.py              # as root: 8 ranks, 5 ms one way, 100 Mbit/s
    python benchmarks/networks.py --dim 40000  # long messages

SPARKLE in jacobi order on a separable quadratic with p = q = 1000, whose agents differ: oracles
cost nothing, so that seconds are those of messages. For each strategy and graph first the step
sizes that need the fewest iterations to a distance of 1e-6 of the start's are found in one process,
then that many iterations run over the network (`slow_network.py`). With --dim the step sizes are
found with 1000 entries, too, as their distribution does not depend on p and q; packets have 60,000
bytes then, since the switch could not forward smaller ones at the rate of the network.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import mpidbo

AGENTS, DIM, ACCURACY, MOST = 8, 1000, 1e-6, 2000
SCALES = tuple(2.0**-i for i in range(7))
"""Of the step sizes that are tried."""
ED = {"lower": "ed", "upper": "ed"}


def compressed(name: str, **keys: Any) -> dict[str, Any]:
    """Return the same compressed strategy for every level."""
    return {"lower": {"name": name, **keys}, "upper": {"name": name, **keys}}


VARIANTS: dict[str, tuple[dict[str, Any], Any]] = {
    "`ed`, in full": (ED, "ring"),
    "`semi-gt`, in full": ({"lower": "semi-gt", "upper": "semi-gt"}, "ring"),
    "`ed`, `wire` = float32": (compressed("ed", wire="float32"), "ring"),
    "`beer`, a tenth of the entries": (compressed("beer", compress="top-k", gamma=0.5), "ring"),
    "`beer`, 4 bits": (compressed("beer", compress="quantize", bits=4, gamma=0.6), "ring"),
    "`lead`, 4 bits": (compressed("lead", compress="quantize", bits=4), "ring"),
    "`semi-gt`, one peer": ({"lower": "semi-gt", "upper": "semi-gt"}, "one-peer-exponential"),
    "`semi-gt`, every = 4": (
        {"lower": "semi-gt", "upper": "semi-gt"},
        {"name": "ring", "every": 4},
    ),
}
"""What is compared -> strategies and topology."""


class Separable(mpidbo.Problem):
    """f = 1/2 <A, (x - a)^2> + 1/2 <B, (y - b)^2> and g = 1/2 <H, y^2> - <y, x + c>, by entries."""

    def __init__(self, agent, n_agents, *, xp, seed, dim=DIM):
        self.dims, self.n_agents, self.dim = (dim, dim), n_agents, dim
        self.A, self.a, self.B, self.b, self.H, self.c = self.data(agent)

    def data(self, agent):
        rng = np.random.default_rng([7, agent])
        A, B, H = rng.uniform(0.8, 1.2, (3, self.dim))
        a, b, c = rng.standard_normal((3, self.dim))
        return A, a, B, b, H, c

    def f(self, x, y, sample):
        return 0.5 * float(self.A @ (x - self.a) ** 2 + self.B @ (y - self.b) ** 2)

    def g(self, x, y, sample):
        return float(y @ (0.5 * self.H * y - x - self.c))

    def f_x(self, x, y, sample):
        return self.A * (x - self.a)

    def f_y(self, x, y, sample):
        return self.B * (y - self.b)

    def g_y(self, x, y, sample):
        return self.H * y - x - self.c

    def g_x(self, x, y, sample):
        return -y

    def g_yy(self, x, y, v, sample):
        return self.H * v

    def g_xy(self, x, y, v, sample):
        return -v

    def solution(self):
        data = [self.data(agent) for agent in range(self.n_agents)]
        A, Aa, B, Bb, H, c = np.mean([(A, A * a, B, B * b, H, c) for A, a, B, b, H, c in data], 0)
        return (Aa + (Bb - B * c / H) / H) / (A + B / H**2)


def run(
    name: str, scale: float, dim: int, iterations: int, every: int, comm: Any = None
) -> tuple[mpidbo.Result, float]:
    """Return the result, and the seconds from the first evaluation to the last."""
    strategies, topology = VARIANTS[name]
    seconds: list[float] = []
    distances: list[float] = []

    def near(progress: Any) -> bool:
        seconds.append(perf_counter())
        distances.append(progress.row["distance"])
        return bool(distances[-1] <= ACCURACY * distances[0])

    result = mpidbo.solve(
        {"name": f"{__file__}:Separable", "dim": dim},
        {"name": "sparkle", "schedule": "jacobi", **strategies},
        topology,
        AGENTS,
        steps={"alpha": 0.1 * scale, "beta": scale, "gamma": scale},
        iterations=iterations,
        evaluate_every=every,
        metrics=["distance"],
        callback=near,
        comm=comm,
        checks="never",
    )
    return result, seconds[-1] - seconds[0]


def iterations_needed(name: str, scale: float, dim: int) -> int:
    """Iterations to the accuracy, in one process; MOST where that is not reached."""
    try:
        result, _ = run(name, scale, dim, MOST, 20)
    except mpidbo.Diverged:
        return MOST
    distance = result.history["distance"]
    return int(result.nit) if distance[-1] <= ACCURACY * distance[0] else MOST


def over_network(name: str, scale: float, dim: int, iterations: int) -> dict[str, float]:
    """Run so many iterations over the emulated network."""
    here = Path(__file__)
    case = [name, str(scale), str(dim), str(iterations)]
    network = [sys.executable, str(here.with_name("slow_network.py")), "-n", str(AGENTS)]
    if dim > DIM:
        network += ["--mtu", "60000"]
    command = [*network, sys.executable, str(here), "--rank", *case]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"{name}: {done.stdout}{done.stderr}")
    found: dict[str, float] = json.loads(lines[0])
    return found


def one_rank(name: str, scale: float, dim: int, iterations: int) -> None:
    """A rank of a run over the network; the first prints bytes and seconds."""
    from mpi4py import MPI

    result, seconds = run(name, scale, dim, iterations, iterations, MPI.COMM_WORLD)
    if MPI.COMM_WORLD.rank == 0:
        sent = int(result.history["bytes"][-1])
        print(json.dumps({"bytes": sent, "seconds": seconds}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=DIM, help=f"p and q; default {DIM}")
    parser.add_argument("--rank", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="a file that keeps the rows, to resume from")
    args = parser.parse_args()
    if args.rank:
        name, scale, *sizes = args.rank
        return one_rank(name, float(scale), *map(int, sizes))
    rows = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    for name in VARIANTS:
        if name not in rows:
            needed = {scale: iterations_needed(name, scale, DIM) for scale in SCALES}
            scale = min(needed, key=lambda scale: needed[scale])
            many = iterations_needed(name, scale, args.dim)
            found = over_network(name, scale, args.dim, many)
            rows[name] = {"scale": scale, "iterations": many, **found}
            if args.out:
                args.out.write_text(json.dumps(rows, indent=1))
    print("| | iterations | MB of an agent | seconds | bytes | time |\n|---|---|---|---|---|---|")
    reference = next(iter(rows.values()))
    for name, row in rows.items():
        ratios = [row[key] / reference[key] for key in ("bytes", "seconds")]
        reached = row["iterations"] if row["iterations"] < MOST else f"> {MOST}"
        print(
            f"| {name} | {reached} | {row['bytes'] / AGENTS / 1e6:.1f} | {row['seconds']:.1f} | "
            f"{ratios[0]:.2f} | {ratios[1]:.2f} |"
        )


if __name__ == "__main__":
    main()
