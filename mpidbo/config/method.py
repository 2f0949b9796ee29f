"""From the tables `[method]` and `[steps]` to a frozen method."""

import math
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from .._fields import canonical, check_key, convert, fields_of
from ..algorithms import (
    METHODS,
    STRATEGIES,
    Function,
    Method,
    Power,
    Schedule,
    Strategy,
    schedule,
    schedules,
    strategy,
    table_of,
)
from ..errors import UserError, did_you_mean, folded, known_as, shown
from .schema import STEPS
from .values import plain

COMMON = ("lower_ridge",)
"""Keys of all methods, which resolved tables have only where they are set."""
Tables = tuple[dict[str, Any], dict[str, Any]]
"""`[method]` and `[steps]`."""


def resolve_method(table: Mapping[str, Any], steps: Mapping[str, Any], iterations: int) -> Tables:
    """`[method]` and `[steps]` with all keys checked, names resolved and defaults filled in.

    Parameters
    ----------
    table, steps : Mapping
        The sections as a configuration has them.
    iterations : int
        The horizon of a schedule that has none.

    Returns
    -------
    tuple of dict
        The sections, with every key of the method.
    """
    name, strategies = split_name(table.get("name", "sparkle"))
    rule, fixed = METHODS[name]
    defaults = {field.name: field.default for field in fields(rule)}
    own = [key for key in defaults if key not in STEPS and key not in fixed]
    used = [key for key in STEPS if key in defaults]
    levels = strategy_keys(name)
    for key in table:
        if key in fixed or (key == "strategy" and not levels):
            values = ", ".join(f"{key} = {value}" for key, value in fixed.items())
            what = f" ({values})" if fixed else ""
            raise UserError(
                f"method.{key}: fixed by {name}{what}; leave it out or choose another method"
            )
        if key not in ("name", "strategy"):
            check_key(key, [*own, "strategy"], "method", f"unknown key of {name}")
    check_steps(steps, table)
    # from the general to the particular: the name, then `strategy`, then `lower` and `upper`
    given: dict[str, Any] = {**strategies}
    if "strategy" in table:
        given |= dict.fromkeys(levels, table["strategy"])
    given |= {key: value for key, value in table.items() if key in own}
    hints = {key: field.hint for key, field in fields_of(rule).items()}

    def stored(section: str, table: Mapping[str, Any], keys: list[str]) -> dict[str, Any]:
        values = ((key, table.get(key, defaults[key])) for key in keys)
        return {
            key: _stored(value, hints[key], f"{section}.{key}", iterations) for key, value in values
        }

    set_or_own = [key for key in own if key not in COMMON or given.get(key) is not None]
    method = {"name": name, **stored("method", given, set_or_own)}
    resolved = stored("steps", steps, used)
    # Only to check the values: how many agents there are is not known yet.
    rule_of(method, resolved, n=1, horizon=iterations)
    return method, resolved


def check_steps(keys: Iterable[str], table: Mapping[str, Any]) -> None:
    """Raise UserError for a key of `[steps]` that the method of `[method]` does not use."""
    name, _ = split_name(table.get("name", "sparkle"))
    own = {field.name for field in fields(METHODS[name][0])}
    used = [key for key in STEPS if key in own]
    for key in keys:
        check_key(key, STEPS, "steps")
        if key not in used:
            raise UserError(
                f"steps.{key}: not used by {name}, whose steps are {', '.join(used)}; leave it out"
            )


def _stored(value: Any, hint: Any, where: str, iterations: int) -> Any:
    """A field's value as a configuration states it, with names as they are known.

    A missing horizon becomes part of it.
    """
    if hint is Strategy:
        return table_of(strategy(value, where))
    if isinstance(value, Function):
        return value
    if isinstance(value, Schedule):
        is_constant = value == Power(value.largest)
        table = {"kind": value.kind, **asdict(typing.cast(Any, value))}
        return value.largest if is_constant else plain(table)
    if isinstance(value, Mapping) and "kind" in value:
        kind = known_as(value["kind"], schedules.KINDS) or value["kind"]
        horizon = {"horizon": iterations} if schedules.has_horizon(value) else {}
        return {**horizon, **value, "kind": kind}
    return canonical(value, hint)


def strategy_keys(method: str) -> list[str]:
    """The keys among "lower" and "upper" that a method has and that its name does not fix."""
    rule, fixed = METHODS[method]
    names = {field.name for field in fields(rule)} - fixed.keys()
    return [key for key in ("lower", "upper") if key in names]


