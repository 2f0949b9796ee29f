"""Calls of `solve` whose arguments differ from rank to rank, one after the other; rank 0 prints
what all ranks said, as JSON."""

import importlib
import json
import sys
from pathlib import Path

import networkx
import numpy as np
from mpi4py import MPI

from mpidbo import UserError, solve
from mpidbo.parallel import allgather_text
from mpidbo.problems.quadratic import Quadratic

COMM = MPI.COMM_WORLD
RANK, LAST = COMM.rank, COMM.rank == COMM.size - 1


class Optional(Quadratic):
    """A quadratic with an option that may be anything."""

    def __init__(self, agent, n_agents, *, anything=None, **options):
        super().__init__(agent, n_agents, **options)


def local(p):
    """A class of this function."""

    class Local(Quadratic):
        pass

    return Local


def sourced(folder):
    """A class of one name, of which the last rank has another file."""
    place = Path(folder, str(LAST))
    place.mkdir(parents=True, exist_ok=True)
    if RANK == 0 or LAST:
        (place / "mine.py").write_text(
            f"from mpidbo.problems.quadratic import Quadratic\nclass Mine(Quadratic):\n    "
            f"last = {LAST}\n"
        )
    COMM.Barrier()
    sys.path.insert(0, str(place))
    return importlib.import_module("mine").Mine


def function():
    pass


def other_function():
    pass


class Plain:
    """An object without a repr of its own."""

    def __init__(self, value):
        self.value = value


def option(value):
    return {"problem": {"name": Optional, "anything": value}}


def cases(folder):
    ring, star = networkx.cycle_graph(4), networkx.star_graph(3)
    big = np.arange(10000.0)
    yield "seed", {"seed": RANK}
    yield "seed of the last", {"seed": int(LAST)}
    yield "iterations", {"iterations": 3 + RANK}
    yield "metrics", {"metrics": ["hypergradient_norm"] if RANK else []}
    yield "stop", {"stop": {"metric": "upper_loss", "below": 1.0}} if LAST else {}
    yield "out", {"out": folder} if RANK == 0 else {}
    yield "out of the last", {"out": folder} if LAST else {}
    yield "gather", {"gather": RANK == 0}
    yield "steps", {"steps": {"alpha": 0.1 if LAST else 0.2}}
    yield "schedule", {"steps": {"alpha": {"kind": "inverse-sqrt", "start": 0.1}}} if LAST else {}
    yield "method", {"method": "d-soba" if LAST else "sparkle"}
    yield "topology", {"topology": "star" if LAST else "ring"}
    yield (
        "levels",
        {"topology": {"upper": {"name": "star"}, "lower": {"name": "ring"}}} if LAST else {},
    )
    yield "agents", {"agents": 4 + 2 * LAST}
    yield "stall_timeout", {"stall_timeout": 7 + RANK}
    yield (
        "everything",
        {
            "seed": RANK,
            "iterations": 3 + RANK,
            "evaluate_every": 1 + RANK,
            "dtype": "float32" if LAST else "float64",
            "method": "d-soba" if LAST else "sparkle",
            "steps": {"alpha": 0.1 * (1 + RANK)},
        },
    )
    yield "problem", {"problem": "linear-regression" if LAST else "quadratic"}
    yield "class", {"problem": Optional if LAST else Quadratic}
    yield "local class", {"problem": local(3) if LAST else Quadratic}
    yield "option", {"problem": {"name": "quadratic", "p": 3 + LAST}}
    for name, value in {
        "array": big + LAST * (big == 5000),
        "function": other_function if LAST else function,
        "graph": star if LAST else ring,
        "object": Plain(int(LAST)),
        "dtype": big.astype("f4" if LAST else "f8"),
        "list": [1, {"a": np.zeros(3) + LAST}],
    }.items():
        yield f"option {name}", option(value)
    yield (
        "edges",
        {
            "topology": networkx.cycle_graph(500) if LAST else networkx.path_graph(500),
            "agents": 500,
        },
    )
    yield "source", {"problem": sourced(sys.argv[2])}
    yield "long", option("a" * 5000 + str(RANK))
    yield (
        "same",
        option(
            [
                big,
                function,
                ring,
                Plain(1),
                lambda: 0,
                {"b", "a", "c"},
                networkx.Graph([*{("u", "v"), ("v", "w")}]),
            ]
        ),
    )
    yield "same local class", {"problem": local(2)}


answers = {}
for name, arguments in cases(sys.argv[1]):
    printed = ""
    try:
        solve(
            **{
                "problem": "quadratic",
                "agents": 4,
                "iterations": 3,
                "comm": COMM,
                "stall_timeout": 30,
                **arguments,
            }
        )
    except UserError as error:
        printed = str(error)
        assert error.agreed
    answers[name] = allgather_text(COMM, printed)
if RANK == 0:
    print(json.dumps(answers))
