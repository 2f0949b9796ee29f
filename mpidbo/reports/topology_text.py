"""A topology as text: size, degrees, spectrum of its weights, and the strategies that it suits."""

import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._fields import convert
from .._text import aligned
from .._types import Array
from ..algorithms import STRATEGIES, Strategy
from ..config import RUN_FIELDS
from ..errors import UserError, known_as
from ..network import TOPOLOGIES, Topology, agents_of, make, perron, suits

NEGLIGIBLE = 1e-12
"""Below this a norm, or a difference of weights, is rounding."""
REMAINDER = 1e-6
"""The part of the disagreement of which the number of rounds is printed."""


def topology_of(name: str, n: int | None, options: Mapping[str, Any]) -> Topology:
    """Make the topology of a name or a file.

    Parameters
    ----------
    name : str
        A name of TOPOLOGIES, or a file with W or a graph.
    n : int or None
        The number of agents; None for a file, which determines it.
    options : mapping
        Further keys of [topology].

    Raises
    ------
    UserError
        Where the number of agents is missing, or the topology cannot be made.
    """
    is_file = not known_as(name, TOPOLOGIES) and (Path(name).suffix != "" or os.path.isfile(name))
    if n is None and not is_file:
        raise UserError(
            f"-n: missing; give the number of agents, such as mpidbo topology {name} -n 8"
        )
    if n is not None:
        convert(n, RUN_FIELDS["agents"].hint, "-n")
    return make({"file" if is_file else "name": name, **options}, n or agents_of(Path(name)))


def topology_report(topology: Topology) -> str:
    """Return size, degrees and spectrum, and the strategies that a topology suits, as text."""
    degrees = topology.degrees
    own = np.concatenate(
        [matrix.diagonal() for graph in topology.graphs for matrix in graph.weights.values()]
    )
    lazy = "yes" if own.min() >= 1 / 2 else "no"
    counts = f"least {degrees.min()}, mean {degrees.mean():.4g}, most {degrees.max()}"
    rows = [("agents", str(topology.n))]
    if str(topology.turns):
        rows.append(("iterations", str(topology.turns)))
    rows += [
        ("neighbours", counts + (" at a time" if len(topology.graphs) > 1 else "")),
        *_weights(topology),
        ("lazy", f"{lazy}, own weights {_range(own)}"),
        ("rho", f"{topology.rho:.6g}, {_meaning_of_rho(topology)}"),
        ("spectral gap", f"{topology.gap:.6g}, 1 - rho"),
    ]
    if "W" in topology.weights:
        smallest = topology.lambda_min if abs(topology.lambda_min) >= NEGLIGIBLE else 0
        rows.append(("smallest eigenvalue", f"{smallest:.6g}"))
    if topology.drop:
        failing = (
            f"{topology.drop:g}, with which each edge fails at each iteration; the mean of "
            f"{' and '.join(topology.weights)} then has the spectral gap {topology.mean.gap:.6g}"
        )
        rows.append(("drop", failing))
    rows.append(("strategies", ""))
    verdicts = [(strategy.name, _verdict(topology, strategy)) for strategy in STRATEGIES.values()]
    parts = [topology.name, aligned(rows, indent="  "), aligned(verdicts, indent="    ")]
    return "\n".join(parts)


def _weights(topology: Topology) -> list[tuple[str, str]]:
    """What the mixing matrices are; of A and B also how unequal agents weigh in the long run."""
    if "W" in topology.weights:
        return [("W", "symmetric" if topology.symmetric else "not symmetric")]
    rows = []
    for name, matrix in topology.weights.items():
        # Of graphs that change this is of their mean.
        line, columns = ("rows", matrix.T) if name == "A" else ("columns", matrix)
        shares = _range(perron(columns))
        rows.append((name, f"{line} sum to one, n times its Perron vector: {shares}"))
    return rows


def _meaning_of_rho(topology: Topology) -> str:
    """What rho is for this topology, and how many rounds leave a millionth of the disagreement."""
    changes = len(topology.graphs) > 1
    if topology.rho < NEGLIGIBLE:
        if changes:
            return f"the product of {len(topology.turns.order)} rounds is the average"
        return "what one round leaves of the disagreement; 1 rounds leave a millionth"
    rounds = math.ceil(math.log(REMAINDER) / math.log(topology.rho))
    if "W" not in topology.weights:
        what = "in the long run what one round leaves of the disagreement"
    else:
        what = "what one round leaves of the disagreement" + (" in the mean" if changes else "")
    return f"{what}; {rounds} rounds leave a millionth"


def _range(values: Array) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.4g}" if high - low < NEGLIGIBLE else f"{low:.4g} to {high:.4g}"


def _verdict(topology: Topology, strategy: Strategy) -> str:
    """Whether the topology suits a strategy, and what is refused or warned of."""
    if strategy.averages:
        return "suits; it averages over all agents, whatever the topology"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            suits(topology, strategy)
        except UserError as error:
            _, _, reason = str(error).partition(": ")
            return f"refused: {reason}"
    if not caught:
        return "suits"
    _, _, caution = str(caught[0].message).partition(": ")
    return caution
