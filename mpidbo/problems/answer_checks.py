"""Checks of what oracles return: finite, repeatable, and with arguments left as they are."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from ..parallel import aligned, host
from . import bad_data
from .answers import bits_of
from .base import PRODUCTS
from .differences import START_DISTANCE
from .oracle import Oracle, Sample

Answers = dict[str, Float[np.ndarray, "m d"]]
"""Of oracles, by their names: (m, p) or (m, q)."""
Point = tuple[Float[np.ndarray, " p"], Float[np.ndarray, " q"], Float[np.ndarray, " q"]]
"""x, y and, for products, v."""
ROUNDING_POWER, ROUNDING_POWER_OF_GPUS = 0.7, 0.5
"""Powers of the rounding unit: relative differences between two calls below it may be the order of
sums."""
MAX_RANDOM_NUMBERS = 1 << 16
"""Random numbers drawn for a vector."""
OPT_OUT = 'to run it all the same, set run.checks = "never"'
READ_ONLY_ERRORS = (
    "destination is read-only",
    "output array is read-only",
    "sort array is read-only",
)
"""What numpy reports of an operation in place on a read-only array."""


class Refusal(UserError):
    """A mistake in the problem."""


@dataclass
class AnswerChecks:
    """Checks of the answers of one rank's agents; a method raises Refusal, or yields doubts.

    Parameters
    ----------
    oracle : Oracle
        The agents of this rank.
    needs : list of str
        The oracles that the method calls.
    x, y : (p,) and (q,) arrays
        The start.
    """

    oracle: Oracle
    needs: list[str]
    x: Float[np.ndarray, " p"]
    y: Float[np.ndarray, " q"]
    stacked: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    """What stacked oracles returned last, and a copy of it."""

    def __post_init__(self) -> None:
        self.problems, self.first = self.oracle.problems, self.oracle.agents.first
        self.sample: Sample = self.oracle.full()
        self.rng = np.random.default_rng(0)
        numbers = np.finfo(self.oracle.dtype)
        self.eps = float(numbers.eps)
        # A smaller difference may be of numbers that have lost digits to underflow.
        self.min_difference = float(numbers.tiny / numbers.eps)
        self.on_host = self.oracle.backend.xp is np
        self.rounding = self.eps ** (ROUNDING_POWER if self.on_host else ROUNDING_POWER_OF_GPUS)

    def where(self, name: str, i: int = 0) -> str:
        """An oracle of this rank's agent i, in a message."""
        return f"problem {type(self.problems[i]).__name__}.{name}: agent {self.first + i}"

    def normal(self, size: int) -> Array:
        """A random vector; a long one repeats itself."""
        numbers = self.rng.standard_normal(min(size, MAX_RANDOM_NUMBERS))
        return np.resize(numbers.astype(self.oracle.dtype), size)

    def near_start(self) -> tuple[tuple[Array, Array], dict[str, Array]]:
        """A point near the start, and for x and y a direction along which they stay in their sets.

        The point is the middle between two random ones, and the direction leads from one to the
        other.
        """
        (xa, ya), (xb, yb) = self.random_point(), self.random_point()
        x, y = ((a / 2 + b / 2).astype(self.oracle.dtype) for a, b in ((xa, xb), (ya, yb)))
        along = {}
        for level, (a, b) in (("x", (xa, xb)), ("y", (ya, yb))):
            move = np.subtract(a, b, dtype=np.float64)
            along[level] = move / max(float(np.linalg.norm(move)), 1e-300)
        return (x, y), along

    def random_point(self) -> tuple[Array, Array]:
        """A random point around the start, x and y in their sets."""
        x, y = (
            part + part.dtype.type(START_DISTANCE) * self.normal(part.size)
            for part in (self.x, self.y)
        )
        return self.projected("x", x), self.projected("y", y)

    def projected(self, level: str, part: Array) -> Array:
        """The first agent's projection of x or y, which must not be in place."""
        if level not in self.oracle.constrained:
            return part
        name, given = f"project_{level}", self.oracle.backend.array(part.copy())
        found = host(getattr(self.problems[0], name)(given)).copy()
        if not np.array_equal(host(given), part):
            raise self.in_place(name, level, 0)
        return found

    # Data

    def check_data(self) -> None:
        """Samples that are read once must be the same when they are read again."""
        for i, problem in enumerate(self.problems):
            name = bad_data.read_whole(problem)
            if name:
                raise self.other_data(name, i)

    def other_data(self, name: str, i: int) -> Refusal:
        return Refusal(
            f"{name}: a sample of agent {self.first + i} is not the same when it is read again; "
            "take random augmentation out of the data set, or make it a function of the sample's "
            f"index; {OPT_OUT}"
        )

    # Answers

    def answers(self, at: Point, names: Iterable[str], read_only: bool = False) -> Answers:
        """What these oracles return there, at a draw made again.

        With `read_only` their arguments are read-only, on the host.
        """
        self.sample, backend = self.oracle.draw(0), self.oracle.backend
        read_only = read_only and self.on_host
        rows = [_repeated(part, len(self.problems)) for part in at]
        for part in rows:
            part.flags.writeable = not read_only
        found: Answers = {}
        for name in names:
            taken = rows if name in PRODUCTS else rows[:2]  # x and y, or also v
            given = [backend.rows(part) for part in taken]
            if read_only:
                answer = host(self.call_read_only(name, given))
            else:
                answer = host(getattr(self.sample, name)(*given))
            for letter, part, expected in zip("xyv", given, at, strict=False):
                changed = ~(host(part) == expected).all(axis=1)
                if changed.any():
                    raise self.in_place(name, letter, int(changed.argmax()))
            found[name] = self.kept(name, answer)
        return found

    def call_read_only(self, name: str, given: list[Array]) -> Array:
        """The answer to read-only arguments; to copies where compiled code cannot take these."""
        oracle = getattr(self.sample, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's, of memory that it could write to
            try:
                return oracle(*given)
            except Exception as error:
                if any(text in str(error) for text in READ_ONLY_ERRORS):
                    raise self.in_place(name, "an argument", 0) from error
        return oracle(*[part.copy() for part in given])

    def in_place(self, name: str, what: str, i: int) -> Refusal:
        return Refusal(
            f"{self.where(name, i)} changes {what} in place, which belongs to the method; compute "
            "with a copy (x = x.copy(), or x = x + u for x += u)"
        )

    def kept(self, name: str, rows: Array) -> Array:
        """These rows, copied where a later call might overwrite them.

        What a stacked oracle returned earlier must be as it was.
        """
        if name not in self.oracle.stacked:
            return rows
        earlier, copy = self.stacked.get(name, (rows, rows))
        if not np.array_equal(earlier, copy, equal_nan=True):
            raise Refusal(
                f"problem {type(self.problems[0]).__name__}.stacked: its {name} returns an array "
                "that the next call overwrites; return a new one"
            )
        self.stacked[name] = rows, rows.copy()
        return self.stacked[name][1]

    def check_finite(
        self, losses: Mapping[str, Array], start: Answers, near: Answers
    ) -> Iterator[str]:
        """There must be no NaN and no infinite number at the start.

        One that is near it as well, or in the data, is refused; another one is a doubt.
        """
        for name, values in {**losses, **start}.items():
            if np.isfinite(values).all():
                continue
            i = int((~np.isfinite(values.reshape(len(values), -1)).all(axis=1)).argmax())
            sample = None if name in losses else self.sample.samples[i]
            culprit = bad_data.culprit(self.problems[i], sample)
            message = f"{self.where(name, i)} is not finite at the start"
            if culprit:
                raise Refusal(f"{message}: {culprit}; remove or replace that; {OPT_OUT}")
            is_finite_near = name in near and np.isfinite(near[name][i]).all()
            if name in start and not is_finite_near:
                raise Refusal(f"{message}; fix it, or start elsewhere; {OPT_OUT}")
            yield message

    def check_repeatable(self, at: Point, first: Answers, samples: Sequence[Any]) -> Iterator[str]:
        """The same call at the same draw must have the same answer, in another order too."""
        again = self.answers(at, reversed(self.needs), read_only=True)
        doubt = ""
        for name, rows in first.items():
            for i, (a, b) in enumerate(zip(rows, again[name], strict=True)):
                if np.array_equal(a, b, equal_nan=True):
                    continue
                # `not <=`, as a comparison with NaN is false.
                if not float(abs(a - b).max()) <= self.rounding * float(abs(a).max()):
                    raise self.not_repeatable(name, i, samples[i])
                doubt = doubt or (
                    f"{self.where(name, i)} returns other bits when it is called again: is "
                    "something random, or kept?"
                )
        if doubt and self.on_host:
            yield doubt

    def not_repeatable(self, name: str, i: int, before: Any) -> Refusal:
        """The refusal of another answer: because of the draw, the data or the oracle."""
        now = self.sample.samples[i]
        if list(bits_of(before)) != list(bits_of(now)):
            return Refusal(
                f"{self.where('draw', i)} draws another sample from an equal rng; take all "
                f"randomness from the rng given, and keep nothing from draw to draw; {OPT_OUT}"
            )
        source = bad_data.changes_when_read(self.problems[i], now)
        return self.other_data(source, i) if source else self.random(name, i)

    def random(self, name: str, i: int = 0) -> Refusal:
        return Refusal(
            f"{self.where(name, i)} returns other numbers when it is called again at the same "
            "point and sample; use no random numbers in a loss (with dropout: net.eval()) and "
            f"keep nothing from call to call; {OPT_OUT}"
        )


def _repeated(part: Array, m: int) -> Array:
    """A vector as m rows, of which the first is aligned.

    Losses in PyTorch get an aligned row in its own memory, and a copy of any other: a loss that
    changes its argument in place is seen by the first row only.
    """
    rows = aligned((m, part.size), part.dtype)
    rows[...] = part
    return rows
