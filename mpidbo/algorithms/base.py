"""What all methods have in common: the class Method and its complexity; averages and balls."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._linalg import squared_norms
from .._types import Array, Float
from ..errors import UserError
from ..network import Levels
from ..problems import Averaged, Oracle, Sample
from .compressed import References
from .schedules import Schedule
from .strategies import Memory, Strategy, Track


class Memories(NamedTuple):
    """What the strategies of the three levels keep between steps; z is also that of t."""

    x: Any = ()
    y: Any = ()
    z: Any = ()


class Complexity(NamedTuple):
    """A method's row of the papers' comparison tables; "-" where a paper states none.

    K is the number of iterations, n of agents, e the accuracy, rho the norm of W - 11'/n.

    Parameters
    ----------
    assumes : str
        About the upper losses, beside smoothness and a strongly convex lower level. LC: f_i
        Lipschitz continuous; BG: bounded gradients; BGD: bounded gradient dissimilarity b.
    rate : str
        The asymptotic rate of convergence.
    evaluations : str
        Gradient evaluations for accuracy e.
    communication : str
        Floats sent for accuracy e.
    transient : str
        Transient iterations, before the asymptotic rate.
    single_loop : bool
        Whether the method has no inner loop.
    """

    assumes: str
    rate: str
    evaluations: str
    communication: str
    transient: str
    single_loop: bool


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A method: frozen rules without state, whose fields are its keys in a configuration.

    `state = start(x0, y0)` and then `state = step(k, oracle, W, state)` for k = 0, 1, 2, ...; a
    state is a NamedTuple of arrays with one row for each agent that this rank hosts. A subclass
    is a frozen dataclass that defines `needs`, `start` and `step`. Of its fields alpha, beta,
    gamma and theta are keys of `[steps]`, all others of `[method]`; a field of type Strategy
    takes the name of a strategy, one of type Schedule a number or a schedule's table.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower", "z": "lower"}
    """The levels that gossip: field of the state -> field with the strategy of that level."""
    source: ClassVar[str] = ""
    """Paper and equation."""
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Names of its variants in the paper: what follows the method's name -> strategies here."""
    complexity: ClassVar[Complexity | None] = None
    """Its row of the papers' comparison tables, where they compare it."""
    bilevel: ClassVar[bool] = True
    """Whether x solves the bilevel problem; if not, there is no `distance`."""
    personalized: ClassVar[bool] = False
    """Whether each agent evaluates its losses with a lower variable of its own (`heads`).

    That is another problem than the one with y* of the network: `distance` and
    `hypergradient_norm` do not exist, losses and a problem's metrics are evaluated at `heads`.
    """
    mixes_by_W: ClassVar[bool] = False
    """Whether a step averages by W itself, beside its strategies and over the topology of y."""
    uses_problem_steps: ClassVar[bool] = False
    """Whether a problem's own default step sizes (`Problem.steps`) are meant for it."""
    own_metrics: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    """Columns that `metrics` adds to the history: name -> the losses and oracles that it needs."""

    lower_ridge: Schedule | None = None
    """r_k, by which a run's oracle adds r_k/2 times the squared norm of y to g."""

    @classmethod
    def has_local_lower_level(cls) -> bool:
        """Whether each agent has a lower variable of its own, never exchanged nor averaged."""
        return cls.personalized and "y" not in cls.levels

    def differentiates_lower_level(self) -> bool:
        """Return whether it uses derivatives of y*(x) by g_yy, as if y were free."""
        return "z" in self.levels or not {"g_yy", "g_xy"}.isdisjoint(self.needs)

    @property
    @abstractmethod
    def needs(self) -> Iterable[str]:
        """Names of the oracles that a step calls, such as "g_y"."""

    def strategies(self) -> dict[str, Strategy]:
        """Return the strategy of each level: field of the state -> Strategy."""
        return {level: getattr(self, key) for level, key in self.levels.items()}

    def curvatures(self, L: float) -> dict[str, float]:
        """Return the curvature that limits each step size of the lower level, beta and gamma.

        Parameters
        ----------
        L : float
            The largest curvature of g in y.

        Returns
        -------
        dict
            "beta", "gamma" -> the largest curvature of what that level descends; without those
            whose step sizes do not depend on g.
        """
        return {"beta": L, "gamma": L}

    def floats(self, dims: tuple[int, int]) -> int:
        """Return the floats that an agent sends to each neighbour in an iteration.

        Parameters
        ----------
        dims : tuple of int
            (p, q), the dimensions of x and y.

        Returns
        -------
        int
        """
        p, q = dims
        return sum(
            strategy.width * (p if level == "x" else q) + strategy.scalars
            for level, strategy in self.strategies().items()
        )

    def heads(
        self, o: Sample, x: Float[Array, "m p"], y: Float[Array, "m q"], state: Any
    ) -> Float[Array, "m q"]:
        """Return the lower variables with which a personalized method's agents take their losses.

        Parameters
        ----------
        o : Sample
            The oracles at the full batch.
        x : array of shape (m, p)
            The mean of x over agents, on every row.
        y : array of shape (m, q)
            The mean of y over agents, on every row.
        state : State
            The method's state.

        Returns
        -------
        array of shape (m, q)
        """
        return y

    def estimate(self, k: int, state: Any) -> Float[Array, "m p"] | None:
        """Return the method's own estimate of the hypergradient, grad Phi, which costs nothing.

        Parameters
        ----------
        k : int
            Iterations done, at least 1.
        state : State
            The state after them.

        Returns
        -------
        array of shape (m, p), or None
            A row for each agent, whose mean over agents estimates the hypergradient; None for a
            method that keeps none.
        """
        return None

    def metrics(
        self, averaged: Averaged, means: Mapping[str, Array], names: Collection[str]
    ) -> dict[str, float]:
        """Return the method's own columns of a row of the history; collective.

        Parameters
        ----------
        averaged : Averaged
            Oracles averaged over all agents at common points, full batch: `averaged("g", x, y)`.
        means : mapping
            Level -> its mean over agents, of shape (p,) or (q,).
        names : collection of str
            Those of `own_metrics` that this run has: their losses and oracles are defined, and a
            metric on request is named in `run.metrics`.

        Returns
        -------
        dict
            name -> number, for each of `names`.
        """
        return {}

    def accept(  # noqa: B027
        self, oracle: Oracle, x: Float[Array, " p"], y: Float[Array, " q"]
    ) -> None:
        """Refuse a problem that this method cannot solve, before its state is allocated.

        Parameters
        ----------
        oracle : Oracle
            The problem's oracles on this rank.
        x : array of shape (p,)
            The start of x, the same for all agents.
        y : array of shape (q,)
            The start of y.

        Raises
        ------
        UserError
            Where the method does not fit the problem, or its memory this rank.
        """

    def doubt(self, oracle: Oracle, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> str:
        """Return what may be wrong with its constants at the start, or ""; collective.

        A run with `checks = "start"` warns of it.

        Parameters
        ----------
        oracle : Oracle
            The problem's oracles on this rank.
        x : array of shape (m, p)
            The start of x, a row for each agent that this rank hosts.
        y : array of shape (m, q)
            The start of y.

        Returns
        -------
        str
            The same on every rank.
        """
        return ""

    @abstractmethod
    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> Any:
        """Return the state before iteration 0.

        Parameters
        ----------
        x : array of shape (m, p)
            The start of x, a row for each agent that this rank hosts.
        y : array of shape (m, q)
            The start of y.

        Returns
        -------
        NamedTuple
            With the fields x, y and one for each further level.
        """

    @abstractmethod
    def step(self, k: int, oracle: Oracle, W: Levels, state: Any) -> Any:
        """Return the state after iteration k.

        Parameters
        ----------
        k : int
            The iteration, 0, 1, 2, ...
        oracle : Oracle
            `oracle.draw(k, phase)` draws a sample for each agent and has the derivatives at it.
        W : Levels
            Gossip: `W @ (step_x, step_y, step_z)`, or `W.x @ step_x` for a level by itself.
        state : NamedTuple
            The state before iteration k; none of its arrays may be changed.

        Returns
        -------
        NamedTuple
            A state of the same form, of new arrays.
        """


def assure_average(theta: Schedule | None, where: str = "steps.theta") -> None:
    """Raise UserError unless theta, the weight of an average, stays within 1."""
    if theta is None or theta.largest <= 1:
        return
    value = f"{theta.largest:.6g}" if isfinite(theta.largest) else f"{theta(0):.6g} and growing"
    raise UserError(
        f"{where}: {value}; the weight of an average must stay within 1, "
        "give at most 1, constant or decreasing"
    )


def last_direction(memory: Any, step: float) -> Float[Array, "m d"] | None:
    """Return the direction of a level's last step, of step size `step`.

    None with a strategy that does not keep it.
    """
    return memory.u / step if isinstance(memory, Memory | Track | References) else None


def project_ball(rows: Float[Array, "m d"], R: float) -> Float[Array, "m d"]:
    """Return each row's nearest point of the ball of radius R about 0."""
    norms = np.sqrt(squared_norms(rows))
    return rows * (R / np.maximum(norms, R))  # times 1 within the ball
