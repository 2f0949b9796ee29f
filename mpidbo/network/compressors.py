"""Compressors: what an agent's row weighs when it travels, and what its neighbours make of it.

A compressor C turns the rows of a message into bytes and back. In a strategy `yield C @ v` is
answered by (q, W q), where q is C(v) as every neighbour decodes it, and the agent itself, too:

    q, Wq = yield C @ (s - H)
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .._fields import Doc, Form, Range, is_whole
from .._types import Array, Float
from .places import drawn, largest, placed, starts
from .stochastic import Product

Bytes = NDArray[np.uint8]
"""Rows as they travel, of shape (m, bytes)."""
Keys = NDArray[np.uint64]
"""A number for each row, of shape (m,)."""
BITS_OF_BYTE = 8


@dataclass(frozen=True)
class Compressor(ABC):
    """An operator C on the rows of a message: one class with `bytes`, `encode` and `decode`.

    A subclass with fields is a frozen dataclass; they are its keys in the table of a strategy. What
    becomes of a row must not depend on the other rows. A row with an entry that is not finite may
    become NaN, but must not become finite.
    """

    name: ClassVar[str] = ""
    """Its name in configurations."""

    @abstractmethod
    def bytes(self, d: int, dtype: np.dtype[Any]) -> int:
        """Return what a row of d entries of this type weighs, whatever its numbers."""

    @abstractmethod
    def encode(self, rows: Float[Array, "m d"], keys: Keys) -> Bytes:
        """Return rows as bytes.

        Parameters
        ----------
        rows : array of shape (m, d)
        keys : array of uint64 of shape (m,)
            A number for each row that the receivers know, too, from which random numbers are
            derived: a function of the seed, the agent, the iteration and the place in it.

        Returns
        -------
        array of uint8 of shape (m, bytes)
        """

    @abstractmethod
    def decode(
        self, messages: Bytes, d: int, dtype: np.dtype[Any], keys: Keys
    ) -> Float[Array, "m d"]:
        """Return C(row) for each row that `encode` made into bytes, with the same keys."""

    def __matmul__(self, s: Any) -> Product:
        weights, array = (s.weights, s.array) if type(s) is Product else ("W", s)
        return Product(weights, array, self)


def is_share_or_number(k: Any) -> bool:
    """Whether k is a share of a row's entries, or a number of entries."""
    if isinstance(k, float | np.floating):
        k = float(k)
        return 0 < k < 1 or (k >= 1 and k.is_integer())
    return is_whole(k) and bool(k >= 1)


Part = Annotated[
    float,
    Form(is_share_or_number, "a share above 0 and below 1, or a whole number of entries"),
    Doc("how many entries of a row travel: a share below 1, or a whole number"),
]


def number_of(k: float, d: int) -> int:
    """Return how many of d entries a share or number is, at least one and at most all."""
    return min(d, max(1, round(k * d) if k < 1 else int(k)))


@dataclass(frozen=True)
class TopK(Compressor):
    """The k entries of largest absolute value, with their places; ties by the lower place.

    Parameters
    ----------
    k : float, default 0.1
        A share of the entries, rounded, or a whole number.
    """

    name: ClassVar[str] = "top-k"
    k: Part = 0.1

    def bytes(self, d: int, dtype: np.dtype[Any]) -> int:
        return number_of(self.k, d) * (4 + dtype.itemsize)

    def encode(self, rows: Float[Array, "m d"], keys: Keys) -> Bytes:
        m, d = rows.shape
        places = largest(rows, number_of(self.k, d))
        parts = (places - starts(m, d)).astype(np.int32), rows.reshape(-1)[places]
        return np.concatenate([part.view(np.uint8) for part in parts], axis=1)

    def decode(
        self, messages: Bytes, d: int, dtype: np.dtype[Any], keys: Keys
    ) -> Float[Array, "m d"]:
        size = 4 * number_of(self.k, d)
        columns = np.ascontiguousarray(messages[:, :size]).view(np.int32)
        places = columns + starts(len(messages), d)
        return placed(places, np.ascontiguousarray(messages[:, size:]).view(dtype), d)


