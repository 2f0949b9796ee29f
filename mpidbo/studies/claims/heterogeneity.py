"""Heterogeneity biases D-SOBA and leaves SPARKLE exact: linear regression on three topologies."""

from collections.abc import Iterable, Mapping

import numpy as np

from .base import Claim, Finding, Outcome, Tables, log_ratio, numbers

SPARKLE = ("sparkle-ed", "sparkle-extra", "sparkle-gt")
SPARSE = ("torus", "adjusted-ring")
LEVELS = {"severe": 1.0, "mild": 0.1}


class Heterogeneity(Claim):
    """D-SOBA's error on a sparse graph is heterogeneity's; SPARKLE's does not know it."""

    says = "with severe heterogeneity D-SOBA keeps an error on sparse graphs that SPARKLE does not have"
    source = "SPARKLE, second experiment (Zhu et al., NeurIPS 2024, arXiv 2411.14166)"
    rule = ("distance to x* at the end, steps tuned for each method and graph, on torus and adjusted ring: severe, D-SOBA's is at least "
            "twice that of every SPARKLE; its ratio to the best SPARKLE is larger when heterogeneity is severe than when it is mild")

    def studies(self, full: bool) -> Mapping[str, Tables]:
        n, p, q, T, seeds = (32, 10, 20, 20000, 10) if full else (8, 4, 6, 900, 5)
        return {level: {
            "study": {"methods": [*SPARKLE, "d-soba"], "topologies": [*(["complete"] if full else []), *SPARSE], "seeds": seeds,
                      "metric": "distance"},
            "tune": {"how": "halving", "budget": T, "iterations": T // 2,
                     "steps": {"alpha": [0.03, 0.1, 0.3], "beta": [0.05, 0.15], "gamma": [0.05, 0.15]}},
            "problem": {"name": "linear-regression", "heterogeneity": size, "p": p, "q": q, "noise": 0.03},
            "run": {"agents": n, "iterations": T, "evaluate_every": T // 30}} for level, size in LEVELS.items()}

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Finding]:
        for topology in SPARSE:
            excess = {}
            for level, outcome in found.items():
                biased = outcome.end("d-soba", topology)
                exact = {method: outcome.end(method, topology) for method in SPARKLE}
                excess[level] = log_ratio(biased, np.min([*exact.values()], axis=0))
                if level == "severe":
                    for method, ends in exact.items():
                        yield Finding(f"severe, {topology}", f"d-soba {numbers(biased)}, {method} {numbers(ends)}",
                                      log_ratio(biased, ends) - np.log10(2))
            yield Finding(f"{topology}", "log10 of d-soba over the best SPARKLE: " + ", ".join(
                f"{level} {numbers(values)}" for level, values in excess.items()), excess["severe"] - excess["mild"])


