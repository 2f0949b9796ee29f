"""Warnings about strategies that may be unstable or inexact in a run."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from .._text import alternatives
from .._types import Array, Float
from .._warning import warn
from ..algorithms import METHODS, Method
from ..errors import UserError
from ..network import RandomK, TopK
from ..problems import Oracle
from .loop import SETS

if TYPE_CHECKING:
    from ..network import Topology

MAX_STABLE_DROP = 0.4
"""Drop probability up to which strategies that need a symmetric W are known to be stable."""


def warn_about_rounding(method: Method, dtype: str) -> None:
    """Warn where the agents' average accumulates rounding errors in single precision."""
    drifting = sorted({row.name for row in method.strategies().values() if row.drifts})
    if drifting and dtype == "float32":
        warn(
            f"{' and '.join(drifting)} in float32: rounding errors add up in the agents' average, "
            "the more the longer the run; use float64 or a gradient-tracking strategy where that "
            "matters"
        )


def warn_about_sparse_messages(method: Method) -> None:
    """Warn, once, where lead sends few entries of a row, with which it may diverge."""
    for level, strategy in method.strategies().items():
        compression = strategy.compression
        if strategy.name == "lead" and compression and isinstance(compression.C, TopK | RandomK):
            warn(
                f"lead at {level} with {compression.C.name}: may diverge, whatever gamma, with a "
                "quarter of the entries and fewer; take compress = "
                f'"quantize", or beer (method.{method.levels[level]})'
            )
            return  # one warning is enough


def warn_about_link_failures(method: Method, topologies: "Mapping[str, Topology]") -> None:
    """Warn, once, where a strategy that needs a symmetric W runs over links that fail often."""
    strategies = method.strategies()
    for level, topology in topologies.items():
        if strategies[level].symmetric and topology.drop > MAX_STABLE_DROP:
            warn(
                f"{strategies[level]} at {level}, over links that fail with probability "
                f"{topology.drop:g}: exact while few fail, divergent where many do (on a ring from "
                "0.5 or 0.6 on); use a gradient-tracking strategy where that happens"
            )
            return  # one warning is enough


def warn_about_constants(
    method: Method, oracle: Oracle, x: Float[Array, "m p"], y: Float[Array, "m q"]
) -> None:
    """Warn, on rank 0, of what the method finds wrong with its constants at the start; collective.

    Parameters
    ----------
    method : Method
    oracle : Oracle
    x : array of shape (m, p)
        The start, a row for each agent of this rank.
    y : array of shape (m, q)
    """
    doubt = method.doubt(oracle, x, y)
    if doubt and oracle.agents.rank == 0:
        warn(doubt)


def refuse_constrained_y(method: Method, name: str, problem: str) -> None:
    """Raise UserError for a method that differentiates y*(x) as if y were free."""
    if method.differentiates_lower_level():
        others = [
            known
            for known, (rule, _) in METHODS.items()
            if "y" in rule.levels and not rule().differentiates_lower_level()
        ]
        raise UserError(
            f"{problem}.project_y: {name} takes the derivative of y*(x) from g_yy, which is right "
            f"only where no constraint of y is active; choose {alternatives(others)}, or leave "
            "project_y out if y stays within its set anyway"
        )


def warn_about_projection(method: Method, constrained: Collection[str]) -> None:
    """Warn where a strategy moves a variable that the problem projects away from the solution.

    Parameters
    ----------
    method : Method
    constrained : collection of str
        The levels that the problem projects, among "x" and "y".
    """
    for level, strategy in method.strategies().items():
        if strategy.drifts and SETS.get(level) in constrained:
            name, key = strategy.name, method.levels[level]
            warn(
                f"{name} at {level}, which the problem projects: with {name} the agents may end "
                "away from the solution, or diverge; the published projected methods use sgd, dgd "
                f"and the gradient-tracking strategies (method.{key})"
            )
            return  # one warning is enough
