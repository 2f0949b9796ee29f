"""Mixing matrices: doubly stochastic, connected, with the spectra of the textbooks; and every
refusal."""

import itertools
import math
import warnings

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.errors import UserError
from mpidbo.network import TOPOLOGIES, centralized, make, suits
from mpidbo.network.graphs import NOT_LAZY
from mpidbo.network.topology import SparseTopology
from mpidbo.network.weights import links_of

FIXED = [name for name in TOPOLOGIES if name not in NOT_LAZY]
"""Names of graphs that neither are directed, as test_directed_graphs.py has them, nor change."""
SIZES = (1, 2, 3, 4, 5, 8, 12, 16)
OPTIONS = {
    "exponential": [{}, {"directed": True}],
    "erdos-renyi": [{}, {"p": 0.9, "seed": 3}, {"p": 1}],
    "adjusted-ring": [{}, {"self_weight": 0.3}],
}
WEIGHTS = [{}, {"weights": "uniform"}]
CASES = [
    pytest.param(
        {"name": name, **options, **weights},
        n,
        id="-".join(map(str, (name, n, *options, *weights))),
    )
    for name in FIXED
    for options in OPTIONS.get(name, [{}])
    for weights in (WEIGHTS if name != "adjusted-ring" else [{}])
    for n in SIZES
    if name != "hypercube" or n & (n - 1) == 0
]


def plain(name, n, **options):
    return make({"name": name, "lazy": False, **options}, n)


def spectrum(topology):
    return np.linalg.eigvalsh(topology.W.toarray())


def cosines(n):
    return np.cos(2 * np.pi * np.arange(n) / n)


def directed_circulant(n, hops):
    graph = nx.empty_graph(n, nx.DiGraph)
    graph.add_edges_from((i, (i + hop) % n) for i in range(n) for hop in hops)
    return graph


@pytest.mark.parametrize("n", SIZES)
def test_links_are_those_of_networkx(n):
    hops = [2**k for k in range(n) if 2**k < n]
    graphs = {
        "ring": nx.cycle_graph(n),
        "path": nx.path_graph(n),
        "star": nx.star_graph(n - 1),
        "exponential": nx.circulant_graph(n, hops),
        "directed-ring": directed_circulant(n, [1]),
        "directed-exponential": directed_circulant(n, hops),
    }
    for name, graph in graphs.items():
        assert (TOPOLOGIES[name](n).toarray() == links_of(graph).toarray()).all(), name


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("table, n", CASES)
def test_every_name_is_doubly_stochastic_and_mixes(table, n, lazy):
    topology = make({**table, "lazy": lazy}, n)
    W = topology.W.toarray()
    assert topology.n == n and W.shape == (n, n) and W.dtype == np.float64 and W.min() >= 0
    np.testing.assert_allclose(W.sum(axis=0), 1, rtol=0, atol=1e-14)
    np.testing.assert_allclose(W.sum(axis=1), 1, rtol=0, atol=1e-14)
    assert connected_components(topology.W, connection="strong")[0] == 1
    assert topology.symmetric == (not table.get("directed") or n <= 3)
    if topology.symmetric:
        assert (W == W.T).all()
    assert 0 <= topology.rho < 1 and topology.gap == 1 - topology.rho
    assert topology.rho == pytest.approx(np.linalg.norm(W - 1 / n, 2), abs=1e-14)
    assert topology.lambda_min == pytest.approx(np.linalg.eigvals(W).real.min(), abs=1e-14)
    assert not lazy or not topology.symmetric or topology.lambda_min > -1e-14
    assert (topology.degrees == (W - np.diag(np.diag(W)) > 0).sum(axis=1)).all()
    if n == 1:
        assert W == [[1]] and topology.rho == 0 and topology.lambda_min == 1


@pytest.mark.parametrize("table, n", CASES)
def test_storage_has_all_diagonals_no_other_zeros_and_sorted_indices(table, n):
    W = make(table, n).W
    assert isinstance(W, csr_array)
    for i in range(n):
        columns = W.indices[W.indptr[i] : W.indptr[i + 1]]
        assert i in columns and (np.diff(columns) > 0).all()
    entries = W.tocoo()
    assert (entries.data[entries.row != entries.col] > 0).all()


