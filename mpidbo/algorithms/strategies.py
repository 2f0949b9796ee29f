"""Decentralized strategies: how one level takes one step through its neighbours.

Each is the explicit form of the primal-dual recursion (SPARKLE, Zhu et al., NeurIPS 2024, arXiv 2411.14166)

    s+ = C s - A u - B d,    d+ = d + B s+,    d0 = 0,    u = step * direction,    A = W^a, C = W^c,

where B^2 = I + C - 2W for the corrected rows. A strategy is a generator: `yield s` means W @ s, a yielded tuple is
one message, and it returns (s+, memory). The step rides inside u, so it may vary from iteration to iteration.

| name    | A   | B         | C   | explicit recursion                                  |
|---------|-----|-----------|-----|-----------------------------------------------------|
| ed      | W   | (I-W)^1/2 | W   | s++ = W(2s+ - s - (u+ - u))                         |
| extra   | I   | (I-W)^1/2 | W   | s++ = W(2s+ - s) - (u+ - u)                         |
| gt      | W^2 | I-W       | W^2 | s+ = W(s - h), h+ = W(h + u+ - u), h0 = W u0        |
| semi-gt | W   | I-W       | W^2 | s+ = W s - h,  h+ = W(h + u+ - u), h0 = W u0        |
| non-gt  | I   | I-W       | W^2 | s+ = W s - h,  h+ = W h + u+ - u,  h0 = u0          |
| sgd     | W   | 0         | W   | s+ = W(s - u), adapt then combine                   |
| dgd     | I   | 0         | W   | s+ = W s - u, combine then adapt                    |
| centralized | J | 0       | J   | s+ = J(s - u), J = 11'/n in place of W              |

Invariants: mean(s+) = mean(s) - mean(u) for every row; mean(h) = mean(u) for the gt rows, which need all agents
to start at the same point.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import UserError, did_you_mean, is_one_of, shown

Array = Any
Step = Generator[Any, Any, tuple[Array, Any]]


class Memory(NamedTuple):
    """What ed and extra remember: the previous iterate and the previous scaled direction."""

    s: Array
    u: Array


class Track(NamedTuple):
    """What the gt rows remember: the tracker and the previous scaled direction."""

    h: Array
    u: Array


def ed(s: Array, u: Array, m: Memory) -> Step:
    new = yield 2 * s - m.s - (u - m.u)
    return new, Memory(s, u)


def extra(s: Array, u: Array, m: Memory) -> Step:
    new = (yield 2 * s - m.s) - (u - m.u)
    return new, Memory(s, u)


def gt(s: Array, u: Array, m: Track) -> Step:
    h = yield m.h + (u - m.u)
    new = yield s - h
    return new, Track(h, u)


def semi_gt(s: Array, u: Array, m: Track) -> Step:
    Ws, h = yield s, m.h + (u - m.u)
    return Ws - h, Track(h, u)


def non_gt(s: Array, u: Array, m: Track) -> Step:
    Ws, Wh = yield s, m.h
    h = Wh + (u - m.u)
    return Ws - h, Track(h, u)


def sgd(s: Array, u: Array, m: tuple[()]) -> Step:
    new = yield s - u
    return new, m


def dgd(s: Array, u: Array, m: tuple[()]) -> Step:
    new = (yield s) - u
    return new, m


def from_start(s0: Array) -> Memory:
    return Memory(s0, 0 * s0)


def from_zero(s0: Array) -> Track:
    return Track(0 * s0, 0 * s0)


def nothing(s0: Array) -> tuple[()]:
    return ()


@dataclass(frozen=True)
class Strategy:
    """A row of the table; `strategy(s, u, m)` is one step, to be driven by `W @`.

    `width` is the number of vectors sent to each neighbour in a step, `rounds` the number of messages they take. A row that
    `drifts` sums the rounding of the agents' mean: about 1e-15 of it an iteration in float64, 1e-6 in float32.
    """

    name: str
    rule: Callable[[Array, Array, Any], Step]
    start: Callable[[Array], Any]
    width: int = 1
    rounds: int = 1
    symmetric: bool = False
    corrected: bool = True
    drifts: bool = False

    def __call__(self, s: Array, u: Array, m: Any) -> Step:
        return self.rule(s, u, m)

    def __str__(self) -> str:
        return self.name


STRATEGIES = {row.name: row for row in (
    Strategy("ed", ed, from_start, symmetric=True, drifts=True),
    Strategy("extra", extra, from_start, symmetric=True, drifts=True),
    Strategy("gt", gt, from_zero, width=2, rounds=2),
    Strategy("semi-gt", semi_gt, from_zero, width=2),
    Strategy("non-gt", non_gt, from_zero, width=2),
    Strategy("sgd", sgd, nothing, corrected=False),
    Strategy("dgd", dgd, nothing, corrected=False),
    Strategy("centralized", sgd, nothing),
)}


def strategy(name: "str | Strategy", where: str = "strategy") -> Strategy:
    """The strategy of that name; UserError if there is none."""
    if isinstance(name, Strategy):
        return name
    if not is_one_of(name, STRATEGIES):
        raise UserError(f"{where}: no strategy is called {shown(name)}; {did_you_mean(name, STRATEGIES)}")
    return STRATEGIES[name]
