"""Gossip with links that fail, and the single-centre variant without its centre."""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._signals import Held
from ...config import check as check_config
from ...parallel import agreed, allgather_text, is_root
from ...reports import FigureFolder
from ...solver import Loop, Plan
from ...storage import read_text, write_text
from .base import Claim, Size
from .comparison import Comparison, as_good, better, mean_std
from .gossip_policy_evaluation import falling
from .panels import Curve, panels

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

RING: dict[str, Any] = {"name": "ring"}
NO_LINKS = {**RING, "drop": 1 - 2.0**-40}
"""All links fail, in practically all iterations."""
BEFORE: dict[str, tuple[str, dict[str, Any]]] = {
    "gossip": ("gossip-dsbo", RING),
    "one centre": ("gossip-dsbo-centralized", RING),
}
"""Case -> method and topology until the failure."""
AFTER: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gossip": ("gossip", "gossip-dsbo", RING),
    "5 % of the links fail": ("gossip", "gossip-dsbo", {**RING, "drop": 0.05}),
    "one link is lost": ("gossip", "gossip-dsbo", {"name": "path"}),
    "one centre": ("one centre", "gossip-dsbo-centralized", RING),
    "the centre is lost": ("one centre", "gossip-dsbo", NO_LINKS),
}
"""Case -> its case until the failure, and method and topology from then on."""
MAX_RATIO_OF_LINKS, MIN_RATIO_OF_CENTRE = 1.1, 2.0
EVALUATIONS = 50
SIZES = {"quick": (8, 8, 600, 5), "standard": (20, 8, 2000, 20), "full": (100, 10, 10000, 10)}
"""States, p, T, seeds."""


class FailingLink(Claim):
    """The failure comes at iteration T/2 on a ring of 10 agents; runs continue from their states.

    With a lost centre no agent receives anything, and each continues from its own state, at the
    same iteration and step sizes; that is a graph all of whose links fail. An agent that has only
    its own data then solves its own problem. The single centre is the published variant of
    Gossip-DSBO.

    The paper's failures are random and last an iteration. A link that is lost for good makes the
    ring a path, another graph, which is not claimed to be as good; it is drawn beside the others,
    and was a part of the rule at first. The quick size has 8 states and 600 iterations and takes
    some 15 s; the full one has the paper's sizes.
    """

    statement = (
        "gossip tolerates link failures, the single-centre variant does not tolerate the loss of "
        "its centre"
    )
    source = "Gossip-DSBO's robustness (Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870)"
    rule = (
        "policy evaluation, the agents' distance to x* over the last quarter, failures from T/2 "
        "on: with 5 % of the links failing at each iteration it is at most "
        f"{MAX_RATIO_OF_LINKS:g} times that of an intact ring; after the loss of the centre it is "
        f"at least {MIN_RATIO_OF_CENTRE:g} times that with the centre"
    )
    full_hours = 30

    def studies(self, size: Size) -> Mapping[str, Any]:
        return {}

    def run(
        self, size: Size, out: Path, comm: "Comm | None", log: Callable[[str], None]
    ) -> Mapping[str, Curve] | None:
        """Case -> the iterations and the distances. Collective."""
        states, p, T, seeds = SIZES[size]
        every, half = T // EVALUATIONS, T // 2
        problem = {"name": "policy-evaluation-residual", "states": states, "p": p}

        def plan(method: str, topology: Mapping[str, Any], seed: int) -> Plan:
            return _plan(problem, method, topology, T, seed, comm)

        def distances(seed: int) -> dict[str, list[float]]:
            found = {}
            halves = {
                name: followed(plan(method, topology, seed), None, 0, half, every)
                for name, (method, topology) in BEFORE.items()
            }
            for name, (before, method, topology) in AFTER.items():
                state, first = halves[before]
                _, second = followed(plan(method, topology, seed), state, half, T, every)
                found[name] = first + second
            return found

        rows = []
        with Held() as held:
            for seed in range(seeds):
                if any(allgather_text(comm, held.asked)):
                    return None
                rows.append(_kept(out / f"seed-{seed}.json", partial(distances, seed), comm))
                ends = ", ".join(f"{name} {values[-1]:.4g}" for name, values in rows[-1].items())
                log(f"seed {seed}, distance: {ends}")
        k = every * np.arange(1, EVALUATIONS + 1)
        return {name: (k, np.array([row[name] for row in rows])) for name in AFTER}

    def judge(self, found: Mapping[str, Any]) -> Iterable[Comparison]:
        ends = {
            name: values[:, -values.shape[1] // 4 :].mean(axis=1)
            for name, (_, values) in found.items()
        }
        fail, none = ends["5 % of the links fail"], ends["gossip"]
        yield as_good(
            "5 % of the links fail",
            f"distance {mean_std(fail)}, none {mean_std(none)}",
            none,
            fail,
            MAX_RATIO_OF_LINKS,
        )
        lost, centre = ends["the centre is lost"], ends["one centre"]
        yield better(
            "the centre is lost",
            f"distance {mean_std(lost)}, with it {mean_std(centre)}",
            lost,
            centre,
            MIN_RATIO_OF_CENTRE,
        )

    def draw(self, found: Mapping[str, Any], out: FigureFolder) -> list[Path]:
        titles = {
            "gossip on a ring": ["gossip", "5 % of the links fail", "one link is lost"],
            "one centre": ["one centre", "the centre is lost"],
        }
        shown = {title: {name: found[name] for name in names} for title, names in titles.items()}
        ylabel = "distance to x*, of the agents"
        return [panels(out, "curves", shown, "iterations", ylabel, log=True)]


def _kept(
    path: Path, compute: Callable[[], dict[str, list[float]]], comm: "Comm | None"
) -> dict[str, list[float]]:
    """What the file holds, else what is computed, which is written there. Collective."""
    text = ""
    with agreed(comm):
        if is_root(comm) and path.is_file():
            text = read_text(path)
    text = allgather_text(comm, text)[0]
    if text:
        kept: dict[str, list[float]] = json.loads(text)
        return kept
    found = compute()
    with agreed(comm):
        if is_root(comm):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(found))
    return found


def _plan(
    problem: Mapping[str, Any],
    method: str,
    topology: Mapping[str, Any],
    T: int,
    seed: int,
    comm: "Comm | None",
) -> Plan:
    """A run of Gossip-DSBO of T iterations, with theory's step sizes."""
    C1 = T / 20
    steps = {
        "alpha": falling(2 / C1, C1),
        "beta": falling(0.4, C1),
        "theta": falling(1.0, C1),
    }
    tables = {
        "problem": problem,
        "method": {"name": method, "b": 1, "L": 2.0, "mu_g": 2.0},
        "topology": topology,
        "steps": steps,
        "run": {"agents": 10, "iterations": T, "seed": seed},
    }
    return Plan(check_config(tables), comm)


def followed(plan: Plan, state: Any, first: int, last: int, every: int) -> tuple[Any, list[float]]:
    """Take iterations first, ..., last - 1 from a state, or from the start. Collective.

    Returns the state, and the agents' distance to x* after every so many iterations.
    """
    distances = []
    with plan:
        loop = Loop(plan.method, plan.oracle, plan.W)
        solution = plan.problems[0].solution()
        if state is None:
            state = plan.method.start(*plan.rows())
        for k in range(first, last, every):
            state = loop.steps(state, k, k + every)
            squares = ((state.x - solution) ** 2).sum(axis=1)
            distances.append(float(np.sqrt(plan.agents.mean(squares))))
    return state, distances