def split_name(name: Any) -> tuple[str, dict[str, str]]:
    """The method and the strategies of a name such as "sparkle-ed-gt".

    Parameters
    ----------
    name : str
        A name of `METHODS`, which may be followed by one strategy for both levels, or by that of
        the lower and that of the upper level; case, dashes and underscores do not matter.

    Returns
    -------
    tuple of str and dict
        ("sparkle", {"lower": "ed", "upper": "gt"}).

    Raises
    ------
    UserError
        No such method, or not its strategies.
    """
    method, words = _words(name)
    levels, aliases = strategy_keys(method), METHODS[method][0].aliases
    if len(words) == 1 and words[0] in aliases:
        words = _split_strategies(method, aliases[words[0]])
    names = [_unaliased(word, aliases) for word in words]
    # one strategy is for both levels
    return method, dict(zip(levels, (names[0], names[-1]), strict=False)) if names else {}


def full_name(name: Any) -> Any:
    """A name such as "Sparkle_ED_GT" as it is known, "sparkle-ed-gt"; an unknown one unchanged."""
    try:
        method, words = _words(name)
    except UserError:
        return name
    return "-".join([method, *words])


def _words(name: Any) -> tuple[str, list[str]]:
    """("sparkle", ["ed", "gt"]), which may be names of the method's paper, from "Sparkle_ED_GT"."""
    if not isinstance(name, str):
        raise UserError(
            f"method.name: {shown(name)} is not a string; name a method: {', '.join(METHODS)}"
        )
    known = known_as(name, METHODS)
    if known:
        return known, []
    # The longest first, as the name of one method may begin with that of another.
    methods = sorted(METHODS, key=len, reverse=True)
    text = folded(name)
    for method in methods:
        rest = text.removeprefix(folded(method))
        words = [] if rest == text else _split_strategies(method, rest)
        if words:
            return method, words
    dashed = re.sub("[_ ]", "-", name).casefold()
    for method in methods:
        if dashed.startswith(f"{method}-"):
            raise _no_strategies(method, name)
    raise UserError(
        f"method.name: no method is called {shown(name)}; {did_you_mean(name, METHODS)}"
    )


def _split_strategies(method: str, text: str) -> list[str]:
    """["ed", "gt"] from "ed-gt" or "edgt"; [] where the text names no strategies of the method."""
    levels = strategy_keys(method)
    aliases = METHODS[method][0].aliases
    alias, text = known_as(text, aliases), folded(text)
    if alias:
        return [alias]
    for cut in range(1, len(text) + 1):
        parts = [text[:cut], text[cut:]] if cut < len(text) else [text]
        words = [known_as(part, [*aliases, *STRATEGIES]) or "" for part in parts]
        if len(words) <= len(levels) and all(
            _unaliased(word, aliases) in STRATEGIES for word in words
        ):
            return words
    return []


def _no_strategies(method: str, name: str) -> UserError:
    """What is wrong with a name that begins with a method's and continues with something else."""
    levels = strategy_keys(method)
    form = "-".join([method, *(level.upper() for level in levels)])
    known = f" with strategies of {', '.join(STRATEGIES)}" if levels else ""
    return UserError(
        f"method.name: {shown(name)} names no strategies of {method}; write {form}{known}"
    )


def _unaliased(word: str, aliases: Mapping[str, str]) -> str:
    """The strategy that a method's paper calls by another name; else the word itself."""
    alias = aliases.get(word, word)
    return alias if alias in STRATEGIES else word


def rule_of(method: Mapping[str, Any], steps: Mapping[str, Any], *, n: int, horizon: int) -> Method:
    """The frozen method of resolved tables.

    Parameters
    ----------
    method, steps : Mapping
        `[method]` and `[steps]`, as `Config` has them.
    n : int
        Number of agents, on which a schedule may depend.
    horizon : int
        Number of iterations, for a schedule that names none.

    Raises
    ------
    UserError
        A value of the wrong type, or out of range.
    """
    rule, fixed = METHODS[method["name"]]
    hints = {key: field.hint for key, field in fields_of(rule).items()}
    values: dict[str, Any] = {}
    for section, table in (("method", {**fixed, **method}), ("steps", steps)):
        for key, value in table.items():
            where = f"{section}.{key}"
            if key == "name":
                continue
            if hints[key] is Strategy:
                values[key] = strategy(value, where)
            # Schedule, or Schedule | None.
            elif Schedule in (hints[key], *typing.get_args(hints[key])):
                is_unset = value is None
                values[key] = None if is_unset else schedule(value, n, where, horizon)
            else:
                values[key] = convert(value, hints[key], where)
    made = rule(**values)
    if made.lower_ridge is not None:
        _check_ridge(made, made.lower_ridge, method["name"])
    return made


def _check_ridge(rule: Method, ridge: Schedule, name: str) -> None:
    """Raise UserError where a ridge at the lower level has no effect, or grows."""
    if not {"g_y", "g_yy"} & set(rule.needs):
        raise UserError(
            f"method.lower_ridge: has no effect, since {name} does not use g; leave it out"
        )
    if ridge.largest == math.inf:
        raise UserError(
            "method.lower_ridge: grows without a bound; give a constant or a schedule that falls"
        )
