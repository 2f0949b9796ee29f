"""Topologies that change: their graphs, which of them an iteration takes, what it sends, and the
dense recursions with a W for each iteration."""

import warnings
from collections import Counter
from itertools import combinations, product

import networkx as nx
import numpy as np
import pytest

import mpidbo
from mpidbo import cli, config
from mpidbo import network as topologies
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.errors import UserError
from mpidbo.network import gossip_of, make, suits
from mpidbo.network.spectrum import contraction
from mpidbo.parallel.agents import Agents
from mpidbo.reports.plan_text import describe
from mpidbo.solver.plan import Plan
from support.dense import deviation
from support.runs import QUADRATIC, kept, run, same, toml

MASK = (1 << 64) - 1
STEPS = {"alpha": 0.05, "beta": 0.2, "gamma": 0.2}


def hashed(z):
    """SplitMix64's next number of state z, on Python's integers."""
    z = (z + 0x9E3779B97F4A7C15) & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def drawn(k, seed, count):
    """Which of so many graphs iteration k draws."""
    return hashed(hashed(hashed(seed) + (1 << 63) & MASK) + k & MASK) % count


def one_peer(n, k):
    hop, W = 1 << k % (n.bit_length() - 1), np.eye(n) / 2
    for i in range(n):
        W[i, (i - hop) % n] += 1 / 2
    return W


def tournament(n, r):
    """W of round r, in which agents meet whose numbers sum to 2 r modulo the odd number of all but
    the last, or of all."""
    odd = n - 1 + n % 2
    W = np.eye(n)
    for i, j in combinations(range(odd), 2):
        if (i + j - 2 * r) % odd == 0:
            W[[i, j], [i, j]] = W[[i, j], [j, i]] = 1 / 2
    if n % 2 == 0:
        W[[r, n - 1], [r, n - 1]] = W[[r, n - 1], [n - 1, r]] = 1 / 2
    return W


def at(W, k):
    W.at(k)
    return W @ np.eye(W.m)


@pytest.mark.parametrize("n", [2, 4, 8, 16, 64])
def test_one_peer_exponential(n):
    topology = make("one-peer-exponential", n)
    W, product = gossip_of(topology, Agents(n)), np.eye(n)
    turn = n.bit_length() - 1
    for k in range(3 * turn):
        assert (at(W, k) == one_peer(n, k)).all()
        product = one_peer(n, k) @ product
        if (k + 1) % turn == 0:
            assert (product == 1 / n).all()  # exactly: powers of two
    assert topology.rho == 0 and (topology.degrees == 1).all() and topology.messages == n
    assert len(topology.graphs) == turn and topology.symmetric == (n == 2)


@pytest.mark.parametrize(
    "names",
    [
        ["ring", "exponential", "directed-ring"],
        ["ring", "torus"],
        ["torus", "torus"],
        ["ring", "path"],
        ["hypercube", "directed-exponential"],
    ],
)
def test_rho_of_matrices_in_turn(names, monkeypatch):
    matrices = [make({"name": name, "lazy": True}, 64).W for name in names]
    product = np.linalg.multi_dot([W.toarray() for W in reversed(matrices)])
    expected = np.linalg.norm(product - 1 / 64, 2) ** (1 / len(names))
    for dense in (1000, 10):
        monkeypatch.setattr("mpidbo.network.spectrum.MAX_DENSE", dense)
        assert contraction(matrices, random=False) == pytest.approx(expected, abs=1e-10)


def test_rho_of_many_agents_in_turn():
    assert make("one-peer-exponential", 2048).rho == 0


@pytest.mark.parametrize("n", [3, 6, 12])
def test_one_peer_exponential_needs_a_power_of_two(n):
    with pytest.raises(
        UserError, match=rf"topology\.name: one-peer-exponential has a power of two agents, not {n}"
    ):
        make("one-peer-exponential", n)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9])
