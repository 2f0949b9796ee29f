"""mpidbo: decentralized stochastic bilevel optimization over MPI."""

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .errors import Diverged, MpidboError, UserError
    from .problems import Problem
    from .problems.autodiff import from_jax, from_torch, split, split_files, subsets
    from .solver.api import solve
    from .solver.plan import Result
    from .storage.saved import Saved, load

__all__ = ["Diverged", "MpidboError", "Problem", "Result", "Saved", "UserError", "__version__", "from_jax", "from_torch", "load", "solve",
           "split", "split_files", "subsets"]

if not TYPE_CHECKING:
    HOME = {"solve": "solver.api", "Result": "solver.plan", "Problem": "problems", "Saved": "storage.saved", "load": "storage.saved",
            **dict.fromkeys(["Diverged", "MpidboError", "UserError"], "errors"),
            **dict.fromkeys(["from_jax", "from_torch", "split", "split_files", "subsets"], "problems.autodiff")}
    """The module of each public name, imported when the name is first used: a command must catch signals before numpy is loaded."""

    def __getattr__(name: str) -> Any:
        from importlib import import_module
        from importlib.util import find_spec
        if name in HOME:
            found = getattr(import_module(f".{HOME[name]}", __name__), name)
        elif not name.startswith("__") and find_spec(f"{__name__}.{name}"):
            found = import_module(f".{name}", __name__)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