@pytest.mark.parametrize("n", [3, 4, 5, 8, 12])
def test_ring(n):
    topology = plain("ring", n)
    assert topology.W[[0], [1]] == 1 / 3
    np.testing.assert_allclose(spectrum(topology), np.sort((1 + 2 * cosines(n)) / 3), atol=1e-14)
    np.testing.assert_allclose(spectrum(make("ring", n)), np.sort((2 + cosines(n)) / 3), atol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_complete(n):
    np.testing.assert_allclose(plain("complete", n).W.toarray(), 1 / n, atol=1e-15)
    np.testing.assert_allclose(spectrum(make("complete", n)), [0.5] * (n - 1) + [1], atol=1e-14)


@pytest.mark.parametrize("shape", [[1, 2], [2, 2], [2, 4], [4, 2], [3, 4], [4, 4], [1, 7], [5, 1]])
def test_torus(shape):
    a, b = shape
    longer = sum(side > 1 for side in shape)
    total = (1 + (a > 1) * 2 * cosines(a)[:, None] + (b > 1) * 2 * cosines(b)) / (1 + 2 * longer)
    np.testing.assert_allclose(
        spectrum(plain("torus", a * b, shape=shape)), np.sort(total.ravel()), atol=1e-14
    )


def test_torus_of_two_rows_has_doubled_edges():
    topology = plain("torus", 6, shape=[2, 3])
    np.testing.assert_allclose(
        topology.W.toarray()[0], [1 / 5, 1 / 5, 1 / 5, 2 / 5, 0, 0], atol=1e-15
    )
    assert (topology.degrees == 3).all()


@pytest.mark.parametrize("n, k", [(1, 0), (2, 1), (4, 2), (8, 3), (16, 4)])
def test_hypercube(n, k):
    bits = np.array([bin(i).count("1") for i in range(n)])
    np.testing.assert_allclose(
        spectrum(plain("hypercube", n)), np.sort(1 - 2 * bits / (1 + k)), atol=1e-14
    )


def test_adjusted_ring():
    np.testing.assert_allclose(plain("adjusted-ring", 5).W.toarray()[0], [0.5, 0.25, 0, 0, 0.25])
    np.testing.assert_allclose(
        plain("adjusted-ring", 2, self_weight=0.3).W.toarray(), [[0.3, 0.7], [0.7, 0.3]]
    )
    topology = plain("adjusted-ring", 7, self_weight=0.3)
    np.testing.assert_allclose(spectrum(topology), np.sort(0.3 + 0.7 * cosines(7)), atol=1e-14)


def test_complete_with_a_weight_of_its_own():
    topology = plain("complete", 5, self_weight=0.6)
    np.testing.assert_allclose(spectrum(topology), [0.5, 0.5, 0.5, 0.5, 1], atol=1e-14)
    assert topology.rho == pytest.approx(0.5) and plain("complete", 5).rho == pytest.approx(
        0, abs=1e-14
    )
    with pytest.raises(UserError, match="weights: complete brings its own"):
        plain("complete", 5, self_weight=0.6, weights="uniform")


def test_directed_exponential_receives_from_powers_of_two_behind():
    row = plain("exponential", 6, directed=True).W.toarray()[0]
    np.testing.assert_allclose(row, [1 / 4, 0, 1 / 4, 0, 1 / 4, 1 / 4])
    assert (plain("exponential", 6).degrees == 4).all()


def test_weights():
    np.testing.assert_allclose(plain("path", 4).W.toarray()[0], [2 / 3, 1 / 3, 0, 0])
    np.testing.assert_allclose(
        plain("star", 5, weights="metropolis").W.toarray()[1], [1 / 5, 4 / 5, 0, 0, 0]
    )
    np.testing.assert_allclose(plain("star", 5, weights="uniform").W.toarray()[0], 1 / 5)
    np.testing.assert_allclose(plain("grid", 6).W.toarray()[0], [5 / 12, 1 / 4, 0, 1 / 3, 0, 0])


def test_shapes_are_the_most_square_ones():
    assert (plain("grid", 12).W != plain("grid", 12, shape=[3, 4]).W).nnz == 0
    assert (plain("torus", 7).W != plain("ring", 7).W).nnz == 0
    assert (plain("grid", 7).W != plain("path", 7).W).nnz == 0


def test_random_graphs_follow_their_seed():
    prints = [make({"name": "erdos-renyi", "p": 0.5, "seed": s}, 12).fingerprint for s in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]
    seed = next(s for s in range(99) if not nx.is_connected(nx.gnp_random_graph(12, 0.2, s)))
    later = next(s for s in range(seed, 99) if nx.is_connected(nx.gnp_random_graph(12, 0.2, s)))
    sparse = [
        make({"name": "erdos-renyi", "p": 0.2, "seed": s}, 12).fingerprint for s in (seed, later)
    ]
    assert sparse[0] == sparse[1]
    for degree in (2, 3, 7, 10, 11):
        assert (
            make({"name": "random-regular", "degree": degree, "seed": 1}, 12).degrees == degree
        ).all()


def test_fingerprints_tell_matrices_apart():
    prints = [
        make(name, 8).fingerprint for name in ("ring", "path", "star", "complete", "hypercube")
    ]
    assert len({*prints, plain("ring", 8).fingerprint, make("ring", 9).fingerprint}) == 7
    assert make("ring", 8).fingerprint == prints[0] and len(prints[0]) == 16


LARGE = [
    "ring",
    "path",
    "grid",
    "torus",
    "star",
    "complete",
    "exponential",
    "adjusted-ring",
    "erdos-renyi",
    "random-regular",
    "directed-ring",
    "directed-exponential",
    "directed-erdos-renyi",
    "matching",
    {"name": "exponential", "directed": True},
    {"name": "torus", "shape": [25, 4], "lazy": False},
    {"name": "ring", "lazy": False},
    {"name": "path", "lazy": False},
    {"name": "path", "weights": "uniform"},
]


@pytest.mark.parametrize("band_work", [0, 1e9])
@pytest.mark.parametrize("table", LARGE)
def test_sparse_solvers_agree_with_dense_ones(table, band_work, monkeypatch):
    dense = make(table, 100)
    expected = dense.rho, dense.lambda_min
    monkeypatch.setattr("mpidbo.network.spectrum.MAX_DENSE", 50)
    monkeypatch.setattr("mpidbo.network.spectrum.MAX_BAND_WORK", band_work)
    sparse = make(table, 100)
    np.testing.assert_allclose((sparse.rho, sparse.lambda_min), expected, atol=1e-9)


@pytest.mark.parametrize("table", ["path", "grid", {"name": "path", "lazy": False}])
def test_crowded_eigenvalues_by_a_factorization(table, monkeypatch):
    dense = make(table, 400)
    expected = dense.rho, dense.lambda_min
    monkeypatch.setattr("mpidbo.network.spectrum.MAX_DENSE", 50)
    monkeypatch.setattr("mpidbo.network.spectrum.MAX_BAND_WORK", 0)
    monkeypatch.setattr("mpidbo.network.spectrum.MAX_RESTARTS", 1)
    monkeypatch.setattr("mpidbo.network.spectrum.KRYLOV_VECTORS", 5)
    sparse = make(table, 400)
    np.testing.assert_allclose((sparse.rho, sparse.lambda_min), expected, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "rho", "least"),
    [
        ("ring", (2 + math.cos(2 * math.pi / 4096)) / 3, 1 / 3),
        ("path", (2 + math.cos(math.pi / 4096)) / 3, None),
        ("directed-ring", math.cos(math.pi / 4096), 0),
        ("hypercube", 1 - 1 / 13, 1 / 13),
        ("torus", (4 + math.cos(2 * math.pi / 64)) / 5, 1 / 5),
    ],
)
def test_closed_forms_of_4096_agents(name, rho, least):
    topology = make(name, 4096)
    assert topology.rho == pytest.approx(rho, abs=1e-12)
    assert least is None or topology.lambda_min == pytest.approx(least, abs=1e-12)


