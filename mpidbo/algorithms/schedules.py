"""Step sizes and other constants that may vary with the iteration k = 0, 1, 2, ..."""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, NamedTuple

from .._fields import Nonnegative, Positive, Range, check_key, convert, named
from ..errors import UserError, known_as, shown
from .varying import Function as Function
from .varying import Schedule as Schedule


@dataclass(frozen=True)
class Power(Schedule):
    """A schedule of the form start (1 + k/offset)^exponent, with a linear warm-up.

    Parameters
    ----------
    start : float
        The value at iteration 0, without warm-up.
    exponent : float, default 0.0
        0 is a constant, -0.5 falls as the inverse square root, -1 as the inverse of k.
    offset : float, default 1.0
        Iterations, positive.
    warmup : int, default 0
        Iterations m of the warm-up: the value is multiplied by min(1, (k+1)/m).
    """

    kind: ClassVar[str] = "power"

    start: float
    exponent: float = 0.0
    offset: float = 1.0
    warmup: int = 0

    def at(self, k: int) -> float:
        if self.exponent == 0:
            return self.start
        try:
            return self.start * (1 + k / self.offset) ** self.exponent
        except OverflowError:  # the run diverges, and reports it
            return math.inf

    @property
    def largest(self) -> float:
        return math.inf if self.exponent > 0 else self.start

    @property
    def is_positive(self) -> bool:
        return self.start > 0


@dataclass(frozen=True)
class Staircase(Schedule):
    """A schedule that is multiplied by a factor every so many iterations.

    Parameters
    ----------
    start : float
        The value at iterations 0, ..., `every` - 1, without warm-up.
    factor : float
        1/2 halves it each time.
    every : int
        Iterations between two changes.
    warmup : int, default 0
        As of `Power`.
    """

    kind: ClassVar[str] = "staircase"

    start: float
    factor: float
    every: int
    warmup: int = 0

    def at(self, k: int) -> float:
        try:
            return self.start * self.factor ** (k // self.every)
        except OverflowError:
            return math.inf

    @property
    def largest(self) -> float:
        return math.inf if self.factor > 1 else self.start

    @property
    def is_positive(self) -> bool:
        return self.start > 0 and self.factor > 0


@dataclass(frozen=True)
class Cosine(Schedule):
    """A schedule that falls from start to end along half a cosine, and then stays there.

    Parameters
    ----------
    start : float
        The value at iteration 0, without warm-up.
    horizon : int
        The iteration at which the value is `end`.
    end : float, default 0.0
    warmup : int, default 0
        As of `Power`.
    """

    kind: ClassVar[str] = "cosine"

    start: float
    horizon: int
    end: float = 0.0
    warmup: int = 0

    def at(self, k: int) -> float:
        share = (1 + math.cos(math.pi * min(k, self.horizon) / self.horizon)) / 2
        return self.end + share * (self.start - self.end)

    @property
    def largest(self) -> float:
        return max(self.start, self.end)

    @property
    def is_positive(self) -> bool:
        return self.start > 0 and self.end > 0


@dataclass(frozen=True)
class Piecewise(Schedule):
    """A schedule that is constant between boundaries.

    Parameters
    ----------
    values : tuple of float
        One more than boundaries.
    boundaries : tuple of int
        Increasing: `values[i + 1]` is taken from iteration `boundaries[i]` on.
    warmup : int, default 0
        As of `Power`.
    """

    kind: ClassVar[str] = "piecewise"

    values: tuple[float, ...]
    boundaries: tuple[int, ...]
    warmup: int = 0

    def at(self, k: int) -> float:
        return self.values[bisect_right(self.boundaries, k)]

    @property
    def largest(self) -> float:
        return max(self.values)

    @property
    def is_positive(self) -> bool:
        return min(self.values) > 0


class Kind(NamedTuple):
    """A kind of schedule of a configuration.

    Parameters
    ----------
    make : callable
        Takes the values of its keys, and the number of agents; returns the schedule.
    required, optional : tuple of str
        Its keys; each kind also has the key `warmup`.
    """

    make: Callable[[dict[str, Any], int], Schedule]
    required: tuple[str, ...] = ("start",)
    optional: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        return (*self.required, *self.optional, "warmup")


def _sqrt_n_over_t(values: dict[str, Any], n: int) -> Schedule:
    """A constant, the step size of theory for a given number of iterations."""
    scale, horizon = values.pop("scale", 1.0), values.pop("horizon")
    return Power(scale * math.sqrt(n / horizon), **values)


KINDS: dict[str, Kind] = {
    "constant": Kind(lambda values, n: Power(**values)),
    "inverse-sqrt": Kind(lambda values, n: Power(exponent=-0.5, **values), optional=("offset",)),
    "inverse-time": Kind(lambda values, n: Power(exponent=-1.0, **values), optional=("offset",)),
    "power": Kind(lambda values, n: Power(**values), ("start", "exponent"), ("offset",)),
    "sqrt-n-over-t": Kind(_sqrt_n_over_t, ("horizon",), ("scale",)),
    "staircase": Kind(lambda values, n: Staircase(**values), ("start", "factor", "every")),
    "cosine": Kind(lambda values, n: Cosine(**values), ("start", "horizon"), ("end",)),
    "piecewise": Kind(lambda values, n: Piecewise(**values), ("values", "boundaries")),
}
"""The kinds of schedules of a configuration, by name."""
HINTS: dict[str, Any] = {
    "start": Nonnegative,
    "exponent": float,
    "offset": Positive,
    "scale": Nonnegative,
    "horizon": Annotated[float, Range(1)],
    "factor": Nonnegative,
    "every": Annotated[float, Range(1)],
    "end": Nonnegative,
    "values": tuple[Nonnegative, ...],
    "boundaries": tuple[Annotated[float, Range(1)], ...],
    "warmup": Nonnegative,
}
"""The types of the keys of schedules."""
WHOLE = ("every", "boundaries", "warmup")
"""The keys with whole numbers of iterations; 1e3 is one."""


def schedule(
    spec: float | Mapping[str, Any] | Schedule, n: int, where: str, horizon: int | None = None
) -> Schedule:
    """Make a schedule from a number or its table.

    Parameters
    ----------
    spec : float, mapping or Schedule
        A constant; a table with `kind`, one of KINDS, and its keys; or a schedule, which is
        returned unchanged.
    n : int
        The number of agents.
    where : str
        The key of the configuration that an error names.
    horizon : int, optional
        The run's iterations, for a kind with a horizon, where the table has none.

    Returns
    -------
    Schedule

    Raises
    ------
    UserError
        For an unknown kind or key, a missing key, or a value out of range.

    Notes
    -----
    Each kind is multiplied by min(1, (k+1)/m) where `warmup` = m is given:

    - constant: start
    - inverse-sqrt: start / sqrt(1 + k/offset)
    - inverse-time: start / (1 + k/offset)
    - power: start (1 + k/offset)^exponent
    - sqrt-n-over-t: scale sqrt(n/horizon)
    - staircase: start factor^floor(k/every)
    - cosine: end + (start - end) (1 + cos(pi min(k, horizon)/horizon))/2
    - piecewise: values[i] with i the number of boundaries that are at most k
    """
    if isinstance(spec, Function):
        return _checked(spec, where)
    if isinstance(spec, Schedule):
        return spec
    if not isinstance(spec, Mapping):
        return Power(
            convert(spec, Nonnegative, where, remedy="give a number or a schedule's table")
        )
    if spec.get("kind") == Function.kind:
        raise UserError(
            f"{where}: was the function {shown(spec.get('name'))} of Python, which a configuration "
            "cannot hold; give a number or a schedule's table, or the function itself to "
            "mpidbo.solve"
        )
    name = named(spec.get("kind", "constant"), KINDS, f"{where}.kind", "schedule")
    values = _values(spec, name, where)
    if "horizon" in KINDS[name].keys and horizon is not None:
        values = {"horizon": horizon, **values}
    for key in KINDS[name].required:
        if key not in values:
            raise UserError(
                f"{where}.{key}: needed by schedule {name}; set it in the schedule's table"
            )
    if name == "piecewise":
        _check_pieces(values["values"], values["boundaries"], where)
    return KINDS[name].make(values, n)


def _checked(spec: Function, where: str) -> Function:
    """The function, which was tried at k = 0. Raises UserError."""
    try:
        value: Any = spec.at(0)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{where}: {spec.name}(0) is not a number ({error}); give a function of k that returns "
            "one"
        ) from None
    convert(value, Nonnegative, f"{where}: {spec.name}(0)")
    return spec


