"""Strategies with compressed messages: their recursions in dense matrices, what they keep, and
where methods go with them."""

import warnings

import numpy as np
import pytest

import mpidbo
from mpidbo import network as topologies
from mpidbo.algorithms import STRATEGIES, strategy
from mpidbo.errors import UserError
from mpidbo.parallel.agents import Agents
from support.dense import CompressedLevel, deviation

N, WIDTH, ITERATIONS, SEED = 5, 23, 60, 7
M = 2**64
GAMMA = 0x9E3779B97F4A7C15


def mix(z):
    """SplitMix64's output function, of Python's integers."""
    z = (z + GAMMA) % M
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % M
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % M
    return z ^ (z >> 31)


def top_k(v, k, *_):
    chosen = sorted(range(len(v)), key=lambda j: (-abs(v[j]), j))[:k]
    return np.where(np.isin(np.arange(len(v)), chosen), v, 0)


def random_k(v, k, agent, iteration, part):
    key = mix((mix((mix(SEED) + agent) % M) + iteration * 2**24 + part) % M)
    numbers = [mix((key + (j + 1) * GAMMA) % M) for j in range(len(v))]
    chosen = sorted(range(len(v)), key=numbers.__getitem__)[:k]
    return np.where(np.isin(np.arange(len(v)), chosen), v, 0)


def quantize(v, bits, *_):
    m, l = abs(v).max(), 2 ** (bits - 1) - 1
    return np.rint(v * l / m) * m / l if m else v


def bfloat16(v, *_):
    mantissa, exponent = np.frexp(v.astype(np.float32).astype(float))
    return np.ldexp(np.rint(mantissa * 2**8), exponent - 8)


FORMS = {
    "top-k": ({"compress": "top-k", "k": 0.2}, lambda v, *place: top_k(v, 5, *place)),
    "random-k": ({"compress": "random-k", "k": 7}, lambda v, *place: random_k(v, 7, *place)),
    "quantize": ({"compress": "quantize", "bits": 3}, lambda v, *_: quantize(v, 3)),
    "bfloat16": ({"compress": "bfloat16"}, bfloat16),
    "float16": ({"compress": "float16"}, lambda v, *_: v.astype(np.float16).astype(float)),
    "none": ({"compress": "none"}, lambda v, *_: v),
}
CONSTANTS = {"choco": (0.4, None), "beer": (0.35, None), "lead": (0.3, 0.6)}


