"""Reading a configuration: TOML, overrides, paths."""

import tomllib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from .errors import UserError


def load(path: Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The tables of a TOML file, with `--set` overrides such as `steps.alpha=0.1`; paths are made absolute."""
    try:
        tables = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; give the path of a configuration in TOML") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give the path of a configuration in TOML") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}; mend that line") from None
    tables = with_absolute_paths(tables, path.parent)
    return merged(tables, with_absolute_paths(parse_overrides(overrides), Path()))


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """{"steps": {"alpha": 0.1}} from "steps.alpha=0.1"; the value is TOML, or else a plain string."""
    tables: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or "." not in key:
            raise UserError(f"--set {text}: not of the form section.key=value; write for example --set steps.alpha=0.1")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            try:
                parsed = float(value)
            except ValueError:
                parsed = value
        *path, last = key.strip().split(".")
        table = tables
        for part in path:
            table = table.setdefault(part, {})
        table[last] = parsed
    return tables


def merged(tables: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(deepcopy(tables))
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return result


def with_absolute_paths(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Paths relative to `folder` made absolute: run.out, run.start, topology files, `file.py:Class`, and the problem's
    options that hold a slash."""
    tables = deepcopy(dict(given))

    def absolute(table: Any, key: str) -> None:
        if isinstance(table, dict) and isinstance(table.get(key), str):
            table[key] = str((folder / Path(table[key]).expanduser()).resolve())

    for key in ("out", "start"):
        absolute(tables.get("run"), key)
    topology = tables.get("topology")
    for table in (topology, *(topology.get(level) for level in ("upper", "lower"))) if isinstance(topology, dict) else ():
        absolute(table, "file")
    problem = tables.get("problem")
    if isinstance(problem, dict):
        for key, value in problem.items():
            if key == "name" and isinstance(value, str) and ".py:" in value:
                file, _, name = value.rpartition(":")
                problem[key] = f"{(folder / Path(file).expanduser()).resolve()}:{name}"
            elif key != "name" and isinstance(value, str) and "/" in value and "://" not in value:
                absolute(problem, key)
    return tables