def test_matchings_are_rounds_of_a_tournament(n):
    """Disjoint pairs, and over all rounds each pair once."""
    topology = make("matching", n)
    met = Counter()
    for r, graph in enumerate(topology.graphs):
        W = graph.W.toarray()
        assert (W == tournament(n, r)).all() and (graph.degrees <= 1).all()
        assert (graph.degrees == 0).sum() == n % 2
        met.update((i, j) for i, j in combinations(range(n), 2) if W[i, j])
    assert met == Counter(combinations(range(n), 2))
    assert topology.symmetric and topology.messages == n - n % 2


@pytest.mark.parametrize("seed", [0, 7])
def test_a_matching_is_drawn_at_each_iteration(seed):
    """A function of the seed and the iteration, and each one as often."""
    n, count = 6, Counter()
    W = gossip_of(make("matching", n), Agents(n), seed=seed)
    for k in range(3000):
        r = drawn(k, seed, n - 1)
        count[r] += 1
        if k < 60:
            assert (at(W, k) == tournament(n, r)).all()
    assert all(abs(count[r] - 600) < 5 * np.sqrt(480) for r in range(n - 1))
    assert (at(W, 5) == tournament(n, drawn(5, seed, n - 1))).all()  # whatever came before
    other = gossip_of(make("matching", n), Agents(n), seed=seed + 1)
    assert any((at(W, k) != at(other, k)).any() for k in range(9))


@pytest.mark.parametrize("n", [5, 8])
def test_rho_of_a_matching_is_its_mean_square(n):
    """Over one round of disjoint pairs drawn from all of them, of which there are few."""

    def matchings(agents):
        if len(agents) < 2:
            return [[]]
        first, *rest = agents
        found = [
            [(first, other), *pairs]
            for other in rest
            for pairs in matchings([agent for agent in rest if agent != other])
        ]
        return found + (matchings(rest) if len(agents) % 2 else [])

    mean, J = [], np.full((n, n), 1 / n)
    for pairs in matchings(list(range(n))):
        W = np.eye(n)
        for i, j in pairs:
            W[[i, j], [i, j]] = W[[i, j], [j, i]] = 1 / 2
        mean.append(W.T @ W)
    expected = np.sqrt(np.linalg.norm(np.mean(mean, axis=0) - J, 2))
    assert make("matching", n).rho == pytest.approx(expected)


def test_a_large_matching_is_a_sample():
    topology = make("matching", 601)
    assert len(topology.graphs) == 500 and topology.rho < 0.9


def saved(folder):
    """Files of one graph or matrix each, of six agents."""
    (folder / "ring.edges").write_text("".join(f"{i} {(i + 1) % 6}\n" for i in range(6)))
    pairs = np.kron(np.eye(3), np.full((2, 2), 1 / 2))
    np.save(folder / "pairs.npy", pairs)
    (folder / "arrows.edges").write_text("0 1\n1 2\n2 0\n0 3\n3 4\n4 5\n5 0\n2 4\n")
    return {
        "ring.edges": make({"file": "ring.edges"}, 6, folder=folder).W.toarray(),
        "pairs.npy": pairs,
    }


def test_a_cycle_of_files(tmp_path):
    """In turn; a file that occurs twice is one graph; one alone need not be connected."""
    matrices, files = saved(tmp_path), ["ring.edges", "pairs.npy", "ring.edges"]
    topology = make({"name": "cycle", "files": files}, 6, folder=tmp_path)
    assert len(topology.graphs) == 2 and topology.turns.order == (0, 1, 0)
    W = gossip_of(topology, Agents(6))
    for k in range(9):
        assert (at(W, k) == matrices[files[k % 3]]).all()
    product = np.linalg.multi_dot([matrices[file] for file in files])
    assert topology.rho == pytest.approx(np.linalg.norm(product - 1 / 6, 2) ** (1 / 3))
    assert topology.messages == pytest.approx((12 + 6 + 12) / 3)
    lazy = make({"name": "cycle", "files": files, "lazy": True}, 6, folder=tmp_path)
    assert (lazy.graphs[1].W.toarray() == (np.eye(6) + matrices["pairs.npy"]) / 2).all()
    alone = make({"name": "cycle", "files": ["ring.edges"]}, 6, folder=tmp_path)
    assert len(alone.graphs) == 1
    assert alone.fingerprint == make({"file": "ring.edges"}, 6, folder=tmp_path).fingerprint


