"""From TOML, or the same tables in Python, to a checked configuration.

Every mistake is a UserError that names the key, what is wrong with it and the remedy.
"""

import typing
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from . import schedules
from .algorithms import METHODS, Method
from .errors import UserError, did_you_mean
from .strategies import STRATEGIES, Strategy, strategy

STEPS = ("alpha", "beta", "gamma", "theta")
ALIASES = {"sun-dsbo": {"se": "sgd", "gt": "semi-gt"}}
"""The names that a paper gives to strategies of its own."""
LATER = {"run.stall_timeout", "run.max_seconds", "run.buffers", "checkpoint"}
"""Keys of the configuration's format that this version cannot honour; they are refused rather than ignored."""


@dataclass(frozen=True)
class Run:
    """The keys of `[run]`, with their defaults."""

    agents: int | None = None
    iterations: int = 1000
    seed: int = 0
    dtype: Literal["float64", "float32"] = "float64"
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    evaluate_every: int = 50
    out: str | None = None
    stop: Mapping[str, Any] | None = None
    start: str | None = None
    threads: int = 1
    metrics: tuple[str, ...] = ()


FREE = {"run.iterations", "run.evaluate_every", "run.out", "run.device", "run.stop", "run.metrics", "run.buffers"}
"""Keys that do not decide a trajectory (with all of `[checkpoint]`)."""
SECTIONS = ("problem", "method", "steps", "topology", "run", "checkpoint")
LEAST = {"agents": 1, "iterations": 0, "seed": 0, "evaluate_every": 1, "threads": 1}


@dataclass(frozen=True)
class Config:
    """A checked configuration; `tables` is all of it as plain tables, as config.toml holds it."""

    problem: Mapping[str, Any]
    method: Mapping[str, Any]
    steps: Mapping[str, Any]
    topology: Mapping[str, Any]
    run: Run

    def tables(self) -> dict[str, Any]:
        found = {"problem": dict(self.problem), "method": dict(self.method), "steps": dict(self.steps),
                 "topology": dict(self.topology), "run": asdict(self.run)}
        found["run"]["metrics"] = list(self.run.metrics)
        if not isinstance(found["problem"]["name"], str):
            cls = found["problem"]["name"]
            found["problem"]["name"] = f"{cls.__module__}:{cls.__qualname__}"
        return _plain(found)


def _plain(value: Any) -> Any:
    """Without None and without tuples, as TOML has neither."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else str(value) if isinstance(value, Path) else value


def check(tables: Mapping[str, Any]) -> Config:
    """A Config from the tables of a file or of `solve`; what is left out has its default. Raises UserError."""
    for section, table in tables.items():
        if section not in SECTIONS:
            raise UserError(f"{section}: unknown section; {did_you_mean(section, SECTIONS)}")
        _refuse_later(section, table)
        if not isinstance(table, Mapping):
            raise UserError(f"{section}: {table!r} is not a table; write [{section}] and its keys below it")
    problem = dict(tables.get("problem", {}))
    if "name" not in problem:
        raise UserError('problem.name: missing; name the problem, such as name = "hyper-cleaning" or name = "my_file.py:MyProblem"')
    run = _run(tables.get("run", {}))
    topology = dict(tables.get("topology", {}))
    if not topology.keys() & {"name", "file"} and not ("upper" in topology and "lower" in topology):
        topology = {"name": "ring", **topology}
    _, method, steps = _method(tables.get("method", {}), tables.get("steps", {}), run)
    return Config(problem, method, steps, topology, run)


def _refuse_later(section: str, table: Any) -> None:
    for name in {section, *(f"{section}.{key}" for key in (table if isinstance(table, Mapping) else ()))} & LATER:
        raise UserError(f"{name}: not available in this version; leave it out")


def _run(table: Mapping[str, Any]) -> Run:
    known = {f.name: f for f in fields(Run)}
    hints = typing.get_type_hints(Run)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise UserError(f"run.{key}: unknown key; {did_you_mean(key, known)}")
        if value is None:
            continue
        if key == "metrics":
            value = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        elif key == "stop":
            value = _stop(value)
        else:
            value = _typed(value, hints[key], f"run.{key}")
        if key in LEAST and value < LEAST[key]:
            raise UserError(f"run.{key}: {value} is too small; it must be at least {LEAST[key]}")
        values[key] = value
    if "stop" in values and values["stop"]["metric"] in ("hypergradient_norm", "curvature", "refined_residual"):
        values["metrics"] = tuple(dict.fromkeys((*values.get("metrics", ()), values["stop"]["metric"])))
    return Run(**values)


def _stop(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or "metric" not in value or not {"below", "above"} & value.keys():
        raise UserError('run.stop: write a table such as stop = { metric = "hypergradient_norm", below = 1e-4 }')
    for key in value:
        if key not in ("metric", "below", "above"):
            raise UserError(f"run.stop.{key}: unknown key; {did_you_mean(key, ('metric', 'below', 'above'))}")
    bounds = {key: _typed(value[key], float, f"run.stop.{key}") for key in ("below", "above") if key in value}
    return {"metric": _typed(value["metric"], str, "run.stop.metric"), **bounds}


def _method(table: Mapping[str, Any], steps: Mapping[str, Any], run: Run) -> tuple[type[Method], dict[str, Any], dict[str, Any]]:
    """(rule, resolved [method], resolved [steps]): names resolved, defaults filled in, keys checked."""
    name, given = split_name(table.get("name", "sparkle"))
    rule, fixed = METHODS[name]
    keys = {f.name: f for f in fields(rule)}
    levels = [key for key in ("lower", "upper") if key in keys]
    allowed = [key for key in keys if key not in STEPS and key not in fixed]
    given_keys = {key: value for key, value in table.items() if key != "name"}
    if "strategy" in given_keys and not fixed.keys() & set(levels):
        common = given_keys.pop("strategy")
        given_keys = dict.fromkeys(levels, common) | given_keys
    resolved: dict[str, Any] = {"name": name}
    for key, value in {**given, **given_keys}.items():
        if key not in allowed:
            if key in fixed:
                raise UserError(f"method.{key}: {name} fixes it to {fixed[key]}; leave it out or choose another method")
            raise UserError(f"method.{key}: unknown key of {name}; {did_you_mean(key, allowed)}")
        if key in levels:
            value = ALIASES.get(name, {}).get(value, value)
        resolved[key] = value
    chosen_steps: dict[str, Any] = {}
    for key, value in steps.items():
        if key not in STEPS or key not in keys:
            known = [step for step in STEPS if step in keys]
            raise UserError(f"steps.{key}: {'unknown key' if key not in STEPS else f'not used by {name}'}; {did_you_mean(key, known)}")
        chosen_steps[key] = value
    for key, field in keys.items():
        target = chosen_steps if key in STEPS else resolved
        if key not in target and key not in fixed:
            target[key] = field.default if field.default is not MISSING else None
        if key in target:
            target[key] = _written(target[key], run)
    rule_of(resolved, chosen_steps, n=1, horizon=run.iterations)
    return rule, resolved, {key: chosen_steps[key] for key in STEPS if key in chosen_steps}


def _written(value: Any, run: Run) -> Any:
    """A field's value as a config states it; a horizon is fixed here, once."""
    if isinstance(value, Strategy):
        return value.name
    if isinstance(value, schedules.Schedule):
        return value.start if value == schedules.Schedule(value.start) else {
            "kind": "power", **{key: item for key, item in asdict(value).items()}}
    if isinstance(value, Mapping) and value.get("kind") == "sqrt-n-over-t":
        return {"horizon": run.iterations, **value}
    return value