def has_horizon(spec: Any) -> bool:
    """Return whether a number is the table of a schedule with a horizon, a number of iterations.

    A table that leaves it out takes the iterations of the run, as they were at its first start.
    """
    kind = known_as(spec.get("kind"), KINDS) if isinstance(spec, Mapping) else None
    return kind is not None and "horizon" in KINDS[kind].keys


def _values(spec: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """Return the values of a schedule's table. Raises UserError."""
    values = {}
    for key, value in spec.items():
        if key != "kind":
            check_key(key, KINDS[name].keys, where, f"unknown key of schedule {name}")
            values[key] = convert(value, HINTS[key], f"{where}.{key}")
            if key in WHOLE:
                values[key] = _whole(values[key], f"{where}.{key}")
    return values


def _whole(value: Any, where: str) -> Any:
    """A number of iterations, or several, as int. Raises UserError."""
    if isinstance(value, tuple):
        return tuple(_whole(item, where) for item in value)
    if value % 1:
        raise UserError(
            f"{where}: {value:g} is not a whole number of iterations; give one, such as "
            f"{math.ceil(value)}"
        )
    return int(value)


def _check_pieces(values: tuple[float, ...], boundaries: tuple[int, ...], where: str) -> None:
    """Raise UserError unless there is a value for each piece, and the boundaries increase."""
    if len(values) != len(boundaries) + 1:
        raise UserError(
            f"{where}.values: {len(values)} for {len(boundaries)} boundaries; give one value more "
            "than boundaries, each for the iterations up to the next boundary"
        )
    if any(later <= earlier for earlier, later in pairwise(boundaries)):
        raise UserError(
            f"{where}.boundaries: {shown(list(boundaries))} do not increase; give iterations in "
            "increasing order"
        )
