"""Problems from two losses in PyTorch or JAX, whose derivatives the framework takes; and data sets split over agents."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ...errors import UserError
from .. import Problem
from ..data.subsets import split, split_files, subsets
from .base import Given
from .batches import accept_entries

__all__ = ["from_jax", "from_torch", "split", "split_files", "subsets"]

Loss = Callable[[Any, Any, Any], Any]


def from_torch(f: Loss, g: Loss, x0: Any, y0: Any, data: Any, *, val_data: Any = None, test_data: Any = None, batch: int = 0,
               val_batch: int | None = None, metrics: Callable[[Any, Any, Any], Mapping[str, Any]] | None = None,
               project_x: Callable[[Any], Any] | None = None, steps: Mapping[str, float] | None = None) -> type[Problem]:
    """A problem from two losses in PyTorch: a subclass of `Problem`, for `solve` or as "my_file.py:problem" in a configuration.

    f, g : f(x, y, batch) and g(x, y, batch), the upper and the lower loss of one agent; a scalar tensor each. They must be
        functions of their arguments: no random numbers (no dropout), nothing kept from call to call.
    x0, y0 : where all agents start, and the form in which x and y arrive: tensors, nn.Modules, and dicts, lists and tuples of
        them. In the place of a module stands a callable with its parameters of the moment: `y(inputs)`, `y.parameters()`,
        `y.named_parameters()`, `y["0.weight"]`; what requires no grad stays as it is.
    data : a list with one entry per agent, or a function agent -> entry, called on the rank that hosts the agent. An entry is
        an array or a tensor, or a tuple or dict of them; or a map-style data set (with a length and items). Floats arrive in
        the run's dtype, everything on its device.
    val_data : likewise, of the upper loss, which then has draws of its own; default: both losses get the same batch.
    test_data : likewise, of `metrics`; default: the upper loss's data. Metrics always get all of an agent's data.
    batch, val_batch : samples in a draw, all different, of data and val_data, by (seed, agent, iteration); 0 is the whole data
        of the agent. val_batch is batch unless said. `--set problem.batch=32` overrides.
    metrics : metrics(x, y, batch) -> {name: number}, further columns of the history, means over the agents.
    project_x : project_x(x) -> x, onto a closed convex set; the tree has tensors in the order of x0.
    steps : the default [steps] of this problem, as `Problem.steps`.

    Raises UserError if PyTorch is missing; other mistakes are told when the agents are made. See docs/losses.md.
    """
    return _made("torch", "PyTorch", f=f, g=g, x0=x0, y0=y0, data=data, val_data=val_data, test_data=test_data, batch=batch,
                 val_batch=val_batch, metrics=metrics, project_x=project_x, steps=steps)


def from_jax(f: Loss, g: Loss, x0: Any, y0: Any, data: Any, *, val_data: Any = None, test_data: Any = None, batch: int = 0,
             val_batch: int | None = None, metrics: Callable[[Any, Any, Any], Mapping[str, Any]] | None = None,
             project_x: Callable[[Any], Any] | None = None, steps: Mapping[str, float] | None = None) -> type[Problem]:
    """A problem from two losses in JAX: a subclass of `Problem`, for `solve` or as "my_file.py:problem" in a configuration.

    All four functions are compiled (jax.jit), so they must be traceable; numbers, texts and slices in an entry of `data` are
    constants to them. x0 and y0 are pytrees of arrays. In a float64 run JAX's 64-bit types are enabled while one of these functions is
    called, and nowhere else. The rest is as in `from_torch`.
    """
    return _made("jax", "JAX", f=f, g=g, x0=x0, y0=y0, data=data, val_data=val_data, test_data=test_data, batch=batch,
                 val_batch=val_batch, metrics=metrics, project_x=project_x, steps=steps)


def _made(module: str, name: str, *, steps: Mapping[str, float] | None, **given: Any) -> type[Problem]:
    try:
        framework = import_module(f".{module}", __package__)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module:
            raise
        raise UserError(f"from_{module}: {name} is not installed; pip install 'mpidbo[{module}]'") from None
    for key in ("f", "g"):
        if not callable(given[key]):
            raise UserError(f"from_{module}: {key} is no function; give {key}(x, y, batch) -> scalar")
    for key in ("data", "val_data", "test_data"):
        accept_entries(given[key], key)
    cls: type[Problem] = framework.problem(Given(**given))
    cls.__module__ = getattr(given["f"], "__module__", cls.__module__)
    if hasattr(given["data"], "__len__"):
        cls.agents = len(given["data"])
    if steps is not None:
        cls.steps = steps
    return cls