def test_random_graphs_are_those_of_networkx():
    """The links of a seed are part of the trajectory."""
    for n, p, seed in itertools.product((3, 40), (0.2, 0.9, 1.0), (0, 7)):
        for name, directed in (("erdos-renyi", False), ("directed-erdos-renyi", True)):
            graphs = (
                nx.gnp_random_graph(n, p, s, directed=directed) for s in itertools.count(seed)
            )
            connected = nx.is_strongly_connected if directed else nx.is_connected
            expected = next(graph for graph in graphs if connected(graph))
            found = make({"name": name, "p": p, "seed": seed}, n)
            links = nx.from_scipy_sparse_array(found.W.T, create_using=type(expected))
            links.remove_edges_from(nx.selfloop_edges(links))
            assert set(links.edges) == set(expected.edges)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_centralized(n):
    topology = centralized(n)
    assert topology.name == "centralized" and (topology.W.toarray() == 1 / n).all()
    assert topology.rho == pytest.approx(0, abs=1e-14)
    assert topology.lambda_min == pytest.approx(1.0 if n == 1 else 0.0, abs=1e-14)


REFUSED = [
    ({"name": "rng"}, 4, r'place\.name: .*"rng".*did you mean ring'),
    ({"name": ["ring"]}, 4, r"place\.name: no topology is called"),
    ({}, 4, r"place\.name: .*either a name or a file"),
    ({"name": "ring", "file": "W.npy"}, 4, "either a name or a file"),
    (3, 4, r"place: 3 .*give a name or a table"),
    ("ring", 0, "0 agents.*at least 1"),
    ({"name": "ring", "lasy": True}, 4, r"place\.lasy: unknown key of ring; did you mean lazy"),
    ({"name": "ring", "p": 0.5}, 4, r"place\.p: unknown key of ring; known: name, weights, lazy"),
    ({"name": "erdos-renyi", "sed": 1}, 4, r"place\.sed: .*did you mean seed"),
    (
        {"name": "erdos-renyi", "p": "a"},
        4,
        r'place\.p: "a" is not a finite number; give one, such as 0.1',
    ),
    ({"name": "erdos-renyi", "p": True}, 4, r"place\.p: true"),
    ({"name": "erdos-renyi", "p": 1.5}, 4, r"place\.p: 1.5"),
    ({"name": "erdos-renyi", "p": float("nan")}, 4, r"place\.p: NaN"),
    ({"name": "erdos-renyi", "seed": -1}, 4, r"place\.seed: -1 is out of range; give at least 0"),
    (
        {"name": "erdos-renyi", "p": 0.001, "seed": 5},
        30,
        r"place\.p: 0.001 .*seeds 5\.\.104.*take a larger p, 0.23",
    ),
    ({"name": "random-regular", "degree": 2.5}, 4, r"place\.degree: 2.5"),
    (
        {"name": "random-regular", "degree": 4},
        4,
        r"place\.degree: 4 is impossible.*below 4; take 3",
    ),
    ({"name": "random-regular", "degree": 3}, 5, r"place\.degree: 3 is impossible.*even.*take 4"),
    ({"name": "random-regular", "degree": 1}, 4, r"place\.degree: 1 is too small.*larger degree"),
    (
        {"name": "adjusted-ring", "self_weight": 1},
        4,
        r"place\.self_weight: 1 is out of range; give more than 0 and less than 1",
    ),
    ({"name": "adjusted-ring", "self_weight": 0.0}, 4, r"place\.self_weight: 0"),
    (
        {"name": "adjusted-ring", "weights": "uniform"},
        4,
        r"place\.weights: adjusted-ring brings its own",
    ),
    (
        {"name": "torus", "shape": [2, 3]},
        8,
        r"place\.shape: \[2, 3\] holds 6 agents, not 8; take \[2, 4\]",
    ),
    ({"name": "grid", "shape": [8]}, 8, r"place\.shape: .*two whole numbers"),
    ({"name": "grid", "shape": [-2, -4]}, 8, r"place\.shape: .*two whole numbers"),
    ({"name": "grid", "shape": 8}, 8, r"place\.shape: .*two whole numbers"),
    ({"name": "hypercube"}, 6, r"place\.name: .*power of two agents, not 6; take 4 or 8"),
    ({"name": "exponential", "directed": 1}, 4, r"place\.directed: 1 .*true or false"),
    ({"name": "ring", "lazy": "yes"}, 4, r'place\.lazy: "yes" .*true or false'),
    ({"name": "ring", "weights": "metro"}, 4, r'place\.weights: "metro" .*uniform'),
    ({"file": 3}, 4, r"place\.file: 3 .*path"),
    ({"file": "none.npy"}, 4, r"place\.file: .*none\.npy cannot be read.*numpy\.save"),
    ({"file": "none.edges"}, 4, r"place\.file: .*none\.edges cannot be read.*edge list"),
    ({"file": "none.npy", "p": 0.5}, 4, r"place\.p: unknown key of none\.npy"),
]


