"""The names of metrics, and what people call them elsewhere."""

from collections.abc import Iterable

from ..errors import did_you_mean, folded
from .metrics import METRICS

SYNONYMS = {
    "upper_loss": "f fun fval value objective cost outer_loss outer_objective validation_loss",
    "lower_loss": "g inner_loss inner_objective train_loss training_loss",
    "distance": "error gap optimality_gap suboptimality err x_error rmse mse",
    "hypergradient_norm": "grad gradient jac grad_norm gradient_norm stationarity",
    "consensus_x": "disagreement consensus_error variance",
}
"""Metric -> what it is called elsewhere."""


def metric_names() -> list[str]:
    """Return the columns of the history that are metrics of mpidbo's own."""
    names = []
    for entry in METRICS.values():
        names += [f"{entry.name}_{level}" for level in "xyzt"] if entry.family else [entry.name]
    return names


def similar_metric(word: object, known: Iterable[str]) -> str:
    """Return the remedy for an unknown metric, as `did_you_mean` does, with `SYNONYMS`."""
    known = list(known)
    if isinstance(word, str):
        for name, words in SYNONYMS.items():
            if name in known and folded(word) in map(folded, words.split()):
                return f"did you mean {name}?"
    return did_you_mean(word, known)
