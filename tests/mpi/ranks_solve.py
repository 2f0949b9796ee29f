"""Runs that test_ranks.py starts in one process and under mpiexec, where every file must come
out with the same bits."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import mpidbo

N = 8
PROBLEMS: dict[str, dict[str, Any]] = {
    "quadratic": {"noise": 0.3, "p": 3, "q": 4, "heterogeneity": 0.5, "condition": 2.0},
    "quadratic-wide": {"name": "quadratic", "noise": 0.3, "p": 37, "q": 70, "heterogeneity": 0.1},
    "softmax": {"name": "hyper-cleaning", "batch": 6, "n_train": 160, "n_validation": 80},
    "perceptron": {
        "name": "hyper-cleaning",
        "model": "mlp",
        "hidden": [9, 5],
        "batch": 6,
        "holdout": 0.25,
        "n_train": 160,
        "n_validation": 80,
    },
    "linear-regression": {"p": 4, "q": 6, "batch": 3},
    "policy-evaluation": {"states": 15, "p": 4, "batch": 4},
}
METHODS: dict[str, dict[str, Any]] = {
    "sparkle": {"name": "sparkle-ed-gt"},
    "jacobi": {"name": "sparkle-ed-gt", "schedule": "jacobi"},
    "d-soba": {},
    "sun-dsbo": {"name": "sun-dsbo-gt"},
    "soba": {},
}
TWO = {"upper": {"name": "star"}, "lower": {"name": "erdos-renyi", "seed": 2}}
DIGRAPHS = {
    "upper": {"name": "directed-erdos-renyi", "seed": 1},
    "lower": {"name": "directed-erdos-renyi", "p": 0.3, "seed": 2},
}
"""Weights A and B, which are not doubly stochastic."""
QUADRATIC = {"problem": {"name": "quadratic", **PROBLEMS["quadratic"]}}

CASES: dict[str, dict[str, Any]] = {
    f"{problem}-{method}": {
        "problem": {"name": problem, **options},
        "method": {"name": method, **table},
        "topology": "ring",
    }
    for problem, options in PROBLEMS.items()
    for method, table in METHODS.items()
}
CASES |= {
    "graphs": QUADRATIC | {"method": "sparkle-extra-semi-gt", "topology": TWO},
    "directed": QUADRATIC
    | {"method": "sparkle-gt-non-gt", "topology": {"name": "exponential", "directed": True}},
    "first-order": QUADRATIC
    | {"method": {"name": "d-soba-ed", "variant": "first-order"}, "topology": "star"},
    "meha": QUADRATIC
    | {
        "method": {
            "name": "sun-dsbo-ed",
            "schedule": "gauss-seidel",
            "mu": {"kind": "inverse-sqrt", "start": 0.5},
        }
    },
    "auto": QUADRATIC
    | {
        "method": "sparkle-ed-gt",
        "steps": "auto",
        "topology": {"upper": {"name": "torus"}, "lower": {"name": "ring"}},
    },
    "auto-first-order": QUADRATIC | {"method": "d-soba-gt", "steps": {"alpha": "auto"}},
    "single-level": QUADRATIC | {"method": "single-level-dgd", "topology": "torus"},
    "single-precision": QUADRATIC | {"method": "sparkle-ed", "dtype": "float32"},
    "metrics": QUADRATIC
    | {
        "method": {"name": "sun-dsbo", "mu": 0.5},
        "metrics": ["hypergradient_norm", "refined_residual"],
    },
    "sldbo": QUADRATIC | {"method": {"name": "sldbo-gt", "R": 0.1}, "topology": TWO},
    "f2sa": QUADRATIC | {"method": {"name": "f2sa", "mu": 0.5}, "metrics": ["refined_residual"]},
    "adasdbo": QUADRATIC | {"method": {"name": "adasdbo", "R": 0.5}, "topology": TWO},
    "push-pull": QUADRATIC | {"method": "sparkle-push-pull", "topology": DIGRAPHS},
    "ab": QUADRATIC
    | {
        "method": {"name": "sparkle-ab", "schedule": "jacobi"},
        "topology": {**DIGRAPHS["lower"], "drop": 0.2},
    },
    "push-sum": QUADRATIC | {"method": "d-soba-push-sum", "topology": DIGRAPHS},
    "fab": QUADRATIC | {"method": {"name": "fab", "mu": 0.5}, "topology": DIGRAPHS["upper"]},
    "one-peer": QUADRATIC
    | {
        "method": {"name": "sparkle-gt", "schedule": "jacobi"},
        "topology": {"name": "one-peer-exponential", "every": 2},
    },
    "lopa": QUADRATIC | {"method": {"name": "lopa", "upper": "gt"}},
    "lopa-whole": QUADRATIC
    | {"method": {"name": "lopa", "tau": 1.0, "order": "new-average", "samples": "one"}},
    "maml": QUADRATIC | {"method": "maml", "dtype": "float32"},
    "mdbo": {
        "problem": {"name": "linear-regression", **PROBLEMS["linear-regression"]},
        "method": "mdbo",
        "topology": TWO,
    },
    "vrdbo": QUADRATIC | {"method": {"name": "vrdbo", "J": 4}, "dtype": "float32"},
    "dbsa": {
        "problem": {"name": "policy-evaluation", **PROBLEMS["policy-evaluation"]},
        "method": "dbsa",
    },
    "failing": QUADRATIC
    | {
        "method": "sparkle-gt-ed",
        "topology": {"upper": {"name": "torus", "drop": 0.3}, "lower": {"name": "ring"}},
    },
    "failing-wide": {
        "problem": {"name": "quadratic", **PROBLEMS["quadratic-wide"]},
        "method": {"name": "sparkle", "schedule": "jacobi"},
        "topology": {"name": "erdos-renyi", "seed": 2, "drop": 0.3},
    },
    "slam": QUADRATIC | {"method": "slam-extra-ed", "topology": TWO},
    "ma-dsbo": QUADRATIC | {"method": {"name": "ma-dsbo-gt", "T": 2, "N": 3}, "topology": TWO},
    "dsbo": QUADRATIC | {"method": {"name": "dsbo", "T": 2, "N": 3}, "topology": TWO},
    "gossip-dsbo": QUADRATIC | {"method": {"name": "gossip-dsbo", "b": 3}, "topology": TWO},
    "one-centre": QUADRATIC | {"method": {"name": "gossip-dsbo-centralized", "b": 2}},
    "dsgd": {
        "problem": {"name": "policy-evaluation", **PROBLEMS["policy-evaluation"]},
        "method": "dsgd",
    },
    "gda": {
        "problem": {"name": "minimax", "noise": 0.3, "p": 3, "q": 4},
        "method": "gda-ed-gt",
        "topology": TWO,
    },
    "compressed": QUADRATIC
    | {
        "method": {
            "name": "sparkle-beer-lead",
            "lower": {"name": "beer", "compress": "random-k", "k": 0.5},
        },
        "topology": TWO,
    },
    "compressed-wide": {
        "problem": {"name": "quadratic", **PROBLEMS["quadratic-wide"]},
        "method": {
            "name": "sparkle",
            "schedule": "jacobi",
            "lower": {"name": "choco", "compress": "random-k", "k": 9},
            "upper": {"name": "ed", "wire": "bfloat16"},
        },
    },
    "dm-hsgd": {
        "problem": {"name": "minimax", "noise": 0.3, "p": 3, "q": 4},
        "method": "dm-hsgd-push-pull",
        "topology": DIGRAPHS,
    },
    "nr-dsbo": QUADRATIC | {"method": {"name": "nr-dsbo", "mu": 0.5}, "topology": TWO},
    "ridge": QUADRATIC
    | {
        "method": {"name": "mdbo", "lower_ridge": {"kind": "inverse-sqrt", "start": 0.5}},
        "topology": TWO,
    },
    "momentum": QUADRATIC | {"method": "sun-dsbo-gt", "steps": {"theta": 0.3}},
    "dsgda": QUADRATIC | {"method": {"name": "dsgda-gt", "mu": 0.5}},
    "stop": QUADRATIC
    | {"method": "sparkle", "evaluate_every": 3, "stop": {"metric": "consensus_y", "above": 1e-6}},
    "patience": QUADRATIC
    | {
        "method": "sparkle",
        "evaluate_every": 1,
        "stop": [
            {"metric": "upper_loss", "above": 1e9},
            {"metric": "consensus_y", "patience": 3, "min_delta": 1e-9},
        ],
        "best": {"metric": "consensus_y", "mode": "max"},
    },
}
FOR_DIGITS = ("softmax", "perceptron")
EVERYDAY = (
    "auto",
    "push-pull",
    "push-sum",
    "one-peer",
    "dm-hsgd",
    "nr-dsbo",
    "patience",
    "quadratic-sparkle",
    "quadratic-wide-jacobi",
    "softmax-sun-dsbo",
    "perceptron-sparkle",
    "linear-regression-d-soba",
    "policy-evaluation-soba",
    "graphs",
    "compressed",
    "compressed-wide",
    "failing",
    "meha",
    "metrics",
    "adasdbo",
    "lopa",
    "maml",
    "mdbo",
    "vrdbo",
    "dbsa",
    "ma-dsbo",
    "dsbo",
    "gossip-dsbo",
    "one-centre",
    "dsgd",
    "gda",
)
WRITTEN = (
    "quadratic-sparkle",
    "perceptron-sparkle",
    "graphs",
    "stop",
    "patience",
    "metrics",
    "auto",
    "lopa",
    "mdbo",
    "gossip-dsbo",
)
"""The cases that write files, too."""


def run(case: str, folder: Path, comm: Any = None, **more: Any) -> mpidbo.Result:
    return mpidbo.solve(
        **{"agents": N, "iterations": 12, "evaluate_every": 5, "seed": 4, **CASES[case]},
        comm=comm,
        out=folder / case if case in WRITTEN and not more else None,
        **more,
    )


def digest(result: mpidbo.Result) -> str:
    """Of all rows, and of the history without its seconds."""
    iterates = [result, result.best] if result.best else [result]
    rows = [getattr(iterate, name) for iterate in iterates for name in "xyzt"]
    arrays = [part for part in rows if part is not None]
    if result.best:
        arrays += [result.best.x_mean, result.best.y_mean]
    arrays += [
        column for name, column in sorted(result.history.items()) if not name.startswith("seconds_")
    ]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


if __name__ == "__main__":
    from mpi4py import MPI

    COMM = MPI.COMM_WORLD
    place, *cases = sys.argv[1:]
    for name in cases:
        result = run(name, Path(place), COMM)
        found = digest(result)
        assert COMM.allgather(found) == [found] * COMM.size, f"{name}: ranks got different results"
        if COMM.rank == 0:
            print(name, found, flush=True)
    own = run(name, Path(place), COMM, gather=False)
    first, last = (N * rank // COMM.size for rank in (COMM.rank, COMM.rank + 1))
    assert own.x.tobytes() == result.x[first:last].tobytes(), "gather=False: not this rank's rows"
