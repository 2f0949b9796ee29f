"""Checks that all ranks make together: cores, gossip, and going on without one. Collective."""

import json
import os
from collections.abc import Iterator
from socket import gethostname
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from ..._text import plural
from ...network import MAX_NARROW_WIDTH, centralized, gossip_of, make
from ...parallel import (
    Agents,
    allgather_text,
    barrier,
    is_failure,
    revoke,
    shrunk,
    split,
    why_none_survives,
)
from .findings import ABSENT, OK, WARNING, WRONG, Finding

if TYPE_CHECKING:
    from mpi4py import MPI

MIN_AGENTS = 4
WIDTHS = (3, 100, MAX_NARROW_WIDTH + 1)
"""Floats per row of the messages: two that are sent from a buffer, one that is sent in place."""
TIMED_WIDTH, TIMED_ROUNDS = 100, 100
MAX_ERROR = 1e-12


def check_cores(comm: "MPI.Comm | None") -> Finding:
    """Compare the ranks of each host with the cores that they may use."""
    own = json.dumps([gethostname(), _usable_cores()])
    ranks: dict[str, int] = {}
    cores: dict[str, set[int]] = {}
    for text in allgather_text(comm, own):
        host, usable = json.loads(text)
        ranks[host] = ranks.get(host, 0) + 1
        cores[host] = cores.get(host, set()) | set(usable)

    crowded = [
        f"{plural(ranks[host], 'rank')} on {plural(len(cores[host]), 'core')} of {host}"
        for host in ranks
        if ranks[host] > len(cores[host])
    ]
    if crowded:
        return Finding(
            WARNING,
            "cores",
            f"{', '.join(crowded)}: ranks wait for each other; start fewer, or see how the "
            "launcher binds them",
        )
    all_ranks = plural(sum(ranks.values()), "rank")
    all_cores = plural(sum(map(len, cores.values())), "usable core")
    return Finding(OK, "cores", f"{all_ranks} on {all_cores} of {plural(len(ranks), 'host')}")


def _usable_cores() -> list[int]:
    """The cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def check_gossip(comm: "MPI.Comm | None") -> Finding:
    """Compare W @ s over all ranks with the dense product, on a ring and for the average."""
    ranks = 1 if comm is None else comm.size
    agents = Agents(max(MIN_AGENTS, 2 * ranks), comm)
    own = slice(agents.first, agents.last)
    error, seconds = 0.0, 0.0
    for topology in (make("ring", agents.n), centralized(agents.n)):
        W = gossip_of(topology, agents)
        for width in WIDTHS:
            rows = np.sin(np.arange(1, agents.n + 1)[:, None] * np.arange(1.0, width + 1))
            mixed = agents.gather(W @ rows[own])
            error = max(error, float(abs(mixed - topology.W.toarray() @ rows).max()))
        if topology.name == "ring":
            message = rows[own, :TIMED_WIDTH].copy()
            start = perf_counter()
            for _ in range(TIMED_ROUNDS):
                W @ message
            seconds = (perf_counter() - start) / TIMED_ROUNDS
        W.close()

    text = f"a ring and the average of {agents.n} agents on {plural(ranks, 'rank')}"
    if error > MAX_ERROR:
        return Finding(
            WRONG,
            "gossip",
            f"{text} differ from the dense product by {error:.2g}; the MPI library delivers "
            "wrong rows, try another",
        )
    return Finding(
        OK,
        "gossip",
        f"{text} equal the dense product to {error:.1g}; {1e6 * seconds:.0f} us a round of "
        f"{TIMED_WIDTH} floats",
    )


def check_survivors(comm: "MPI.Comm | None") -> Iterator[Finding]:
    """Whether ranks can continue when one dies, which `run.survive` needs.

    Where MPI says that it can, a communicator is revoked and replaced as after a death.
    """
    if comm is None:
        return
    why = why_none_survives()
    if any(allgather_text(comm, why)):
        yield Finding(
            ABSENT, "survive", f"ranks cannot continue when one dies (run.survive): {why}"
        )
        return
    trial = split(comm, 0)
    barrier(comm)
    revoke(trial)
    try:
        barrier(trial)
        fails = False
    except Exception as error:
        fails = is_failure(error)
    left, dead = shrunk(trial)
    barrier(left)
    if not fails or dead or left.size != comm.size:
        yield Finding(WRONG, "survive", "MPI does not revoke a communicator; leave run.survive out")
    else:
        yield Finding(OK, "survive", "ranks can continue when one dies (run.survive)")