@dataclass(frozen=True)
class RandomK(Compressor):
    """k entries at random places, which sender and receiver draw alike: only values travel.

    Parameters
    ----------
    k : float, default 0.1
        A share of the entries, rounded, or a whole number.
    """

    name: ClassVar[str] = "random-k"
    k: Part = 0.1

    def bytes(self, d: int, dtype: np.dtype[Any]) -> int:
        return number_of(self.k, d) * dtype.itemsize

    def encode(self, rows: Float[Array, "m d"], keys: Keys) -> Bytes:
        d = rows.shape[1]
        return rows.reshape(-1)[drawn(number_of(self.k, d), d, keys)].view(np.uint8)

    def decode(
        self, messages: Bytes, d: int, dtype: np.dtype[Any], keys: Keys
    ) -> Float[Array, "m d"]:
        return placed(drawn(number_of(self.k, d), d, keys), messages.view(dtype), d)


@dataclass(frozen=True)
class Quantize(Compressor):
    """Whole multiples of the largest absolute value m of a row, in b bits each.

    C(v) = round(v l/m) m/l, half to even, with l = 2^(b-1) - 1; a zero row stays zero. With 2, 4
    and 8 bits a byte has several entries, or one; otherwise each bit of all entries is a plane.

    Parameters
    ----------
    bits : int, default 4
        b, from 2 to 16.
    """

    name: ClassVar[str] = "quantize"
    bits: Annotated[int, Range(2, 16), Doc("bits of an entry")] = 4

    @property
    def levels(self) -> int:
        """The largest multiple, l."""
        return int(2 ** (self.bits - 1) - 1)

    @property
    def kind(self) -> type[np.unsignedinteger[Any]]:
        """The type of multiples plus l, from 0 to 2 l."""
        return np.uint8 if self.bits <= BITS_OF_BYTE else np.uint16

    def bytes(self, d: int, dtype: np.dtype[Any]) -> int:
        return dtype.itemsize + packed_size(d, self.bits)

    def encode(self, rows: Float[Array, "m d"], keys: Keys) -> Bytes:
        m = np.abs(rows).max(axis=1, keepdims=True, initial=0)
        m[~np.isfinite(m)] = np.nan
        multiples = rows / np.where(m > 0, m, 1)
        multiples *= self.levels
        np.rint(multiples, out=multiples)
        multiples += self.levels
        multiples[np.isnan(m[:, 0])] = 0
        packed = pack(multiples.astype(self.kind), self.bits)
        return np.concatenate([m.view(np.uint8), packed], axis=1)

    def decode(
        self, messages: Bytes, d: int, dtype: np.dtype[Any], keys: Keys
    ) -> Float[Array, "m d"]:
        m = np.ascontiguousarray(messages[:, : dtype.itemsize]).view(dtype)
        packed = messages[:, dtype.itemsize :]
        multiples = np.arange(2**self.bits).astype(dtype)
        multiples -= self.levels
        multiples /= self.levels
        return unpack(packed, self.bits, d, multiples) * m


