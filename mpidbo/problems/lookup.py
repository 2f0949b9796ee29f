"""A problem's class from its name, and its agents from their options."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module, invalidate_caches, util
from inspect import Parameter, signature
from math import inf
from operator import index
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import Annotated, Any

import numpy as np

from .._fields import Range, canonical, check_key, convert
from ..errors import UserError, did_you_mean, known_as, shown
from . import contract
from .base import Problem
from .defined import problems_in
from .shipped import PROBLEMS


def problem_class(name: Any) -> type[Any]:
    """Return the class of a problem.

    Parameters
    ----------
    name : str or class
        The name of a shipped problem, whatever its case, dashes and underscores, "file.py:Class",
        "module:Class", or the class itself.

    Raises
    ------
    UserError
        There is no such problem, or its file cannot be imported.
    """
    if isinstance(name, type):
        return name
    known = known_as(name, PROBLEMS)
    if known:
        module, _, attribute = PROBLEMS[known].partition(":")
        return getattr(import_module(f".{module}", __package__), attribute)
    if not isinstance(name, str):
        raise UserError(
            f"problem.name: {shown(name)} is neither a string nor a class; give a name, "
            "my_file.py:MyProblem, or in Python the class itself, not an instance"
        )
    where, _, attribute = name.rpartition(":")
    why = unnamed(name) or _without_class(name)
    if why:
        raise UserError(f"problem.name: {why}")
    if where.endswith(".py"):
        module_of_user = _executed(Path(where))
    elif _is_module(where):
        module_of_user = _imported(where)
    else:
        raise UserError(
            f"problem.name: no problem is called {shown(name)}; {did_you_mean(name, PROBLEMS)} "
            "(your own is written my_file.py:MyProblem)"
        )
    found = _attribute(module_of_user, attribute)
    if not isinstance(found, type):
        classes = [
            key
            for key, value in vars(module_of_user).items()
            if isinstance(value, type) and value is not Problem
        ]
        raise UserError(
            f"problem.name: {where} has no class {shown(attribute)}; "
            f"{did_you_mean(attribute, classes)}"
        )
    return found


def name_of(cls: type[Any]) -> str:
    """Return the name by which a configuration refers to a class.

    `module:Class`, or `script.py:Class` where that script is the program.
    """
    module = sys.modules.get(cls.__module__)
    attribute = cls.__qualname__
    if module and _attribute(module, attribute) is not cls:
        # Made by a call, such as of from_torch, and assigned to a name.
        names = [key for key, value in vars(module).items() if value is cls]
        attribute = names[0] if names else attribute
    if cls.__module__ != "__main__":
        return f"{cls.__module__}:{attribute}"
    spec, file = getattr(module, "__spec__", None), getattr(module, "__file__", None)
    if spec is not None:  # of python -m module
        return f"{spec.name}:{attribute}"
    script = Path(file).resolve() if file and file.endswith(".py") else "__main__"
    return f"{script}:{attribute}"


def unnamed(name: str) -> str:
    """Return why a configuration cannot name a class, given `name_of` it; "" where it can."""
    where, _, attribute = name.rpartition(":")
    if where == "__main__":
        return (
            f"{attribute} was defined in an interactive session; write it into a file, and "
            f'name = "my_file.py:{attribute}"'
        )
    if "<locals>" in attribute:
        return (
            f"{attribute.rpartition('.')[2]} was defined inside of a function, where it cannot be "
            "found; define it at the top level of its file"
        )
    return ""


def _without_class(name: str) -> str:
    """Why a file or module alone is no problem, and what to write; "" for another name."""
    if name.endswith(".toml"):
        return (
            f"{shown(name)} is a configuration, not a problem; run it by mpidbo run {name}, or "
            "give its sections as arguments"
        )
    file = Path(name if name.endswith(".py") else f"{name.replace('.', '/')}.py")
    if not name.endswith(".py") and (":" in name or not os.path.isfile(file)):
        return ""
    found = problems_in(file)
    if not found:
        return f"{name} names no class; write {file}:MyProblem, with the class in that file"
    which = " or ".join(f"{file}:{each}" for each in found)
    return f"{name} is a file, and a problem is a class in it; write {which}"


def source(name: Any) -> Path | None:
    """Return the file of a user's problem; None for a shipped one, and where it is unknown."""
    where, _, _ = str(name).rpartition(":")
    if where.endswith(".py"):
        return Path(where)
    if not _is_module(where) or where.partition(".")[0] == __name__.partition(".")[0]:
        return None
    try:
        spec = util.find_spec(where)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.has_location else None


