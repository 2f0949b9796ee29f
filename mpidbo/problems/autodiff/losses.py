"""Problems from two losses in PyTorch or JAX."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ...errors import UserError
from ..base import Problem
from .base import Given
from .batches import accept_entries

Loss = Callable[[Any, Any, Any], Any]


def from_torch(
    f: Loss,
    g: Loss,
    x0: Any,
    y0: Any,
    data: Any,
    *,
    val_data: Any = None,
    test_data: Any = None,
    batch: int = 0,
    val_batch: int | None = None,
    holdout: float = 0.0,
    metrics: Callable[[Any, Any, Any], Mapping[str, Any]] | None = None,
    project_x: Callable[[Any], Any] | None = None,
    project_y: Callable[[Any], Any] | None = None,
    steps: Mapping[str, float] | None = None,
) -> type[Problem]:
    """Make a problem of two losses in PyTorch, whose derivatives PyTorch takes.

    Parameters
    ----------
    f, g : callable
        f(x, y, batch) and g(x, y, batch): the upper and the lower loss of one agent, a scalar
        tensor each. They must be functions of their arguments alone: no random numbers (no
        dropout), nothing kept from call to call.
    x0, y0 : tensor, nn.Module, or nested dicts, lists and tuples of them
        Where all agents start, and the form in which x and y arrive in the losses. In the place of
        a module they receive a callable with its current parameters: `y(inputs)`,
        `y.parameters()`, `y.named_parameters()`, `y["0.weight"]`. Parameters that require no
        gradient stay as they are.
    data : list, or callable
        One entry for each agent, or a function agent -> entry, which is called on the rank that
        hosts the agent. An entry is an array or a tensor, a tuple or dict of them, or a map-style
        data set (with a length and items). Floats arrive in the run's dtype, everything on its
        device.
    val_data : as `data`, optional
        Data of the upper loss, with draws of its own. Default: both losses get the same batch.
    test_data : as `data`, optional
        Data of `metrics`. Default: the data of the upper loss. Metrics always get all of an
        agent's data.
    batch : int, default 0
        Samples in a draw from `data`, all different; 0 is the whole data of the agent.
        `--set problem.batch=32` overrides it.
    val_batch : int, default `batch`
        Samples in a draw from `val_data`.
    holdout : float, default 0
        Share of each agent's samples of the upper loss (of `val_data`, or else of `data`) that
        neither loss sees, one at least. The history then has `holdout_loss`, f on these samples,
        and `holdout_NAME` for each metric. `--set problem.holdout=0.2` overrides it.
    metrics : callable, optional
        metrics(x, y, batch) -> {name: number}: further columns of the history, means over agents.
    project_x : callable, optional
        project_x(x) -> x, the projection onto a closed convex set; the tree that it returns has
        tensors in the order of x0.
    project_y : callable, optional
        project_y(y) -> y, likewise; the lower level is then a minimum over that set. Methods that
        differentiate y*(x) refuse it.
    steps : dict of str to float, optional
        Default step sizes of this problem, as `Problem.steps`.

    Returns
    -------
    subclass of Problem
        For `solve`, or in a configuration as name = "my_file.py:problem".

    Raises
    ------
    UserError
        PyTorch is not installed, a loss is not a function, or `data` is one data set instead of one
        entry for each agent. Other mistakes are reported when the agents are made.

    Examples
    --------
    Two agents choose the penalty of a linear regression, exp(x), by the error on other data.

    >>> import mpidbo, torch
    >>> def f(x, y, batch):
    ...     return ((batch["other"] @ y - batch["wanted"]) ** 2).mean()
    >>> def g(x, y, batch):
    ...     return ((batch["rows"] @ y - batch["values"]) ** 2).mean() + x.exp() * y.square().sum()
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch...>
    >>> sizes = {"rows": (9, 3), "values": (9,), "other": (9, 3), "wanted": (9,)}
    >>> data = [{name: torch.randn(size) for name, size in sizes.items()} for agent in range(2)]
    >>> problem = mpidbo.from_torch(f, g, torch.zeros(()), torch.zeros(3), data)
    >>> result = mpidbo.solve(problem, "sparkle-ed", iterations=200)
    >>> result.x.shape, result.y.shape
    ((2, 1), (2, 3))

    See Also
    --------
    docs/losses.md
    """
    return _made(
        "torch",
        "PyTorch",
        f=f,
        g=g,
        x0=x0,
        y0=y0,
        data=data,
        val_data=val_data,
        test_data=test_data,
        batch=batch,
        val_batch=val_batch,
        holdout=holdout,
        metrics=metrics,
        project_x=project_x,
        project_y=project_y,
        steps=steps,
    )


def from_jax(
    f: Loss,
    g: Loss,
    x0: Any,
    y0: Any,
    data: Any,
    *,
    val_data: Any = None,
    test_data: Any = None,
    batch: int = 0,
    val_batch: int | None = None,
    holdout: float = 0.0,
    metrics: Callable[[Any, Any, Any], Mapping[str, Any]] | None = None,
    project_x: Callable[[Any], Any] | None = None,
    project_y: Callable[[Any], Any] | None = None,
    steps: Mapping[str, float] | None = None,
) -> type[Problem]:
    """Make a problem of two losses in JAX, whose derivatives JAX takes.

    Parameters
    ----------
    f, g : callable
        f(x, y, batch) and g(x, y, batch): the upper and the lower loss of one agent, a scalar
        array each; functions of their arguments alone.
    x0, y0 : pytree of arrays of floats
        Where all agents start, and the form in which x and y arrive in the losses.
    data : list, or callable
        One entry for each agent, or a function agent -> entry, as in `from_torch`. Numbers,
        strings and slices in an entry are constants of the compiled functions.
    val_data, test_data : as `data`, optional
        Data of the upper loss and of `metrics`, as in `from_torch`.
    batch : int, default 0
        Samples in a draw from `data`, all different; 0 is the whole data of the agent.
    val_batch : int, default `batch`
        Samples in a draw from `val_data`.
    holdout : float, default 0
        Share of each agent's samples of the upper loss (of `val_data`, or else of `data`) that
        neither loss sees, one at least. The history then has `holdout_loss`, f on these samples,
        and `holdout_NAME` for each metric. `--set problem.holdout=0.2` overrides it.
    metrics : callable, optional
        metrics(x, y, batch) -> {name: number}: further columns of the history, means over agents.
    project_x : callable, optional
        project_x(x) -> x, the projection onto a closed convex set.
    project_y : callable, optional
        project_y(y) -> y, likewise; the lower level is then a minimum over that set. Methods that
        differentiate y*(x) refuse it.
    steps : dict of str to float, optional
        Default step sizes of this problem, as `Problem.steps`.

    Returns
    -------
    subclass of Problem
        For `solve`, or in a configuration as name = "my_file.py:problem".

    Raises
    ------
    UserError
        JAX is not installed, a loss is not a function, or `data` is one data set instead of one
        entry for each agent. Other mistakes are reported when the agents are made.

    Notes
    -----
    All four functions are compiled (jax.jit), so they must be traceable. In a float64 run JAX's
    64-bit types are enabled while one of these functions is called, and nowhere else.

    Examples
    --------
    >>> import mpidbo, numpy as np
    >>> def f(x, y, batch):
    ...     return ((y - batch) ** 2).mean()
    >>> def g(x, y, batch):
    ...     return ((y - x) ** 2).sum()
    >>> problem = mpidbo.from_jax(f, g, np.zeros(2), np.zeros(2), [np.zeros(2), np.full(2, 3.0)])
    >>> result = mpidbo.solve(problem, "sparkle-ed", iterations=2000)
    >>> result.x.mean(0).round(2)
    array([1.5, 1.5])
    """
    return _made(
        "jax",
        "JAX",
        f=f,
        g=g,
        x0=x0,
        y0=y0,
        data=data,
        val_data=val_data,
        test_data=test_data,
        batch=batch,
        val_batch=val_batch,
        holdout=holdout,
        metrics=metrics,
        project_x=project_x,
        project_y=project_y,
        steps=steps,
    )


def _made(
    module: str, name: str, *, steps: Mapping[str, float] | None, **given: Any
) -> type[Problem]:
    """Make the class with the framework of that module, which is imported only now."""
    try:
        framework = import_module(f".{module}", __package__)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module:
            raise  # another module is missing, which the framework needs
        raise UserError(
            f"from_{module}: {name} is not installed; pip install 'mpidbo[{module}]'"
        ) from None
    for key in ("f", "g"):
        if not callable(given[key]):
            raise UserError(
                f"from_{module}: {key} is not a function; give {key}(x, y, batch) -> scalar"
            )
    for key in ("data", "val_data", "test_data"):
        accept_entries(given[key], key)
    cls: type[Problem] = framework.problem(Given(**given))
    cls.__module__ = getattr(given["f"], "__module__", cls.__module__)
    if hasattr(given["data"], "__len__"):
        cls.agents = len(given["data"])
    if steps is not None:
        cls.steps = steps
    return cls
