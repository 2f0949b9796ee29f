"""The plan of a run as text, printed by `mpidbo run --dry-run`."""

import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._pytree import leaves
from .._text import aligned, plural, quantity
from ..algorithms import CommunicationCost, Strategy, communication_cost, table_of
from ..network import Topology
from ..solver import Setup
from ..storage import VARIABLES

SAMPLED_ITERATIONS = 33
"""Iterations whose messages are counted where they differ from iteration to iteration."""

Row = tuple[str, str]
"""A label and what it is."""


def describe(setup: Setup) -> str:
    """Return what would run where, and what it costs in memory and messages; collective.

    Parameters
    ----------
    setup : Setup
        A run that is set up; no iteration is done.

    Returns
    -------
    str
        The text on rank 0, "" elsewhere.
    """
    config, agents = setup.config, setup.agents
    peaks = agents.allgather_text(str(_peak_memory()))
    if agents.rank > 0:
        return ""
    p, q = setup.dims
    problem = config.problem["name"]
    if not isinstance(problem, str):
        problem = problem.__name__
    strategies = setup.method.strategies()
    levels = ", ".join(f"{level} by {_described(row)}" for level, row in strategies.items())
    run = (
        f"{plural(config.run.iterations, 'iteration')}, evaluated every {config.run.evaluate_every}"
    )
    if config.run.out:
        run += f", into {config.run.out}"
    rows = [
        ("problem", f"{problem}: p = {p}, q = {q}, {config.run.dtype}"),
        ("method", f"{config.method['name']}: {levels}"),
        *_topologies(setup.levels),
        ("agents", _distribution(setup)),
        ("memory", _memory(setup, max(int(peak) for peak in peaks))),
        *_communication(setup),
        ("run", run),
    ]
    if config.auto:
        rows.append(("steps", f"{', '.join(config.auto)} are found before the run, by short runs"))
    return aligned(rows)


def _described(strategy: Strategy) -> str:
    """A strategy with what its messages are, such as "beer (top-k, k = 0.1, gamma = 0.6)"."""
    table = table_of(strategy)
    if isinstance(table, str):
        return table
    name, *values = table.values()
    keys = [*table][1:]
    parts = [
        str(value) if key in ("compress", "wire") else f"{key} = {value:g}"
        for key, value in zip(keys, values, strict=True)
    ]
    return f"{name} ({', '.join(parts)})"


def _topologies(levels: Mapping[str, Topology]) -> list[Row]:
    """Each topology, by the levels that share it."""
    rows = []
    for topology in {id(topology): topology for topology in levels.values()}.values():
        names = [f"W.{level}" for level, other in levels.items() if other is topology]
        most = plural(int(topology.degrees.max()), "neighbour")
        text = f"{topology.name}: spectral gap {topology.gap:.3g}, "
        if "W" in topology.weights:
            text += f"smallest eigenvalue {topology.lambda_min:.3g}, "
        text += f"at most {most}"
        if str(topology.turns):
            text += f", {topology.turns}"
        if topology.drop:
            text += f", links fail with probability {topology.drop:g}"
        rows.append((" ".join(names), text))
    return rows


def _most_agents(setup: Setup) -> int:
    """Of one rank."""
    return max(np.diff(setup.agents.bounds).tolist())


def _distribution(setup: Setup) -> str:
    agents = setup.agents
    text = f"{agents.n} on {plural(agents.size, 'rank')}"
    if agents.size > 1:
        text += f", at most {_most_agents(setup)} on each"
    return text


def _memory(setup: Setup, peak: int) -> str:
    """What a rank has in memory before the start, and what the states take."""
    most = _most_agents(setup)
    state = setup.method.start(*setup.rows())
    size = sum(array.nbytes for _, array in leaves(state)) // setup.agents.m * most
    text = (
        f"{quantity(peak, 'B')} a rank before the start (program and data) and about "
        f"{quantity(2 * size, 'B')} for two states of {plural(most, 'agent')}"
    )
    if setup.config.run.best:
        kept = [getattr(state, name) for name in VARIABLES if hasattr(state, name)]
        best = sum(rows.nbytes for rows in kept) // setup.agents.m * most
        text += f", {quantity(best, 'B')} for the best iterate"
    if setup.config.checkpoint.every:
        text += f", {quantity(size, 'B')} more while a checkpoint is written"
    return text


class _Sent(NamedTuple):
    """What an iteration sends: to each neighbour, and over all agents."""

    costs: list[CommunicationCost]
    floats: int
    bytes: int
    messages: int

    def text(self) -> str:
        several = len(self.costs) > 1
        parts = [
            f"{cost.floats} floats over {cost.topology.name}"
            if several
            else f"{cost.floats} floats"
            for cost in self.costs
        ]
        rounds = plural(sum(cost.rounds for cost in self.costs), "round")
        size = quantity(self.bytes, "B")
        return (
            f"{' and '.join(parts)} to each neighbour, {rounds}; over all agents "
            f"{quantity(self.floats)} floats ({size}) in {plural(self.messages, 'message')}"
        )

    @property
    def totals(self) -> tuple[int, int, int]:
        return self.floats, self.bytes, self.messages


def _sent(setup: Setup, k: int) -> _Sent:
    """What iteration k sends."""
    costs = communication_cost(setup.method, setup.levels, setup.dims, k, setup.config.run.dtype)
    floats = round(sum(cost.floats * cost.edges for cost in costs))
    size = round(sum(cost.bytes * cost.edges for cost in costs))
    messages = round(sum(cost.rounds * cost.edges for cost in costs))
    return _Sent(costs, floats, size, messages)


def _communication(setup: Setup) -> list[Row]:
    """What an iteration and the run send; of a growing iteration the first, the last and a mean."""
    iterations = setup.config.run.iterations
    last = max(1, iterations - 1)
    ks = np.linspace(1, last, SAMPLED_ITERATIONS).astype(int).tolist()
    first, end = _sent(setup, 1), _sent(setup, last)
    constant = first.totals == end.totals
    sampled = [first.totals if constant else _sent(setup, k).totals for k in ks]
    floats, size, messages = iterations * np.mean(sampled, axis=0)
    if constant:
        rows = [("iteration", first.text())]
    else:
        rows = [
            ("iteration 1", first.text()),
            (f"iteration {last}", end.text()),
        ]
    exact = constant and not any(
        topology.drop or str(topology.turns) for topology in setup.levels.values()
    )
    total = f"{quantity(floats)} floats ({quantity(size, 'B')}) in {quantity(messages)} messages"
    return [*rows, ("in all", total if exact else f"about {total}")]


def _peak_memory() -> int:
    """The most memory that this program has had, in bytes."""
    # Of Linux, as getrusage counts what the process was before it became this program, too.
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        status = ""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
