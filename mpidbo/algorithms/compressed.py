"""Strategies whose messages are compressed: what travels is q = C(v), which weighs less than v.

Each agent keeps H, what its neighbours know of a variable of its own, and D = W H - H, how what it
knows of theirs differs from it. Both are updated from the one message q, so that nobody stores
copies of its neighbours. g = `gamma`, a = `a`; u = step * direction as in `strategies`.

| name  | explicit recursion, q and p are what travels                                         |
|-------|--------------------------------------------------------------------------------------|
| choco | v = s - u, q = C(v - H), s+ = v + g D+                                               |
| beer  | h+ = h + g E + u+ - u, s+ = s + g D - h+, q = C(s+ - H), p = C(h+ - G)               |
| lead  | q = C(s - u - d - H), d+ = d - g/2 (D + W q - q), s+ = s - u - d+                    |

H+ = H + q and D+ = D + W q - q, for lead with a q in place of q; beer's G and E are to h and p
what H and D are to s and q. Where C is the identity and g = a = 1, choco is sgd, beer is non-gt,
and lead is ed of (I+W)/2. (The papers keep W H; D loses less to rounding, since it goes to zero.)

Starts: choco H = 0; beer H = s0, h = G = 0; lead H = s0, d = 0; all agents at the same s0, and
D = E = 0.

Invariants: mean(s+) = mean(s) - mean(u), for beer mean(h) = mean(u), for lead mean(d) = 0, and
D = W H - H, which holds with one W only: a graph that changes is refused.

References: Koloskova, Stich, Jaggi, ICML 2019 (CHOCO-SGD); Zhao et al., NeurIPS 2022 (BEER); Liu,
Li, Wang, Tang, Yan, ICLR 2021 (LEAD).
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, NamedTuple

from .._fields import Doc, Range, check_key, convert, fields_of, named
from .._types import Array, Float
from ..errors import UserError
from ..network import COMPRESSORS, Compressor, Product, TopK

Step = Generator[Any, Any, tuple[Array, Any]]


@dataclass(frozen=True)
class Compression:
    """How a strategy compresses its messages.

    Parameters
    ----------
    C : Compressor
        What a row becomes when it travels.
    gamma : float, default 1
        g, by which neighbours' differences are weighted, above 0 and at most 1.
    a : float, optional
        The weight of q in the reference H, for lead.
    """

    C: Compressor = field(default_factory=TopK)
    gamma: Annotated[float, Range(above=0, at_most=1), Doc("weight of neighbours' differences")] = 1
    a: Annotated[
        float | None, Range(above=0, at_most=1), Doc("weight of a message in its reference")
    ] = None

    def with_keys(self, table: Mapping[str, Any], where: str) -> "Compression":
        """Return it with the keys of a strategy's table.

        Parameters
        ----------
        table : mapping
            `compress`, the keys of the compressor of that name, `gamma`, and `a` of lead.
        where : str
            Name of the table, for messages.

        Raises
        ------
        UserError
            An unknown key, or a value of the wrong type or out of range.
        """
        kind = type(self.C)
        if "compress" in table:
            name = named(table["compress"], COMPRESSORS, f"{where}.compress", "compressor")
            kind = COMPRESSORS[name]
        own = ["gamma"] if self.a is None else ["gamma", "a"]
        values = _keys(self.C) if kind is type(self.C) else {}
        given: dict[str, Any] = {"gamma": self.gamma, "a": self.a}
        for key, value in table.items():
            if key == "compress":
                continue
            options = fields_of(kind)
            check_key(key, [*options, *own, "compress"], where, _unknown(kind))
            if key in own:
                given[key] = convert(value, fields_of(Compression)[key].hint, f"{where}.{key}")
            else:
                values[key] = convert(
                    value, options[key].hint, f"{where}.{key}", options[key].default
                )
        return Compression(kind(**values), **given)

    def table(self) -> dict[str, Any]:
        """Return its keys in a strategy's table."""
        name = next((name for name, kind in COMPRESSORS.items() if kind is type(self.C)), None)
        if name is None:
            raise UserError(
                f"compress: {type(self.C).__name__} has no name in COMPRESSORS, by which "
                "config.toml would know it; add it to that dictionary"
            )
        a = {} if self.a is None else {"a": self.a}
        return {"compress": name, **_keys(self.C), "gamma": self.gamma, **a}


