"""What every method has in common."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..errors import UserError
from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .schedules import Schedule
from .strategies import Strategy

Array = Any


class Memories(NamedTuple):
    """What the strategies of the three levels remember."""

    x: Any = ()
    y: Any = ()
    z: Any = ()


class Claims(NamedTuple):
    """A method's row of the papers' comparison tables, K iterations, n agents, accuracy e; "-" where none is claimed.

    What it assumes of the upper losses (beside smoothness and a strongly convex lower level), the asymptotic rate, gradient evaluations
    and floats sent for accuracy e, transient iterations, and whether it has a single loop. LC: f_i Lipschitz continuous; BG: bounded
    gradients; BGD: bounded gradient dissimilarity b.
    """

    assumes: str
    rate: str
    evaluations: str
    communication: str
    transient: str
    single_loop: bool


@dataclass(frozen=True, kw_only=True)
class Method:
    """Frozen rules, no state. Its fields are its keys: alpha, beta, gamma, theta in `[steps]`, the others in `[method]`.

    `state = start(x0, y0)` from stacked rows, then `state = step(k, oracle, W, state)`.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower", "z": "lower"}
    """The levels that gossip, by their field in the state, and the strategy field that each uses."""
    source: ClassVar[str] = ""
    """Paper and equation."""
    claims: ClassVar[Claims | None] = None
    """The papers' comparison, where they compare it."""
    bilevel: ClassVar[bool] = True
    """Whether x is meant to solve the bilevel problem; else there is no `distance`."""
    personalised: ClassVar[bool] = False
    """Whether each agent meets its losses with a lower variable of its own: another problem than that of the network's y*, without
    `distance` and `hypergradient_norm`; losses and a problem's metrics are then evaluated at `heads`."""

    heeds_steps: ClassVar[bool] = False
    """Whether a problem's own default steps (`Problem.steps`) are meant for it."""

    @classmethod
    def apart(cls) -> bool:
        """Whether each agent has a lower variable of its own, which it never exchanges and which is in no average."""
        return cls.personalised and "y" not in cls.levels

    @property
    def needs(self) -> Iterable[str]:
        """The oracles that a step calls."""
        raise AssertionError("every method names its oracles")

    def strategies(self) -> dict[str, Strategy]:
        """The strategy of each level."""
        return {level: getattr(self, key) for level, key in self.levels.items()}

    def floats(self, dims: tuple[int, int]) -> int:
        """Floats that an agent sends to each neighbour in an iteration."""
        p, q = dims
        return sum(row.width * (p if level == "x" else q) for level, row in self.strategies().items())

    def heads(self, o: Oracle, x: Array, y: Array, state: Any) -> Array:
        """The lower variable (m, q) with which a personalised method's agents meet their losses, at averages x (m, p), y (m, q)."""
        return y

    def accept(self, oracle: Oracle, x: Array, y: Array) -> None:
        """UserError where this method cannot take this problem from this start, x (p,) and y (q,); before its state is allocated."""

    def start(self, x: Array, y: Array) -> Any:
        raise AssertionError("every method has a start")

    def step(self, k: int, oracle: Oracle, W: Levels, state: Any) -> Any:
        raise AssertionError("every method has a step")


def averaging(theta: Schedule | None, what: str = "steps.theta") -> None:
    """UserError where the weight of an average does not stay within 1."""
    if theta is not None and (theta.start > 1 or theta.exponent > 0):
        raise UserError(f"{what}: {theta.start:.6g}{' and growing' * (theta.exponent > 0)}; the weight of an average must stay "
                        "within 1, give at most 1, constant or decreasing")


def squares(rows: Array) -> Array:
    """The squared norm of each row, (m, 1)."""
    return (rows[:, None, :] @ rows[:, :, None])[:, :, 0]


def ball(rows: Array, R: float) -> Array:
    """Each row, or where its norm exceeds R the nearest point of that ball."""
    return rows * (R / np.maximum(np.sqrt(squares(rows)), R))       # by 1, where it is within
