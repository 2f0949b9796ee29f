"""Step sizes found by `steps = "auto"`, against the best of a fine grid.

For each problem: iterations until phi has fallen to a tenth of its gap at the start, with the step
sizes found, over those with the best of a grid of alpha, beta and gamma; and the cost of finding
them, as a share of the oracle calls of 2000 iterations.

    python benchmarks/tune.py --out tune.jsonl            # resumes; a row for each run
    python benchmarks/tune.py --out tune.jsonl --table    # the table of what there is
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import mpidbo
from mpidbo import config
from mpidbo.solver import Pilots, Setup, set_up, stable_lower_steps, tuned
from mpidbo.solver.stopping import Stopping

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
from synthetic import records

HERE = Path(__file__).resolve().parent
ITERATIONS = 2000
COARSE = [4.0**i for i in range(7, -7, -1)]
"""alpha at first, from 16384 down to 0.00024."""
FINE = [2.0 ** (i / 2) for i in range(-6, 7)]
"""Of the best of these, in steps of 1.41."""
FACTORS = [1.0, 0.5, 0.25, 1.5]
"""Of beta and gamma, relative to half of the stability limit."""
TRIAL, LAST = 200, 3
"""Iterations of the first values of alpha, and how many of them continue to the end."""
SHORT_TRIAL, SHORT_LAST, SHORT_END = 60, 2, 400
SHORT_FINE = [2.0**i for i in range(-3, 4)]
SHORT_FACTORS = [1.0, 0.5, 1.5]
"""The same of the short grid."""
FURTHER_FACTORS = {"hyper-representation": [0.25]}
"""Where the best of the others is at the edge."""
SHORT = (
    "australian",
    "meta-learning",
    "hyper-cleaning",
    "hyper-representation",
    "domain-reweighting",
    "softmax-torch",
    "weights-jax",
)
"""Problems whose whole grid would take more than ten minutes."""
SETTLED = 0.02
"""A run ends that has gained less than this part in the second half of its iterations."""
EVALUATIONS = [*range(0, 60, 5), *range(60, 200, 10), *range(200, 400, 20), *range(400, 2001, 50)]


def ridge_jax() -> Any:
    """Ridge regression on a common data set; x is the logarithm of the ridge of each feature."""
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    A = rng.standard_normal((240, 12)) * np.linspace(0.3, 1.5, 12)
    b = A @ (rng.standard_normal(12) * (np.arange(12) < 4)) + 0.5 * rng.standard_normal(240)

    def f(x: Any, y: Any, batch: Any) -> Any:
        A, b = batch
        return jnp.mean((A @ y - b) ** 2) / 2

    def g(x: Any, y: Any, batch: Any) -> Any:
        A, b = batch
        return jnp.mean((A @ y - b) ** 2) / 2 + jnp.sum(jnp.exp(x) * y**2) / 2

    return mpidbo.from_jax(
        f,
        g,
        x0=np.zeros(12),
        y0=np.zeros(12),
        data=mpidbo.subsets((A[:80], b[:80]), mpidbo.split(b[:80] > 0, 8, "iid")),
        val_data=mpidbo.subsets((A[80:], b[80:]), mpidbo.split(b[80:] > 0, 8, "iid")),
    )


def softmax_torch() -> Any:
    """Softmax regression with a ridge for each class, on mini-batches."""
    import torch
    from torch.nn.functional import cross_entropy

    rng = np.random.default_rng(1)
    A = rng.standard_normal((800, 8))
    labels = (A @ rng.standard_normal((8, 4)) + rng.gumbel(size=(800, 4))).argmax(axis=1)

    def f(x: Any, y: Any, batch: Any) -> Any:
        A, labels = batch
        return cross_entropy(A @ y, labels)

    def g(x: Any, y: Any, batch: Any) -> Any:
        A, labels = batch
        return cross_entropy(A @ y, labels) + (torch.exp(x) * y**2).sum() / 2

    def shared(rows: slice) -> Any:
        return mpidbo.subsets(
            (A[rows], labels[rows]),
            mpidbo.split(labels[rows], 4, "dirichlet", concentration=1.0),
        )

    return mpidbo.from_torch(
        f,
        g,
        x0=np.zeros(4),
        y0=np.zeros((8, 4)),
        data=shared(slice(0, 400)),
        val_data=shared(slice(400, None)),
        batch=20,
    )


def weights_jax() -> Any:
    """Logistic regression whose samples have weights, a third of the labels being wrong."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(2)
    A = rng.standard_normal((400, 10))
    right = np.sign(A @ rng.standard_normal(10))
    given = np.where(rng.random(400) < 0.3, -right, right)

    def loss(y: Any, A: Any, b: Any) -> Any:
        return jax.nn.softplus(-b * (A @ y))

    def f(x: Any, y: Any, batch: Any) -> Any:
        A, b, _ = batch
        return jnp.mean(loss(y, A, b))

    def g(x: Any, y: Any, batch: Any) -> Any:
        A, b, i = batch
        return jnp.mean(jax.nn.sigmoid(x[i]) * loss(y, A, b)) + 0.01 * jnp.sum(y**2)

    rows = np.arange(400)
    train, val = slice(0, 200), slice(200, None)
    return mpidbo.from_jax(
        f,
        g,
        x0=np.zeros(200),
        y0=np.zeros(10),
        data=mpidbo.subsets(
            (A[train], given[train], rows[train]), mpidbo.split(given[train], 8, "iid")
        ),
        val_data=mpidbo.subsets((A[val], right[val], rows[val] - 200), mpidbo.split(right[val], 8)),
    )


