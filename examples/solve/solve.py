"""One call in Python: the error that plain gossip leaves, and Exact Diffusion does not.

    python examples/solve/solve.py [ITERATIONS]              all agents in this process
    mpiexec -n 4 python -m mpi4py examples/solve/solve.py    the agents spread over 4 ranks

The numbers are the same, to the bit.
"""

import sys

import mpidbo


def world():
    """COMM_WORLD under mpiexec, else None; mpidbo takes a communicator as an argument."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError):  # no mpi4py, or no MPI library that it could load
        return None
    return MPI.COMM_WORLD if MPI.COMM_WORLD.size > 1 else None


METHODS = {
    "D-SOBA": "d-soba",  # plain gossip: its x stays away from the solution when agents differ
    "D-SOBA with ED": "d-soba-ed",
    "SPARKLE-ED": "sparkle-ed",
    "SPARKLE, a pair of one's own": {"name": "sparkle", "lower": "gt", "upper": "extra"},
}


def main(iterations=3000):
    comm = world()
    found = {}
    for name, method in METHODS.items():
        found[name] = mpidbo.solve(
            problem={"name": "quadratic", "heterogeneity": 1.0},  # or a class of your own
            method=method,
            topology="ring",
            agents=8,
            steps={"alpha": 0.01, "beta": 0.2, "gamma": 0.2},
            iterations=iterations,
            seed=1,
            evaluate_every=max(1, iterations // 6),
            comm=comm,
        )
    if comm is None or comm.rank == 0:  # a result is the same on every rank
        result = found["SPARKLE-ED"]
        print(
            f"x of all agents: {result.x.shape}; history: {', '.join(list(result.history)[:7])}, "
            "...\n"
        )
        print(
            "distance to x* after         "
            + "".join(f"{k:>9}" for k in result.history["iteration"])
            + "    floats sent"
        )
        for name, result in found.items():
            numbers = "".join(f"{value:>9.1e}" for value in result.history["distance"])
            print(f"{name:<29}{numbers}  {int(result.history['floats'][-1]):>13,}")
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
