"""From TOML, or the same tables in Python, to a checked configuration.

Every mistake is a UserError that names the key, what is wrong with it and the remedy.
"""

import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, time
from pathlib import Path
from types import NoneType
from typing import Any, Literal

import numpy as np

from ..algorithms import METHODS, Method, schedules
from ..algorithms.strategies import STRATEGIES, Strategy, strategy
from ..errors import UserError, did_you_mean, is_one_of, shown
from ..network import table as topology_table
from ..problems.lookup import name_of
from ..problems.metrics import ON_REQUEST

SECTIONS = ("problem", "method", "steps", "topology", "run", "checkpoint")
STEPS = ("alpha", "beta", "gamma", "theta")
ALIASES = {"sun-dsbo": {"se": "sgd", "gt": "semi-gt"}, "lopa": {"lg": "dgd"}, "ma-dsbo": {"gt": "non-gt-dgd"}}
"""What a paper calls its variants, in a method's name: sun-dsbo-gt is sun-dsbo-semi-gt."""
FREE = {"run.iterations", "run.evaluate_every", "run.out", "run.device", "run.stop", "run.metrics", "run.buffers", "run.batched",
        "run.checks", "run.max_seconds", "run.stall_timeout", "checkpoint.every", "checkpoint.keep"}
"""Keys that do not decide a trajectory."""


@dataclass(frozen=True)
class Run:
    """The keys of `[run]`, with their defaults."""

    agents: int | None = None
    iterations: int = 1000
    seed: int = 0
    dtype: Literal["float64", "float32"] = "float64"
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    buffers: Literal["host", "device"] = "host"
    batched: Literal["exact", "always", "never"] = "exact"
    checks: Literal["start", "never"] = "start"
    evaluate_every: int = 50
    out: str | None = None
    stop: Mapping[str, Any] | None = None
    start: str | None = None
    threads: int = 1
    stall_timeout: float = 300
    max_seconds: float | None = None
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """The keys of `[checkpoint]`: iterations between two (0: only at the end and when stopped), and how many are kept."""

    every: int = 0
    keep: int = 2


LARGEST_INTEGER = 2**63 - 1
"""More is no TOML."""
LEAST = {"every": 0, "keep": 1, "agents": 1, "iterations": 0, "seed": 0, "evaluate_every": 1, "threads": 1, "stall_timeout": 0}
MOST = {"agents": 10**6, "threads": 4096, "stall_timeout": 10**9}
"""The range of the numbers of `[run]`, unless the largest is `LARGEST_INTEGER`."""
DEEPEST = 50
"""Levels of lists and tables in each other."""
INNER = 10**6
"""The largest whole number of `[method]`: inner steps and the like, of which each iteration takes so many."""


@dataclass(frozen=True)
class Config:
    """A checked configuration: every default filled in, but for the problem's and the topology's own."""

    problem: Mapping[str, Any]
    method: Mapping[str, Any]
    steps: Mapping[str, Any]
    topology: Mapping[str, Any]
    run: Run
    checkpoint: Checkpoint = Checkpoint()
    unsaid: tuple[str, ...] = ()
    """The keys of `[steps]` that have the method's default."""

    def tables(self) -> dict[str, Any]:
        """All of it as plain tables, as config.toml holds it."""
        name = self.problem["name"]
        problem = {**self.problem, "name": name_of(name) if isinstance(name, type) else name}
        found = {"problem": problem, "method": self.method, "steps": self.steps, "topology": self.topology, "run": asdict(self.run),
                 "checkpoint": asdict(self.checkpoint)}
        return {section: plain(table) for section, table in found.items()}


def plain(value: Any, depth: int = 0) -> Any:
    """A value as TOML has it: tables without None, lists for tuples, no numbers of numpy, no paths. Raises UserError."""
    if depth > DEEPEST:
        raise UserError(f"configuration: lists or tables are nested more than {DEEPEST} deep; "
                        "a configuration has two or three levels")
    if isinstance(value, Mapping):
        return {key: plain(item, depth + 1) for key, item in value.items() if item is not None}
    if isinstance(value, topology_table.Edges):             # which may be a million
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value.item()
    return str(value) if isinstance(value, Path) else value