def problems() -> dict[str, dict[str, Any]]:
    """The tables of the configurations, by name."""
    file = Path(tempfile.gettempdir()) / "mpidbo-tune-records"
    records(file, samples=690, features=14, noise=0.3, seed=0)
    digits = {"n_train": 400, "n_validation": 200}
    shipped: dict[str, dict[str, Any]] = {
        "quadratic": {"noise": 0.05},
        "hyper-cleaning": digits,
        "logistic-tuning": {},
        "linear-regression": {},
        "policy-evaluation": {},
        "policy-evaluation-residual": {},
        "nonconvex-toy": {},
        "australian": {"data": str(file)},
        "meta-learning": {},
        "hyper-representation": digits,
        "domain-reweighting": digits,
        "minimax": {},
        "compositional": {},
        "unbounded-dissimilarity": {},
    }
    found: dict[str, dict[str, Any]] = {}
    for name, options in shipped.items():
        found[name] = {"problem": {"name": name, **options}}
    found["nonconvex-toy"]["method"] = {"name": "sun-dsbo"}
    for make in (ridge_jax, softmax_torch, weights_jax):
        found[make.__name__.replace("_", "-")] = {"problem": {"name": make()}}
    for tables in found.values():
        tables.setdefault("method", {"name": "sparkle"})
        tables["run"] = {"agents": 8, "iterations": ITERATIONS}
    found["softmax-torch"]["run"] = {"agents": 4, "iterations": 600}
    return found


class Grid:
    """Runs of a problem with step sizes of a grid, each until it has nothing more to tell."""

    def __init__(self, plan: Setup, name: str) -> None:
        self.plan, self.horizon = plan, plan.config.run.iterations
        self.trial, self.last, self.fine, self.factors = TRIAL, LAST, FINE, FACTORS
        if name in SHORT:
            self.trial, self.last, self.horizon = SHORT_TRIAL, SHORT_LAST, SHORT_END
            self.fine, self.factors = SHORT_FINE, SHORT_FACTORS + FURTHER_FACTORS.get(name, [])
        keys = [key for key in ("beta", "gamma") if key in plan.config.steps]
        self.lower = stable_lower_steps(plan, keys).steps
        self.start = Pilots(plan, Stopping(plan.agents)).at_start
        self.least = self.start

    @property
    def target(self) -> float:
        return self.least + 0.1 * (self.start - self.least)

    def run(self, alpha: float, factor: float, until: int, *, to_target: bool) -> dict[str, Any]:
        """A row: phi along a run, to its end or until it has reached the target."""
        steps = {"alpha": alpha, **{key: factor * value for key, value in self.lower.items()}}
        target = self.target if to_target else -np.inf
        phi = phi_along(self.plan, steps, until, target)
        finite = [value for value in phi if np.isfinite(value)]
        self.least = min([self.least, *finite])
        return {"alpha": alpha, "factor": factor, "phi": [float(value) for value in phi]}

    def rows(self) -> Iterator[dict[str, Any]]:
        first = []
        for alpha in COARSE:
            row = self.run(alpha, 1.0, self.trial, to_target=False)
            end = row["phi"][-1]
            first.append((end if np.isfinite(end) else np.inf, alpha))
            yield row
        for _, alpha in sorted(first)[: self.last]:
            yield self.run(alpha, 1.0, self.horizon, to_target=False)
        best = min(first)[1]
        fewest = float(self.horizon)
        for factor in self.factors:
            for ratio in self.fine:
                until = min(self.horizon, round(2.4 * fewest) + 50)
                row = self.run(best * ratio, factor, until, to_target=True)
                fewest = min(fewest, reached(row["phi"], self.target))
                yield row


