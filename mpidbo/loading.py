"""A problem's class from its name, and its agents from their options."""

import inspect
import sys
from collections.abc import Mapping
from importlib import import_module, util
from operator import index
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import contract
from .errors import UserError, did_you_mean, is_one_of, shown
from .problems import PROBLEMS, Problem


def problem_class(name: Any) -> type[Any]:
    """The class of a problem: shipped, `file.py:Class`, or the class itself. Raises UserError."""
    if isinstance(name, type):
        return name
    if is_one_of(name, PROBLEMS):
        module, _, attribute = PROBLEMS[name].partition(":")
        return getattr(import_module(f".problems.{module}", __package__), attribute)
    if not isinstance(name, str):
        raise UserError(f"problem.name: {shown(name)} is neither a text nor a class; give a name, my_file.py:MyProblem, "
                        "or in Python the class itself, not an instance")
    file, _, attribute = name.rpartition(":")
    if not file.endswith(".py"):
        raise UserError(f"problem.name: no problem is called {shown(name)}; {did_you_mean(name, PROBLEMS)} "
                        "(your own is written my_file.py:MyProblem)")
    module_of_user = _executed(Path(file))
    found = getattr(module_of_user, attribute, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module_of_user).items() if isinstance(value, type) and value is not Problem]
        raise UserError(f"problem.name: {file} has no class {shown(attribute)}; {did_you_mean(attribute, classes)}")
    return found


def _executed(path: Path) -> ModuleType:
    """The module of a user's file, which may import what lies beside it."""
    if not path.is_file():
        raise UserError(f"problem.name: {path} does not exist; give the path of your problem's file")
    spec = util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"problem.name: {error.filename or path}, line {error.lineno}: {error.msg}; mend that line") from None
    except ModuleNotFoundError as error:
        raise UserError(f"problem.name: {path} imports {error.name}, which is neither installed nor beside it; install it") from None
    except ImportError as error:
        raise UserError(f"problem.name: {path}: {error}; mend that import") from None
    return module


RESERVED = ("agent", "n_agents", "xp", "seed", "dtype")
"""What a problem's constructor is given besides its options (dtype only if it names it)."""


def make_problems(cls: type[Any], table: Mapping[str, Any], which: range, n: int, *, seed: int, dtype: Any,
                  xp: Any = np) -> list[Any]:
    """The agents `which` of n; a wrong option is a UserError."""
    options = {key: value for key, value in table.items() if key != "name"}
    try:
        parameters = inspect.signature(cls).parameters
    except (TypeError, ValueError):
        raise UserError(f"problem.name: {cls.__name__} cannot be made, its __init__ is not a function; write __init__ as "
                        "mpidbo.Problem has it") from None
    known = [key for key, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and key not in RESERVED]
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key, value in options.items():
        if key in RESERVED or (key not in known and not free):
            raise UserError(f"problem.{key}: unknown option of {cls.__name__}; {did_you_mean(key, known)}")
        if key in known:
            _like(value, parameters[key].default, f"problem.{key}")
            if contract.shipped(cls) and key not in cls.infinite and type(parameters[key].default) is float:
                _bounded(value, dtype, f"problem.{key}")
    for key in known:
        if parameters[key].default is inspect.Parameter.empty and key not in options:
            raise UserError(f"problem.{key}: needed by {cls.__name__}; set it in [problem]")
    given = {"xp": xp, "seed": seed, **options} | ({"dtype": dtype} if "dtype" in parameters else {})
    try:
        inspect.signature(cls).bind(0, n, **given)
    except TypeError as error:
        raise UserError(f"problem.name: {cls.__name__} cannot be made as {cls.__name__}(agent, n_agents, xp=..., seed=..., options) "
                        f"({error}); give its constructor these parameters, as mpidbo.Problem has them") from None
    with contract.fitting(cls, table, n):
        made = [_made(cls, agent, n, given) for agent in which]
        contract.assure_finite(made)
    contract.assure(made[0])
    return made


def _made(cls: type[Any], agent: int, n: int, given: Mapping[str, Any]) -> Any:
    try:
        return cls(agent, n, **given)
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:     # raised inside, not by the call
            raise
        raise UserError(f"problem.name: {cls.__name__} cannot be made ({error}); write __init__ as mpidbo.Problem has it") from None


def _bounded(value: Any, dtype: Any, where: str) -> None:
    """UserError when the square of a number is none of that type any more."""
    most = float(np.sqrt(np.finfo(dtype).max))
    if not abs(value) <= most:
        raise UserError(f"{where}: {shown(value)} is out of range; give a number between {-most:.2g} and {most:.2g}")


def _like(value: Any, default: Any, where: str) -> None:
    """UserError when an option's type is not that of its default, nor its entries those of a default list, or when it is NaN."""
    if isinstance(default, (list, tuple)):
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{where}: {shown(value)} is not a list; give one, such as its default, {shown(default)}")
        for item in value if len({type(part) for part in default}) == 1 else ():
            _like(item, default[0], where)
        return
    kinds = {bool: (type(value) is bool, "true or false"),
             int: (type(value) is int, "a whole number"),
             float: (type(value) in (int, float) and value == value, "a number"),
             str: (isinstance(value, (str, Path)), "a text")}
    right, kind = kinds.get(type(default), (True, ""))
    if not right:
        raise UserError(f"{where}: {shown(value)} is not {kind}; give one, such as its default, {shown(default)}")


def dimensions(problems: list[Any]) -> tuple[int, int]:
    """(p, q), the same of all these agents. Raises UserError."""
    found = [_dims(problem) for problem in problems]
    for dims in found:
        if dims != found[0]:
            raise UserError(f"problem {type(problems[0]).__name__}.dims: agents disagree, {found[0]} and {dims}; "
                            "make it the same on every agent")
    return found[0]


def _dims(problem: Any) -> tuple[int, int]:
    dims: Any = getattr(problem, "dims", None)
    where = f"problem {type(problem).__name__}.dims"
    try:
        p, q = (index(d) for d in dims)
    except (TypeError, ValueError):
        raise UserError(f"{where}: {shown(dims)} is not (p, q); set it to the dimensions of x and y, two whole numbers") from None
    if p < 1 or q < 1:
        raise UserError(f"{where}: ({p}, {q}) is not positive; x and y have at least one entry each")
    return p, q
