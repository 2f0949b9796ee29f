"""At the start of a run: refuse a problem that `mpidbo check` would refuse, as far as a few calls can tell.

All agents are asked three times what the method asks them: near the start, at the start, and near the start again,
at the same draw made again. The first agent of each rank is compared with difference quotients. A refusal is certain;
what may have another reason is a warning.
"""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import UserError
from ..parallel.agents import Agents, agreed
from ..parallel.backend import host
from . import bad_data
from .checks import DERIVATIVE_OF, NEAR, TOLERANCE, Finding, Place, Quotient, bits_of, quotients
from .oracle import PRODUCTS, Oracle

Array = Any
Answers = dict[str, Array]
"""Of oracles, by their names: (m, p) or (m, q)."""
Point = tuple[Array, Array, Array]
"""x (p,), y (q,) and, for products, v (q,)."""
POWERS = (1 / 3, 0.45, 0.57)
"""The steps of difference quotients, as powers of the rounding unit."""
CLEAR = 10
"""Quotients contradict an oracle where they differ from it by so many times what they differ by among themselves."""
ROUNDING, ROUNDING_OF_GPUS = 0.7, 0.5
"""Powers of the rounding unit: relative differences between two calls below that may be the order of sums."""
LONG = 1 << 16
"""Random numbers drawn for a vector."""
ANYWAY = 'to run it all the same, set run.checks = "never"'
IN_PLACE = ("destination is read-only", "output array is read-only", "sort array is read-only")
"""What numpy says of an operation in place on a read-only array."""


class Refusal(UserError):
    """A mistake in the problem."""


def check_start(oracle: Oracle, needs: Iterable[str], x: Array, y: Array, losses: Mapping[str, Array]) -> None:
    """UserError on all ranks where the problem breaks a rule that a run relies on, a warning where it may; collective.

    needs : the oracles that the method calls.
    x, y : the start, (p,) and (q,).
    losses : f and g of this rank's agents there, of the full batch, as far as they are defined; (m,) each.
    """
    with agreed(oracle.agents.comm), np.errstate(all="ignore"):
        doubts = list(_Checks(oracle.twin(), list(needs), x, y).doubts(losses))
    doubt = next(filter(None, oracle.agents.texts(doubts[0] if doubts else "")), "")
    if doubt and oracle.agents.rank == 0:
        warnings.warn(f"{doubt} (see: mpidbo check)", stacklevel=3)


def check_agents(problems: list[Any]) -> Finding:
    """Of all agents of a problem, in this process: what a run of a method that needs all oracles would begin with."""
    oracle = Oracle(problems, Agents(len(problems)))
    x, y = (np.array(host(part), oracle.dtype) for part in problems[0].start())
    needs = [name for name in DERIVATIVE_OF if all(getattr(problem, name, None) is not None for problem in problems)]
    try:
        with np.errstate(all="ignore"):
            doubts = list(_Checks(oracle, needs, x, y).doubts(oracle.probe(needs, x, y)))
    except UserError as error:
        return Finding("all agents", False, math.nan, str(error).replace(f"; {ANYWAY}", ""))
    return Finding("all agents", True, 0.0, doubts[0] if doubts else f"the start of a run, {len(problems)} agents")