def test_a_cycle_of_directed_graphs(tmp_path):
    saved(tmp_path)
    spec = {"name": "cycle", "files": ["arrows.edges", "ring.edges"], "directed": True}
    topology = make(spec, 6, folder=tmp_path)
    assert set(topology.weights) == {"A", "B"} and set(topology.graphs[1].weights) == {"W"}
    suits(topology, STRATEGIES["push-pull"])
    with pytest.raises(UserError, match="gt needs a W whose rows and columns sum to one, and cyc"):
        suits(topology, STRATEGIES["gt"])
    product = topology.graphs[1].W @ topology.graphs[0].weights["A"]
    moduli = np.sort(abs(np.linalg.eigvals(product.toarray())))
    assert topology.rho >= moduli[-2] ** 0.5 - 1e-12


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"name": "cycle"}, r"place\.files: missing; cycle needs it, give a list of files"),
        ({"name": "cycle", "files": []}, r"place\.files: \[\] does not fit; give a list of files"),
        ({"name": "cycle", "files": "pairs.npy"}, r'place\.files: "pairs\.npy" does not fit'),
        ({"name": "cycle", "files": [3]}, r"place\.files: 3 is not the path of a file"),
        ({"name": "cycle", "files": ["pairs.npy"]}, "files: not connected, agent 2 cannot be"),
        ({"name": "cycle", "files": ["none.npy"]}, r"place\.files: .*none\.npy cannot be read"),
        (
            {"name": "cycle", "files": ["ring.edges", "swap.npy"]},
            r"files: agent 0 has no weight of its own in W of swap\.npy; .* set lazy = true",
        ),
        (
            {"name": "cycle", "files": ["ring.edges", "pairs.npy"], "weights": "uniform"},
            r"place\.weights: pairs\.npy brings its own",
        ),
        (
            {"name": "cycle", "files": ["rows.npy", "columns.npy"]},
            r"place\.files: the rows of one matrix sum to one, the columns of another; give",
        ),
        ({"name": "ring", "every": 0}, r"place\.every: 0 is out of range; give at least 1"),
        ({"name": "ring", "every": 2.5}, r"place\.every: 2\.5 is not a whole number"),
        ({"name": "matching", "seed": 1}, r"place\.seed: unknown key of matching"),
        ({"name": "matching", "files": ["a"]}, r"place\.files: unknown key of matching"),
    ],
    ids=str,
)
def test_refused(spec, words, tmp_path):
    saved(tmp_path)
    np.save(tmp_path / "swap.npy", np.roll(np.eye(6), 1, axis=0))
    rows = make({"file": "arrows.edges", "directed": True}, 6, folder=tmp_path)
    np.save(tmp_path / "rows.npy", rows.weights["A"].toarray())
    np.save(tmp_path / "columns.npy", rows.weights["B"].toarray())
    with pytest.raises(UserError, match=words):
        make(spec, 6, where="place", folder=tmp_path)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_local_steps(every):
    """Gossip in the last of every E iterations, and each graph has its turn then; else nothing is
    sent, and A and B are I, too."""
    n = 4
    W = gossip_of(make({"name": "one-peer-exponential", "every": every}, n), Agents(n))
    sent = [W.sent]
    for k in range(24):
        gossips = (k + 1) % every == 0
        expected = one_peer(n, k // every) if gossips else np.eye(n)
        assert (at(W, k) == expected).all()
        single, pushed = W @ (np.ones((n, 2)), topologies.B @ np.eye(n))
        assert (single == 1).all() and (pushed == expected).all()
        sent.append(W.sent)
        added = [now - before for now, before in zip(sent[-1], sent[-2], strict=True)]
        floats, messages, rounds, size = (n * 10, 2 * n, 2, 8 * n * 10) if gossips else (0,) * 4
        assert added == [floats, messages, rounds, size]


EXPLICIT = {
    "ed": lambda A, B, s, u, m: (A @ (2 * s - m[0] - (u - m[1])), (s, u)),
    "extra": lambda A, B, s, u, m: (A @ (2 * s - m[0]) - (u - m[1]), (s, u)),
    "gt": lambda A, B, s, u, m: (A @ (s - (h := A @ (m[0] + u - m[1]))), (h, u)),
    "semi-gt": lambda A, B, s, u, m: (A @ s - (h := A @ (m[0] + u - m[1])), (h, u)),
    "non-gt": lambda A, B, s, u, m: (A @ s - (h := A @ m[0] + u - m[1]), (h, u)),
    "sgd": lambda A, B, s, u, m: (A @ (s - u), m),
    "dgd": lambda A, B, s, u, m: (A @ s - u, m),
    "push-pull": lambda A, B, s, u, m: (A @ (s - (h := m[0] + u - m[1])), (B @ h, u)),
    "ab": lambda A, B, s, u, m: (A @ s - (h := B @ m[0] + u - m[1]), (h, u)),
    "push-sum": lambda A, B, s, u, m: (B @ (m[0] * s - u) / (w := B @ m[0]), (w, m[1])),
}
"""A step with the weights of its iteration; A and B are W where there is one."""


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "one-peer-exponential"},
        {"name": "matching"},
        {"name": "matching", "drop": 0.3},
        {"name": "ring", "every": 3},
        {"name": "matching", "every": 2},
        {"name": "directed-erdos-renyi", "p": 0.4, "seed": 2, "drop": 0.3},
        {"name": "one-peer-exponential", "drop": 0.3},
        {"name": "cycle", "files": ["a.edges", "b.edges"], "directed": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", EXPLICIT)
def test_rows_are_their_recursions_with_the_weights_of_each_iteration(name, spec, tmp_path):
    """And keep their sums at each: of the tracker that of u, of s or of w s the sum less that of
    all u."""
    n, rng = 8, np.random.default_rng(1)
    for file, seed in (("a.edges", 1), ("b.edges", 2)):
        graph = nx.gnp_random_graph(n, 0.3, seed, directed=True)
        (tmp_path / file).write_text("".join(f"{a} {b}\n" for a, b in [*graph.edges, (n - 1, 0)]))
    topology, row = make(spec, n, folder=tmp_path), STRATEGIES[name]
    if not all(topologies.has(topology, weights) for weights in row.weights):
        with pytest.raises(UserError, match=f"{name} needs a W"):
            suits(topology, row)
        return
    W = gossip_of(topology, Agents(n), seed=5)
    s, zero = np.ones((n, 3)), np.zeros((n, 3))
    start = {"ed": (s, zero), "extra": (s, zero), "push-sum": (np.ones((n, 1)), None)}
    t, explicit, memory = s, start.get(name, (zero, zero)), row.start(s)
    found, expected, sums, total = [], [], [], s.sum(axis=0)
    for k in range(60):
        u = rng.standard_normal((n, 3))
        W.at(k)
        A, B = W @ (topologies.A @ np.eye(n), topologies.B @ np.eye(n))
        assert np.abs(A.sum(axis=1) - 1).max() < 1e-15 > np.abs(B.sum(axis=0) - 1).max()
        s, memory = W @ row(s, u, memory)
        t, explicit = EXPLICIT[name](A, B, t, u, explicit)
        found.append(s)
        expected.append(t)
        total = total - u.sum(axis=0)
        if hasattr(memory, "h"):
            sums.append(np.abs(memory.h.sum(axis=0) - u.sum(axis=0)).max())
        if name == "push-sum":
            sums.append(np.abs((memory.w * s).sum(axis=0) - total).max())
        elif "W" in topology.weights:
            sums.append(np.abs(s.sum(axis=0) - total).max())
    size = np.abs(expected).max()
    assert deviation(found, expected) < 1e-11 and max(sums) < 1e-12 * max(1, size)


def test_each_graph_is_planned_once():
    """And an iteration sends along the links of its graph."""
    W = gossip_of(make("matching", 5), Agents(5))
    made, build = [W._current], W._build
    W._build = lambda graph: made.append(build(graph)) or made[-1]
    for k in range(80):
        W.at(k)
        W @ np.ones((5, 2))
        assert W._current in made
    assert len(made) == len({drawn(k, 0, 5) for k in range(80)}) == 5
    assert all(len(operator._routes) == 1 for operator in made)
    assert (W.sent.messages, W.sent.floats, W.sent.rounds) == (4 * 80, 8 * 80, 80)


def solved(method, topology, iterations=1500, steps=STEPS, n=8, **more):
    return mpidbo.solve(
        "quadratic", method, topology, n, steps, iterations, evaluate_every=iterations, **more
    )


EXACT = product(
    ["gt", "semi-gt", "non-gt", "push-pull", "ab"],
    [
        "one-peer-exponential",
        "matching",
        {"name": "matching", "drop": 0.2},
        {"name": "one-peer-exponential", "every": 2},
    ],
)


@pytest.mark.parametrize(
    ("row", "topology"),
    [
        pytest.param(*case, id=f"{case}", marks=pytest.mark.slow if turn % 3 else ())
        for turn, case in enumerate(EXACT)
    ],
)
def test_gradient_tracking_stays_exact(row, topology):
    assert solved(f"sparkle-{row}", topology).history["distance"][-1] < 1e-10


@pytest.mark.parametrize("every", [2, 4])
@pytest.mark.parametrize("row", ["gt", "ed"])
def test_local_steps_are_exact_with_corrected_strategies(row, every):
    """Of a well connected graph, whose smallest eigenvalue is large."""
    spec = {"name": "complete", "self_weight": 0.6, "lazy": False, "every": every}
    steps = {"alpha": 0.02, "beta": 0.1, "gamma": 0.1}
    assert solved(f"sparkle-{row}", spec, 3000, steps).history["distance"][-1] < 1e-10


@pytest.mark.parametrize("topology", ["one-peer-exponential", {"name": "ring", "every": 2}])
def test_plain_gossip_keeps_its_bias(topology):
    assert 0.01 < solved("sparkle-sgd", topology).history["distance"][-1] < 1


def test_what_is_sent_is_counted():
    """With both levels on graphs of their own; in a local step nothing is."""
    p = q = 5
    topology = {"upper": {"name": "ring", "every": 4}, "lower": {"name": "one-peer-exponential"}}
    history = solved("sparkle-semi-gt", topology, iterations=20).history
    assert history["messages"][-1] == 16 * 5 + 2 * 8 * 20
    assert history["floats"][-1] == 2 * p * 16 * 5 + 2 * 2 * q * 8 * 20
    assert history["rounds"][-1] == 5 + 2 * 20
    assert history["bytes"][-1] == 8 * history["floats"][-1]


def test_a_strategy_that_extrapolates_is_refused_or_warned_of():
    for name in ("ed", "extra"):
        with pytest.raises(UserError, match=f"{name} needs a symmetric W, and one-peer"):
            suits(make("one-peer-exponential", 8), STRATEGIES[name])
        with pytest.warns(UserWarning, match=f"{name} may diverge on matching, whose W changes"):
            suits(make("matching", 8), STRATEGIES[name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        suits(make({"name": "ring", "every": 2}, 7), STRATEGIES["ed"])
        suits(make("matching", 8), STRATEGIES["gt"])
        warnings.simplefilter("ignore")
        assert solved("sparkle-ed", "matching").history["distance"][-1] > 1e6


def growth(w, every):
    """The largest modulus of a root of s++ = w(2s+ - s) after every - 1 steps with w = 1."""
    local, step = np.array([[2, -1], [1, 0]]), np.array([[2 * w, -w], [1, 0]])
    turn = step @ np.linalg.matrix_power(local, every - 1)
    return abs(np.linalg.eigvals(turn)).max()


@pytest.mark.parametrize("every", [1, 2, 3, 4, 7])
def test_the_smallest_eigenvalue_for_local_steps(every):
    """(E - 2)/(E + 2) is where the recursion of ed and extra begins to grow."""
    bound = STRATEGIES["ed"].min_eigenvalue(every)
    assert bound == pytest.approx((every - 2) / (every + 2))
    assert growth(bound + 1e-3, every) < 1 < growth(bound - 1e-3, every)


def test_local_steps_with_too_small_an_eigenvalue():
    def ring(n, every, **keys):
        return make({"name": "ring", "every": every, **keys}, n)

    with pytest.raises(
        UserError,
        match=r"is 0\.333333, and ed with every = 5 diverges unless it is at least 3/7; gossip",
    ):
        suits(ring(8, 5), STRATEGIES["ed"])
    with pytest.warns(UserWarning, match=r"ed with every = 4 is at the edge of divergence, 1/3"):
        suits(ring(8, 4), STRATEGIES["ed"])
    with pytest.raises(UserError, match=r"extra with every = 4 diverges unless it is above 1/3"):
        suits(ring(8, 4), STRATEGIES["extra"])
    with pytest.raises(UserError, match=r"ed with every = 2 diverges unless it is at least 0"):
        suits(ring(8, 2, lazy=False), STRATEGIES["ed"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        suits(ring(7, 4), STRATEGIES["ed"])


def test_an_average_in_each_iteration():
    with pytest.raises(UserError, match=r"topology\.every: centralized averages over all"):
        solved("soba", {"name": "ring", "every": 2}, iterations=1)


def test_a_dry_run_has_the_mean():
    def words(**table):
        tables = {
            "problem": {"name": "quadratic"},
            "method": {"name": "d-soba"},
            "topology": table,
            "run": {"agents": 8, "iterations": 100},
        }
        return describe(Plan(config.check(tables)))

    assert "in 4 messages" in words(name="ring", every=4)
    assert "gossip in one of 4 iterations" in words(name="ring", every=4)
    assert "in 8 messages" in words(name="one-peer-exponential")
    assert "3 graphs in turn" in words(name="one-peer-exponential")
    assert "one of 7 graphs, drawn" in words(name="matching")


@pytest.mark.parametrize(
    "topology", [{"name": "matching", "drop": 0.2}, {"name": "one-peer-exponential", "every": 3}]
)
def test_a_restart_takes_the_same_graphs(topology, tmp_path, capsys):
    tables = {**QUADRATIC, "method.name": "sparkle-gt"} | {
        f"topology.{key}": value for key, value in topology.items()
    }
    path = toml(tmp_path, tables)
    run(path, tmp_path / "whole")
    run(path, tmp_path / "cut", run__iterations=20)
    assert kept(tmp_path / "cut")
    run(path, tmp_path / "cut")
    assert same(tmp_path / "whole", tmp_path / "cut")
    capsys.readouterr()
    run(toml(tmp_path, {**tables, "topology.every": 2}, "b.toml"), tmp_path / "whole", code=2)
    assert "topology.every" in capsys.readouterr().err


def test_files_of_a_cycle_may_move_but_not_change(tmp_path, capsys):
    """Their paths are relative to the configuration's folder, and their content is compared."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    saved(here)
    tables = {
        **QUADRATIC,
        "run.agents": 6,
        "method.name": "sparkle-gt",
        "topology.name": "cycle",
        "topology.files": ["ring.edges", "pairs.npy"],
    }
    toml(here, tables)
    run(here / "a.toml", here / "out", run__iterations=20)
    here.rename(there)
    run(there / "a.toml", there / "out")
    run(there / "a.toml", there / "whole")
    assert same(there / "whole", there / "out")
    (there / "ring.edges").write_text("".join(f"{i} {(i + 2) % 6}\n{i} 0\n" for i in range(6)))
    capsys.readouterr()
    run(there / "a.toml", there / "out", code=2, run__iterations=40)
    assert "written with other mixing matrices" in capsys.readouterr().err


def test_the_command_tells_of_every_kind(tmp_path, capsys):
    saved(tmp_path)

    def printed(*words):
        assert cli.main(["topology", *map(str, words)]) == 0
        return capsys.readouterr().out

    text = printed("one-peer-exponential", "-n", 8)
    assert "3 graphs in turn" in text and "the product of 3 rounds is the average" in text
    assert "one of 7 graphs, drawn for each iteration" in printed("matching", "-n", 8)
    assert "gossip in one of 3 iterations" in printed("ring", "-n", 8, "--set", "every=3")
    files = f'files=["{tmp_path}/ring.edges", "{tmp_path}/pairs.npy"]'
    assert "2 graphs in turn" in printed("cycle", "-n", 6, "--set", files)