def packed_size(d: int, bits: int) -> int:
    """Return the bytes of d codes of so many bits."""
    if BITS_OF_BYTE % bits == 0:
        return -(-d * bits // BITS_OF_BYTE)
    return bits * -(-d // BITS_OF_BYTE)


def pack(codes: NDArray[Any], bits: int) -> Bytes:
    """Return rows of codes below 2^bits as bytes: of several codes each, or planes of bits."""
    m, d = codes.shape
    if BITS_OF_BYTE % bits:
        return np.concatenate(
            [np.packbits(codes & (1 << bit), axis=1) for bit in range(bits)], axis=1
        )
    many, size = BITS_OF_BYTE // bits, packed_size(d, bits)
    padded = np.zeros((m, size * many), np.uint8)
    padded[:, :d] = codes
    fields = padded.reshape(m, size, many)
    packed = np.zeros((m, size), np.uint8)
    for i in range(many):
        packed |= fields[:, :, i] << (BITS_OF_BYTE - bits * (i + 1))
    return packed


def unpack(packed: Bytes, bits: int, d: int, values: Float[Array, " c"]) -> Float[Array, "m d"]:
    """Return the value of each code of what `pack` made."""
    m = len(packed)
    if BITS_OF_BYTE % bits:
        planes = packed.reshape(m, bits, -1)
        codes = np.zeros((m, d), np.uint16)
        for bit in range(bits):
            plane = np.unpackbits(planes[:, bit], axis=1, count=d)
            codes |= np.left_shift(plane, bit, dtype=np.uint16)
        return values[codes]
    shifts = np.arange(BITS_OF_BYTE - bits, -1, -bits)
    of_byte = values[(np.arange(1 << BITS_OF_BYTE)[:, None] >> shifts) % (1 << bits)]
    # the values of a byte as one item: numpy is slow at taking short rows
    items = of_byte.view(np.dtype((np.void, of_byte[0].nbytes)))[:, 0]
    return np.take(items, packed).view(values.dtype)[:, :d]


class BFloat16(Compressor):
    """bfloat16: the upper half of a float32, half to even."""

    name: ClassVar[str] = "bfloat16"

    def bytes(self, d: int, dtype: np.dtype[Any]) -> int:
        return 2 * d

    def encode(self, rows: Float[Array, "m d"], keys: Keys) -> Bytes:
        with np.errstate(over="ignore"):
            single = rows.astype(np.float32)
        bits = single.view(np.uint32)
        upper = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        upper[np.isnan(single)] = 0x7FC0
        return upper.astype(np.uint16).view(np.uint8)

    def decode(
        self, messages: Bytes, d: int, dtype: np.dtype[Any], keys: Keys
    ) -> Float[Array, "m d"]:
        bits = messages.view(np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32).astype(dtype)


class Cast(Compressor):
    """A type of numpy, to which entries are rounded, half to even."""

    kind: ClassVar[Any]

    def bytes(self, d: int, dtype: np.dtype[Any]) -> int:
        return d * np.dtype(self.kind).itemsize

    def encode(self, rows: Float[Array, "m d"], keys: Keys) -> Bytes:
        with np.errstate(over="ignore"):
            return rows.astype(self.kind).view(np.uint8)

    def decode(
        self, messages: Bytes, d: int, dtype: np.dtype[Any], keys: Keys
    ) -> Float[Array, "m d"]:
        return messages.view(self.kind).astype(dtype)


class Float16(Cast):
    """float16, whose largest number is 65504."""

    name: ClassVar[str] = "float16"
    kind: ClassVar[Any] = np.float16


class Float32(Cast):
    """float32."""

    name: ClassVar[str] = "float32"
    kind: ClassVar[Any] = np.float32


class Full(Compressor):
    """All bytes of a row."""

    name: ClassVar[str] = "none"

    def bytes(self, d: int, dtype: np.dtype[Any]) -> int:
        return d * dtype.itemsize

    def encode(self, rows: Float[Array, "m d"], keys: Keys) -> Bytes:
        return rows.view(np.uint8)

    def decode(
        self, messages: Bytes, d: int, dtype: np.dtype[Any], keys: Keys
    ) -> Float[Array, "m d"]:
        return messages.view(dtype)


COMPRESSORS: dict[str, type[Compressor]] = {
    "top-k": TopK,
    "random-k": RandomK,
    "quantize": Quantize,
    "bfloat16": BFloat16,
    "float16": Float16,
    "none": Full,
}
"""The compressors by name, which `compress` names; a new one is a class and an entry here."""

WIRES: Mapping[str, type[Compressor]] = {"float32": Float32, "bfloat16": BFloat16}
"""What `wire` rounds messages of any strategy to."""
