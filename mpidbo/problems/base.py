"""The base class of problems, and the names of their oracles."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .._types import Array, Float

if TYPE_CHECKING:
    from .autodiff.batches import Source

DERIVATIVES = ("f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy")
"""The oracles that return arrays."""
ORACLES = ("f", "g", *DERIVATIVES)
"""All oracles: the two losses and their derivatives."""
PRODUCTS = ("g_yy", "g_xy")
"""The oracles that take a vector v besides x and y."""


class Problem:
    """One agent with its private data and its two losses; subclass it.

    The network solves

        min_x  1/n sum_i f_i(x, y*(x))    with    y*(x) = argmin_y  1/n sum_i g_i(x, y),

    and an instance has the f_i and g_i of one agent i. `x` has shape (p,) and `y` has shape (q,),
    with `dims = (p, q)`. Every method returns new arrays or floats and leaves its arguments as
    they are. An oracle that is not overridden is None, which means missing: a method that needs it
    is refused before the run starts.

    Parameters
    ----------
    agent : int
        Number of this agent, 0 <= agent < n_agents.
    n_agents : int
        Number of agents in the network, n.
    xp : module
        Array module: numpy, or cupy on a GPU.
    seed : int
        Seed of the run. Data drawn from it must depend on (seed, agent) only, never on the rank.
    dtype : data type
        Floating-point type of the run. It is passed only to a constructor that names it.
    options
        The other keys of `[problem]`. Name them as keyword parameters: an unknown key is then
        refused, and a value is checked against the type of the parameter's default.

    Notes
    -----
    Each oracle takes x, y and, for products, v of shape (q,), then a sample: what `draw` returned
    for this iteration and phase, or None for the full batch.

    Examples
    --------
    Agent i has the number i, and all want y near theirs, which follows x.

    >>> import mpidbo, numpy as np
    >>> class Mean(mpidbo.Problem):
    ...     dims = (1, 1)
    ...
    ...     def __init__(self, agent, n_agents, xp, seed):
    ...         self.number = float(agent)
    ...
    ...     def f(self, x, y, sample):
    ...         return float((y - self.number) @ (y - self.number)) / 2
    ...
    ...     def g(self, x, y, sample):
    ...         return float((y - x) @ (y - x)) / 2
    ...
    ...     def f_x(self, x, y, sample):
    ...         return np.zeros(1)
    ...
    ...     def f_y(self, x, y, sample):
    ...         return y - self.number
    ...
    ...     def g_y(self, x, y, sample):
    ...         return y - x
    ...
    ...     def g_yy(self, x, y, v, sample):
    ...         return v
    ...
    ...     def g_xy(self, x, y, v, sample):
    ...         return -v
    >>> result = mpidbo.solve(Mean, "sparkle-ed", agents=5, iterations=2000)
    >>> result.x.mean(0).round(2)
    array([2.])
    """

    dims: Any = None
    """(p, q), the dimensions of x and y; an attribute or a property."""
    xp: Any = np
    """The array module, also for a constructor that does not keep it."""

    steps: ClassVar[Mapping[str, float]] = {}
    """Default step sizes for SPARKLE, D-SOBA, SOBA and GDA: numbers for some of alpha, beta, gamma
    and theta. `[steps]` overrides them; what is left out here too has the method's default."""

    agents: ClassVar[int | None] = None
    """The number of agents of a run that does not set it, where the problem has data for a certain
    number."""

    paths: ClassVar[tuple[str, ...]] = ()
    """The options that are paths of files or folders, or lists or tables of them. In a
    configuration they are relative to its folder, in `--set` and `solve` to the working folder;
    they arrive absolute. The name of a data set (`mpidbo data list`, "digits", "synthetic") and an
    address with :// arrive as written, as all other options do."""

    thread_safe: ClassVar[bool] = False
    """Whether several threads may call agents of this class at once, each other ones: no agent then
    writes what another one reads. Not inherited: a subclass says so of its own code. Threads gain
    where oracles release Python's interpreter lock, as long operations of numpy do."""

    infinite: ClassVar[tuple[str, ...] | None] = None
    """The options that may be infinite, where the others may not; None: any option may."""

    # Subclasses define oracles as methods, which a more precise type than Any would forbid.
    f: Any = None
    """f(x, y, sample) -> float: the upper loss."""
    g: Any = None
    """g(x, y, sample) -> float: the lower loss."""
    f_x: Any = None
    """f_x(x, y, sample) -> (p,): the gradient of f in x."""
    f_y: Any = None
    """f_y(x, y, sample) -> (q,): the gradient of f in y."""
    g_x: Any = None
    """g_x(x, y, sample) -> (p,): the gradient of g in x."""
    g_y: Any = None
    """g_y(x, y, sample) -> (q,): the gradient of g in y."""
    g_yy: Any = None
    """g_yy(x, y, v, sample) -> (q,): the Hessian of g in y times v."""
    g_xy: Any = None
    """g_xy(x, y, v, sample) -> (p,): d/dx <g_y(x, y), v>."""

    project_x: Any = None
    """project_x(x) -> (p,): the nearest point of a closed convex set, the same on every agent.
    Every agent's x is replaced by it after each iteration. None: x is free. See `projections`."""
    project_y: Any = None
    """project_y(y) -> (q,): likewise of y, for methods that do not differentiate y*(x); the lower
    level is then a minimum over that set. None: y is free."""

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int) -> None:
        self.agent, self.n_agents, self.xp, self.seed = agent, n_agents, xp, seed

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw a mini-batch, which f and g and their derivatives then receive.

        Parameters
        ----------
        rng : numpy.random.Generator
            A generator that is fixed by (seed, agent, iteration, phase). Its numbers are numpy's:
            move them to where the arrays are by `self.xp.asarray`.

        Returns
        -------
        object or None
            Anything; None, the default, is the full batch.
        """
        return None

    def metrics(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> Mapping[str, float]:
        """Return further columns of the history.

        Parameters
        ----------
        x : (p,) array
            The mean of x over agents.
        y : (q,) array
            The mean of y over agents, or the agent's own y where a method has one for each.

        Returns
        -------
        dict of str to float
            Values on this agent's data; the history has their means over agents.
        """
        return {}

    def start(self) -> tuple[Float[Array, " p"], Float[Array, " q"]]:
        """Return the starting point (x0, y0), the same on every agent; by default zeros."""
        p, q = self.dims
        return self.xp.zeros(p), self.xp.zeros(q)

    def x_tree(self, x: Float[Array, " p"]) -> Any:
        """Return x in the user's own form, nested dicts and lists of arrays; here the vector."""
        return x

    def y_tree(self, y: Float[Array, " q"]) -> Any:
        """Return y in the user's own form, as `x_tree` does for x."""
        return y

    def solution(self) -> Float[Array, " p"] | None:
        """Return x* of the whole network's problem where it is known in closed form, else None."""
        return None

    @classmethod
    def stacked(cls, agents: "list[Any]") -> Any:
        """Return oracles that answer for several agents in one call, or None.

        Parameters
        ----------
        agents : list of Problem
            m agents of this class.

        Returns
        -------
        object or None
            An object with some of the oracles as methods over arrays of shape (m, p) and (m, q)
            and a list of m samples. Row i must be what `agents[i]` would return, to the bit: use
            matmul on (m, ., .) arrays, never one product over agents.
        """
        return None


def width(name: str, dims: tuple[int, int]) -> int:
    """Return the number of entries of a derivative, p or q of dims = (p, q)."""
    p, q = dims
    return p if name in ("f_x", "g_x", "g_xy") else q


class ProblemOfSources(Problem):
    """A problem whose agents keep what they read their data from, so that it can be read again."""

    sources: "dict[str, Source]"
    """Name of the argument -> its source."""