def _assure_toml(value: Any, where: str, free: bool = False) -> None:
    """UserError unless a configuration's file can hold the value; where it is `free`, only of what is a string or a number."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise UserError(f"{where}: {shown(key)} is not a key; keys are strings, such as {where}.name")
            _assure_toml(key, f"{where}, a key")
            _assure_toml(item, f"{where}.{key}", free)
    elif isinstance(value, list):
        for item in () if isinstance(value, topology_table.Edges) else value:
            _assure_toml(item, where, free)
    elif isinstance(value, str):
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise UserError(f"{where}: {shown(value)} holds bytes that are not UTF-8, or NUL, which config.toml cannot hold; "
                            "choose another text or name")
    elif type(value) is int:
        if not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
            raise UserError(f"{where}: {shown(value)} is out of range; give a whole number of at most 64 bits, or one with a point, "
                            "such as 1e20")
    elif not (free or isinstance(value, (bool, float, date, time, Strategy, schedules.Schedule))):
        raise UserError(f"{where}: {shown(value)} is not what config.toml can hold; "
                        "give a number, a text, true or false, a list or a table")


def check(tables: Mapping[str, Any]) -> Config:
    """A Config from the tables of a file or of `solve`; what is left out has its default. Raises UserError."""
    for section, table in tables.items():
        if section not in SECTIONS:
            raise UserError(f"{section}: unknown section; {did_you_mean(section, SECTIONS)}")
        if not isinstance(table, Mapping):
            raise UserError(f"{section}: {shown(table)} is not a table; write [{section}] and its keys below it")
    problem, method, steps, topology, run, checkpoint = (plain(tables.get(section, {})) for section in SECTIONS)
    for section, table in zip(SECTIONS, (problem, method, steps, topology, run, checkpoint), strict=True):
        _assure_toml(table, section, free=section == "problem")
    if "name" not in problem:
        raise UserError('problem.name: missing; name the problem, such as name = "hyper-cleaning" or name = "my_file.py:MyProblem"')
    topology = topology_table.with_default(topology)
    checked = _run(run)
    if checked.out is not None and not checked.out.strip():
        raise UserError('run.out: "" names no folder; give one, such as out = "runs/mine", or leave it out')
    chosen = _method(method, steps, checked)
    levels(topology, rule_of(*chosen, n=1, horizon=checked.iterations), chosen[0]["name"])
    return Config(problem, *chosen, topology, checked, _checkpoint(checkpoint), tuple(key for key in chosen[1] if key not in steps))


def levels(topology: Mapping[str, Any], rule: Method, method: str) -> dict[str, tuple[str, topology_table.Spec]]:
    """Of each level of a method: where its topology stands, and its table; see `network.table.of_levels`. Raises UserError."""
    return topology_table.of_levels(topology, {level: row.name for level, row in rule.strategies().items()}, method)


def with_steps_of(problem: type[Any], config: Config) -> Config:
    """The configuration with the problem's own steps for those that it leaves out, if the method heeds them. Raises UserError."""
    own = getattr(problem, "steps", {})
    where = f"problem {problem.__name__}.steps"
    if not isinstance(own, Mapping):
        raise UserError(f'{where}: {shown(own)} is not a table; give one such as {{"alpha": 0.1}}')
    for key, value in own.items():
        _known(key, STEPS, where, "no step")
        _typed(value, float, f"{where}: {key}")
    if not METHODS[config.method["name"]][0].heeds_steps:
        return config
    return replace(config, steps={**config.steps, **{key: own[key] for key in config.unsaid if key in own}})


