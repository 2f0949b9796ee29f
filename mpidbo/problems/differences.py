"""Central differences of a problem's losses and gradients, to compare its derivatives with."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._types import Array, Float
from .base import PRODUCTS, Problem

DERIVATIVE_OF = {
    "f_x": ("f", "x"),
    "f_y": ("f", "y"),
    "g_x": ("g", "x"),
    "g_y": ("g", "y"),
    "g_yy": ("g_y", "y"),
    "g_xy": ("g_y", "x"),
}
"""What each oracle is the derivative of, and in which variable; a gradient is differentiated along
v."""
TOLERANCE_POWER = 0.3
"""The tolerance of a relative error, as a power of the rounding unit."""
START_DISTANCE = 0.1
"""The standard deviation of points around the start, per entry."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of a call of an oracle.

    Attributes
    ----------
    x : (p,) array
    y, u, v : (q,) arrays
        u is a second vector, to compare products with v.
    sample : object or None
        A draw; None: the full batch.
    """

    x: Float[Array, " p"]
    y: Float[Array, " q"]
    u: Float[Array, " q"]
    v: Float[Array, " q"]
    sample: Any = None

    @staticmethod
    def near_start(problem: Problem, rng: np.random.Generator) -> "Arguments":
        """Draw a point near the start of the problem, and two vectors."""
        x, y = (
            _as_array_of(problem, float64(part) + START_DISTANCE * rng.standard_normal(part.size))
            for part in problem.start()
        )
        u, v = (_as_array_of(problem, rng.standard_normal(y.size)) for _ in range(2))
        return Arguments(x, y, u, v)

    def of(self, name: str) -> tuple[Any, ...]:
        """Return the arguments that this oracle takes."""
        if name in PRODUCTS:
            return self.x, self.y, self.v, self.sample
        return self.x, self.y, self.sample

    def call(self, problem: Problem, name: str) -> Any:
        """Call this oracle of the problem."""
        return getattr(problem, name)(*self.of(name))


@dataclass(frozen=True)
class Quotient:
    """A central difference along a direction, beside what the oracle gives for it.

    Attributes
    ----------
    difference : float
        The difference of the loss or of <g_y, v>.
    product : float
        <oracle, step>, which the difference approximates.
    size : float
        What both are relative to.
    """

    difference: float
    product: float
    size: float

    @property
    def mismatch(self) -> float:
        """The relative error, with its sign."""
        return (self.difference - self.product) / self.size


def quotients(
    problem: Problem,
    name: str,
    arguments: Arguments,
    direction: Float[np.ndarray, " d"],
    powers: Iterable[float],
) -> Iterator[Quotient]:
    """Yield central differences to compare an oracle with, one for each length of step.

    Parameters
    ----------
    problem : Problem
        An agent.
    name : str
        The oracle, one of `DERIVATIVE_OF`.
    arguments : Arguments
        Where it is compared.
    direction : (p,) or (q,) array
        Of length 1, in the variable of the derivative.
    powers : iterable of float
        Lengths of the steps, as powers of the rounding unit.

    Notes
    -----
    The size of a quotient is that of the difference or the product; or that of a typical slope, or
    of what rounding leaves of the loss, where these are larger.
    """
    source, variable = DERIVATIVE_OF[name]
    center = getattr(arguments, variable)
    gradient, v = float64(arguments.call(problem, name)), float64(arguments.v)
    eps = float(np.finfo(center.dtype).eps)
    for power in powers:
        step = eps**power
        ends = [
            problem.xp.asarray(float64(center) + sign * step * direction, dtype=center.dtype)
            for sign in (1, -1)
        ]
        values = [
            float64(replace(arguments, **{variable: end}).call(problem, source)) for end in ends
        ]
        if source == "g_y":
            scale = max(map(np.linalg.norm, values))
            difference = float((values[0] - values[1]) @ v)
        else:
            scale = max(map(abs, values))
            difference = float(values[0] - values[1])
        move = float64(ends[0]) - float64(ends[1])  # the step as rounding left it
        product = float(gradient @ move)
        typical = float(np.linalg.norm(gradient) * np.linalg.norm(move)) / math.sqrt(move.size)
        # Relative to this, the rounding of two values, 4 eps |value|, is within the tolerance.
        rounding = 4 * eps * float(scale) / eps**TOLERANCE_POWER
        size = max(abs(difference), abs(product), typical, rounding, 1e-300)
        yield Quotient(difference, product, size)


def float64(values: Any) -> Any:
    """Return a copy in numpy's float64."""
    return np.array(values.get() if hasattr(values, "get") else values, dtype=np.float64)


def _as_array_of(problem: Problem, values: np.ndarray) -> Array:
    """The values where the problem's arrays are, in its type."""
    return problem.xp.asarray(values, dtype=getattr(problem, "dtype", np.float64))
