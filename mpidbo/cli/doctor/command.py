"""What this machine has for a run, and what is wrong with it, over all ranks.

Every rank looks for itself; what all of them find is one line, what they find differently a line each.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname
from time import perf_counter
from typing import Any

import numpy as np

from ..._text import aligned, plural
from ...network.exchange import WIDE
from ...network.levels import gossip
from ...network.topology import centralized, make
from ...parallel.agents import Agents, texts
from .checks import OK, WARNING, WRONG, Line, findings


def examine(comm: Any, *, folder: Path, library: str, refused: str = "") -> list[Line]:
    """All findings, the same on every rank; collective.

    `folder` is where files are tried, `library` why no MPI library could be loaded ("" if one was), `refused` why the
    launcher does not fit it.
    """
    own = findings(comm, folder, library, refused)
    everyone = [[Line(*line) for line in json.loads(text)] for text in texts(comm, json.dumps(own))]
    return [*_merged(everyone), _cores(comm), _gossip(comm)]


def report(lines: list[Line]) -> str:
    """The findings as a table, and how many are wrong."""
    wrong, doubtful = (sum(line.verdict == verdict for line in lines) for verdict in (WRONG, WARNING))
    end = ", ".join([*[f"{wrong} wrong"] * bool(wrong), *[plural(doubtful, "warning")] * bool(doubtful)]) or "nothing is wrong"
    return f"{aligned(lines)}\n\n{end}"


def _merged(everyone: list[list[Line]]) -> Iterator[Line]:
    for what in dict.fromkeys(line.what for lines in everyone for line in lines):
        found: dict[tuple[Line, ...], list[int]] = {}
        for rank, lines in enumerate(everyone):
            found.setdefault(tuple(line for line in lines if line.what == what), []).append(rank)
        for same, ranks in found.items():
            who = f" (rank{'s' * (len(ranks) > 1)} {_ranges(ranks)})" if len(found) > 1 else ""
            for line in same:
                yield line._replace(text=line.text + who)


def _ranges(ranks: list[int]) -> str:
    """"0, 2-4" from [0, 2, 3, 4]."""
    parts: list[list[int]] = []
    for rank in ranks:
        if parts and parts[-1][1] == rank - 1:
            parts[-1][1] = rank
        else:
            parts.append([rank, rank])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _cores(comm: Any) -> Line:
    """Ranks against the cores that they may use, host by host; collective."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    hosts: dict[str, tuple[int, set[int]]] = {}
    for host, cores in (json.loads(text) for text in texts(comm, json.dumps([gethostname(), usable]))):
        ranks, union = hosts.get(host, (0, set()))
        hosts[host] = ranks + 1, union | set(cores)
    crowded = [f"{plural(ranks, 'rank')} on {plural(len(union), 'core')} of {host}" for host, (ranks, union) in hosts.items()
               if ranks > len(union)]
    if crowded:
        return Line(WARNING, "cores", f"{', '.join(crowded)}: ranks wait for each other; start fewer, or see how the launcher binds them")
    total = sum(len(union) for _, union in hosts.values())
    return Line(OK, "cores", f"{plural(sum(ranks for ranks, _ in hosts.values()), 'rank')} on {plural(total, 'usable core')} of "
                             f"{plural(len(hosts), 'host')}")


def _gossip(comm: Any) -> Line:
    """W @ s over all ranks against the dense product, for short and long rows and for the average; collective."""
    size = 1 if comm is None else comm.size
    agents = Agents(max(4, 2 * size), comm)
    worst, micro = 0.0, 0.0
    for topology in (make("ring", agents.n), centralized(agents.n)):
        W = gossip(topology, agents)
        for width in (3, 100, WIDE + 1):
            rows = np.sin(np.arange(1, agents.n + 1)[:, None] * np.arange(1.0, width + 1))
            mixed = agents.gather(W @ rows[agents.first:agents.last])
            worst = max(worst, float(abs(mixed - topology.W.toarray() @ rows).max()))
        if topology.name == "ring":
            few = rows[agents.first:agents.last, :100].copy()
            began = perf_counter()
            for _ in range(100):
                W @ few
            micro = 1e4 * (perf_counter() - began)
        W.close()
    text = f"a ring and the average of {agents.n} agents on {plural(size, 'rank')}"
    if worst > 1e-12:
        return Line(WRONG, "gossip", f"{text} differ from the dense product by {worst:.2g}; the MPI library delivers wrong rows, "
                                     "try another")
    return Line(OK, "gossip", f"{text} equal the dense product to {worst:.1g}; {micro:.0f} us a round of 100 floats")