def _run(table: Mapping[str, Any]) -> Run:
    hints = typing.get_type_hints(Run)
    values: dict[str, Any] = {}
    for key, value in table.items():
        where = f"run.{key}"
        _known(key, hints, "run", "unknown key")
        if key == "metrics":
            values[key] = _metrics(value)
        elif key == "stop":
            values[key] = _stop(value)
        else:
            values[key] = _typed(value, hints[key], where)
        _in_range(key, values[key], where)
    if "stop" in values and values["stop"]["metric"] in ON_REQUEST:
        values["metrics"] = tuple(dict.fromkeys((*values.get("metrics", ()), values["stop"]["metric"])))
    return Run(**values)


def _checkpoint(table: Mapping[str, Any]) -> Checkpoint:
    hints = typing.get_type_hints(Checkpoint)
    for key, value in table.items():
        _known(key, hints, "checkpoint", "unknown key")
        _typed(value, hints[key], f"checkpoint.{key}")
        _in_range(key, value, f"checkpoint.{key}")
    return Checkpoint(**table)


def _in_range(key: str, value: Any, where: str) -> None:
    most = MOST.get(key, LARGEST_INTEGER)
    if key in LEAST and not LEAST[key] <= value <= most:
        raise UserError(f"{where}: {value} is out of range; give at least {LEAST[key]}" + f" and at most {most}" * (value > most))


def _metrics(value: Any) -> tuple[str, ...]:
    names = tuple(value) if isinstance(value, list) else (value,)
    for name in names:
        if not is_one_of(name, ON_REQUEST):
            raise UserError(f"run.metrics: no metric on request is called {shown(name)}; {did_you_mean(name, ON_REQUEST)}")
    return names


def _stop(value: Any) -> Mapping[str, Any]:
    form = 'stop = { metric = "hypergradient_norm", below = 1e-4 }'
    if not isinstance(value, Mapping):
        raise UserError(f"run.stop: {shown(value)} is not a table; write one such as {form}")
    hints = {"metric": str, "below": float, "above": float}
    for key in value:
        _known(key, hints, "run.stop", "unknown key")
    if "metric" not in value or len(value) == 1:
        raise UserError(f"run.stop: {'a bound is' if 'metric' in value else 'the metric is'} missing; write a table such as {form}")
    return {key: _typed(item, hints[key], f"run.stop.{key}") for key, item in value.items()}


