"""What test_device.py starts under mpiexec on the stand-in: runs with state on a device, their x
and y as bytes."""

import hashlib
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))

from mpidbo import UserError, cli, solve
from mpidbo.network import exchange
from mpidbo.network import gpu_exchange as staging
from support import standin

QUADRATIC = {"name": "quadratic", "p": 4, "q": 3, "noise": 0.1}
WIDE = {"name": "quadratic", "p": 20, "q": 170, "noise": 0.1}
CASES: dict[str, dict[str, Any]] = {
    **{
        row: {"method": {"name": "sparkle", "lower": row, "upper": row}}
        for row in ("ed", "extra", "gt", "semi-gt", "non-gt", "sgd", "dgd", "centralized")
    },
    "jacobi": {"method": {"name": "sparkle-extra", "schedule": "jacobi"}},
    "two-graphs": {
        "method": "sparkle-gt",
        "topology": {"upper": {"name": "star"}, "lower": {"name": "erdos-renyi", "seed": 2}},
    },
    "failing-links": {"method": "d-soba", "topology": {"name": "ring", "drop": 0.3}},
    "directions": {"method": "sun-dsbo", "topology": "exponential"},
    "float32": {"method": "sparkle-gt", "dtype": "float32"},
    "wide": {"problem": WIDE, "method": "sparkle-extra"},
}
COMMON = {
    "problem": QUADRATIC,
    "topology": "ring",
    "agents": 6,
    "iterations": 6,
    "evaluate_every": 3,
    "seed": 3,
}


def digest(result: Any) -> str:
    return hashlib.sha256(np.concatenate([result.x, result.y], axis=1).tobytes()).hexdigest()


def early() -> list[bool]:
    """For each exchange of a run with extra, whether the device still had work to do that was
    begun before."""
    found: list[bool] = []
    exchanged = exchange.Exchange.__call__
    exchange.Exchange.__call__ = lambda self: (
        found.append(not standin.cuda.Stream.null.done),
        exchanged(self),
    )[1]  # type: ignore[method-assign]
    return found


def main(what: str, *names: str) -> None:
    comm, rank = cli.comm_world(), None
    rank = 0 if comm is None else comm.rank
    if what == "hangs":  # the last rank, in its third exchange
        calls, cross = itertools.count(), staging.Direct.cross
        if rank == comm.size - 1:
            staging.Direct.cross = lambda *a: time.sleep(600) if next(calls) == 3 else cross(*a)  # type: ignore[method-assign]
        solve(**COMMON, comm=comm, device="cuda", buffers="device", stall_timeout=2)
    if what == "early":
        found = early()
        for row in names:
            found.clear()
            solve(
                **COMMON,
                method={"name": "sparkle", "lower": row, "upper": row},
                comm=comm,
                device="cuda",
            )
            if rank == 0:
                print(row, sum(found), len(found))
        return
    for name in names or CASES:
        try:
            printed = digest(
                solve(**{**COMMON, **CASES[name]}, comm=comm, device="cuda", buffers=what)
            )
        except UserError as error:
            printed = str(error)
        if rank == 0:
            print(f"{name}: {printed}")


if __name__ == "__main__":
    main(*sys.argv[1:])
