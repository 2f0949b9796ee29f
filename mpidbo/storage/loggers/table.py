"""The classes of the loggers by name, and those of the user."""

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...config import LOGGERS
from ...errors import UserError, shown
from ...problems import add_to_path

KEY = "run.log"


def loggers_of(names: Iterable[str | type[Any]], has_folder: bool) -> list[tuple[str, type[Any]]]:
    """Return the loggers of a run: the name of each, and its class.

    Parameters
    ----------
    names : iterable of str or class
        Names of `LOGGERS`, "module:Class", or classes.
    has_folder : bool
        Whether the run has a folder.

    Raises
    ------
    UserError
        There is no such class, or what it needs is not there: a package, or the run's folder.
    """
    found = []
    for name in names:
        cls = name if isinstance(name, type) else _named(name)
        package = getattr(cls, "package", "")
        if package and not _is_installed(package):
            what = f"'mpidbo[{package}]'" if name in LOGGERS else package
            raise UserError(
                f"{KEY}: {shown(name)} needs the package {package}, which is not installed; pip "
                f"install {what}, or leave {shown(name)} out"
            )
        if getattr(cls, "needs_folder", False) and not has_folder:
            raise UserError(
                f"{KEY}: {shown(name)} writes into the run's folder, and this run has none; give "
                'run.out, such as out = "runs/mine"'
            )
        found.append((name if isinstance(name, str) else cls.__name__, cls))
    return found


def logger_files() -> set[str]:
    """Return the names of all that loggers of this package write into a run's folder."""
    return {file for name in LOGGERS for file in _named(name).files}


def _named(name: str) -> type[Any]:
    """The class of a name of `LOGGERS`, or of "module:Class"."""
    module, _, attribute = LOGGERS.get(name, name).rpartition(":")
    if name in LOGGERS:
        return getattr(import_module(f".{module}", __package__), attribute)
    add_to_path(Path.cwd())
    try:
        found = getattr(import_module(module), attribute, None)
    except Exception as error:  # whatever the user's module raises
        raise UserError(
            f"{KEY}: {module} cannot be imported ({type(error).__name__}: {error}); give a module "
            "that is installed, in the working folder or beside the configuration"
        ) from None
    if not isinstance(found, type):
        raise UserError(f"{KEY}: {module} has no class {shown(attribute)}; name one that it has")
    return found


def _is_installed(package: str) -> bool:
    """Whether a package can be imported; a folder of that name without code does not count."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None