@dataclass
class _Checks:
    """The checks of one rank's agents; a method raises Refusal, or yields doubts."""

    oracle: Oracle
    needs: list[str]
    x: Array
    y: Array
    stacked: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    """What stacked oracles returned last, and a copy of it."""

    def __post_init__(self) -> None:
        self.problems, self.first = self.oracle.problems, self.oracle.agents.first
        self.rng = np.random.default_rng(0)
        numbers = np.finfo(self.oracle.dtype)
        self.eps, self.smallest = float(numbers.eps), float(numbers.tiny / numbers.eps)
        self.on_host = self.oracle.backend.xp is np
        self.rounding = self.eps**(ROUNDING if self.on_host else ROUNDING_OF_GPUS)

    def doubts(self, losses: Mapping[str, Array]) -> Iterator[str]:
        self.data()
        (x, y), along = self.near()
        v = self.normal(self.y.size)
        at = start = (self.x, self.y, v)
        near: Answers = {}
        try:
            near = self.answers((x, y, v), self.needs)
        except Refusal:
            raise
        except Exception:                                   # near the start may be outside of a domain
            pass
        if near and all(np.isfinite(rows).all() for rows in near.values()):
            at, first = (x, y, v), near
        else:
            first = self.answers(start, self.needs)
        before = self.oracle.samples
        yield from self.finite(losses, self.answers(start, self.needs), near)
        yield from self.repeatable(at, first, before)
        if at is not start:
            yield from self.derivatives(at, along)

    def where(self, name: str, i: int = 0) -> str:
        """An oracle of this rank's agent i, in a message."""
        return f"problem {type(self.problems[i]).__name__}.{name}: agent {self.first + i}"

    def normal(self, size: int) -> Array:
        """A random vector; a long one repeats itself."""
        return np.resize(self.rng.standard_normal(min(size, LONG)).astype(self.oracle.dtype), size)

    def near(self) -> tuple[tuple[Array, Array], dict[str, Array]]:
        """A point near the start, and for x and y a direction, along which x stays in its set."""
        ends = []
        for _ in range(2):
            x, y = (part + part.dtype.type(NEAR) * self.normal(part.size) for part in (self.x, self.y))
            if self.oracle.constrained:
                given = self.oracle.backend.array(x.copy())
                projected = host(self.problems[0].project_x(given)).copy()
                if not np.array_equal(host(given), x):
                    raise self.in_place("project_x", "x", 0)
                x = projected
            ends.append((x, y))
        pairs = dict(zip("xy", zip(*ends, strict=True), strict=True))
        x, y = ((a / 2 + b / 2).astype(self.oracle.dtype) for a, b in pairs.values())
        moves = {level: np.subtract(a, b, dtype=np.float64) for level, (a, b) in pairs.items()}
        return (x, y), {level: move / max(float(np.linalg.norm(move)), 1e-300) for level, move in moves.items()}

    # Data

    def data(self) -> None:
        """Samples that are read once, for every batch, would be the same another time."""
        for i, problem in enumerate(self.problems):
            if name := bad_data.read_whole(problem):
                raise self.other_data(name, i)

    def other_data(self, name: str, i: int) -> Refusal:
        return Refusal(f"{name}: a sample of agent {self.first + i} is not the same when it is read again; take random augmentation "
                       f"out of the data set, or make it a function of the sample's index; {ANYWAY}")

    # Answers

    def answers(self, at: Point, names: Iterable[str], locked: bool = False) -> Answers:
        """What these oracles say there, at a draw made again.

        locked : hand the arguments over read-only, on the host.
        """
        o, backend = self.oracle.draw(0), self.oracle.backend
        locked = locked and self.on_host
        rows = [np.repeat(part[None], len(self.problems), axis=0) for part in at]
        for part in rows:
            part.flags.writeable = not locked
        found: Answers = {}
        for name in names:
            given = [backend.rows(part) for part in rows[:3 if name in PRODUCTS else 2]]
            found[name] = host(self.locked(name, given) if locked else getattr(o, name)(*given))
            for letter, part, expected in zip("xyv", given, at, strict=False):
                changed = ~(host(part) == expected).all(axis=1)
                if changed.any():
                    raise self.in_place(name, letter, int(changed.argmax()))
            found[name] = self.kept(name, found[name])
        return found

    def locked(self, name: str, given: list[Array]) -> Array:
        """The answer to read-only arguments; to others where the oracle is something compiled that cannot take these."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")                 # PyTorch's, of memory that it could write to
            try:
                return getattr(self.oracle, name)(*given)
            except Exception as error:
                if any(text in str(error) for text in IN_PLACE):
                    raise self.in_place(name, "an argument", 0) from error
        return getattr(self.oracle, name)(*[part.copy() for part in given])

    def in_place(self, name: str, what: str, i: int) -> Refusal:
        return Refusal(f"{self.where(name, i)} changes {what} in place, which belongs to the method; compute with a copy "
                       "(x = x.copy(), or x = x + u for x += u)")

    def kept(self, name: str, rows: Array) -> Array:
        """These rows, copied where a later call might overwrite them. What a stacked oracle returned earlier must be as it was."""
        if name not in self.oracle.stacked_names:
            return rows
        earlier, copy = self.stacked.get(name, (rows, rows))
        if not np.array_equal(earlier, copy, equal_nan=True):
            raise Refusal(f"problem {type(self.problems[0]).__name__}.stacked: its {name} returns an array that the next call overwrites; "
                          "return a new one")
        self.stacked[name] = rows, rows.copy()
        return self.stacked[name][1]

    def finite(self, losses: Mapping[str, Array], start: Answers, near: Answers) -> Iterator[str]:
        """No NaN and no infinite number at the start; where there is one near it as well, or in the data, it is no doubt."""
        for name, values in {**losses, **start}.items():
            if np.isfinite(values).all():
                continue
            i = int((~np.isfinite(values.reshape(len(values), -1)).all(axis=1)).argmax())
            why = bad_data.culprit(self.problems[i], None if name in losses else self.oracle.samples[i])
            said = f"{self.where(name, i)} is not finite at the start" + (f": {why}" if why else "")
            if why:
                raise Refusal(f"{said}; remove or replace that; {ANYWAY}")
            if name in start and not (name in near and np.isfinite(near[name][i]).all()):
                raise Refusal(f"{said}; fix it, or start elsewhere; {ANYWAY}")
            yield said

    def repeatable(self, at: Point, first: Answers, before: list[Any]) -> Iterator[str]:
        """The same question at the same draw has the same answer, in another order too."""
        again, doubt = self.answers(at, reversed(self.needs), locked=True), ""
        for name, rows in first.items():
            for i, (a, b) in enumerate(zip(rows, again[name], strict=True)):
                if np.array_equal(a, b, equal_nan=True):
                    continue
                if not float(abs(a - b).max()) <= self.rounding * float(abs(a).max()):
                    raise self.not_repeatable(name, i, before[i])
                doubt = doubt or f"{self.where(name, i)} returns other bits when it is called again: is something random, or kept?"
        if doubt and self.on_host:
            yield doubt

    def not_repeatable(self, name: str, i: int, before: Any) -> Refusal:
        """Why that is: the draw, the data or the oracle."""
        now = self.oracle.samples[i]
        if list(bits_of(before)) != list(bits_of(now)):
            return Refusal(f"{self.where('draw', i)} draws another sample from an equal rng; take all randomness from the rng "
                           f"given, and keep nothing from draw to draw; {ANYWAY}")
        if source := bad_data.changes_when_read(self.problems[i], now):
            return self.other_data(source, i)
        return self.random(name, i)

    def random(self, name: str, i: int = 0) -> Refusal:
        return Refusal(f"{self.where(name, i)} returns other numbers when it is called again at the same point and sample; use no random "
                       f"numbers in a loss (with dropout: net.eval()) and keep nothing from call to call; {ANYWAY}")

    # Derivatives

    def derivatives(self, near: Point, along: Mapping[str, Array]) -> Iterator[str]:
        """Of the first agent: each loss twice, each gradient against its loss, each product against g_y."""
        x, y, v = map(self.oracle.backend.array, near)
        place = Place(x, y, v, v, self.oracle.samples[0])
        needed = [name for name in self.needs if getattr(self.problems[0], DERIVATIVE_OF[name][0], None) is not None]
        for loss in sorted({DERIVATIVE_OF[name][0] for name in needed} & {"f", "g"}):
            self.same_value(loss, place)
        for name in needed:
            if self.contradicted(name, place, along):
                yield from self.judged(name, place, along)

    def same_value(self, loss: str, place: Place) -> None:
        """A loss leaves its arguments as they are, and has one value."""
        before = [host(part).copy() for part in (place.x, place.y)]
        try:
            a, b = (float(place.call(self.problems[0], loss)) for _ in range(2))
        except Exception:                                   # a run asks for the full batch only
            return
        for letter, part, was in zip("xy", (place.x, place.y), before, strict=True):
            if not np.array_equal(host(part), was):
                raise self.in_place(loss, letter, 0)
        if np.isfinite((a, b)).all() and abs(a - b) > self.rounding * abs(a):
            raise self.random(loss)

    def contradicted(self, name: str, place: Place, along: Mapping[str, Array]) -> Quotient | None:
        """A quotient, if those of all steps agree in that this oracle is wrong; kinks and rounding make them disagree."""
        found: list[Quotient] = []
        try:
            for quotient in quotients(self.problems[0], name, place, along[DERIVATIVE_OF[name][1]], POWERS):
                if not abs(quotient.mismatch) > self.eps**TOLERANCE or abs(quotient.difference) < self.smallest:
                    return None
                found.append(quotient)
        except Exception:                                   # outside of a domain, or no oracle of this sample
            return None
        errors = [quotient.mismatch for quotient in found]
        return found[0] if CLEAR * (max(errors) - min(errors)) < min(map(abs, errors)) else None

    def judged(self, name: str, place: Place, along: Mapping[str, Array]) -> Iterator[str]:
        """Refuse an oracle that quotients contradict at two points, and of the full batch as well."""
        problem, (source, variable) = self.problems[0], DERIVATIVE_OF[name]
        (x, y), other = self.near()
        elsewhere = replace(place, x=self.oracle.backend.array(x), y=self.oracle.backend.array(y))
        if not (quotient := self.contradicted(name, elsewhere, other)):
            return
        said = (f"{self.where(name)} returns no derivative of {source} in {variable}: along a direction it says "
                f"{quotient.product:.3g}, where a difference of {source} is {quotient.difference:.3g}")
        whole = replace(place, sample=None)
        if place.sample is None or self.contradicted(name, whole, along):
            raise Refusal(f"{said}; fix one of them (see: mpidbo check); {ANYWAY}")
        if source == "g_y" or float(place.call(problem, source)) != float(whole.call(problem, source)):    # else it ignores samples
            yield f"{said}, at a drawn sample"