def _method(table: Mapping[str, Any], steps: Mapping[str, Any], run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """`[method]` and `[steps]` with names resolved, defaults filled in and keys checked."""
    name, given = split_name(table.get("name", "sparkle"))
    rule, fixed = METHODS[name]
    defaults = {field.name: field.default for field in fields(rule)}
    own = [key for key in defaults if key not in STEPS and key not in fixed]
    levels = strategy_keys(name)
    for key, value in table.items():
        if key in fixed or (key == "strategy" and not levels):
            what = f" ({', '.join(f'{k} = {v}' for k, v in fixed.items())})" if fixed else ""
            raise UserError(f"method.{key}: fixed by {name}{what}; leave it out or choose another method")
        if key == "strategy":
            given = given | dict.fromkeys(levels, value)
        elif key != "name":
            _known(key, [*own, "strategy"], "method", f"unknown key of {name}")
    given |= {key: value for key, value in table.items() if key in own}
    used = [key for key in STEPS if key in defaults]
    for key in steps:
        _known(key, STEPS, "steps", "unknown key")
        if key not in used:
            raise UserError(f"steps.{key}: not used by {name}, whose steps are {', '.join(used)}; leave it out")
    method = {"name": name} | {key: _written(given.get(key, defaults[key]), run) for key in own}
    chosen = {key: _written(steps.get(key, defaults[key]), run) for key in used}
    rule_of(method, chosen, n=1, horizon=run.iterations)
    return method, chosen


def _written(value: Any, run: Run) -> Any:
    """A field's value as a config states it; a horizon is fixed here, once."""
    if isinstance(value, Strategy):
        return value.name
    if isinstance(value, schedules.Schedule):
        return value.start if value == schedules.Schedule(value.start) else {"kind": "power", **asdict(value)}
    if isinstance(value, Mapping) and value.get("kind") == "sqrt-n-over-t":
        return {"horizon": run.iterations, **value}
    return value


def strategy_keys(method: str) -> list[str]:
    """The keys of a method's strategies, as far as its name does not fix them."""
    rule, fixed = METHODS[method]
    return [key for key in ("lower", "upper") if key in {field.name for field in fields(rule)} and key not in fixed]


def split_name(name: Any) -> tuple[str, dict[str, str]]:
    """("sparkle", {"lower": "ed", "upper": "gt"}) from "sparkle-ed-gt". Raises UserError."""
    if not isinstance(name, str):
        raise UserError(f"method.name: {shown(name)} is not a text; name a method: {', '.join(METHODS)}")
    for method in sorted(METHODS, key=len, reverse=True):
        if name == method:
            return method, {}
        if name.startswith(f"{method}-"):
            return method, _strategies(method, name[len(method) + 1:])
    raise UserError(f"method.name: no method is called {shown(name)}; {did_you_mean(name, METHODS)}")


def _strategies(method: str, text: str) -> dict[str, str]:
    """{"lower": "ed", "upper": "gt"} from "ed-gt"; one strategy is for both levels."""
    levels, aliases = strategy_keys(method), ALIASES.get(method, {})
    words = aliases.get(text, text).split("-")
    for cut in range(1, len(words) + 1):
        parts = [part for part in ("-".join(words[:cut]), "-".join(words[cut:])) if part]
        pair = [alias if (alias := aliases.get(part, part)) in STRATEGIES else part for part in parts]
        if len(pair) <= len(levels) and all(part in STRATEGIES for part in pair):
            return dict(zip(levels, pair * len(levels), strict=False))
    form = "-".join([method, *map(str.upper, levels)])
    raise UserError(f'method.name: "{method}-{text}" names no strategies of {method}; write {form}'
                    + (f" with strategies of {', '.join(STRATEGIES)}" if levels else ""))


def rule_of(method: Mapping[str, Any], steps: Mapping[str, Any], *, n: int, horizon: int) -> Method:
    """The frozen rule of resolved `[method]` and `[steps]` tables."""
    rule, fixed = METHODS[method["name"]]
    hints, defaults = typing.get_type_hints(rule), {field.name: field.default for field in fields(rule)}
    values: dict[str, Any] = {}
    for section, table in (("method", {**fixed, **method}), ("steps", steps)):
        for key, value in table.items():
            where = f"{section}.{key}"
            if key == "name":
                continue
            if hints[key] is Strategy:
                values[key] = strategy(value, where)
            elif schedules.Schedule in (hints[key], *typing.get_args(hints[key])):
                values[key] = None if value is None else schedules.schedule(value, n, where, horizon)
            else:
                values[key] = _typed(value, hints[key], where)
                if type(values[key]) in (int, float) and values[key] <= 0 and defaults[key] != 0:
                    raise UserError(f"{where}: {value} is not positive; give a positive number")
                if type(values[key]) is int and values[key] > INNER:
                    raise UserError(f"{where}: {value} is out of range; give at most {INNER}")
    return rule(**values)


def _known(key: str, known: Iterable[str], where: str, what: str) -> None:
    if key not in list(known):
        raise UserError(f"{where}.{key}: {what}; {did_you_mean(key, known)}")


def _typed(value: Any, hint: Any, where: str) -> Any:
    """The value as the type of a hint: a Literal, int, float, str or bool, or one of these or None. Raises UserError."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        if not is_one_of(value, options):
            raise UserError(f"{where}: {shown(value)} is none of {', '.join(options)}; {did_you_mean(value, options)}")
        return value
    if value is None and NoneType in options:
        return None
    kind = next((option for option in options if option is not NoneType), hint)
    wanted, example = {int: ("a whole number", "8"), float: ("a finite number", "0.1"), str: ("a text", '"text"'),
                       bool: ("true or false", "true")}[kind]
    right = type(value) is kind or (kind is float and type(value) is int)
    if not right or (kind is float and not abs(value) <= schedules.LARGEST):
        raise UserError(f"{where}: {shown(value)} is not {wanted}; give one, such as {example}")
    return kind(value)
