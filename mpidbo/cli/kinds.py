"""What a file is that a command cannot use, and the command for it."""

import tomllib
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from os.path import exists, isdir, isfile  # False for names that no file can have
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from .._text import alternatives
from ..config import folder, full_name, split_name
from ..errors import UserError, known_as
from ..network import TOPOLOGIES
from ..problems import PROBLEMS, calls_of, problems_in
from ..storage import is_run

MAX_LISTED = 3
"""Files or problems that a message names."""
FORMATS = {".yaml": "YAML", ".yml": "YAML", ".json": "JSON", ".ini": "INI", ".cfg": "INI"}


class Kind(NamedTuple):
    """What a path is, and what to do with it."""

    what: str
    remedy: str


def expect_configuration(path: Path, command: str) -> None:
    """Raise UserError where a path is evidently no configuration, with what to do with it.

    Parameters
    ----------
    path : Path
        What the command was given.
    command : str
        Its name; "compare" takes a study, others the configuration of a run.
    """
    kind = _foreign(path)
    if isdir(path):
        kind = _folder(path, command)
    elif path.suffix == ".h5" and isfile(path):
        kind = Kind("a file with results", f"write mpidbo show {quote(str(path))}")
    elif not exists(path):
        kind, close = _thing(str(path)), _similar(path)
        if close:
            raise UserError(f"{path}: no such file; did you mean {close}?")
    if kind:
        wanted = "a study" if command == "compare" else "a configuration"
        raise _wrong(path, kind, f"{command} takes {wanted} in TOML")


def expect_one_run(path: Path, tables: Mapping[str, Any], command: str) -> None:
    """Raise UserError where the tables of a file are those of a study."""
    if "study" in tables:
        kind = Kind("a study", f"write mpidbo compare {quote(str(path))}")
        raise _wrong(path, kind, f"{command} takes the configuration of one run")


def expect_run(path: Path, command: str) -> None:
    """Raise UserError where a path is evidently no run, with what to do with it."""
    kind = _foreign(path)
    if isdir(path) and not is_run(path):
        runs = [part for part in sorted(path.iterdir()) if isdir(part) and is_run(part)]
        if runs:
            kind = Kind("a folder with runs", f"write mpidbo {command} {quote(str(runs[0]))}")
    elif path.suffix == ".toml" and isfile(path) and not is_run(path.parent):
        kind = _configuration(path, command)
    elif not (path.is_absolute() or exists(path)) and is_run(Path("runs") / path):
        other = Path("runs") / path
        raise UserError(f"{path}: no such folder; write mpidbo {command} {quote(str(other))}")
    if kind:
        raise _wrong(path, kind, f"{command} takes the folder of a run")


def expect_problem(name: str) -> None:
    """Raise UserError where the argument of `mpidbo check` is a file in place of a problem."""
    path = Path(name)
    if path.suffix == ".py" and isfile(path):
        found = problems_in(path)
        if not found:
            raise UserError(
                f"{name}: has no problem at its top level; define a class of mpidbo.Problem there, "
                f"or a problem by from_torch or from_jax, and write mpidbo check {name}:NAME"
            )
        lines = [f"mpidbo check {quote(f'{name}:{each}')}" for each in found[:MAX_LISTED]]
        raise _wrong(
            path, Kind("a file", f"write {alternatives(lines)}"), "check takes a problem in it"
        )
    if path.suffix == ".toml" and isfile(path):
        problem = _tables(path).get("problem", {})
        known = problem.get("name") if isinstance(problem, dict) else None
        remedy = f"write mpidbo check {quote(str(known or 'NAME'))}"
        raise _wrong(path, Kind("a configuration", remedy), "check takes a problem")
    thing = _thing(name)
    if thing and not known_as(name, PROBLEMS):
        raise _wrong(path, thing, "check takes a problem")


def _wrong(path: Path, kind: Kind, taken: str) -> UserError:
    return UserError(f"{path}: is {kind.what}, and {taken}; {kind.remedy}")


def _foreign(path: Path) -> Kind | None:
    """A Python file, a notebook or a file in another format; None for others."""
    if not isfile(path):
        return None
    if path.suffix == ".py":
        return Kind("a Python file", alternatives(_ways(path)))
    if path.suffix == ".ipynb":
        return Kind("a notebook", "open it in Jupyter")
    if path.suffix in FORMATS:
        return Kind(FORMATS[path.suffix], "write the same keys as TOML, as mpidbo new does")
    return None


def _thing(name: str) -> Kind | None:
    """A problem, method or topology by its name; None for another name."""
    problem, graph = known_as(name, PROBLEMS), known_as(name, TOPOLOGIES)
    if problem:
        return Kind("a problem", f'write a configuration with [problem] name = "{problem}"')
    if graph:
        return Kind("a topology", f"write mpidbo topology {graph} -n 8")
    with suppress(UserError):
        split_name(name)
        return Kind("a method", f"write mpidbo methods {full_name(name)}")
    return None


def _ways(path: Path) -> list[str]:
    """What can be done with a Python file."""
    found = problems_in(path)
    ways = []
    if not found or calls_of(path) & {"solve", "Solver"}:
        ways.append(f"run it by python {quote(str(path))}")
    if found:
        problem = f"{path.name}:{found[0]}"
        ways.append(f'write a configuration with [problem] name = "{problem}"')
        ways.append(f"check the problem by mpidbo check {quote(f'{path}:{found[0]}')}")
    return ways


def _folder(path: Path, command: str) -> Kind:
    if is_run(path) and command != "compare":
        own = path / "config.toml"
        return Kind(
            "the folder of a run",
            f"look at it by mpidbo show {quote(str(path))}, or resume it by mpidbo run "
            f"{quote(str(own))} --out {quote(str(path))}",
        )
    files = [quote(str(file)) for file in sorted(path.glob("*.toml"))]
    one = alternatives([f"mpidbo {command} {file}" for file in files[:MAX_LISTED]])
    return Kind("a folder", f"write {one}" if files else "give a file")


def _configuration(path: Path, command: str) -> Kind:
    """A configuration in place of its run."""
    tables = _tables(path)
    if "study" in tables:
        return Kind("a study", f"write mpidbo compare {quote(str(path))} --report")
    run = tables.get("run", {})
    out = run.get("out") if isinstance(run, dict) else None
    place = folder(path, None, str(path.parent / out) if isinstance(out, str) else None)
    if not is_run(place):
        return Kind("a configuration that has not been run", f"write mpidbo run {quote(str(path))}")
    if place.is_relative_to(Path.cwd()):
        place = place.relative_to(Path.cwd())
    return Kind("a configuration", f"write mpidbo {command} {quote(str(place))}")


def _tables(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; {} where it is none."""
    with suppress(OSError, ValueError, RecursionError):
        return tomllib.loads(path.read_text(encoding="utf-8"))
    return {}


def _similar(path: Path) -> str:
    """A configuration beside a path that does not exist, with a similar name; "" without one."""
    with suppress(OSError):
        names = [file.stem for file in path.parent.glob("*.toml")]
        close = get_close_matches(path.stem, names, n=1)
        return str(path.with_name(f"{close[0]}.toml")) if close else ""
    return ""
