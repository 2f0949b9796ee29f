"""A problem's class from its name, and its agents from their options."""

import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module, invalidate_caches, util
from operator import index
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import UserError, did_you_mean, is_one_of, shown
from . import PROBLEMS, Problem, contract


def problem_class(name: Any) -> type[Any]:
    """The class of a problem: shipped, `file.py:Class`, `module:Class`, or the class itself. Raises UserError."""
    if isinstance(name, type):
        return name
    if is_one_of(name, PROBLEMS):
        module, _, attribute = PROBLEMS[name].partition(":")
        return getattr(import_module(f".{module}", __package__), attribute)
    if not isinstance(name, str):
        raise UserError(f"problem.name: {shown(name)} is neither a text nor a class; give a name, my_file.py:MyProblem, "
                        "or in Python the class itself, not an instance")
    where, _, attribute = name.rpartition(":")
    if why := unnamed(name):
        raise UserError(f"problem.name: {why}")
    if where.endswith(".py"):
        module_of_user = _executed(Path(where))
    elif _is_module(where):
        module_of_user = _imported(where)
    else:
        raise UserError(f"problem.name: no problem is called {shown(name)}; {did_you_mean(name, PROBLEMS)} "
                        "(your own is written my_file.py:MyProblem)")
    found = _attribute(module_of_user, attribute)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module_of_user).items() if isinstance(value, type) and value is not Problem]
        raise UserError(f"problem.name: {where} has no class {shown(attribute)}; {did_you_mean(attribute, classes)}")
    return found


def name_of(cls: type[Any]) -> str:
    """How a configuration names a class: `module:Class`, or `script.py:Class` where that script is the program."""
    module = sys.modules.get(cls.__module__)
    attribute = cls.__qualname__
    if _attribute(module, attribute) is not cls:        # made by a call, and assigned to a name
        attribute = next((key for key, value in vars(module).items() if value is cls), attribute) if module else attribute
    if cls.__module__ != "__main__":
        return f"{cls.__module__}:{attribute}"
    spec, file = getattr(module, "__spec__", None), getattr(module, "__file__", None)
    if spec is not None:                                # of python -m module
        return f"{spec.name}:{attribute}"
    return f"{Path(file).resolve() if file and file.endswith('.py') else '__main__'}:{attribute}"


def unnamed(name: str) -> str:
    """Why no configuration can name a class, after `name_of`; "" where one can."""
    where, _, attribute = name.rpartition(":")
    if where == "__main__":
        return f"{attribute} was defined in an interactive session; write it into a file, and name = \"my_file.py:{attribute}\""
    if "<locals>" in attribute:
        return (f"{attribute.rpartition('.')[2]} was defined inside of a function, where it cannot be found; define it at the top "
                f"level of its file")
    return ""


def source(name: Any) -> Path | None:
    """The file of a user's problem; None of a shipped one, and where it cannot be told."""
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
    """The user's file, or module, whose code is being run in search of a problem; "" at other times."""
    return _loading[-1] if _loading else ""


@contextmanager
def _users_code(where: str) -> Iterator[None]:
    """Mistakes of a file or module that the block runs, as sentences."""
    _loading.append(where)
    try:
        yield
    except SyntaxError as error:
        raise UserError(f"problem.name: {error.filename or where}, line {error.lineno}: {error.msg}; fix that line") from None
    except ModuleNotFoundError as error:
        if f"{where}.".startswith(f"{error.name}."):
            raise UserError(f"problem.name: no module {error.name} is installed, or lies in {Path.cwd()} or beside the "
                            "configuration; start where it lies, or name a file: my_file.py:MyProblem") from None
        raise UserError(f"problem.name: {where} imports {error.name}, which is neither installed nor beside it; install it") from None
    except ImportError as error:
        raise UserError(f"problem.name: {where}: {error}; fix that import") from None
    finally:
        _loading.pop()


def _executed(path: Path) -> ModuleType:
    """The module of a user's file, which may import what lies beside it."""
    if not os.path.isfile(path):                        # also of a name too long for a file
        raise UserError(f"problem.name: {path} does not exist; give the path of your problem's file")
    spec = util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    add_to_path(path.parent)
    with _users_code(str(path)):
        spec.loader.exec_module(module)
    return module


def _imported(name: str) -> ModuleType:
    """A module that is installed, or lies in the working folder or beside the configuration."""
    add_to_path(Path.cwd())
    invalidate_caches()
    with _users_code(name):
        return import_module(name)


def _is_module(where: str) -> bool:
    return all(part.isidentifier() for part in where.split("."))


def _attribute(module: ModuleType | None, path: str) -> Any:
    """What a dotted name is in a module; None where it is nothing."""
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


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
