"""Small runs of every method, strategy, topology and problem, whose numbers are kept from
version to version.

`python tests/support/trajectories.py FILE.tar.xz` writes what `tests/data` holds of them, by the
version of mpidbo that Python imports: the arrays of all runs in one file, and folders of runs with
half of the iterations, which a later version resumes.
"""

import contextlib
import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ARRAYS = "arrays.h5"

BASE = {
    "problem.name": "quadratic",
    "problem.p": 3,
    "problem.q": 4,
    "problem.noise": 0.3,
    "run.agents": 5,
    "run.iterations": 12,
    "run.evaluate_every": 6,
    "run.seed": 4,
}
STRATEGIES = ("ed", "extra", "gt", "semi-gt", "non-gt", "sgd", "dgd", "centralized")
METHODS = (
    "d-soba",
    "sun-dsbo",
    "sun-dsbo-se",
    "sun-dsbo-gt",
    "soba",
    "single-level",
    "sldbo",
    "f2sa",
    "adasdbo",
    "maml",
    "mdbo",
    "vrdbo",
    "dbsa",
    "slam",
    "ma-dsbo",
    "ma-dsbo-gt",
    "dsbo",
    "gossip-dsbo",
)
WHOLE_STEPS = {"method.tau": 1.0, "method.order": "new-average", "method.samples": "one"}
"""LoPA as version 0.1.0 had it at first, before the lines of its paper."""
TOPOLOGIES = (
    "path",
    "grid",
    "torus",
    "star",
    "complete",
    "hypercube",
    "exponential",
    "erdos-renyi",
    "random-regular",
    "adjusted-ring",
)
PROBLEMS: dict[str, dict[str, Any]] = {
    "linear-regression": {"p": 2, "q": 3, "batch": 2},
    "policy-evaluation": {"states": 6, "p": 3, "batch": 2},
    "policy-evaluation-residual": {"states": 6, "p": 3},
    "nonconvex-toy": {"dim": 3, "noise": 0.2, "heterogeneity": 0.5},
    "minimax": {"p": 3, "q": 4, "noise": 0.3},
    "compositional": {"p": 3, "q": 2, "noise": 0.3},
    "unbounded-dissimilarity": {"dim": 3, "noise": 0.3},
    "meta-learning": {"dim": 4, "features": 2, "tasks": 3, "batch": 2},
    "logistic-tuning": {
        "features": 4,
        "classes": 3,
        "n_train": 40,
        "n_validation": 20,
        "batch": 5,
    },
}


def on(problem: str, **keys: Any) -> dict[str, Any]:
    """A configuration of another problem than the quadratic."""
    options = {f"problem.{key}": value for key, value in PROBLEMS[problem].items()}
    run = {key: value for key, value in BASE.items() if key.startswith("run.")}
    return {"problem.name": problem, **options, **run, **keys}


CASES: dict[str, dict[str, Any]] = {
    **{f"sparkle-{name}": {**BASE, "method.name": f"sparkle-{name}"} for name in STRATEGIES},
    **{name: {**BASE, "method.name": name} for name in METHODS},
    **{
        f"on {name}": {
            **BASE,
            "method.name": "sparkle-gt",
            "run.agents": 8,
            "topology.name": name,
        }
        for name in TOPOLOGIES
    },
    **{f"of {name}": on(name) for name in PROBLEMS},
    **{name: {**BASE, "method.name": name, **WHOLE_STEPS} for name in ("lopa", "lopa-gt")},
    "dsgd": on("policy-evaluation", **{"method.name": "dsgd"}),
    "jacobi": {
        **BASE,
        "method.name": "sparkle-ed-gt",
        "method.schedule": "jacobi",
        "topology.name": "exponential",
    },
    "float32": {**BASE, "method.name": "sparkle-gt", "run.dtype": "float32"},
    "link failures": {**BASE, "method.name": "d-soba", "topology.drop": 0.3},
    "first order": {
        **BASE,
        "method.name": "d-soba",
        "method.variant": "first-order",
        "method.delta": 1e-3,
    },
    "topology per level": {
        **BASE,
        "method.name": "sparkle-extra",
        "topology.upper.name": "star",
        "topology.lower.name": "erdos-renyi",
        "topology.lower.seed": 2,
    },
    "metrics": {
        **BASE,
        "method.name": "sparkle-ed-gt",
        "run.metrics": ["hypergradient_norm", "curvature"],
    },
    "refined residual": {
        **BASE,
        "method.name": "sun-dsbo",
        "run.metrics": ["refined_residual"],
    },
    "schedules": {
        **BASE,
        "method.name": "sparkle-semi-gt",
        "steps.alpha": {"kind": "inverse-sqrt", "start": 0.05, "offset": 100},
        "steps.beta": {"kind": "power", "start": 0.1, "exponent": -0.25, "warmup": 3},
    },
    "one by one": {**BASE, "method.name": "sparkle-ed", "run.batched": "never"},
}
HALF_DONE = ("sparkle-gt", "sun-dsbo", "gossip-dsbo", "vrdbo", "jacobi", "float32", "link failures")
"""Cases of which tests/data has a run with half of the iterations."""