@pytest.mark.parametrize("spec, n, words", REFUSED, ids=[str(spec) for spec, *_ in REFUSED])
def test_refused_tables(spec, n, words, tmp_path):
    with pytest.raises(UserError, match=words):
        make(spec, n, where="place", folder=tmp_path)


SWAP = np.array([[0.0, 1.0], [1.0, 0.0]])
CYCLE = np.roll(np.eye(3), 1, axis=0)
TRIANGLE = (np.ones((3, 3)) - np.eye(3)) / 2


def with_entry(i, j, value):
    W = TRIANGLE.copy()
    W[i, j] = value
    return W


MATRICES = [
    (np.eye(3)[:2], r"place\.file: .*shape \(2, 3\); give real numbers of shape \(3, 3\)"),
    (np.eye(4), r"\(4, 4\).*set run\.agents"),
    (np.ones(3), r"shape \(3,\)"),
    (np.eye(3) * 1j, "complex128"),
    (np.array([["a"] * 3] * 3), "give real numbers"),
    (with_entry(1, 2, np.nan), r"entry \(1, 2\) of W is nan; make every weight finite"),
    (with_entry(2, 2, np.inf), r"entry \(2, 2\) of W is inf"),
    (with_entry(0, 1, -0.5), r"entry \(0, 1\) of W is -0.5; make every weight zero or more"),
    (with_entry(2, 1, 0.5 + 2e-10), r"row 2 of W sums to 1\.0000000002"),
    (np.array([[0.5, 0.5, 0], [0.5, 0, 0.6], [0.5, 0, 0.5]]), r"row 1 of W sums to 1.1; make rows"),
    (
        np.array([[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]]),
        "not connected, agent 1 cannot be reached from agent 0",
    ),
    (np.diag([1 - 5e-11, 1, 1]) + np.diag([5e-11, 0], 1), "not connected, agent 2"),
    (CYCLE, "without mixing.*set lazy = true"),
]


