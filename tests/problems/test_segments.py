"""Products of several agents' rows have the bits of each agent's own."""

from itertools import pairwise

import numpy as np
import pytest

from mpidbo.problems.segments import Segments

SIZES = [(1,), (3, 3), (1, 1, 1), (1, 2), (8, 7, 9, 1), (127, 128, 129), (16, 3, 16, 16, 1)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("sizes", SIZES)
def test_products_and_sums(sizes, dtype):
    rng, rows, m = np.random.default_rng(0), Segments(np, sizes), len(sizes)
    ends = np.cumsum([0, *sizes])
    own = [slice(*pair) for pair in pairwise(ends)]

    def same(got, expected):
        assert got.dtype == dtype and got.tobytes() == np.ascontiguousarray(expected).tobytes()

    def drawn(*shape):
        return rng.standard_normal(shape).astype(dtype)

    for a in (1, 2, 7, 8, 64, 129):
        for b in (1, 3, 10, 17):
            left, right, matrices = drawn(ends[-1], a), drawn(ends[-1], b), drawn(m, a, b)
            values, out = drawn(ends[-1]), np.full((m, a * b + 3), np.nan, dtype)
            products = rows.times(left, matrices)
            back = rows.times(right, matrices.swapaxes(1, 2))
            rows.transposed_times(left, right, out[:, 3:].reshape(m, a, b))
            columns = np.ascontiguousarray(left.T)
            weighted = rows.columns_times(columns, values)
            for i, part in enumerate(own):
                one, other = left[part].copy(), right[part].copy()
                same(products[part], one @ matrices[i].copy())
                same(back[part], other @ matrices[i].copy().T)
                same(out[i, 3:], (one.T @ other).ravel())
                same(weighted[i], columns[:, part].copy() @ values[part].copy())
        sums = np.full((m, 2 * a), np.nan, dtype)
        rows.sums(left, sums[:, None, a:])
        each = drawn(m, 1, a)
        added = left.copy()
        rows.add(added, each)
        for i, part in enumerate(own):
            same(sums[i, a:], left[part].copy().sum(axis=-2))
            same(added[part], left[part] + each[i])


@pytest.mark.parametrize("sizes", [(2, 2), (1, 3)])
@pytest.mark.parametrize("width", [1, 2])
def test_a_sum_of_negative_zeros_is_zero(sizes, width):
    sums = np.full((2, 1, width), np.nan)
    Segments(np, sizes).sums(np.full((4, width), -0.0), sums)
    assert sums.tobytes() == bytes(sums.nbytes)


def test_counts():
    assert Segments(np, (4, 4)).counts(np.float32) == 4
    counts = Segments(np, (1, 3)).counts(np.float32)
    assert counts.dtype == np.float32 and counts.tolist() == [1, 3, 3, 3]
