"""Compressors: what comes back, what it weighs, and what a message of them is."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import mpidbo
from mpidbo import network as topologies
from mpidbo.errors import UserError
from mpidbo.network import COMPRESSORS, WIRES, BFloat16, Compressor, Full, Quantize, RandomK, TopK
from mpidbo.network.compressors import Float32
from mpidbo.network.places import drawn, largest
from mpidbo.network.splitmix import GOLDEN_GAMMA, mix64
from mpidbo.parallel.agents import Agents

FORMS = (
    TopK(0.3),
    TopK(4),
    TopK(1000),
    RandomK(0.3),
    RandomK(1000),
    *(Quantize(bits) for bits in (2, 3, 4, 8, 9, 16)),
    *(COMPRESSORS[name]() for name in ("bfloat16", "float16", "none")),
    *(form() for form in WIRES.values()),
)
KEYS = np.arange(4, dtype=np.uint64)


def there_and_back(form, rows, keys=None):
    """C(rows), with the sizes that the class promises."""
    keys = np.arange(len(rows), dtype=np.uint64) if keys is None else keys
    d, dtype = rows.shape[1], rows.dtype
    messages = form.encode(rows, keys)
    assert messages.dtype == np.uint8
    assert messages.shape == (len(rows), form.bytes(d, dtype))
    found = form.decode(messages, d, dtype, keys)
    assert found.shape == rows.shape and found.dtype == dtype
    return found


def rows(d, dtype=np.float64):
    return (
        np.random.default_rng(d).standard_normal((4, d)) * 10.0 ** np.arange(4)[:, None]
    ).astype(dtype)


def test_every_compressor_is_tried():
    assert {type(form) for form in FORMS} == {*COMPRESSORS.values(), *WIRES.values()}
    assert all(kind.name == name for name, kind in {**COMPRESSORS, **WIRES}.items())


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 100])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_there_and_back(form, d, dtype):
    """C(v) is no further from v than v is; a row does not depend on the others; C(0) = 0."""
    v = rows(d, dtype)
    found = there_and_back(form, v)
    assert np.linalg.norm(found - v) <= np.linalg.norm(v)
    for i in range(4):
        alone = there_and_back(form, v[i : i + 1], KEYS[i : i + 1])
        assert alone.tobytes() == found[i].tobytes()
    v[2] = 0
    assert not there_and_back(form, v)[2].any()
    np.testing.assert_array_equal(there_and_back(form, v)[[0, 1, 3]], found[[0, 1, 3]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_what_is_not_finite_does_not_become_finite(form, bad):
    v = rows(9)
    v[1, 4] = bad
    with np.errstate(all="raise"):
        found = there_and_back(form, v)
    np.testing.assert_array_equal(found[[0, 2, 3]], there_and_back(form, rows(9))[[0, 2, 3]])
    if not isinstance(form, RandomK) or form.k > 1:
        assert not np.isfinite(found[1, 4])


def test_rounding_errors():
    """Half to even, of numbers that the form does not have."""
    v = np.array([[1 + 2.0**-8, 1 + 3 * 2.0**-8, -1 - 2.0**-8, 3e38, 1e-45, 65504.0]])
    np.testing.assert_array_equal(there_and_back(BFloat16(), v)[0, :3], [1, 1 + 2.0**-6, -1])
    w = np.array([[7.0, 0.5, 1.5, -2.5, 3.49]])
    np.testing.assert_array_equal(there_and_back(Quantize(4), w), [[7, 0, 2, -2, 3]])
    tiny = np.array([[5e-324, 0, -5e-324], [1e308, -1e308, 0.4e308]])
    found = there_and_back(Quantize(2), tiny)
    np.testing.assert_array_equal(found, [[5e-324, 0, -5e-324], [1e308, -1e308, 0]])
    assert np.isinf(there_and_back(COMPRESSORS["float16"](), np.array([[1e9]]))).all()
    assert there_and_back(Float32(), np.array([[0.1]])) == np.float64(np.float32(0.1))


def test_ties_by_the_lower_place():
    v = np.array([[1.0, -2, 2, 2, -1, 1], [0, 0, 0, 0, 0, 3], [1, 1, 1, 1, 1, 1]])
    np.testing.assert_array_equal(
        there_and_back(TopK(2), v), [[0, -2, 2, 0, 0, 0], [0, 0, 0, 0, 0, 3], [1, 1, 0, 0, 0, 0]]
    )
    np.testing.assert_array_equal(there_and_back(TopK(4), v)[0], [1, -2, 2, 2, 0, 0])


ROWS = {
    "normal": lambda rows: rows,
    "ties": lambda rows: rows.round(1),
    "few": lambda rows: np.where(abs(rows) > 2.2, rows, 0),
    "sorted": lambda rows: np.sort(rows),
    "periodic": lambda rows: rows * np.where(np.arange(rows.shape[1]) % 32, 1, 1e3),
    "equal": np.ones_like,
}


@pytest.mark.parametrize("d", [30, 20_000])
@pytest.mark.parametrize("kind", ROWS)
def test_the_largest_entries(kind, d):
    """Those of a sort, also where a row is long enough to be sampled, and the sample misleads."""
    rows = ROWS[kind](np.random.default_rng(0).standard_normal((2, d)))
    rows[1, 7] = np.nan
    size = np.where(np.isnan(rows), np.inf, abs(rows))
    for k in (1, d // 100 + 1, d // 10, d):
        columns = np.sort(np.argsort(-size, axis=1, kind="stable")[:, :k], axis=1)
        np.testing.assert_array_equal(largest(rows, k), np.array([[0], [d]]) + columns)


def test_random_places_are_uniform_and_of_the_key():
    v, form = np.ones((20_000, 5)), RandomK(2)
    keys = np.arange(20_000, dtype=np.uint64)
    found = there_and_back(form, v, keys)
    assert (found.sum(axis=1) == 2).all()
    pairs = found.T @ found / len(v)
    assert np.abs(np.diag(pairs) - 2 / 5).max() < 0.02
    assert np.abs(pairs[~np.eye(5, dtype=bool)] - 1 / 10).max() < 0.02
    assert there_and_back(form, v, keys + np.uint64(7)).tobytes() != found.tobytes()


def test_keys_differ_by_seed_agent_iteration_level_and_place():
    """Nobody draws what another draws: 3 seeds, 5 agents, 4 iterations, 2 levels, 3 arrays."""
    found = []
    for seed in range(3):
        x, y = (
            topologies.gossip_of(topologies.make("ring", 5), Agents(5), seed=seed) for _ in "xy"
        )
        levels = topologies.Levels.of([x, y, y])
        for k in range(4):
            levels.at(k)
            found += [w.keys.of(np.arange(5, dtype=np.uint64)) for w in (x, y) for _ in range(3)]
            if k == 2:
                again = [x.keys.of(np.arange(5, dtype=np.uint64)), levels.at(k)][0]
                assert not np.array_equal(again, found[-6])
                np.testing.assert_array_equal(x.keys.of(np.arange(5, dtype=np.uint64)), found[-6])
    assert len(np.unique(found)) == 3 * 5 * 4 * 2 * 3


@dataclass(frozen=True)
class Signs(Compressor):
    """The sign of each entry times the mean of their absolute values."""

    name: ClassVar[str] = "signs"
    spare: int = 0

    def bytes(self, d, dtype):
        return dtype.itemsize + -(-d // 8)

    def encode(self, rows, keys):
        size = abs(rows).mean(axis=1, keepdims=True)
        extra = np.zeros((len(rows), self.spare), np.uint8)
        return np.concatenate([size.view(np.uint8), np.packbits(rows >= 0, axis=1), extra], axis=1)

    def decode(self, messages, d, dtype, keys):
        size = np.ascontiguousarray(messages[:, : dtype.itemsize]).view(dtype)
        signs = np.unpackbits(messages[:, dtype.itemsize :], axis=1, count=d)
        return (2 * signs.astype(dtype) - 1) * size


def test_an_own_compressor(monkeypatch):
    """One class; its fields are keys of the table."""
    monkeypatch.setitem(COMPRESSORS, "signs", Signs)
    found = {}
    for row in ("non-gt", {"name": "beer", "compress": "signs", "gamma": 0.3}):
        result = mpidbo.solve(
            "quadratic",
            {"name": "sparkle", "strategy": row},
            agents=4,
            iterations=150,
            evaluate_every=150,
            steps={"alpha": 0.03},
        )
        found[str(row)] = result.history["distance"][-1], result.history["bytes"][-1]
    (full, all_bytes), (signs, few_bytes) = found.values()
    assert signs < 1.5 * full + 0.05 and few_bytes < 0.4 * all_bytes
    with pytest.raises(UserError, match=r"Signs\.encode: an array of uint8 .* promises 9 bytes"):
        mpidbo.solve(
            "quadratic",
            {"name": "sparkle", "lower": {"name": "beer", "compress": "signs", "spare": 1}},
            agents=4,
            iterations=1,
        )


def test_a_message_of_full_and_compressed_arrays():
    topology = topologies.make("erdos-renyi", 6)
    W, D = topologies.gossip_of(topology, Agents(6)), topology.W.toarray()
    a, b, c = (np.random.default_rng(d).standard_normal((6, d)) for d in (3, 11, 2))
    mixed, (q, Wq), (p, Wp) = W @ (a, Quantize(3) @ b, Full() @ c)
    np.testing.assert_array_equal(mixed, topologies.gossip_of(topology, Agents(6)) @ a)
    np.testing.assert_array_equal(q, there_and_back(Quantize(3), b))
    np.testing.assert_array_equal(p, c)
    np.testing.assert_allclose(Wq, D @ q, rtol=0, atol=1e-14)
    np.testing.assert_allclose(Wp, D @ c, rtol=0, atol=1e-14)
    assert W.sent.bytes == W.edges * (3 * 8 + 8 + 3 * 2 + 2 * 8)
    assert W.sent.floats == W.edges * 16


def test_an_average_sends_in_full():
    W = topologies.gossip_of(topologies.centralized(3), Agents(3))
    with pytest.raises(UserError, match="the average over all agents sends rows in full"):
        W @ (Full() @ np.ones((3, 2)), np.ones((3, 2)))


@pytest.mark.parametrize(
    ("k", "d"),
    [
        (1, 1),
        (1, 2),
        (7, 23),
        (1, 100),
        (10, 100),
        (2000, 4000),
        (1, 5000),
        (50, 5000),
        (4999, 5000),
    ],
)
def test_places_of_random_k_are_those_of_the_smallest_numbers(k, d):
    keys = np.random.default_rng(0).integers(2**63, size=50, dtype=np.uint64)
    counts = np.arange(1, d + 1, dtype=np.uint64) * np.uint64(GOLDEN_GAMMA)
    expected = np.sort(np.argsort(mix64(keys[:, None] + counts), axis=1)[:, :k], axis=1)
    np.testing.assert_array_equal(drawn(k, d, keys), d * np.arange(50)[:, None] + expected)
