"""Runs that test_ranks_resumed.py begins in one process and resumes on several ranks."""

import sys
from pathlib import Path
from typing import Any

import mpidbo
from mpi.ranks_solve import DIGRAPHS, QUADRATIC, digest

CASES: dict[str, dict[str, Any]] = {
    "push-pull": {"method": "sparkle-push-pull", "topology": DIGRAPHS},
    "push-sum": {"method": "d-soba-push-sum", "topology": DIGRAPHS["lower"]},
    "fab": {"method": "fab", "topology": {**DIGRAPHS["upper"], "drop": 0.2}},
    "one-peer": {
        "method": {"name": "sparkle-gt", "schedule": "jacobi"},
        "topology": {"name": "one-peer-exponential"},
    },
    "every": {"method": "sparkle-gt-non-gt", "topology": {"name": "ring", "every": 4}},
    "matching": {
        "method": "sparkle-semi-gt",
        "topology": {"upper": {"name": "matching"}, "lower": {"name": "ring", "drop": 0.3}},
    },
    "nr-dsbo": {"method": "nr-dsbo", "topology": {"name": "matching", "every": 2}},
    "momentum": {"method": "sun-dsbo-gt", "steps": {"theta": 0.3}},
    "dm-hsgd": {
        "problem": {"name": "minimax", "noise": 0.3, "p": 3, "q": 4},
        "method": "dm-hsgd-push-pull",
        "topology": DIGRAPHS,
    },
    "lopa": {"method": "lopa-gt", "topology": "one-peer-exponential"},
    "beer-choco": {
        "method": {
            "name": "sparkle",
            "upper": {"name": "choco", "compress": "top-k", "k": 2},
            "lower": {"name": "beer", "compress": "random-k", "k": 3},
        },
    },
    "lead": {"method": "sparkle-lead"},
    "ridge": {
        "method": {"name": "d-soba-gt", "lower_ridge": {"kind": "inverse-sqrt", "start": 0.5}}
    },
}
EVERYDAY = ("push-pull", "one-peer", "every", "momentum", "beer-choco")
PART, ALL = 9, 21
"""Iterations of the first part, and of the whole run."""


def run(case: str, out: Path, iterations: int, **more: Any) -> mpidbo.Result:
    """A run of 8 agents."""
    tables = {**QUADRATIC, **CASES[case], **more}
    return mpidbo.solve(
        **tables, agents=8, iterations=iterations, evaluate_every=3, seed=4, out=out
    )


if __name__ == "__main__":
    from mpi4py import MPI

    COMM = MPI.COMM_WORLD
    place, *cases = sys.argv[1:]
    for name in cases:
        found = digest(run(name, Path(place) / name, ALL, comm=COMM, resume="must"))
        if COMM.rank == 0:
            print(name, found, flush=True)
