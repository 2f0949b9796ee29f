"""Step sizes that the run finds: `steps = "auto"`, or "auto" in place of a number."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .._fields import check_table
from .._text import plural
from ..algorithms import METHODS
from ..errors import UserError, known_as, shown
from .method import split_name
from .schema import STEPS, Config

AUTO = "auto"
TUNED = ("alpha", "beta", "gamma")
"""The step sizes that can be found; theta is the method's."""
REMEDY = 'write steps = "auto", or [steps] and its keys below it'


def step_table(steps: Any, method: Any) -> dict[str, Any]:
    """Return `[steps]` as a table, with "auto" for each step size of the method where it is "auto".

    Parameters
    ----------
    steps : str or mapping
        The section as it was given.
    method : mapping
        `[method]`, of which the name counts.

    Raises
    ------
    UserError
        It is another string, or not a table.
    """
    if isinstance(steps, str):
        if not known_as(steps, [AUTO]):
            raise UserError(f"steps: {shown(steps)} is not a table; {REMEDY}")
        check_table(method, "method")
        rule, _ = METHODS[split_name(method.get("name", "sparkle"))[0]]
        return {field.name: AUTO for field in fields(rule) if field.name in STEPS}
    if type(steps) in (int, float):
        one = (
            f"the number of iterations is iterations = {steps} in [run]"
            if type(steps) is int
            else f'write alpha = {steps} in [steps], in Python steps={{"alpha": {steps}}}'
        )
        raise UserError(f"steps: {steps} is not a table of step sizes; {one}")
    check_table(steps, "steps")
    return dict(steps)


def split_auto(steps: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the step sizes that are given, and the keys of those that are to be found.

    theta = "auto" is in neither: it has the method's default. Raises UserError for a string other
    than "auto".
    """
    given, auto = {}, []
    for key, value in steps.items():
        if not isinstance(value, str):
            given[key] = value
        elif not known_as(value, [AUTO]):
            raise UserError(
                f"steps.{key}: {shown(value)} is not a number; give one, a schedule's table, or "
                f'"{AUTO}"'
            )
        elif key != "theta":
            auto.append(key)
    return given, tuple(auto)


def with_found(
    steps: Mapping[str, Any], stored: Mapping[str, Any]
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return step sizes with what an earlier start of the run found, and its record.

    Parameters
    ----------
    steps : mapping
        `[steps]`, in which some may be "auto".
    stored : mapping
        The tables of the run's config.toml.
    """
    record, before = stored.get("tuning"), stored.get("steps")
    if not isinstance(record, Mapping) or not isinstance(before, Mapping):
        return dict(steps), {}
    found = record.get("found")
    if not isinstance(found, Mapping):
        return dict(steps), {}
    _, auto = split_auto(steps)
    if not set(auto) <= found.keys() & before.keys():
        return dict(steps), {}
    return {**steps, **{key: before[key] for key in auto}}, record


def record_of(tables: Mapping[str, Any], steps: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `[tuning]`, how step sizes were found, unless others have taken their place."""
    record = tables.get("tuning", {})
    check_table(record, "tuning")
    found = record.get("found", {})
    same = isinstance(found, Mapping) and all(
        steps.get(key) == value for key, value in found.items()
    )
    return record if same else {}


def found_text(config: Config) -> str:
    """Return the step sizes that were found, as text: "alpha = 0.1, beta = 0.5"; "" for none."""
    found = config.tuning.get("found", {})
    return ", ".join(f"{key} = {first_size(value):g}" for key, value in found.items())


def quartered(config: Config) -> str:
    """Return keys with a quarter of what was found: "steps.alpha.start = 0.1"; "" for none."""
    found = config.tuning.get("found", {})
    return ", ".join(
        f"steps.{key}{'.start' if isinstance(value, Mapping) else ''} = {first_size(value) / 4:.3g}"
        for key, value in found.items()
    )


def tuning_summary(config: Config) -> str:
    """Describe in a line what step sizes were found and what that took; "" where none were."""
    record = config.tuning
    if not record:
        return ""
    ended = record.get("ended_before")
    share = f", {record['share']:.0%} of the run's" if "share" in record else ""
    budget = f"; the budget ended the search before {ended}" if ended else ""
    return (
        f"step sizes found: {found_text(config)}; {plural(len(record['pilot']), 'pilot')} took "
        f"{plural(record['iterations'], 'iteration')}, and with the estimates "
        f"{plural(record['calls'], 'oracle call')} of each agent{share}{budget}"
    )


def first_size(value: Any) -> float:
    """Return a step size that was found at iteration 0, a number or the table of a schedule."""
    return float(value["start"] if isinstance(value, Mapping) else value)
