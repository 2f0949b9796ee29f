"""A problem's class from its name, and its agents from their options."""

import inspect
import sys
from collections.abc import Mapping
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UserError, did_you_mean
from .problems import PROBLEMS, Problem


def problem_class(name: Any) -> type[Any]:
    """The class of a problem: shipped, `file.py:Class`, or the class itself. Raises UserError."""
    if isinstance(name, type):
        return name
    if name in PROBLEMS:
        module, _, attribute = PROBLEMS[name].partition(":")
        return getattr(import_module(f".problems.{module}", __package__), attribute)
    file, colon, attribute = str(name).rpartition(":")
    if not colon or not file.endswith(".py"):
        raise UserError(f"problem.name: no problem is called {name!r}; {did_you_mean(str(name), PROBLEMS)} "
                        "Your own is written my_file.py:MyProblem")
    path = Path(file)
    if not path.is_file():
        raise UserError(f"problem.name: {path} does not exist; give the path of your problem's file")
    spec = util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module_of_user = util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module_of_user)
    try:
        spec.loader.exec_module(module_of_user)
    except SyntaxError as error:
        raise UserError(f"problem.name: {path}, line {error.lineno}: {error.msg}; mend that line") from None
    except ModuleNotFoundError as error:
        raise UserError(f"problem.name: {path} imports {error.name}, which is not installed; install it") from None
    found = getattr(module_of_user, attribute, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module_of_user).items() if isinstance(value, type) and value is not Problem]
        raise UserError(f"problem.name: {path} has no class {attribute}; {did_you_mean(attribute, classes)}")
    return found


def make_problems(cls: type[Any], table: Mapping[str, Any], which: range, n: int, *, seed: int, dtype: Any) -> list[Any]:
    """The agents `which` of n; a wrong option is a UserError."""
    options = {key: value for key, value in table.items() if key != "name"}
    parameters = inspect.signature(cls).parameters
    if "dtype" in parameters:
        options.setdefault("dtype", dtype)
    reserved = {"agent", "n_agents", "xp", "seed", "dtype"}
    known = [key for key, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and key not in reserved]
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in options:
        if key not in known and key != "dtype" and not free:
            raise UserError(f"problem.{key}: unknown option of {cls.__name__}; {did_you_mean(key, known)}")
    for key in known:
        if parameters[key].default is inspect.Parameter.empty and key not in options:
            raise UserError(f"problem.{key}: needed by {cls.__name__}; set it in [problem]")
        if key in options:
            _like(options[key], parameters[key].default, f"problem.{key}")
    return [cls(agent, n, xp=np, seed=seed, **options) for agent in which]


def _like(value: Any, default: Any, where: str) -> None:
    """UserError when an option's type is not that of its default."""
    def number(item: Any) -> bool:
        return isinstance(item, (int, float)) and not isinstance(item, bool)

    wrong = ((isinstance(default, bool) and not isinstance(value, bool)) or (number(default) and not number(value))
             or (isinstance(default, str) and not isinstance(value, (str, Path))))
    if wrong:
        raise UserError(f"{where}: {value!r} is not of the type of its default, {default!r}; give a value of that type")


def dimensions(problems: list[Any]) -> tuple[int, int]:
    name = type(problems[0]).__name__
    try:
        p, q = (int(d) for d in problems[0].dims)
    except (TypeError, ValueError):
        raise UserError(f"problem {name}.dims: {problems[0].dims!r} is not (p, q); set dims to the dimensions of x and y") from None
    if p < 1 or q < 1:
        raise UserError(f"problem {name}.dims: ({p}, {q}) is not positive; x and y have at least one entry each")
    for problem in problems:
        if tuple(problem.dims) != (p, q):
            raise UserError(f"problem {name}.dims: agents disagree, {(p, q)} and {tuple(problem.dims)}; make them the same on every agent")
    return p, q