def phi_along(plan: Setup, steps: dict[str, float], until: int, target: float) -> list[float]:
    """phi at EVALUATIONS, up to the target, until it has settled or the run has diverged."""
    pilots, phi = Pilots(plan, Stopping(plan.agents)), list[float]()
    for k in EVALUATIONS:
        if k > until:
            break
        phi.append(pilots.metric(steps, k))
        gain, half = phi[0] - phi[-1], phi[0] - phi[np.searchsorted(EVALUATIONS, k / 2)]
        settled = k >= TRIAL and abs(gain - half) < SETTLED * gain
        if not np.isfinite(phi[-1]) or stayed(phi, target) < np.inf or settled:
            break
    return phi


def reached(phi: list[float], target: float) -> float:
    """Iterations from which on phi stays below a target, infinite where it does not."""
    above = [i for i, value in enumerate(phi) if not value <= target]
    if not above:
        return 0.0
    i = above[-1] + 1
    if i == len(phi):
        return np.inf
    before, after = EVALUATIONS[i - 1], EVALUATIONS[i]
    return before + (after - before) * (phi[i - 1] - target) / (phi[i - 1] - phi[i])


def stayed(phi: list[float], target: float) -> float:
    """The same; infinite as well where the run ends too soon to tell: it may diverge."""
    iterations = reached(phi, target)
    return iterations if 2 * iterations + 50 <= EVALUATIONS[len(phi) - 1] else np.inf


def found(tables: dict[str, Any], target: float) -> dict[str, Any]:
    """What steps = "auto" finds, and phi along a run with it."""
    with set_up(config.check({**tables, "steps": "auto"})) as setup:
        setup = tuned(setup)
        record = setup.config.tuning
        phi = phi_along(setup, {}, setup.config.run.iterations, target)
        pilots = Pilots(setup, Stopping(setup.agents))
        pilots.metric({}, 20)
        cost = pilots.cost()
        per = (cost.calls - cost.judging) / setup.agents.n / 20
    beta = setup.config.steps["beta"]
    return {
        "auto": True,
        "steps": record["found"],
        "factor": _first(beta) / record["pilot"][0]["beta"],
        "pilots": len(record["pilot"]),
        "iterations": record["iterations"],
        "ended": record.get("ended_before", ""),
        "share": record["calls"] / per / ITERATIONS,
        "phi": phi,
    }


def _first(step: Any) -> float:
    """The first value of a step size that may be a table."""
    return step["start"] if isinstance(step, dict) else step


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each problem."""
    rows: dict[str, list[dict[str, Any]]] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            row = json.loads(line)
            rows.setdefault(row["problem"], []).append(row)
    return rows


def table(path: Path) -> None:
    """Print a row for each problem."""
    for name, rows in read(path).items():
        grid = [row for row in rows if "alpha" in row]
        autos = [row for row in rows if "auto" in row]
        start = grid[0]["phi"][0]
        least = min(v for row in grid for v in row["phi"] if np.isfinite(v))
        target = least + 0.1 * (start - least)
        best = min(grid, key=lambda row: stayed(row["phi"], target))
        fewest = stayed(best["phi"], target)
        line = f"| {name} | {fewest:.0f} | {best['alpha']:.3g} | {best['factor']:g} |"
        if autos:
            auto = autos[-1]
            its = reached(auto["phi"], target)
            alpha = auto["steps"]["alpha"]
            falling = "" if isinstance(alpha, float) else ", falling"
            line += f" {its:.0f} | {_first(alpha):.3g}{falling} | {auto['factor']:.2g} |"
            line += f" {its / fewest:.2f} | {auto['pilots']} | {auto['iterations']} |"
            ended = "".join(filter(str.isdigit, auto["ended"]))
            line += f" {100 * auto['share']:.0f} % | {ended} |"
        print(line, "" if any("end" in row for row in rows) else "(unfinished)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", action="store_true", help="print the table of what there is")
    parser.add_argument(
        "--again",
        action="store_true",
        help="find step sizes again, and compare them with the grid of --out",
    )
    parser.add_argument("--only", nargs="*", default=[])
    args = parser.parse_args()
    if args.table:
        table(args.out)
        return
    done = read(args.out)
    for name, tables in problems().items():
        rows = done.get(name, [])
        if args.only and name not in args.only:
            continue
        with args.out.open("a") as out:

            def write(row: dict[str, Any], name: str = name, out: Any = out) -> None:
                out.write(json.dumps({"problem": name, **row}) + "\n")
                out.flush()

            if not any("end" in row for row in rows):
                with set_up(config.check(tables)) as plan:
                    grid = Grid(plan, name)
                    for row in grid.rows():
                        write(row)
                    write({"end": True, "target": grid.target})
            if args.again or not any("auto" in row for row in rows):
                target = [row["target"] for row in read(args.out)[name] if "end" in row][-1]
                write(found(tables, target))


if __name__ == "__main__":
    main()