@pytest.mark.parametrize("W, words", MATRICES, ids=range(len(MATRICES)))
def test_refused_matrices(W, words, tmp_path):
    np.save(tmp_path / "W.npy", W)
    with pytest.raises(UserError, match=words):
        make({"file": "W.npy"}, 3, where="place", folder=tmp_path)


def test_a_file_with_a_matrix(tmp_path):
    np.save(tmp_path / "W.npy", TRIANGLE)
    topology = make({"file": "W.npy"}, 3, folder=tmp_path)
    assert topology.name == "W.npy" and (topology.W.toarray() == TRIANGLE).all()
    assert (
        topology.W.nnz == 9
        and topology.lambda_min == pytest.approx(-0.5)
        and topology.rho == pytest.approx(0.5)
    )
    lazy = make({"file": str(tmp_path / "W.npy"), "lazy": True}, 3)
    np.testing.assert_allclose(lazy.W.toarray(), (TRIANGLE + np.eye(3)) / 2)
    with pytest.raises(UserError, match=r"topology\.weights: W\.npy brings its own"):
        make({"file": "W.npy", "weights": "uniform"}, 3, folder=tmp_path)
    np.save(tmp_path / "J.npy", np.ones((1, 1), dtype=int))
    assert make({"file": "J.npy"}, 1, folder=tmp_path).W.toarray() == [[1]]


@pytest.mark.parametrize("W", [SWAP, CYCLE])
def test_a_permutation_mixes_when_lazy(W, tmp_path):
    np.save(tmp_path / "W.npy", W)
    assert make({"file": "W.npy", "lazy": True}, len(W), folder=tmp_path).rho < 1
    with pytest.raises(UserError, match="lazy = true"):
        make({"file": "W.npy"}, len(W), folder=tmp_path)


def test_zero_diagonals_are_kept_and_a_directed_matrix_is_told(tmp_path):
    W = (np.roll(np.eye(5), 1, axis=0) + np.roll(np.eye(5), 2, axis=0)) / 2
    np.save(tmp_path / "W.npy", W)
    topology = make({"file": "W.npy"}, 5, folder=tmp_path)
    assert topology.W.nnz == 15 and not topology.symmetric and (topology.degrees == 2).all()
    assert topology.rho < 1 and topology.lambda_min == pytest.approx(
        np.linalg.eigvals(W).real.min()
    )


