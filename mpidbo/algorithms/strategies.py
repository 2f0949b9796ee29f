"""Decentralized strategies: how one level takes one step through its neighbours.

Each is the explicit form of the primal-dual recursion (SPARKLE, Zhu et al., NeurIPS 2024,
arXiv 2411.14166)

    s+ = C s - A u - B d,    d+ = d + B s+,    d0 = 0,    u = step * direction,    A = W^a,  C = W^c

where B^2 = I + C - 2W for the bias-corrected ones. A strategy is a generator: `yield s` means
W @ s, a yielded tuple is one message, and it returns (s+, memory). The step size is inside u, so
it may vary from iteration to iteration.

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

Invariants: mean(s+) = mean(s) - mean(u) for every strategy; mean(h) = mean(u) for gradient
tracking (gt, semi-gt, non-gt), which needs all agents to start at the same point.

Strategies for directed graphs mix by the weights of `network.A`, whose rows sum to one, and of
`network.B`, whose columns do; `yield A @ s` means A @ s. There A, B are not those above.

| name      | explicit recursion                                           |
|-----------|--------------------------------------------------------------|
| push-pull | s+ = A(s - h), h+ = B h + u+ - u, h0 = u0                    |
| ab        | s+ = A s - h,  h+ = B h + u+ - u, h0 = u0                    |
| push-sum  | s+ = v+/w+,    v+ = B(v - u), w+ = B w, v = w s, w0 = 1      |

Invariants: sum(h) = sum(u), and for push-sum sum(v+) = sum(v) - sum(u); the plain mean of s is not
kept. With A = B = W they are semi-gt, non-gt and sgd.

Strategies with compressed messages are in `compressed`: choco, beer and lead. With `wire` any
strategy mixes by s + (W - I) R(s) in place of W s, where R rounds what travels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from .._fields import check_key, named
from .._types import Array, Float
from ..errors import UserError
from ..network import WIRES, A, B, Compressor, Quantize, TopK
from . import compressed, step_limits
from .compressed import Compression

Step: TypeAlias = compressed.Step
"""One step of a strategy: yields what is mixed, is sent W @ it, returns (s+, memory)."""


class Memory(NamedTuple):
    """What ed and extra keep of a level between steps.

    Parameters
    ----------
    s : array of shape (m, d)
        The previous iterate.
    u : array of shape (m, d)
        The previous scaled direction, step size times direction.
    """

    s: Float[Array, "m d"]
    u: Float[Array, "m d"]


class Track(NamedTuple):
    """What gradient tracking keeps of a level between steps.

    Parameters
    ----------
    h : array of shape (m, d)
        The tracker, whose mean over agents is that of u; of push-pull B h, which has that mean too.
    u : array of shape (m, d)
        The previous scaled direction, step size times direction.
    """

    h: Float[Array, "m d"]
    u: Float[Array, "m d"]


class PushSum(NamedTuple):
    """What push-sum keeps of a level between steps.

    Parameters
    ----------
    w : array of shape (m, 1)
        Each agent's weight: s is the sum that it holds, divided by w. The n weights sum to n.
    """

    w: Float[Array, "m 1"]


def ed(s: Float[Array, "m d"], u: Float[Array, "m d"], m: Memory) -> Step:
    """Exact Diffusion."""
    new = yield 2 * s - m.s - (u - m.u)
    return new, Memory(s, u)


def extra(s: Float[Array, "m d"], u: Float[Array, "m d"], m: Memory) -> Step:
    """EXTRA."""
    new = (yield 2 * s - m.s) - (u - m.u)
    return new, Memory(s, u)


def gt(s: Float[Array, "m d"], u: Float[Array, "m d"], m: Track) -> Step:
    """Gradient tracking, adapt then combine in both messages."""
    h = yield m.h + (u - m.u)
    new = yield s - h
    return new, Track(h, u)


def semi_gt(s: Float[Array, "m d"], u: Float[Array, "m d"], m: Track) -> Step:
    """Gradient tracking, adapt then combine in the tracker only."""
    Ws, h = yield s, m.h + (u - m.u)
    return Ws - h, Track(h, u)


def non_gt(s: Float[Array, "m d"], u: Float[Array, "m d"], m: Track) -> Step:
    """Gradient tracking, combine then adapt in both messages."""
    Ws, Wh = yield s, m.h
    h = Wh + (u - m.u)
    return Ws - h, Track(h, u)


def sgd(s: Float[Array, "m d"], u: Float[Array, "m d"], m: tuple[()]) -> Step:
    """Plain gossip, adapt then combine."""
    new = yield s - u
    return new, m


def dgd(s: Float[Array, "m d"], u: Float[Array, "m d"], m: tuple[()]) -> Step:
    """Plain gossip, combine then adapt."""
    new = (yield s) - u
    return new, m


def push_pull(s: Float[Array, "m d"], u: Float[Array, "m d"], m: Track) -> Step:
    """Gradient tracking on a directed graph, adapt then combine in the iterate."""
    h = m.h + (u - m.u)
    new, Bh = yield A @ (s - h), B @ h
    return new, Track(Bh, u)


def ab(s: Float[Array, "m d"], u: Float[Array, "m d"], m: Track) -> Step:
    """Gradient tracking on a directed graph, combine then adapt in both messages."""
    As, Bh = yield A @ s, B @ m.h
    h = Bh + (u - m.u)
    return As - h, Track(h, u)


def push_sum(s: Float[Array, "m d"], u: Float[Array, "m d"], m: PushSum) -> Step:
    """Plain gossip on a directed graph: sums and their weights."""
    v, w = yield B @ (m.w * s - u), B @ m.w
    return v / w, PushSum(w)


def start_memory(s0: Float[Array, "m d"]) -> Memory:
    """Return the memory with which the first step of ed and extra is s1 = C s0 - A u0."""
    return Memory(s0, 0 * s0)


def start_tracker(s0: Float[Array, "m d"]) -> Track:
    """Return the tracker before the first direction: zero."""
    return Track(0 * s0, 0 * s0)


def start_push_sum(s0: Float[Array, "m d"]) -> PushSum:
    """Return the weights before the first step of push-sum: one for each agent."""
    return PushSum(0 * s0[:, :1] + 1)


def no_memory(s0: Float[Array, "m d"]) -> tuple[()]:
    """Return the memory of a strategy that keeps none."""
    return ()


def extrapolated(E: int) -> float:
    """Return the least eigenvalue of W for 2s+ - s, which E - 1 local steps extrapolate, too."""
    return (E - 2) / (E + 2)


@dataclass(frozen=True)
class Strategy:
    """How one level takes one step through its neighbours; `strategy(s, u, m)` is one step.

    Parameters
    ----------
    name : str
        Its name in configurations, listings and files.
    rule : callable
        `rule(s, u, m)`, or `rule(s, u, m, compression)` where it has one, is a generator that takes
        the step: s and u of shape (m, d), m what `start` or the last step returned. `yield s`
        means W @ s, `yield A @ s` and `yield B @ s` what they say; a yielded tuple is one message.
        It returns (s+, memory) and changes none of its arguments.
    start : callable
        `start(s0)` is the memory before the first step, s0 of shape (m, d).
    width : int, default 1
        Vectors of length d that a step sends to each neighbour.
    scalars : int, default 0
        Numbers that a step sends to each neighbour besides.
    rounds : int, default 1
        Messages to each neighbour in which it sends them.
    weights : tuple of str, default ("W",)
        The weights by which it mixes: W, doubly stochastic, or A or B or both.
    symmetric : bool, default False
        Whether it needs a symmetric W.
    corrected : bool, default True
        Whether it is bias-corrected: exact with constant step sizes where agents differ.
    drifts : bool, default False
        Whether the agents' mean is kept through differences of iterates alone, so that what a
        step of it loses stays lost: to rounding, about 1e-15 an iteration in float64 and 1e-6 in
        float32, or to a projection of s.
    averages : bool, default False
        Whether it averages over all agents, whatever the topology.
    min_eigenvalue : float or callable, optional
        The least eigenvalue of W with which it is stable as the step size goes to zero; a function
        of E where one of E iterations gossips and it depends on that. None for a strategy that is
        stable with any W.
    strict : bool, default False
        Whether that eigenvalue itself is excluded.
    max_step : callable
        Smallest eigenvalue w of W -> the product of step size and curvature up to which it is
        stable, at most 2: the stability limit of its recursion on quadratics of one curvature.
    title : str, default ""
        Its name in the literature.
    compression : Compression, optional
        How it compresses its messages.
    wire : Compressor, optional
        What its messages are rounded to: it mixes by s + (W - I) R(s).

    Notes
    -----
    u = step * direction. With the table of `mpidbo/algorithms/strategies.py`, each is the explicit
    form of s+ = C s - A u - B d, d+ = d + B s+, d0 = 0.

    References
    ----------
    Zhu et al., NeurIPS 2024, arXiv 2411.14166 (the primal-dual form of all with W)
    """

    name: str
    rule: Callable[..., Step]
    start: Callable[[Array], Any]
    width: int = 1
    scalars: int = 0
    rounds: int = 1
    weights: tuple[str, ...] = ("W",)
    symmetric: bool = False
    corrected: bool = True
    drifts: bool = False
    averages: bool = False
    min_eigenvalue: float | Callable[[int], float] | None = None
    strict: bool = False
    max_step: Callable[[float], float] = step_limits.plain
    title: str = ""
    compression: Compression | None = None
    wire: Compressor | None = None

    def __call__(self, s: Float[Array, "m d"], u: Float[Array, "m d"], m: Any) -> Step:
        if self.compression is not None:
            return self.rule(s, u, m, self.compression)
        if self.wire is not None:
            return compressed.rounded(self.rule(s, u, m), self.wire)
        return self.rule(s, u, m)

    def __str__(self) -> str:
        return self.name


_ROWS = (
    Strategy(
        "ed",
        ed,
        start_memory,
        symmetric=True,
        drifts=True,
        min_eigenvalue=extrapolated,
        title="Exact Diffusion",
    ),
    Strategy(
        "extra",
        extra,
        start_memory,
        symmetric=True,
        drifts=True,
        min_eigenvalue=extrapolated,
        strict=True,
        title="EXTRA",
    ),
    Strategy("gt", gt, start_tracker, width=2, rounds=2, title="gradient tracking, ATC"),
    Strategy("semi-gt", semi_gt, start_tracker, width=2, title="gradient tracking, semi-ATC"),
    Strategy("non-gt", non_gt, start_tracker, width=2, title="gradient tracking, non-ATC"),
    Strategy("sgd", sgd, no_memory, corrected=False, title="decentralized SGD, adapt then combine"),
    Strategy("dgd", dgd, no_memory, corrected=False, title="decentralized SGD, combine then adapt"),
    Strategy("centralized", sgd, no_memory, averages=True, title="average over all agents"),
    Strategy("push-pull", push_pull, start_tracker, width=2, weights=("A", "B"), title="push-pull"),
    Strategy("ab", ab, start_tracker, width=2, weights=("A", "B"), title="AB"),
    Strategy(
        "push-sum",
        push_sum,
        start_push_sum,
        scalars=1,
        weights=("B",),
        corrected=False,
        title="stochastic gradient push",
    ),
    Strategy(
        "choco",
        compressed.choco,
        compressed.start_reference,
        corrected=False,
        title="CHOCO-SGD, compressed messages",
        compression=Compression(TopK(0.1), gamma=0.2),
    ),
    Strategy(
        "beer",
        compressed.beer,
        compressed.start_references,
        width=2,
        title="BEER, compressed messages",
        compression=Compression(TopK(0.1), gamma=0.3),
    ),
    Strategy(
        "lead",
        compressed.lead,
        compressed.start_dual,
        symmetric=True,
        title="LEAD, compressed messages",
        compression=Compression(Quantize(4), gamma=0.3, a=0.5),
    ),
)

STRATEGIES = {row.name: replace(row, max_step=step_limits.of(row.name)) for row in _ROWS}
"""The strategies by name; a new one is a function and an entry here."""


def strategy(name: "str | Mapping[str, Any] | Strategy", where: str = "strategy") -> Strategy:
    """Return the strategy of a name or table.

    Parameters
    ----------
    name : str, mapping or Strategy
        A key of STRATEGIES, whatever its case, dashes and underscores; or a table with the key
        `name`, and `wire` or the keys of a compressed strategy. A Strategy is returned unchanged.
    where : str, default "strategy"
        The key of the configuration that an error names.

    Returns
    -------
    Strategy

    Raises
    ------
    UserError
        Where no strategy has that name, or the table has a key that is unknown or does not fit.
    """
    if isinstance(name, Strategy):
        return name
    if not isinstance(name, Mapping):
        return STRATEGIES[named(name, STRATEGIES, where, "strategy")]
    if "name" not in name:
        raise UserError(f'{where}.name: missing; name the strategy, such as name = "beer"')
    row = STRATEGIES[named(name["name"], STRATEGIES, f"{where}.name", "strategy")]
    keys = {key: value for key, value in name.items() if key != "name"}
    if row.compression is not None:
        if "wire" in keys:
            raise UserError(
                f"{where}.wire: {row} compresses its messages already; leave wire out, or choose "
                'what travels by compress, such as compress = "bfloat16"'
            )
        return replace(row, compression=row.compression.with_keys(keys, where))
    for key in keys:
        what = f"{row} sends in full"
        check_key(key, ["wire"], where, f"{what}; a strategy with compress is choco, beer or lead")
    if not keys:
        return row
    if row.averages:
        raise UserError(f"{where}.wire: {row} averages in full; leave wire out")
    wire = named(keys["wire"], WIRES, f"{where}.wire", "type of messages")
    return replace(row, wire=WIRES[wire]())


def table_of(row: Strategy) -> "str | dict[str, Any]":
    """Return a strategy as a configuration has it: its name, or a table with its keys."""
    if row.compression is not None:
        return {"name": row.name, **row.compression.table()}
    return {"name": row.name, "wire": row.wire.name} if row.wire is not None else row.name