def split_name(name: Any) -> tuple[str, dict[str, str]]:
    """("sparkle", {"lower": "ed", "upper": "gt"}) from "sparkle-ed-gt". Raises UserError."""
    if not isinstance(name, str):
        raise UserError(f"method.name: {name!r} is not a text; name a method: {', '.join(METHODS)}")
    for method in sorted(METHODS, key=len, reverse=True):
        if name == method:
            return method, {}
        if name.startswith(f"{method}-"):
            aliases, rest = ALIASES.get(method, {}), name[len(method) + 1:].split("-")
            rule, fixed = METHODS[method]
            levels = [key for key in ("lower", "upper") if key in {f.name for f in fields(rule)} and key not in fixed]
            for cut in range(1, len(rest) + 1):
                pair = [aliases.get(part, part) for part in ("-".join(rest[:cut]), "-".join(rest[cut:])) if part]
                if levels and all(part in STRATEGIES for part in pair) and len(pair) <= len(levels):
                    return method, dict(zip(levels, pair * len(levels), strict=False))
            raise UserError(f"method.name: {name!r} names {method} with an unknown strategy; write {method}-LOWER-UPPER "
                            f"with strategies of {', '.join(STRATEGIES)}")
    raise UserError(f"method.name: no method is called {name!r}; {did_you_mean(name, METHODS)}")


def rule_of(method: Mapping[str, Any], steps: Mapping[str, Any], *, n: int, horizon: int) -> Method:
    """The frozen rule of resolved `[method]` and `[steps]` tables."""
    rule, fixed = METHODS[method["name"]]
    hints = typing.get_type_hints(rule)
    values: dict[str, Any] = {}
    for section, table in (("method", {**fixed, **method}), ("steps", steps)):
        for key, value in table.items():
            where = f"{section}.{key}"
            if key == "name":
                continue
            if hints[key] is Strategy:
                values[key] = strategy(value, where)
            elif hints[key] is schedules.Schedule:
                values[key] = schedules.schedule(value, n, where, horizon)
            else:
                values[key] = _typed(value, hints[key], where)
    return rule(**values)


def _typed(value: Any, kind: Any, where: str) -> Any:
    """The value as that type, or a sentence."""
    options = typing.get_args(kind)
    if typing.get_origin(kind) is Literal:
        if value not in options:
            raise UserError(f"{where}: {value!r} is none of {', '.join(map(str, options))}; {did_you_mean(str(value), options)}")
        return value
    if value is None and type(None) in options:
        return None
    kind = next((option for option in options if option is not type(None)), kind)
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    right = (isinstance(value, kind) or (kind is float and isinstance(value, int))) and (kind is bool or not isinstance(value, bool))
    if isinstance(value, Path) and kind is str:
        return str(value)
    if not right:
        raise UserError(f"{where}: {value!r} is not {words.get(kind, kind)}; give {words.get(kind, kind)}")
    return kind(value)
