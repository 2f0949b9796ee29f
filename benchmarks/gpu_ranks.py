"""Jobs of gpu.py under mpiexec, with all ranks on one GPU: `gpu_ranks.py NAME '{...}'`.

Rank 0 prints rows as lines of JSON.
"""

import json
import sys
import warnings
from typing import Any

from gpu_common import TINY, Rows, Sizes, perceptron, plan_of, stand_in, stepping, waiting, wall

if "--stand-in" in sys.argv:
    stand_in()

from mpi4py import MPI

from mpidbo import UserError
from mpidbo.network import gossip_of, make
from mpidbo.parallel import Agents, choose_backend

comm = MPI.COMM_WORLD


def many(size: Sizes) -> Rows:
    """Oracles of all agents at once: where the bits are those of single calls, and always."""
    for agents in size.agents:
        for batched in ("exact", "always")[: 1 + (agents > comm.size)]:
            if agents >= comm.size:
                problem = {"name": "quadratic", "p": size.d, "q": size.d}
                with plan_of(
                    comm,
                    problem=problem,
                    run={"agents": agents, "device": "cuda", "batched": batched},
                ) as plan:
                    yield {
                        "problem": f"quadratic, p = q = {size.d}",
                        "agents": agents,
                        "ranks": comm.size,
                        "batched": batched,
                        "iteration, ms": 1e3 * wall(waiting(plan, stepping(plan)), size, comm),
                    }


def messages(size: Sizes, buffers: str) -> Rows:
    """W @ s for one agent per rank; an MPI without support for device buffers may abort."""
    import numpy as np

    backend: Any = choose_backend("cuda", comm, buffers)
    agents = Agents(comm.size, comm)
    for dtype in ("float32", "float64"):
        try:
            W = gossip_of(make("ring", agents.n), agents, dtype, backend)
        except UserError as error:
            yield str(error)
            return
        for floats in size.messages:
            rows = backend.rows(np.random.default_rng(0).standard_normal((1, floats)).astype(dtype))

            def exchange(times: int) -> None:
                mixed = rows
                for _ in range(times):
                    mixed = W @ mixed
                backend.device.synchronize()

            took = wall(exchange, size, comm)
            yield {
                "buffers": buffers,
                "dtype": dtype,
                "floats": floats,
                "W @ s, us": took * 1e6,
                "GB/s": floats * np.dtype(dtype).itemsize / took / 1e9,
            }
        W.close()


def hidden(size: Sizes, folder: str) -> Rows:
    """The gain of extra, whose message is known before its direction, over ed."""
    batch = max(size.batches)
    took: dict[str, float] = {}
    for row in ("ed", "extra", "ed", "extra"):
        problem = perceptron(folder, size, size.hidden, batch // comm.size)
        with plan_of(
            comm,
            problem=problem,
            method={"name": "sparkle", "lower": row, "upper": row, "schedule": "jacobi"},
            run={"agents": comm.size, "dtype": "float32", "device": "cuda"},
        ) as plan:
            took[row] = min(
                wall(waiting(plan, stepping(plan)), size, comm), took.get(row, float("inf"))
            )
            x, y = map(plan.backend.rows, plan.rows())
            took["exchange"] = wall(
                waiting(plan, lambda times: [plan.W @ (x, y, y) for _ in range(times)]), size, comm
            )
    yield {
        "hidden behind the oracle": "sparkle, jacobi",
        "floats of a message": sum(plan.dims) + plan.dims[1],
        "ed, ms": took["ed"] * 1e3,
        "extra, ms": took["extra"] * 1e3,
        "exchange alone, ms": took["exchange"] * 1e3,
        "hidden, %": 100 * (took["ed"] - took["extra"]) / took["exchange"],
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)
    given = [word for word in sys.argv[1:] if word != "--stand-in"]
    work = {"many": many, "messages": messages, "hidden": hidden}[given[0]]
    for row in work(TINY if "--stand-in" in sys.argv else Sizes(), **json.loads(given[1])):
        if comm.rank == 0:
            print(json.dumps(row), flush=True)