def add_to_path(folder: Path) -> None:
    """Let imports search a folder, after all others."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


_loading: list[str] = []


def loading() -> str:
    """The user's file, or module, whose code is being run in search of a problem.

    "" at other times.
    """
    return _loading[-1] if _loading else ""


@contextmanager
def _users_code(where: str) -> Iterator[None]:
    """A block that imports a user's file or module, whose errors become UserErrors."""
    _loading.append(where)
    try:
        yield
    except SyntaxError as error:
        raise UserError(
            f"problem.name: {error.filename or where}, line {error.lineno}: {error.msg}; fix that "
            "line"
        ) from None
    except ModuleNotFoundError as error:
        if f"{where}.".startswith(f"{error.name}."):
            raise UserError(
                f"problem.name: no module {error.name} is installed, nor in {Path.cwd()} or beside "
                "the configuration; start in the folder of the module, or name a file: "
                "my_file.py:MyProblem"
            ) from None
        raise UserError(
            f"problem.name: {where} imports {error.name}, which is neither installed nor beside "
            "it; install it"
        ) from None
    except ImportError as error:
        raise UserError(f"problem.name: {where}: {error}; fix that import") from None
    finally:
        _loading.pop()


def _executed(path: Path) -> ModuleType:
    """Execute a user's file, which may import the files beside it, and return the module."""
    if not os.path.isfile(path):  # also of a name too long for a file
        raise UserError(
            f"problem.name: {path} does not exist; give the path of your problem's file"
        )
    spec = util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    # For dataclasses and inspect, which look a class's module up by name; one that is there stays.
    sys.modules.setdefault(path.stem, module)
    add_to_path(path.parent)
    with _users_code(str(path)):
        spec.loader.exec_module(module)
    return module


def _imported(name: str) -> ModuleType:
    """Import a module that is installed, in the working folder or beside the configuration."""
    add_to_path(Path.cwd())
    invalidate_caches()  # the file may have been written since the folder was last searched
    with _users_code(name):
        return import_module(name)


def _is_module(where: str) -> bool:
    return all(part.isidentifier() for part in where.split("."))


def _attribute(module: ModuleType | None, path: str) -> Any:
    """The value of a dotted name in a module; None where there is none."""
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


RESERVED = ("agent", "n_agents", "xp", "seed", "dtype")
"""What a problem's constructor is given besides its options (dtype only if it names it)."""


def make_problems(
    cls: type[Any],
    table: Mapping[str, Any],
    which: Sequence[int],
    n: int,
    *,
    seed: int,
    dtype: Any,
    xp: Any = np,
) -> list[Any]:
    """Make the agents `which` of n.

    Parameters
    ----------
    cls : class
        The problem.
    table : dict
        `[problem]`: the options, and the name.
    which : sequence of int
        Numbers of the agents.
    n : int
        Number of agents in the network.
    seed, dtype, xp
        As for `Problem`.

    Raises
    ------
    UserError
        An option that the problem does not have or that does not fit, or a constructor with other
        parameters.
    """
    options = {key: value for key, value in table.items() if key != "name"}
    try:
        parameters = signature(cls).parameters
    except (TypeError, ValueError):
        raise UserError(
            f"problem.name: {cls.__name__} cannot be made, its __init__ is not a function; write "
            "__init__ as mpidbo.Problem has it"
        ) from None
    _check_options(cls, options, parameters, dtype)
    given = {"xp": xp, "seed": seed, **options}
    if "dtype" in parameters:
        given["dtype"] = dtype
    try:
        signature(cls).bind(0, n, **given)
    except TypeError as error:
        raise UserError(
            f"problem.name: {cls.__name__} cannot be made as {cls.__name__}(agent, n_agents, "
            f"xp=..., seed=..., options) ({error}); give its constructor these parameters, as "
            "mpidbo.Problem has them"
        ) from None
    with contract.fitting(cls, table, n):
        made = [_made(cls, agent, n, given) for agent in which]
        contract.assure_finite(made)
    contract.assure(made[0])
    return made


