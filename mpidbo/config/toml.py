"""Reading a configuration: TOML, `--set`, absolute paths."""

import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import _contents as contents
from ..errors import UserError
from ..problems import add_to_path
from . import paths
from .auto_steps import step_table
from .places import set_argument
from .values import plain


def load(path: Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Read the tables of a TOML file.

    Parameters
    ----------
    path : Path
        The file. Its folder is searched for modules from here on, as the problem may be one.
    overrides : iterable of str, optional
        Arguments of `--set`, such as "steps.alpha=0.1".

    Returns
    -------
    dict
        Section -> table, with absolute paths; not checked.

    Raises
    ------
    UserError
        The file cannot be read, is not TOML, or an override is not of that form.
    """
    try:
        tables = tomllib.loads(contents.decoded(path.read_bytes()))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; give the path of a configuration in TOML") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}; fix that line") from None
    except RecursionError:
        raise UserError(
            f"{path}: not valid TOML: lists or tables are nested too deep; a configuration has two "
            "or three levels"
        ) from None
    except contents.FAULTS as error:
        raise UserError(
            f"{path}: cannot be read ({contents.why(error)}); give the path of a configuration in "
            "TOML"
        ) from None
    tables = with_absolute_paths(tables, path.parent)
    add_to_path(path.parent.resolve())
    over = with_absolute_paths(parse_overrides(overrides), Path())
    if isinstance(over.get("steps"), Mapping) and isinstance(tables.get("steps"), str):
        method = merged(tables, over).get("method", {})
        tables = {**tables, "steps": step_table(tables["steps"], method)}
    return merged(tables, over)


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """Tables from arguments of `--set`.

    Parameters
    ----------
    overrides : iterable of str
        SECTION.KEY=VALUE each; the value is TOML, or else a string.

    Returns
    -------
    dict
        {"steps": {"alpha": 0.1}} for "steps.alpha=0.1".

    Raises
    ------
    UserError
        An argument is not of that form.
    """
    tables: dict[str, Any] = {}
    for text in overrides:
        text = text.removeprefix("\ufeff")  # a byte order mark
        key, equals, value = text.partition("=")
        path = [part.strip() for part in key.split(".")]
        short = len(path) < 2 and path != ["steps"]  # steps=auto
        if not equals or short or not all(path):
            example = set_argument(path[-1], value) or "--set steps.alpha=0.1"
            raise UserError(
                f"--set {text}: not of the form section.key=value; write for example {example}"
            )
        table = _value(value)
        for part in reversed(path):
            table = {part: table}
        tables = merged(tables, table)
    return tables


def _value(text: str) -> Any:
    """A value as TOML has it; a number such as ".5", which TOML does not have; else the string."""
    with suppress(ValueError, RecursionError):
        return tomllib.loads(f"value = {text}")["value"]
    with suppress(ValueError):
        return float(text)
    return text


def merged(tables: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with the values of other tables, at any depth, in place of their own.

    Parameters
    ----------
    tables : Mapping
        The tables.
    over : Mapping
        Tables with the values that take precedence.
    """
    result = dict(tables)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            value = merged(old, value)
        result[key] = value
    return result


def with_absolute_paths(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Plain tables with absolute paths.

    Parameters
    ----------
    given : Mapping
        Section -> table, as they were written; not checked.
    folder : Path
        The folder that paths are relative to.

    Returns
    -------
    dict
        The tables with absolute `run.out`, `run.start`, `file` of topologies, and problem name
        "file.py:Class". Strings in the problem's options remember the folder, since only the class
        knows which of them are paths (`options_of`).
    """
    tables = plain(given)
    for key in ("out", "start"):
        _make_absolute(tables.get("run"), key, folder)
    topology = tables.get("topology")
    if isinstance(topology, dict):
        for part in (topology, topology.get("upper"), topology.get("lower")):
            _make_absolute(part, "file", folder)
            _make_absolute(part, "files", folder)
    problem = tables.get("problem")
    if isinstance(problem, dict):
        for key, value in problem.items():
            if key != "name":
                problem[key] = paths.with_folder(value, folder)
            elif isinstance(value, str) and ".py:" in value:
                file, _, name = value.rpartition(":")
                problem[key] = f"{paths.absolute(file, folder)}:{name}"
            elif isinstance(value, str) and value.endswith(".py"):  # refused, with its classes
                problem[key] = paths.absolute(value, folder)
    return tables


def _make_absolute(table: Any, key: str, folder: Path) -> None:
    """Change the path of a key of a table, or those of a list, if there is such a table and key."""

    def absolute(value: Any) -> Any:
        if isinstance(value, list):
            return [absolute(item) for item in value]
        is_path = isinstance(value, str) and value.strip()
        return paths.absolute(value, folder) if is_path else value

    if isinstance(table, dict) and key in table:
        table[key] = absolute(table[key])


def folder(config: Path, out: Path | None, run_out: str | None) -> Path:
    """The folder of a run.

    Parameters
    ----------
    config : Path
        The file of the configuration.
    out : Path, optional
        The argument `--out`, which takes precedence.
    run_out : str, optional
        The key `run.out`; without either the folder is runs/NAME-OF-CONFIG in the working folder.

    Raises
    ------
    UserError
        The name of the folder is not UTF-8.
    """
    path = Path(out or run_out or Path("runs", config.stem)).resolve()
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"run.out: {path} is not UTF-8, which config.toml cannot hold; choose a folder with "
            "another name"
        ) from None
    return path


def named_folder(text: str) -> Path:
    """The folder of an argument such as `--out`. Raises UserError for "" (an unset variable)."""
    if not text.strip():
        raise UserError('--out "": names no folder; give one, such as --out runs/mine')
    return Path(text)