def test_no_pickle_is_read(tmp_path):
    np.save(tmp_path / "W.npy", np.array([[{}]]), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read"):
        make({"file": "W.npy"}, 1, folder=tmp_path)
    (tmp_path / "W.npy").write_text("0 1\n")
    with pytest.raises(UserError, match="cannot be read"):
        make({"file": "W.npy"}, 1, folder=tmp_path)


def test_a_file_with_edges(tmp_path):
    (tmp_path / "graph.edges").write_text("# a path\n2 1\n1 0\n0 1\n1 1\n3 2 {}\n")
    topology = make({"file": "graph.edges"}, 4, folder=tmp_path)
    assert topology.name == "graph.edges"
    np.testing.assert_array_equal(topology.W.toarray(), plain("path", 4).W.toarray())
    lazy = make({"file": "graph.edges", "weights": "uniform", "lazy": True}, 4, folder=tmp_path)
    np.testing.assert_array_equal(
        lazy.W.toarray(), make({"name": "path", "weights": "uniform"}, 4).W.toarray()
    )
    nx.write_edgelist(nx.star_graph(3), tmp_path / "star.edges")
    assert (
        make({"file": "star.edges", "lazy": True}, 4, folder=tmp_path).fingerprint
        == make("star", 4).fingerprint
    )


EDGES = [
    ("0 1\n2 3\n", r"place\.file: not connected, agent 2 cannot be reached from agent 0"),
    (
        "0 1\n1 2\n",
        r"agent 3 does not occur in .*graph\.edges; use each of 0\.\.3, or set run\.agents",
    ),
    ("0 1\n1 2\n2 3\n3 4\n", "agent 4 occurs in"),
    ("0 -1\n1 2\n2 3\n", "agent -1 occurs"),
    ("", "agent 0 does not occur"),
    ("a b\n", "cannot be read.*two whole numbers on a line"),
    ("0 1 0.5\n", "cannot be read"),
    ("0 1 {'weight': 2}\n1 2\n2 3\n", r"has weights.*save W itself as a \.npy"),
]


@pytest.mark.parametrize("text, words", EDGES, ids=range(len(EDGES)))
def test_refused_edges(text, words, tmp_path):
    (tmp_path / "graph.edges").write_text(text)
    with pytest.raises(UserError, match=words):
        make({"file": "graph.edges"}, 4, where="place", folder=tmp_path)


def refuses(topology, name):
    suits(topology, STRATEGIES[name], where="place")


@pytest.mark.parametrize("strategy", ["ed", "extra", "gt", "semi-gt", "non-gt", "sgd", "dgd"])
def test_lazy_names_suit_every_strategy(strategy):
    for name in FIXED:
        with warnings.catch_warnings(record=True) as printed:
            warnings.simplefilter("always")
            refuses(make(name, 8), strategy)
        assert not printed, name


def test_spectra_that_strategies_cannot_stand():
    even, odd, torus = plain("ring", 8), plain("ring", 5), plain("torus", 16)
    with pytest.raises(
        UserError, match=r"place: the smallest eigenvalue of ring is -0\.333333, .*above -1/3.*lazy"
    ):
        refuses(even, "extra")
    with pytest.warns(UserWarning, match=r"-0\.333333, and ed is at the edge.*lazy = true"):
        refuses(even, "ed")
    for strategy in ("ed", "extra"):
        refuses(odd, strategy)
        with pytest.raises(
            UserError, match=r"eigenvalue of torus is -0\.6, .*-1/3; set lazy = true"
        ):
            refuses(torus, strategy)
    refuses(torus, "gt")
    refuses(torus, "sgd")


def test_the_bound_has_the_width_of_rounding():
    def two(smallest):
        a = (1 + smallest) / 2
        return SparseTopology("two", {"W": csr_array(np.array([[a, 1 - a], [1 - a, a]]))})

    refuses(two(-1 / 3 + 2e-12), "extra")
    refuses(two(-1 / 3 + 2e-12), "ed")
    for offset in (5e-13, 0, -5e-13):
        with pytest.raises(UserError):
            refuses(two(-1 / 3 + offset), "extra")
        with pytest.warns(UserWarning):
            refuses(two(-1 / 3 + offset), "ed")
    with pytest.raises(UserError, match="at least -1/3"):
        refuses(two(-1 / 3 - 2e-12), "ed")


def test_a_directed_graph_is_refused_where_symmetry_is_needed():
    directed = make({"name": "exponential", "directed": True}, 8)
    with pytest.raises(
        UserError, match=r"place: ed needs a symmetric W, and exponential has none; .*gt or sgd"
    ):
        refuses(directed, "ed")
    refuses(directed, "gt")
