"""First-order D-SOBA against DSGDA and DSGDA-GT in hyper-cleaning, and the paper's deltas."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..._types import Array, Float
from ...reports import FigureFolder
from ..study import Tables
from .base import Claim, Size, study_tables
from .comparison import AS_GOOD, Comparison, better, log_ratio, mean_std
from .corrected_strategies import cleaning, dtype, error
from .outcome import Outcome
from .panels import Curve, panels

OURS, TOPOLOGY = "first order", "exponential"
BASELINES = ("dsgda", "dsgda-gt")
DELTAS = (0.001, 0.005, 0.01, 0.02, 0.1)
SIZES = {"quick": (8, 150, 5), "standard": (10, 300, 10), "full": (10, 3000, 10)}
"""n, T, seeds."""
PROBLEM: dict[str, dict[str, Any]] = {
    "quick": {},
    "standard": {"hidden": [50], "batch": 50},
    "full": {"batch": 50},
}
"""What differs from the problem of `corrected-strategies`."""
ALPHA = {"quick": 1000.0, "standard": 1000.0, "full": 10000.0}
"""A step size of x that cleans, in proportion to the training samples."""
PRINTED, CLEANING = "printed steps", "steps that clean"


class FirstOrder(Claim):
    """Methods of gradients alone, with the paper's step sizes of 0.03 and with ones that clean.

    The penalty weight of DSGDA is 1, as in the paper; its gamma is the step size of a second lower
    variable, and is beta here. The paper's theta and corruption are not known for the comparison
    with DSGDA: they are those of its hyper-cleaning and of its deltas.

    The comparisons of the first quarter were added after the runs of the standard size, from the
    same curves, which had been seen.
    """

    statement = (
        "in hyper-cleaning first-order D-SOBA is about as accurate as DSGDA and DSGDA-GT; a "
        "smaller delta is faster early, and makes no difference at the end"
    )
    source = "D-SOBA, fifth experiment (Kong et al., JMLR 26(240) 2025, arXiv 2402.03167)"
    rule = (
        "corruption 0.3, exponential graph, Dirichlet 0.1, equal iterations, test error over the "
        "last quarter: with the printed steps and with steps that clean that of DSGDA and of "
        "DSGDA-GT is within 1.1 times that of first-order D-SOBA, up or down; with the latter that "
        "of each larger delta is within 1.1 times that of delta = 0.001, and over the first "
        "quarter it is larger"
    )
    full_hours = 15

    def studies(self, size: Size) -> Mapping[str, Tables]:
        n, T, seeds = SIZES[size]
        first_order = {"name": "d-soba", "variant": "first-order"}
        steps = {"alpha": ALPHA[size], "beta": 0.3, "gamma": 0.1, "theta": 0.8}
        kinds = {
            PRINTED: {"alpha": 0.03, "beta": 0.03, "gamma": 0.03, "theta": 0.8},
            CLEANING: steps,
        }
        compared: list[dict[str, Any]] = []
        for kind, of_kind in kinds.items():
            compared.append({**first_order, "steps": of_kind, "label": label(OURS, kind)})
            alike = {"alpha": of_kind["alpha"], "beta": of_kind["beta"], "gamma": of_kind["beta"]}
            compared += [
                {"name": name, "mu": 1.0, "steps": alike, "label": label(name, kind)}
                for name in BASELINES
            ]
        differences = [
            {**first_order, "delta": delta, "steps": steps, "label": of_delta(delta)}
            for delta in DELTAS
        ]
        return {
            key: study_tables(
                methods,
                [TOPOLOGY],
                seeds,
                "test_accuracy",
                problem={**cleaning(size), **PROBLEM[size], "ridge": 1e-3},
                run={
                    "agents": n,
                    "iterations": T,
                    "evaluate_every": T // 15,
                    "dtype": dtype(size),
                },
            )
            for key, methods in {"methods": compared, "delta": differences}.items()
        }

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        for kind in (PRINTED, CLEANING):
            ours = error(found["methods"], label(OURS, kind), TOPOLOGY)
            for name in BASELINES:
                theirs = error(found["methods"], label(name, kind), TOPOLOGY)
                yield about_equal(label(name, kind), {OURS: ours, name: theirs})
        least, *larger = (error(found["delta"], of_delta(delta), TOPOLOGY) for delta in DELTAS)
        for delta, ends in zip(DELTAS[1:], larger, strict=True):
            yield about_equal(of_delta(delta), {of_delta(DELTAS[0]): least, of_delta(delta): ends})
        least, *larger = (early(found["delta"], of_delta(delta)) for delta in DELTAS)
        for delta, starts in zip(DELTAS[1:], larger, strict=True):
            yield better(
                f"early, {of_delta(DELTAS[0])} < {delta:g}",
                f"{mean_std(least)}, {mean_std(starts)}",
                starts,
                least,
            )

    def draw(self, found: Mapping[str, Outcome], out: FigureFolder) -> list[Path]:
        shown: dict[str, dict[str, Curve]] = {}
        for kind in (PRINTED, CLEANING):
            shown[kind] = {
                name: wrong(found["methods"], label(name, kind)) for name in (OURS, *BASELINES)
            }
        shown["delta"] = {
            of_delta(delta): wrong(found["delta"], of_delta(delta)) for delta in DELTAS
        }
        return [panels(out, "curves", shown, "iterations", "test error", log=True)]


def about_equal(what: str, errors: Mapping[str, Array]) -> Comparison:
    """Whether the second of two errors is within 1.1 times the first, up or down."""
    (name, first), (other, second) = errors.items()
    bound = float(np.log10(AS_GOOD))
    words = f"{name} {mean_std(first)}, {other} {mean_std(second)}"
    return Comparison(what, words, log_ratio(second, first), -bound, bound, ratio=True)


def wrong(outcome: Outcome, method: str) -> Curve:
    """Iterations and the test error of the average classifier."""
    k, accuracy = outcome.curve(method, TOPOLOGY)
    return k, 1 - accuracy


def early(outcome: Outcome, method: str) -> Float[Array, " seeds"]:
    """The test error of the average classifier, over the first quarter without the start."""
    _, errors = wrong(outcome, method)
    return errors[:, 1 : 1 + max(1, errors.shape[1] // 4)].mean(axis=1)


def of_delta(delta: float) -> str:
    """The label of first-order D-SOBA with a delta."""
    return f"delta {delta:g}"


def label(method: str, kind: str) -> str:
    """The label of a method with one of the kinds of step sizes."""
    return f"{method}, {kind}"