def arithmetic() -> str:
    """A digest of products, decompositions and draws: where it is equal, so are the bits of all
    runs.

    Libraries of linear algebra add in another order on another kind of processor.
    """
    rng = np.random.default_rng(0)
    found = [rng.standard_normal(40)]
    for n in (2, 3, 4, 5, 8, 20):
        A, B, v = rng.standard_normal((n, n)), rng.standard_normal((n, 7)), rng.standard_normal(n)
        S = A @ A.T + np.eye(n)
        found += [A @ B, A @ v, v @ v, np.stack([A, S]) @ np.stack([B, B]), np.linalg.norm(A)]
        found += [np.linalg.solve(S, v), np.linalg.eigvalsh(S), np.exp(v), np.log1p(v * v)]
        found += [(S.astype(np.float32) @ v.astype(np.float32)), np.linalg.qr(A)[0]]
    return hashlib.sha256(b"".join(np.asarray(rows).tobytes() for rows in found)).hexdigest()


def toml(keys: dict[str, Any]) -> str:
    """The file of a configuration of dotted keys."""

    def written(value: Any) -> str:
        if not isinstance(value, dict):
            return json.dumps(value)
        return "{" + ", ".join(f"{key} = {written(item)}" for key, item in value.items()) + "}"

    return "".join(f"{key} = {written(value)}\n" for key, value in keys.items())


def run(name: str, out: Path, **changed: Any) -> None:
    """`mpidbo run` of a case; `iterations=6` is another number of them."""
    from mpidbo import cli

    config = out.parent / f"{name}.toml"
    config.write_text(toml(CASES[name]))
    words = [word for key, value in changed.items() for word in ("--set", f"run.{key}={value}")]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = cli.main(["run", str(config), "--out", str(out), *words])
    assert code == 0, printed.getvalue()


def arrays(out: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a run's result and history, but for the seconds."""
    for file in ("result.h5", "history.h5"):
        found: dict[str, np.ndarray] = {}

        def keep(name: str, item: Any, found: dict[str, np.ndarray] = found) -> None:
            if isinstance(item, h5py.Dataset) and "seconds_" not in name:
                found[name] = item[()]

        with h5py.File(out / file) as data:
            data.visititems(keep)
        for name, rows in found.items():
            yield f"{file.removesuffix('.h5')}/{name}", rows


def write(archive: Path) -> None:
    """Make all runs; archive their arrays and the folders of the runs with half of the
    iterations."""
    with tempfile.TemporaryDirectory() as place, tarfile.open(archive, "w:xz") as tar:
        with h5py.File(Path(place, ARRAYS), "w") as file:
            file.attrs["arithmetic"] = arithmetic()
            for name in CASES:
                run(name, Path(place, name))
                for key, rows in arrays(Path(place, name)):
                    file[f"{name}/{key}"] = rows
        tar.add(Path(place, ARRAYS), ARRAYS)
        for name in HALF_DONE:
            folder = Path(place, f"{name}.half")
            run(name, folder, iterations=CASES[name]["run.iterations"] // 2)
            tar.add(folder, name)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.modules["mpi4py"] = None  # type: ignore[assignment]
    write(Path(sys.argv[1]))