def _made(cls: type[Any], agent: int, n: int, given: Mapping[str, Any]) -> Any:
    try:
        return cls(agent, n, **given)
    except TypeError as error:
        trace = error.__traceback__
        # A second frame: the constructor raised it, not the call of the constructor.
        if trace is not None and trace.tb_next is not None:
            raise
        raise UserError(
            f"problem.name: {cls.__name__} cannot be made ({error}); write __init__ as "
            "mpidbo.Problem has it"
        ) from None


def option_names(cls: type[Any]) -> list[str] | None:
    """Return the options of a problem, which are parameters of its constructor; None for any."""
    try:
        parameters = signature(cls).parameters.values()
    except (TypeError, ValueError):  # refused by `make_problems`
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    kinds = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in kinds and p.name not in RESERVED]


def with_known_names(cls: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with names as they are known, of those whose annotation lists their names."""
    try:
        parameters = signature(cls).parameters
        hints = {key: p.annotation for key, p in parameters.items()}
    except (TypeError, ValueError):  # refused by `make_problems`
        hints = {}
    return {
        key: canonical(value, hints[key]) if key in hints else value
        for key, value in options.items()
    }


def _check_options(
    cls: type[Any], options: Mapping[str, Any], parameters: Mapping[str, Parameter], dtype: Any
) -> None:
    """Raise UserError unless the options fit the parameters of the constructor.

    The square of a number in a shipped problem must not overflow in the type of the run.
    """
    known = {
        key: p.default
        for key, p in parameters.items()
        if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and key not in RESERVED
    }
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    largest = float(np.sqrt(np.finfo(dtype).max))
    for key, value in options.items():
        where = f"problem.{key}"
        if key in RESERVED or not (key in known or takes_any):
            check_key(key, known, "problem", f"unknown option of {cls.__name__}")
        if key in known:
            is_bounded = contract.shipped(cls) and key not in cls.infinite
            convert(value, _hint(known[key], largest if is_bounded else inf), where, known[key])
    for key, default in known.items():
        if default is Parameter.empty and key not in options:
            raise UserError(f"problem.{key}: needed by {cls.__name__}; set it in [problem]")


def _hint(default: Any, largest: float = inf) -> Any:
    """The type of an option, which is that of its default; of a list, that of all its entries."""
    if isinstance(default, list | tuple):
        same = len({type(item) for item in default}) == 1
        return GenericAlias(list, (_hint(default[0]) if same else Any,))
    if type(default) is float:
        return Annotated[float, Range(-inf, inf), Range(-largest, largest)]
    return type(default) if type(default) in (bool, int, str) else Any


def dimensions(problems: list[Any]) -> tuple[int, int]:
    """Return (p, q) of these agents. Raises UserError unless all have the same."""
    found = [_dims(problem) for problem in problems]
    for dims in found:
        if dims != found[0]:
            raise UserError(
                f"problem {type(problems[0]).__name__}.dims: agents disagree, {found[0]} and "
                f"{dims}; make it the same on every agent"
            )
    return found[0]


def _dims(problem: Any) -> tuple[int, int]:
    dims: Any = getattr(problem, "dims", None)
    where = f"problem {type(problem).__name__}.dims"
    try:
        p, q = (index(d) for d in dims)
    except (TypeError, ValueError):
        raise UserError(
            f"{where}: {shown(dims)} is not (p, q); set it to the dimensions of x and y, two whole "
            "numbers"
        ) from None
    if p < 1 or q < 1:
        raise UserError(
            f"{where}: ({p}, {q}) is not positive; x and y have at least one entry each"
        )
    return p, q
