"""The plan of a run in words, before it is run."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._text import aligned, plural, quantity
from ..algorithms.communication import traffic
from ..solver.plan import Plan


def describe(plan: Plan) -> str:
    """On rank 0: what would run where, and what an iteration costs in memory and messages; collective. No iteration is done."""
    config, agents, method = plan.config, plan.agents, plan.method
    now = max(int(text) for text in agents.texts(str(_resident())))
    if agents.rank > 0:
        return ""
    p, q = plan.dims
    name = config.problem["name"]
    rows = [("problem", f"{name if isinstance(name, str) else name.__name__}: p = {p}, q = {q}, {config.run.dtype}"),
            ("method", f"{config.method['name']}: " + ", ".join(f"{level} by {row}" for level, row in method.strategies().items()))]
    for topology in {id(topology): topology for topology in plan.levels.values()}.values():
        levels = [f"W.{level}" for level, other in plan.levels.items() if other is topology]
        rows.append((" ".join(levels), f"{topology.name}: spectral gap {topology.gap:.3g}, smallest eigenvalue "
                                       f"{topology.lambda_min:.3g}, at most {plural(int(topology.degrees.max()), 'neighbour')}"
                                       + (f", links fail with probability {topology.drop:g}" if topology.drop else "")))
    most = max(last - first for first, last in zip(agents.bounds, agents.bounds[1:], strict=False))
    rows.append(("agents", f"{agents.n} on {plural(agents.size, 'rank')}" + (f", at most {most} on each" if agents.size > 1 else "")))
    state = sum(array.nbytes for array in leaves(method.start(*plan.rows()))) // agents.m * most
    rows.append(("memory", f"{quantity(now, 'B')} a rank before the start (program and data) and about {quantity(2 * state, 'B')} for "
                           f"two states of {plural(most, 'agent')}"
                           + (f", {quantity(state, 'B')} more while a checkpoint is written" if config.checkpoint.every else "")))
    rows += _sent(plan)
    rows.append(("run", f"{plural(config.run.iterations, 'iteration')}, evaluated every {config.run.evaluate_every}"
                        + (f", into {config.run.out}" if config.run.out else "")))
    return aligned(rows)


def _sent(plan: Plan) -> list[tuple[str, str]]:
    K, size = plan.config.run.iterations, np.dtype(plan.config.run.dtype).itemsize
    ks = np.linspace(1, max(1, K - 1), 33).astype(int).tolist()
    (one, *first), (end, *last) = _iteration(plan, ks[0]), _iteration(plan, ks[-1])
    alike = first == last
    floats, messages = K * np.mean([first if alike else _iteration(plan, k)[1:] for k in ks], axis=0)
    sure = alike and not any(topology.drop for topology in plan.levels.values())
    rows = [("iteration", one)] if alike else [("iteration 1", one), (f"iteration {ks[-1]}", end)]
    return [*rows, ("in all", f"{'' if sure else 'about '}{quantity(floats)} floats ({quantity(floats * size, 'B')}) in "
                              f"{quantity(messages)} messages")]


def _iteration(plan: Plan, k: int) -> tuple[str, int, int]:
    """What iteration k sends, in words, and floats and messages over all agents."""
    found = traffic(plan.method, plan.levels, plan.dims, k)
    floats, messages = (round(sum(each * part.edges for each, part in zip(counts, found, strict=True)))
                        for counts in ([part.floats for part in found], [part.rounds for part in found]))
    rounds = sum(part.rounds for part in found)
    each = " and ".join(f"{part.floats} floats" + (f" over {part.topology.name}" if len(found) > 1 else "") for part in found)
    size = np.dtype(plan.config.run.dtype).itemsize
    return (f"{each} to each neighbour, {plural(rounds, 'round')}; over all agents {quantity(floats)} floats "
            f"({quantity(floats * size, 'B')}) in {plural(messages, 'message')}"), floats, messages


def leaves(state: Any) -> Iterator[Any]:
    """The arrays of a state."""
    if isinstance(state, tuple):
        for part in state:
            yield from leaves(part)
    else:
        yield state


def _resident() -> int:
    """The most memory that this program has had, in bytes."""
    try:                                                    # getrusage counts what the process was before it became this program
        status = Path("/proc/self/status").read_text()
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
