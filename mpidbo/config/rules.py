"""The rules of `run.stop`, one table or a list of them, and of `run.best`, a table or a name."""

from collections.abc import Mapping
from typing import Any

from .._fields import from_table, is_list
from ..errors import UserError, shown
from .run_section import BestRule, Stop

BOUNDS = ("below", "above", "patience")
"""The keys of which a rule needs one."""
STOP = 'stop = { metric = "hypergradient_norm", below = 1e-4 }'
BEST = 'best = { metric = "test_accuracy", mode = "max" }'
"""Examples for messages."""


def place(rules: Any, i: int) -> str:
    """Return what messages call a rule of `run.stop`: a single one has no number."""
    return "run.stop" if len(rules) == 1 else f"run.stop[{i}]"


def stop_rules(value: Any) -> list[Stop]:
    """Return the rules of `run.stop`, checked.

    Parameters
    ----------
    value : object
        A table or a list of tables.

    Raises
    ------
    UserError
        A rule is not a table, lacks the metric or a bound, or has a key that has no effect.
    """
    rules = list(value) if is_list(value) else [value]
    return [_stop_rule(rule, place(rules, i)) for i, rule in enumerate(rules)]


def _stop_rule(value: Any, where: str) -> Stop:
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: {shown(value)} is not a table; write one such as {STOP}")
    rule = from_table(Stop, value, where)
    if "metric" not in rule:
        raise UserError(f"{where}: the metric is missing; write a table such as {STOP}")
    if not any(key in rule for key in BOUNDS):
        raise UserError(
            f"{where}: a bound is missing; give {', '.join(BOUNDS[:-1])} or {BOUNDS[-1]}, "
            f"such as {STOP}"
        )
    for key in ("min_delta", "mode"):
        if key in rule and "patience" not in rule:
            raise UserError(
                f"{where}.{key}: has no effect without patience; add patience = 10, or leave it out"
            )
    return rule


def best_rule(value: Any) -> BestRule:
    """Return the table of `run.best`, checked.

    Parameters
    ----------
    value : object
        A table, or the name of a metric.

    Raises
    ------
    UserError
        It is neither, or lacks the metric, or has an unknown key.
    """
    table = {"metric": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping):
        raise UserError(
            f"run.best: {shown(value)} is neither a metric's name nor a table; write one such as "
            f"{BEST}"
        )
    rule = from_table(BestRule, table, "run.best")
    if "metric" not in rule:
        raise UserError(f"run.best: the metric is missing; write a table such as {BEST}")
    return rule
