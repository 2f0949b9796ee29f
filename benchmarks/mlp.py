"""(d) Shares of oracle, exchange and update in hyper-cleaning with a perceptron 784-300-10."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from mpi4py import MPI

from images import random_images
from mpidbo import solve
from paired import PAIRS, median

comm = MPI.COMM_WORLD

with TemporaryDirectory() as name:
    folder = Path(comm.bcast(name))
    if comm.rank == 0:
        random_images(folder, 6000, "train")
        random_images(folder, 500, "t10k")
    comm.Barrier()
    for batch, dtype in ((64, "float64"), (64, "float32"), (256, "float64")):
        for method in ("sparkle-ed-gt", "d-soba", {"name": "sparkle-ed", "schedule": "jacobi"}):
            result = solve(
                {
                    "name": "hyper-cleaning",
                    "data": str(folder),
                    "model": "mlp",
                    "hidden": [300],
                    "batch": batch,
                    "n_train": 5000,
                    "n_validation": 1000,
                },
                method,
                agents=comm.size,
                iterations=20 * (PAIRS + 1),
                evaluate_every=20,
                dtype=dtype,
                comm=comm,
            )
            parts = {
                part: np.diff(result.history[f"seconds_{part}"])[1:]
                for part in ("oracle", "exchange", "update")
            }
            total = sum(parts.values())
            share = {part: median(values / total) for part, values in parts.items()}
            if comm.rank == 0:
                label = method if isinstance(method, str) else "sparkle-ed, jacobi"
                print(
                    f"(d) {label}, {comm.size} ranks, batch {batch}, {dtype}: "
                    f"{median(total) / 20 * 1e3:.2f} ms an iteration, "
                    + ", ".join(f"{part} {100 * value:.1f} %" for part, value in share.items()),
                    flush=True,
                )
    comm.Barrier()
