"""Gossip survives links that fail; one centre that is lost is not survived."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...config import validate as configuration
from ...solver.loop import Loop
from ...solver.plan import Plan
from .base import Claim, Finding, log_ratio, numbers
from .gossip_policy_evaluation import falling
from .panels import panels

RING: dict[str, Any] = {"name": "ring"}
NOBODY = {**RING, "drop": 1 - 2.0**-40}
BEFORE: dict[str, tuple[str, dict[str, Any]]] = {"gossip": ("gossip-dsbo", RING), "one centre": ("gossip-dsbo-centralized", RING)}
"""Method and topology until the failure."""
AFTER: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gossip": ("gossip", "gossip-dsbo", RING),
    "5 % of the links fail": ("gossip", "gossip-dsbo", {**RING, "drop": 0.05}),
    "one link is lost": ("gossip", "gossip-dsbo", {"name": "path"}),
    "one centre": ("one centre", "gossip-dsbo-centralized", RING),
    "the centre is lost": ("one centre", "gossip-dsbo", NOBODY),
}
"""What was before, and method and topology from then on."""
TOLERANCE, FACTOR = 1.1, 2.0


class FailingLink(Claim):
    """A lost centre: from iteration T/2 on nobody hears of anybody, and each agent goes on alone with the state that it has, at the
    same iteration and steps; that is a graph all of whose links fail. An agent that has its own data alone then solves its own
    problem. The single centre is the published variant of Gossip-DSBO. Ring of n = 10. Quick: 8 states, 600 iterations, some
    15 s; full: the papers' sizes, some 30 CPU hours. The paper's failures are by chance and pass. One link that is lost for good
    makes the ring a path, another graph, which nobody claims to be as good; it is drawn beside them, and was a part of the rule at first.
    """

    says = "gossip survives links that fail, the single-centre variant does not survive the loss of its centre"
    source = "Gossip-DSBO's robustness (Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870)"
    rule = ("policy evaluation, the agents' distance to x* over the last quarter, failures from T/2 on: with 5 % of the links failing at "
            f"each iteration it is at most {TOLERANCE:g} times that of an intact ring; after the loss of the centre it is at least "
            f"{FACTOR:g} times that with the centre")

    def studies(self, full: bool) -> Mapping[str, Any]:
        return {}

    def run(self, full: bool, out: Path, comm: Any, told: Callable[[str], None]) -> Mapping[str, Any] | None:
        """Name -> (evaluations,) and (seeds, evaluations) of the distance, one state handed from what was before to what is after."""
        states, p, T, seeds = (100, 10, 10000, 10) if full else (8, 8, 600, 5)
        every = T // 60
        curves: dict[str, list[Any]] = {name: [] for name in AFTER}
        for seed in range(seeds):
            halves = {name: self.followed(self.plan(method, topology, states, p, T, seed, comm), None, 0, T // 2, every)
                      for name, (method, topology) in BEFORE.items()}
            for name, (before, method, topology) in AFTER.items():
                state, first = halves[before]
                _, second = self.followed(self.plan(method, topology, states, p, T, seed, comm), state, T // 2, T, every)
                curves[name].append(np.array(first + second))
                told(f"{name}, seed {seed}: distance {second[-1]:.4g}")
        return {name: (every * np.arange(1, 61), np.array(rows)) for name, rows in curves.items()}

    def plan(self, method: str, topology: Mapping[str, Any], states: int, p: int, T: int, seed: int, comm: Any) -> Plan:
        C1 = T / 20
        return Plan(configuration.check({
            "problem": {"name": "policy-evaluation-residual", "states": states, "p": p},
            "method": {"name": method, "b": 1, "L": 2.0, "mu_g": 2.0}, "topology": topology,
            "steps": {"alpha": falling(2 / C1, C1), "beta": falling(0.4, C1), "theta": falling(1.0, C1)},
            "run": {"agents": 10, "iterations": T, "seed": seed}}), comm)

    def followed(self, plan: Plan, state: Any, first: int, last: int, every: int) -> tuple[Any, list[float]]:
        """The state after iterations first, ..., last - 1, and the distance after every so many of them."""
        found = []
        with plan:
            loop, star = Loop(plan.method, plan.oracle, plan.W), plan.problems[0].solution()
            state = plan.method.start(*plan.rows()) if state is None else state
            for k in range(first, last, every):
                state = loop.steps(state, k, k + every)
                found.append(float(np.sqrt(plan.agents.mean(((state.x - star)**2).sum(axis=1)))))
        return state, found

    def judge(self, found: Mapping[str, Any]) -> Iterable[Finding]:
        ends = {name: values[:, -values.shape[1] // 4:].mean(axis=1) for name, (_, values) in found.items()}
        yield Finding("5 % of the links fail", f"distance {numbers(ends['5 % of the links fail'])}, none {numbers(ends['gossip'])}",
                      log_ratio(ends["gossip"], ends["5 % of the links fail"]) + np.log10(TOLERANCE))
        yield Finding("the centre is lost", f"distance {numbers(ends['the centre is lost'])}, with it {numbers(ends['one centre'])}",
                      log_ratio(ends["the centre is lost"], ends["one centre"]) - np.log10(FACTOR))

    def draw(self, found: Mapping[str, Any], out: Path) -> list[Path]:
        out.mkdir(parents=True, exist_ok=True)
        parts = {"gossip on a ring": ["gossip", "5 % of the links fail", "one link is lost"],
                 "one centre": ["one centre", "the centre is lost"]}
        shown = {title: {name: found[name] for name in names} for title, names in parts.items()}
        return [panels(out / "curves.png", shown, "iterations", "distance to x*, of the agents", log=True)]