def directions(seed=0):
    """u = step * direction, the step varying by three orders."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((ITERATIONS, N, WIDTH)) * 10 ** rng.uniform(
        -3, 0, (ITERATIONS, 1, 1)
    )


def start():
    return np.repeat(np.random.default_rng(1).standard_normal((1, WIDTH)), N, axis=0)


def row_of(name, form):
    g, a = CONSTANTS[name]
    own = {} if a is None else {"a": a}
    return strategy({"name": name, "gamma": g, **own, **FORMS[form][0]})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CONSTANTS)
def test_recursions_and_invariants_at_every_iteration(name, form):
    """mean(s+) = mean(s) - mean(u), D = W H - H, mean(h) = mean(u), mean(d) = 0."""
    topology = topologies.make({"name": "erdos-renyi", "p": 0.5, "seed": 3}, N)
    W, D = topologies.gossip_of(topology, Agents(N), seed=SEED), topology.W.toarray()
    row, s = row_of(name, form), start()
    dense, t = CompressedLevel(name, D, s, FORMS[form][1], *CONSTANTS[name]), s
    m, found, expected, mean = row.start(s), [], [], s.mean(axis=0)
    for k, u in enumerate(directions()):
        W.at(k)
        s, m = W @ row(s, u, m)
        t = dense.step(k, t, u)
        found.append(s)
        expected.append(t)
        mean = mean - u.mean(axis=0)
        assert np.abs(s.mean(axis=0) - mean).max() < 1e-12
        assert np.abs(m.D - (D @ m.H - m.H)).max() < 1e-12
        if name == "beer":
            assert np.abs(m.E - (D @ m.G - m.G)).max() < 1e-12
            assert np.abs(m.h.mean(axis=0) - u.mean(axis=0)).max() < 1e-12
        if name == "lead":
            assert np.abs(m.d.mean(axis=0)).max() < 1e-12
    assert deviation(found, expected) < 1e-9
    assert W.sent.rounds == ITERATIONS
    assert W.sent.floats == ITERATIONS * topology.edges * row.width * WIDTH


BYTES = {"top-k": 5 * 12, "random-k": 7 * 8, "quantize": 8 + 3 * 3, "bfloat16": 46, "none": 8 * 23}


@pytest.mark.parametrize("form", BYTES)
@pytest.mark.parametrize("name", CONSTANTS)
def test_bytes(name, form):
    topology = topologies.make("ring", N)
    W, row, s = topologies.gossip_of(topology, Agents(N)), row_of(name, form), start()
    W @ row(s, s, row.start(s))
    assert W.sent.bytes == 2 * N * row.width * BYTES[form]


def test_an_order_of_levels_in_one_message():
    """Compressed and full arrays of several strategies travel together, once a round."""
    topology = topologies.make("ring", N)
    W, alone = (topologies.gossip_of(topology, Agents(N)) for _ in range(2))
    s, u = start(), directions()[0]
    rows = [row_of("beer", "quantize"), STRATEGIES["gt"], row_of("lead", "top-k")]
    together = W @ tuple(row(s, u, row.start(s)) for row in rows)
    for row, (new, memory) in zip(rows, together, strict=True):
        expected, kept = alone @ row(s, u, row.start(s))
        np.testing.assert_array_equal(new, expected)
        for mine, theirs in zip(memory, kept, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert W.sent.rounds == 2 and W.sent.bytes == alone.sent.bytes


@pytest.mark.parametrize("name", ["ed", "extra", "gt", "semi-gt", "non-gt", "sgd", "dgd"])
def test_rounding_on_the_wire(name):
    """W @ s as s + (W - I) R(s): the mean is kept whatever R."""
    topology = topologies.make("ring", N)
    D, row = topology.W.toarray(), strategy({"name": name, "wire": "bfloat16"})
    W, s = topologies.gossip_of(topology, Agents(N)), start()
    rounds, m, mean = [], row.start(s), s.mean(axis=0)
    plain, t = STRATEGIES[name], s
    n = plain.start(t)

    def mixed(v):
        return v + (D - np.eye(N)) @ np.array([bfloat16(line) for line in v])

    for u in directions():
        s, m = W @ row(s, u, m)
        step, answer = plain(t, u, n), None
        try:
            while True:
                message = step.send(answer)
                rounds.append(message)
                several = type(message) is tuple
                answer = tuple(map(mixed, message)) if several else mixed(message)
        except StopIteration as stop:
            t, n = stop.value
        mean = mean - u.mean(axis=0)
        assert np.abs(s.mean(axis=0) - mean).max() < 1e-12
        assert np.abs(s - t).max() < 1e-9
        t, n = s, m  # a rounding may go the other way
    assert W.sent.bytes == W.edges * ITERATIONS * plain.width * 2 * WIDTH


def test_rounding_on_a_digraph_keeps_sums():
    topology = topologies.make({"name": "directed-erdos-renyi", "p": 0.35, "seed": 1}, 8)
    row = strategy({"name": "push-pull", "wire": "float32"})
    W, s = topologies.gossip_of(topology, Agents(8)), np.ones((8, 3))
    m = row.start(s)
    for u in np.random.default_rng(0).standard_normal((50, 8, 3)):
        s, m = W @ row(s, u, m)
        assert np.abs(m.h.sum(axis=0) - u.sum(axis=0)).max() < 1e-12


def test_rounding_in_a_local_step_changes_nothing():
    topology = topologies.make({"name": "ring", "every": 2}, N)
    W, row, s, u = (
        topologies.gossip_of(topology, Agents(N)),
        strategy({"name": "sgd", "wire": "bfloat16"}),
        start(),
        directions()[0],
    )
    W.at(0)
    new, _ = W @ row(s, u, ())
    np.testing.assert_allclose(new, s - u, rtol=0, atol=1e-15)
    assert W.sent.bytes == 0


def distances(row, iterations, **method):
    result = mpidbo.solve(
        {"name": "quadratic", "p": 10, "q": 16},
        {"name": "sparkle", "strategy": row, **method},
        "ring",
        agents=8,
        steps={"alpha": 0.03, "beta": 0.1, "gamma": 0.1},
        iterations=iterations,
        evaluate_every=iterations,
    )
    return result.history["distance"][-1], result.history["bytes"][-1]


def test_beer_is_exact_where_agents_differ():
    """At a fraction of the bytes of non-gt."""
    full, all_bytes = distances("non-gt", 500)
    beer, few_bytes = distances({"name": "beer", "compress": "quantize", "gamma": 0.6}, 500)
    assert beer < 1.5 * full < 0.1 and few_bytes < 0.17 * all_bytes


@pytest.mark.slow
def test_choco_has_a_bias_as_sgd_has():
    (choco, _), (sgd, _) = (distances(row, 1000) for row in ("choco", "sgd"))
    assert 0.05 < sgd < choco < 0.5


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("table", "share"),
    [({"compress": "top-k", "k": 0.1, "gamma": 0.6}, 0.2), ({"compress": "quantize"}, 0.17)],
)
def test_beer_takes_as_many_iterations_as_in_full(table, share):
    """To 1e-10, with a tenth of the entries and with 4 bits; rows of 10 and 16 entries here."""
    full, all_bytes = distances("non-gt", 4000)
    beer, few_bytes = distances({"name": "beer", "gamma": 0.6, **table}, 4000)
    assert full < 1e-10 and beer < 1e-10
    assert few_bytes < share * all_bytes


@pytest.mark.slow
def test_lead_is_exact_with_few_bits_and_diverges_with_few_entries():
    bits, _ = distances("lead", 4000)
    assert bits < 1e-8
    with pytest.warns(UserWarning, match="lead at x with top-k"):
        entries, _ = distances({"name": "lead", "compress": "top-k", "k": 0.1, "gamma": 0.3}, 1000)
    assert entries > 1e6


REFUSED = {
    'compress = "topk-k"': ({"name": "beer", "compress": "topk-k"}, "did you mean top-k?"),
    "k of bits": ({"name": "beer", "compress": "quantize", "k": 0.1}, "lower.k: unknown key with"),
    "bits of k": ({"name": "beer", "bits": 4}, "lower.bits: unknown key with compress = top-k"),
    "k = 0": ({"name": "beer", "k": 0}, "lower.k: 0 does not fit; give a share above 0"),
    "k = 1.5": ({"name": "beer", "k": 1.5}, "lower.k: 1.5 does not fit"),
    "k = -1": ({"name": "beer", "k": -1}, "lower.k: -1 does not fit"),
    "k = true": ({"name": "beer", "k": True}, "lower.k: true does not fit"),
    "bits = 1": ({"name": "lead", "bits": 1}, "lower.bits: 1 is out of range; give at least 2"),
    "bits = 17": ({"name": "lead", "bits": 17}, "at least 2 and at most 16"),
    "bits = 2.5": ({"name": "lead", "bits": 2.5}, "lower.bits: 2.5 is not a whole number"),
    "gamma = 0": ({"name": "beer", "gamma": 0}, "lower.gamma: 0 is out of range"),
    "gamma = 2": ({"name": "beer", "gamma": 2}, "lower.gamma: 2 is out of range"),
    "a of beer": ({"name": "beer", "a": 0.5}, "lower.a: unknown key"),
    "no name": ({"compress": "top-k"}, "lower.name: missing"),
    "unknown": ({"name": "bear"}, "lower.name: no strategy is called .bear.; did you mean beer?"),
    "wire of beer": ({"name": "beer", "wire": "float32"}, "beer compresses its messages already"),
    "compress of ed": ({"name": "ed", "compress": "top-k"}, "lower.compress: ed sends in full"),
    "wire": ({"name": "ed", "wire": "float8"}, "no type of messages is called .float8."),
    "average": ({"name": "centralized", "wire": "float32"}, "centralized averages in full"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_tables(case):
    table, words = REFUSED[case]
    with pytest.raises(UserError, match=f"^method.lower.*{words}|^method.{words}"):
        mpidbo.solve("quadratic", {"name": "sparkle", "lower": table}, agents=2, iterations=1)


@pytest.mark.parametrize(
    ("topology", "words"),
    [
        ({"name": "ring", "drop": 0.1}, "where links fail differs from iteration to iteration"),
        ({"name": "ring", "every": 4}, "with every = 4 differs"),
        ({"name": "matching"}, "of matching differs"),
        ({"name": "directed-erdos-renyi"}, "push-pull"),
    ],
)
@pytest.mark.parametrize("name", CONSTANTS)
def test_refused_graphs(name, topology, words):
    with pytest.raises(UserError, match=words):
        mpidbo.solve("quadratic", f"sparkle-{name}", topology, agents=8, iterations=1)


@pytest.mark.parametrize("method", ["ma-dsbo", "dsbo"])
def test_refused_where_steps_on_y_begin_anew(method):
    with pytest.raises(UserError, match=r"method\.lower: beer begins with"):
        mpidbo.solve("quadratic", {"name": method, "lower": "beer"}, agents=2, iterations=1)


def test_lead_with_few_entries_is_warned_of():
    with pytest.warns(UserWarning, match="lead at x with top-k: may diverge, whatever gamma"):
        mpidbo.solve(
            "quadratic",
            {"name": "sparkle", "upper": {"name": "lead", "compress": "top-k"}},
            agents=2,
            iterations=1,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mpidbo.solve("quadratic", "sparkle-lead-beer", agents=2, iterations=1)


def test_tables_in_a_configuration():
    """With every key, as config.toml has them; names may be misspelled as everywhere."""
    given = {"name": "BEER", "compress": "Top_K", "k": 3}
    result = mpidbo.solve(
        "quadratic",
        {"name": "sparkle", "lower": given, "upper": {"name": "gt", "wire": "bfloat16"}},
        agents=2,
        iterations=1,
    )
    method = result.config.method
    assert method["lower"] == {"name": "beer", "compress": "top-k", "k": 3, "gamma": 0.3}
    assert method["upper"] == {"name": "gt", "wire": "bfloat16"}
