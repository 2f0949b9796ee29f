"""What a problem is: one agent with its private data and its pair of losses."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np


class Problem:
    """One agent's private data and losses f_i (upper) and g_i (lower); subclass it.

    `x` has shape (p,) and `y` has shape (q,), with `dims = (p, q)`; every method must return new arrays
    or floats and leave its arguments alone. An oracle that is not overridden (None) is missing: a method that
    needs it says so before the run starts.

    Parameters of the constructor
    -----------------------------
    agent, n_agents : which of the agents this is, 0 <= agent < n_agents.
    xp : the array module (numpy, or cupy on a GPU).
    seed : the run's seed. Data drawn from it must depend on (seed, agent) only, never on the rank.
    dtype : passed only if the constructor names it; the run's floating-point type.
    options : the other keys of `[problem]`. Name them as keyword parameters: an unknown key is then refused.
    """

    dims: Any = None
    """(p, q): the dimensions of x and y; an attribute or a property."""
    xp: Any = np
    """The array module, also for a constructor that does not keep it."""

    steps: ClassVar[Mapping[str, float]] = {}
    """What `[steps]` holds unless it says otherwise, for SPARKLE, D-SOBA and SOBA: numbers for some of alpha, beta, gamma, theta. What
    is left out here too has the method's default."""

    agents: ClassVar[int | None] = None
    """The number of agents of a run that does not say it, where the problem knows how many it has data for."""

    paths: ClassVar[tuple[str, ...]] = ()
    """The options that are paths of files or folders, or lists or tables of them: in a configuration relative to its folder, in `--set` and
    `solve` to the working folder, they arrive absolute. The name of a data set (`mpidbo data list`, "digits", "synthetic") and an
    address with :// arrive as written, as all other options do."""

    infinite: ClassVar[tuple[str, ...] | None] = None
    """The options that may be infinite, where the others may not; None: any option may."""

    # Oracles. `sample` is what `draw` returned for this iteration and phase, or None for the full batch.
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
    """g_yy(x, y, v, sample) -> (q,): the Hessian of g in y times v, v of shape (q,)."""
    g_xy: Any = None
    """g_xy(x, y, v, sample) -> (p,): d/dx <g_y(x, y), v>, v of shape (q,)."""

    project_x: Any = None
    """project_x(x) -> (p,): the nearest point of a closed convex set in which x is to stay, the same on every agent; every agent's x is
    replaced by it after each iteration. None: x is free. See `projections`."""

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int) -> None:
        self.agent, self.n_agents, self.xp, self.seed = agent, n_agents, xp, seed

    def draw(self, rng: np.random.Generator) -> Any:
        """A mini-batch for f and g; `rng` is fixed by (seed, agent, iteration, phase). None: the full batch.

        What `rng` gives is of numpy: bring it to where the arrays are by `self.xp.asarray`.
        """
        return None

    def metrics(self, x: Any, y: Any) -> Mapping[str, float]:
        """Further figures of merit at the agents' average (x, y), on this agent's data; averaged over the agents."""
        return {}

    def start(self) -> tuple[Any, Any]:
        """(x0, y0), the same on every agent."""
        p, q = self.dims
        return self.xp.zeros(p), self.xp.zeros(q)

    def x_tree(self, x: Any) -> Any:
        """x, shape (p,), in the user's own form: nested dicts and lists of numpy arrays; here the vector itself."""
        return x

    def y_tree(self, y: Any) -> Any:
        """y, shape (q,), in the user's own form, as `x_tree`."""
        return y

    def solution(self) -> Any:
        """x* of the whole network's problem, shape (p,), where it is known in closed form; else None."""
        return None

    @classmethod
    def stacked(cls, agents: "list[Any]") -> Any:
        """Oracles for several agents at once, or None.

        An object with some of the oracles as methods over arrays of shape (m, p), (m, q) and a list of m samples,
        row i being what `agents[i]` would return, to the bit: use matmul on (m, ., .) arrays, never one product over agents.
        """
        return None


ORACLES = ("f", "g", "f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy")