def _keys(C: Compressor) -> dict[str, Any]:
    return {each.name: getattr(C, each.name) for each in fields(C)}


def _unknown(kind: type[Compressor]) -> str:
    name = next(name for name, known in COMPRESSORS.items() if known is kind)
    return f"unknown key with compress = {name}"


class Reference(NamedTuple):
    """What choco keeps of a level between steps.

    Parameters
    ----------
    H : array of shape (m, d)
        What an agent's neighbours know of it: the sum of its messages.
    D : array of shape (m, d)
        W H - H.
    """

    H: Float[Array, "m d"]
    D: Float[Array, "m d"]


class References(NamedTuple):
    """What beer keeps of a level between steps.

    Parameters
    ----------
    h : array of shape (m, d)
        The tracker, whose mean over agents is that of u.
    u : array of shape (m, d)
        The previous scaled direction, step size times direction.
    H, D : arrays of shape (m, d)
        The reference of s, and W H - H.
    G, E : arrays of shape (m, d)
        The reference of h, and W G - G.
    """

    h: Float[Array, "m d"]
    u: Float[Array, "m d"]
    H: Float[Array, "m d"]
    D: Float[Array, "m d"]
    G: Float[Array, "m d"]
    E: Float[Array, "m d"]


class Dual(NamedTuple):
    """What lead keeps of a level between steps.

    Parameters
    ----------
    d : array of shape (m, d)
        The dual variable, whose mean over agents is zero.
    H, D : arrays of shape (m, d)
        The reference of s - u - d, and W H - H.
    """

    d: Float[Array, "m d"]
    H: Float[Array, "m d"]
    D: Float[Array, "m d"]


def choco(s: Float[Array, "m d"], u: Float[Array, "m d"], m: Reference, by: Compression) -> Step:
    """CHOCO-SGD."""
    v = s - u
    q, Wq = yield by.C @ (v - m.H)
    D = m.D + (Wq - q)
    return v + by.gamma * D, Reference(m.H + q, D)


def beer(s: Float[Array, "m d"], u: Float[Array, "m d"], m: References, by: Compression) -> Step:
    """BEER; both messages of a step are known before it, and travel as one."""
    h = m.h + by.gamma * m.E + (u - m.u)
    new = s + by.gamma * m.D - h
    (q, Wq), (p, Wp) = yield by.C @ (new - m.H), by.C @ (h - m.G)
    return new, References(h, u, m.H + q, m.D + (Wq - q), m.G + p, m.E + (Wp - p))


def lead(s: Float[Array, "m d"], u: Float[Array, "m d"], m: Dual, by: Compression) -> Step:
    """LEAD."""
    q, Wq = yield by.C @ (s - u - m.d - m.H)
    d = m.d - by.gamma / 2 * (m.D + (Wq - q))
    return s - u - d, Dual(d, m.H + by.a * q, m.D + by.a * (Wq - q))


def rounded(step: Step, R: Compressor) -> Step:
    """Take a step of any strategy with W @ s as s + (W - I) R(s), which keeps the mean of s."""
    answer: Any = None
    while True:
        try:
            message = step.send(answer)
        except StopIteration as stop:
            new: tuple[Array, Any] = stop.value
            return new
        parts = message if type(message) is tuple else (message,)
        mixed = yield tuple([R @ part for part in parts])
        arrays = [part.array if type(part) is Product else part for part in parts]
        found = [s + (Wq - q) for s, (q, Wq) in zip(arrays, mixed, strict=True)]
        answer = tuple(found) if type(message) is tuple else found[0]


def start_reference(s0: Float[Array, "m d"]) -> Reference:
    """Return the memory before the first step of choco: nothing is known."""
    return Reference(0 * s0, 0 * s0)


def start_references(s0: Float[Array, "m d"]) -> References:
    """Return the memory before the first step of beer: all know s0, which all agents have."""
    zero = 0 * s0
    return References(zero, zero, s0, zero, zero, zero)


def start_dual(s0: Float[Array, "m d"]) -> Dual:
    """Return the memory before the first step of lead: all know s0, which all agents have."""
    return Dual(0 * s0, s0, 0 * s0)
