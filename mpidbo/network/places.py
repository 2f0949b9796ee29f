"""Where in an array of rows the largest entries of each row are, and random ones.

A place is an index into the flat array, and those of a row are in ascending order.

The k-th largest entry of a long row is very likely between two bounds, from a sample of the row or
from the distribution of its entries; then only what lies between them has to be partitioned.
"""

from functools import lru_cache
from math import ceil, floor, inf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._types import Array, Float
from .splitmix import BITS, GOLDEN_GAMMA, UPPER, begun, ended

LONG = 1 << 12
"""Entries from which a row is long: bounds cost less than they save."""
SAMPLED, DEVIATIONS = 32, 4
"""One of so many entries is in a sample; a bound is so many standard deviations from the mean."""


def largest(rows: Float[Array, "m d"], k: int) -> NDArray[np.int64]:
    """Return the places of the k entries of largest absolute value; of equal ones the lower."""
    if rows.shape[1] < LONG:
        return _largest(_sizes(rows), k)
    found = [_largest_of_long_row(row, k) for row in rows]
    return np.stack(found) + starts(*rows.shape)


def _sizes(entries: NDArray[Any]) -> NDArray[Any]:
    """Return absolute values, infinite where an entry is NaN, since NaN has to travel."""
    sizes = np.abs(entries)
    if np.isnan(sizes.max(initial=0)):
        sizes[np.isnan(sizes)] = inf
    return sizes


def _largest_of_long_row(row: Float[Array, " d"], k: int) -> NDArray[np.int64]:
    low, high = _bounds(np.abs(row[::SAMPLED]), k)
    few = _candidates(~(np.abs(row) < low), k)  # not below, as NaN is
    return few[_largest_within(_sizes(row[few]), k, high)]


def _bounds(sample: Float[Array, " s"], k: int) -> tuple[float, float]:
    """Return bounds of the k-th largest size in a row from those of a sample."""
    n, expected = len(sample), k / SAMPLED
    margin = DEVIATIONS * (sqrt(expected) + 1)
    low, high = n - min(n, ceil(expected + margin)), n - floor(expected - margin)
    ordered = np.partition(sample, [place for place in (low, high) if place < n])
    return ordered[low], ordered[high] if high < n else inf


def _candidates(within: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """Return the places of entries within a bound, and all where these are fewer than k."""
    few = np.flatnonzero(within)
    return few if len(few) >= k else np.arange(len(within))


def _largest_within(sizes: NDArray[Any], k: int, high: Any) -> NDArray[np.int64]:
    """Return the places of the k largest of many sizes, of which `high` is probably a bound."""
    below = np.compress(sizes <= high, sizes)
    missing = k - (len(sizes) - len(below))
    if missing < 1:  # it is not
        below, missing = sizes, k
    least = np.partition(below, len(below) - missing)[len(below) - missing]
    return _not_below(least, sizes[None], k)[0]


def _largest(sizes: NDArray[Any], k: int) -> NDArray[np.int64]:
    d = sizes.shape[1]
    return _not_below(np.partition(sizes, d - k, axis=1)[:, d - k, None], sizes, k)


def _not_below(least: NDArray[Any], sizes: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Return the places of the k largest sizes of each row, of which `least` is the k-th."""
    m = len(sizes)
    found = np.flatnonzero(sizes >= least)
    if found.size > m * k:  # ties
        larger, equal = sizes > least, sizes == least
        missing = k - np.count_nonzero(larger, axis=1)
        equal &= np.cumsum(equal, axis=1) <= missing[:, None]
        found = np.flatnonzero(larger | equal)
    return found.reshape(m, k)


def drawn(k: int, d: int, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return k random places in a row of d entries for each key: those of the smallest numbers.

    The numbers are all different, and the smallest have the largest complements.
    """
    states = _states(d)
    if d < LONG:
        return _largest(~ended(begun(keys[:, None] + states)), k)
    margin, most = DEVIATIONS * sqrt(k), 2**BITS - 1
    # only candidates take the last step, as it does not change the upper bits
    bound = np.uint64(min(int((k + margin) / d * most), most) | most >> UPPER)
    high = np.uint64(min(int((d - k + margin) / d * most), most))
    found = []
    for key in keys:
        numbers = begun(key + states)
        few = _candidates(numbers <= bound, k)
        found.append(few[_largest_within(~ended(numbers[few]), k, high)])
    return np.stack(found) + starts(len(keys), d)


@lru_cache(maxsize=4)
def _states(d: int) -> NDArray[np.uint64]:
    """Return the states from which the first d numbers of the stream of zero come."""
    return np.arange(2, d + 2, dtype=np.uint64) * np.uint64(GOLDEN_GAMMA)


def starts(m: int, d: int) -> NDArray[np.int64]:
    """Return the places where m rows of d entries begin, as a column."""
    return d * np.arange(m)[:, None]


def placed(places: NDArray[Any], values: Float[Array, "m k"], d: int) -> Float[Array, "m d"]:
    """Return rows of d entries, of which these have values and the others are zero."""
    rows = np.zeros((len(values), d), values.dtype)
    rows.reshape(-1)[places] = values
    return rows
