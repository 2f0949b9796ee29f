"""Reading a configuration: TOML, overrides, paths."""

import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import _contents as contents
from ..errors import UserError
from ..problems.lookup import add_to_path
from . import paths
from .validate import plain


def load(path: Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The tables of a TOML file, with `--set` overrides such as `steps.alpha=0.1`; paths are made absolute."""
    try:
        tables = tomllib.loads(contents.decoded(path.read_bytes()))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; give the path of a configuration in TOML") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}; fix that line") from None
    except RecursionError:
        raise UserError(f"{path}: not valid TOML: lists or tables are nested too deep; a configuration has two or three levels") from None
    except contents.FAULTS as error:
        raise UserError(f"{path}: cannot be read ({contents.why(error)}); give the path of a configuration in TOML") from None
    tables = with_absolute_paths(tables, path.parent)
    add_to_path(path.parent.resolve())          # a problem may be module:Class
    return merged(tables, with_absolute_paths(parse_overrides(overrides), Path()))


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """{"steps": {"alpha": 0.1}} from "steps.alpha=0.1"; the value is TOML, or else a plain string."""
    tables: dict[str, Any] = {}
    for text in overrides:
        text = text.removeprefix("\ufeff")
        key, equals, value = text.partition("=")
        path = [part.strip() for part in key.split(".")]
        if not equals or len(path) < 2 or not all(path):
            raise UserError(f"--set {text}: not of the form section.key=value; write for example --set steps.alpha=0.1")
        table = _value(value)
        for part in reversed(path):
            table = {part: table}
        tables = merged(tables, table)
    return tables


def _value(text: str) -> Any:
    with suppress(ValueError, RecursionError):
        return tomllib.loads(f"value = {text}")["value"]
    with suppress(ValueError):
        return float(text)
    return text


def merged(tables: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with those of `over` laid over them."""
    result = dict(tables)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return result


def with_absolute_paths(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Plain tables, with the paths relative to `folder` made absolute: run.out, run.start, topology files, `file.py:Class`;
    the problem's options keep the folder in mind until the class says which are paths (`paths.options_of`)."""
    tables = plain(given)

    def absolute(table: Any, key: str) -> None:
        if isinstance(table, dict) and isinstance(table.get(key), str) and table[key].strip():
            table[key] = paths.absolute(table[key], folder)

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
                problem[key] = f"{paths.absolute(file, folder)}:{name}"
            elif key != "name":
                problem[key] = paths.written(value, folder)
    return tables


def folder(config: Path, out: Path | None, run_out: str | None) -> Path:
    """The folder of a run: --out, else run.out, else runs/NAME-OF-CONFIG in the working folder."""
    path = Path(out or run_out or Path("runs", config.stem)).resolve()
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"run.out: {path} is not UTF-8, which config.toml cannot hold; choose a folder with another name") from None
    return path


def named_folder(text: str) -> Path:
    """The folder of an argument such as --out, which an unset variable of a shell leaves empty."""
    if not text.strip():
        raise UserError('--out "": names no folder; give one, such as --out runs/mine')
    return Path(text)
