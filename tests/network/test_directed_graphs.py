"""Directed graphs: the weights A and B of the textbook, W where there is one, every refusal."""

from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
import scipy.io
from scipy.sparse import coo_array

import mpidbo
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.errors import UserError
from mpidbo.network import A, B, gossip_of, has, make, suits
from mpidbo.parallel.agents import Agents

SIZES = (1, 2, 3, 5, 8, 12)
NAMES = ("directed-ring", "directed-exponential", "directed-erdos-renyi")
SENDERS = [(0, 1), (1, 2), (2, 0), (0, 2), (3, 0), (2, 3)]
"""Edges of four agents: agent 0 sends to 1 and 2, 1 sends to 2, and so on."""


def textbook(heard, weights="metropolis"):
    """A and B of a matrix of 0 and 1, heard[i, j] = 1 where i receives from j."""
    n = len(heard)
    into, out = heard.sum(axis=1), heard.sum(axis=0)
    A, B = np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i == j or not heard[i, j]:
                continue
            largest = 1 + max(into.max(), out.max())
            A[i, j] = 1 / (1 + into[i]) if weights == "metropolis" else 1 / largest
            B[i, j] = 1 / (1 + out[j]) if weights == "metropolis" else 1 / largest
    return A + np.diag(1 - A.sum(axis=1)), B + np.diag(1 - B.sum(axis=0))


def heard(edges, n):
    found = np.zeros((n, n))
    for a, b in edges:
        if a != b:
            found[b, a] = 1
    return found


def edges_of(name, n):
    """Each edge of a named graph, by what its docstring says."""
    if name == "directed-ring":
        return {(i, (i + 1) % n) for i in range(n)}
    return {(i, (i + (1 << k)) % n) for i in range(n) for k in range(10) if 1 << k < n}


def dense(topology):
    return {name: matrix.toarray() for name, matrix in topology.weights.items()}


@pytest.mark.parametrize("weights", ["metropolis", "uniform"])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", NAMES[:2])
def test_regular_graphs_have_a_doubly_stochastic_matrix(name, n, weights):
    """All agents have as many to hear as to send to, so that A = B = W, to the bit."""
    topology = make({"name": name, "weights": weights}, n)
    assert set(topology.weights) == {"W"}
    for matrix in textbook(heard(edges_of(name, n), n), weights):
        assert np.abs(topology.W.toarray() - matrix).max() < 1e-15
    assert topology.symmetric == (n <= (2 if name == "directed-ring" else 3))
    assert 0 <= topology.rho < 1
    suits(topology, STRATEGIES["gt"])
    suits(topology, STRATEGIES["push-pull"])


@pytest.mark.parametrize("weights", ["metropolis", "uniform"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_graphs_have_row_and_column_stochastic_weights(weights, seed):
    n = 9
    spec = {"name": "directed-erdos-renyi", "p": 0.3, "seed": seed, "weights": weights}
    topology = make(spec, n)
    assert set(topology.weights) == {"A", "B"} and not topology.symmetric
    found = dense(topology)
    links = (found["A"] > 0) - np.eye(n)
    assert ((found["B"] > 0) == (found["A"] > 0)).all() and (links != links.T).any()
    for name, matrix in zip("AB", textbook(links, weights), strict=True):
        assert np.abs(found[name] - matrix).max() < 1e-15
    assert (topology.degrees == links.sum(axis=1)).all() and topology.edges == links.sum()
    moduli = [np.sort(abs(np.linalg.eigvals(matrix)))[-2] for matrix in found.values()]
    assert topology.rho == pytest.approx(max(moduli)) and topology.gap == 1 - topology.rho
    lazy = dense(make({**spec, "lazy": True}, n))
    for name in "AB":
        assert np.abs(lazy[name] - (np.eye(n) + found[name]) / 2).max() < 1e-15


def test_the_first_strongly_connected_graph_is_taken():
    draws = [nx.gnp_random_graph(8, 0.2, s, directed=True) for s in range(60)]
    first = next(s for s, graph in enumerate(draws) if nx.is_strongly_connected(graph))
    assert first > 0
    spec = {"name": "directed-erdos-renyi", "p": 0.2}
    assert make(spec, 8).fingerprint == make({**spec, "seed": first}, 8).fingerprint
    assert make(spec, 8).fingerprint != make({**spec, "seed": first + 1}, 8).fingerprint
    with pytest.raises(
        UserError, match=r"topology\.p: 0\.01 is too small: no graph of the seeds 0"
    ):
        make({**spec, "p": 0.01}, 8)


def test_balanced_graphs_have_a_doubly_stochastic_matrix_with_uniform_weights():
    """Each agent hears as many as it sends to, but not all the same number."""
    graph = nx.DiGraph([(0, 1), (1, 2), (2, 0), (0, 3), (3, 4), (4, 0)])
    table = {"edges": [list(edge) for edge in graph.edges], "directed": True}
    assert set(make(table, 5).weights) == {"A", "B"}
    topology = make({**table, "weights": "uniform"}, 5)
    assert set(topology.weights) == {"W"} and topology.W.toarray()[1, 0] == 1 / 3


def given(form, folder):
    """The same graph, and of matrices its weights, in every form in which a user may give it."""
    links = heard(SENDERS, 4)
    pair = dict(zip("AB", textbook(links), strict=True))
    pairs = [list(edge) for edge in SENDERS]
    if form == "edges":
        return {"edges": pairs, "directed": True}
    if form == "entries":
        at = [(i, j) for i in range(4) for j in range(4) if pair["A"][i, j]]
        return {"edges": [[i, j, float(pair["A"][i, j]), float(pair["B"][i, j])] for i, j in at]}
    if form == "list":
        (folder / "graph.edges").write_text("".join(f"{a} {b}\n" for a, b in SENDERS))
        return {"file": "graph.edges", "directed": True}
    if form == "npz":
        np.savez(folder / "weights.npz", **pair)
        return {"file": "weights.npz"}
    scipy.io.mmwrite(folder / "graph.mtx", coo_array(links), field="pattern")
    return {"file": "graph.mtx", "directed": True}


@pytest.mark.parametrize("form", ["edges", "entries", "list", "npz", "pattern"])
def test_every_form_of_a_graph(form, tmp_path):
    topology = make(given(form, tmp_path), 4, folder=tmp_path)
    expected = dict(zip("AB", textbook(heard(SENDERS, 4)), strict=True))
    assert dense(topology).keys() == expected.keys()
    for name, matrix in dense(topology).items():
        assert np.abs(matrix - expected[name]).max() < 1e-15
    for name in ("A", "B"):
        indptr, indices = topology.weights[name].indptr, topology.weights[name].indices
        assert (indptr == topology.W.indptr).all() and (indices == topology.W.indices).all()
        assert all((np.diff(indices[a:b]) > 0).all() for a, b in pairwise(indptr))


def test_an_arrow_of_networkx_leads_from_the_sender():
    """Also where names stand for agents, and in the graph of an own function."""
    steps = {"alpha": 0.01}
    graph = nx.DiGraph(SENDERS)
    found = mpidbo.solve("quadratic", "sparkle-push-pull", graph, 4, steps, iterations=5)
    table = {"edges": [list(edge) for edge in SENDERS], "directed": True}
    other = mpidbo.solve("quadratic", "sparkle-push-pull", table, 4, steps, iterations=5)
    assert found.x.tobytes() == other.x.tobytes()
    assert found.config.topology["directed"] is True
    named = nx.relabel_nodes(graph, dict(enumerate("abcd")))
    ordered = nx.DiGraph()
    ordered.add_nodes_from("abcd")
    ordered.add_edges_from(named.edges)
    third = mpidbo.solve("quadratic", "sparkle-push-pull", ordered, 4, steps, iterations=5)
    assert third.x.tobytes() == found.x.tobytes()


def test_products_by_the_weights():
    """Agent 1 hears agent 0 alone, and agent 0 is heard by 1 and 2."""
    topology = make({"edges": [list(edge) for edge in SENDERS], "directed": True}, 4)
    W, (rows, columns) = gossip_of(topology, Agents(4)), textbook(heard(SENDERS, 4))
    found_A, found_B = W @ (A @ np.eye(4), B @ np.eye(4))
    assert np.abs(found_A - rows).max() < 1e-15 and np.abs(found_B - columns).max() < 1e-15
    assert rows[1, 0] == 1 / 2 and columns[1, 0] == 1 / 3 and rows[3, 0] == columns[3, 0] == 0
    assert W.sent.messages == len(SENDERS) and W.sent.floats == 8 * len(SENDERS)
    with pytest.raises(UserError, match="W @ s: the topology has A and B alone"):
        W @ np.eye(4)


def alone(kind, n=4):
    """A matrix whose rows or columns alone sum to one."""
    matrix = textbook(heard(SENDERS, n))["AB".index(kind)]
    assert abs(matrix.sum(axis=0 if kind == "A" else 1) - 1).max() > 0.1
    return matrix


@pytest.mark.parametrize(
    ("kind", "fitting"), [("A", ()), ("B", ("push-sum",))], ids=["rows", "columns"]
)
def test_one_matrix_serves_what_needs_no_other(kind, fitting, tmp_path):
    np.save(tmp_path / "M.npy", alone(kind))
    topology = make({"file": "M.npy"}, 4, folder=tmp_path)
    assert set(topology.weights) == {kind}
    line = {"A": "rows", "B": "columns"}[kind]
    for name, strategy in STRATEGIES.items():
        if name == "centralized":
            continue
        if name in fitting:
            suits(topology, strategy)
            continue
        with pytest.raises(UserError) as refused:
            suits(topology, strategy, where="place")
        words = str(refused.value)
        assert words.startswith(f"place: {name} needs ")
        if "W" in strategy.weights:
            other = {"A": "columns", "B": "rows"}[kind]
            assert f"and the {other} of M.npy do not; normalize them, too" in words
            assert ("push-sum" in words) == (kind == "B")
        else:
            assert f"one matrix, whose {line} alone sum to one; give the edges" in words


def test_strategies_that_a_directed_graph_has_not_the_weights_for():
    topology = make({"name": "directed-erdos-renyi", "p": 0.3, "seed": 1}, 8)
    assert has(topology, "A") and has(topology, "B") and not has(topology, "W")
    for name, strategy in STRATEGIES.items():
        if set(strategy.weights) <= {"A", "B"}:
            suits(topology, strategy)
        else:
            with pytest.raises(
                UserError,
                match=f"{name} needs a W whose rows and columns sum to one, and directed-erdos-"
                "renyi has none: not every agent receives from as many as it sends to; take the "
                "strategy push-pull, ab or push-sum, or an undirected graph",
            ):
                suits(topology, strategy)


ENTRIES = [[i, i, 0.5, 0.5] for i in range(3)] + [[1, 0, 0.5, 0.5], [2, 1, 0.5, 0.5]]
REFUSED = [
    ({"edges": [[0, 1], [1, 2]], "directed": True}, "edges: not strongly connected, no way leads"),
    ({"edges": [[1, 0], [1, 2]], "directed": True}, "from agent 0 to agent 1; add edges, or drop"),
    ({"edges": [[0, 1], [2, 2]], "directed": True}, "edges: not connected, agent 2 cannot be"),
    (
        {"edges": [*ENTRIES, [0, 2, 0.5, 0.4]]},
        r"edges: column 2 of B sums to 0\.9; make the rows of",
    ),
    (
        {"edges": [*ENTRIES, [0, 2, 0.6, 0.5]]},
        r"edges: row 0 of A sums to 1\.1; make the rows of A",
    ),
    (
        {"edges": [*ENTRIES, [0, 2, 0.5, 0.5], [0, 1, 0.0, 0.1]]},
        r"edges: A and B have different links, \(0, 1\) is in one of them",
    ),
    (
        {"edges": [*ENTRIES, [0, 2, 0.5, 0.5]], "weights": "uniform"},
        "weights: edges brings its own",
    ),
    ({"edges": [*ENTRIES, [0, 2, 0.5]]}, r"edges: .* does not fit"),
    (
        {"edges": [*ENTRIES, [0, 2, 0.5, -0.5]]},
        r"edges: the entry \(0, 2\) of B is -0\.5; make every",
    ),
    (
        {"edges": [[0, 1, 0.5, 1], [0, 2, 0.5, 0.5], [1, 0, 1, 1], [2, 0, 1, 0.5]]},
        "column 0 of B sums to 1.5",
    ),
    (
        {"edges": [[0, 1, 0.5, 1], [0, 2, 0.5, 1], [1, 0, 1, 0.5], [2, 0, 1, 0.5]]},
        "edges: agent 0 has no weight of its own in A of edges; .* set lazy = true",
    ),
    ({"name": "ring", "directed": True}, "directed: unknown key of ring"),
    ({"name": "directed-ring", "directed": True}, "directed: unknown key of directed-ring"),
    ({"edges": [[0, 1], [1, 2], [2, 0]], "directed": 1}, "directed: 1 is not true or false"),
]


@pytest.mark.parametrize(("spec", "words"), REFUSED, ids=range(len(REFUSED)))
def test_refused(spec, words):
    with pytest.raises(UserError, match=words) as refused:
        make(spec, 3, where="place")
    assert str(refused.value).startswith("place.")


def test_refused_files(tmp_path):
    A, B = textbook(heard(SENDERS, 4))
    np.savez(tmp_path / "AB.npz", A=A, B=B[:3])
    with pytest.raises(
        UserError, match=r"file: B of .*AB\.npz holds a float64 array of shape \(3, 4"
    ):
        make({"file": "AB.npz"}, 4, folder=tmp_path)
    np.savez(tmp_path / "swapped.npz", A=B, B=A)
    with pytest.raises(
        UserError, match=r"file: row 1 of A sums to 0\.8.*; make the rows of A and the"
    ):
        make({"file": "swapped.npz"}, 4, folder=tmp_path)
    np.save(tmp_path / "neither.npy", 1.1 * A)
    with pytest.raises(UserError, match=r"sums to 1\.1; make rows and columns sum to one, or on"):
        make({"file": "neither.npy"}, 4, folder=tmp_path)
    np.save(tmp_path / "single.npy", A.astype(np.float32))
    with pytest.raises(UserError, match="is float32, whose rounding leaves sums"):
        make({"file": "single.npy"}, 4, folder=tmp_path)
    scipy.io.mmwrite(tmp_path / "g.mtx", coo_array(heard(SENDERS, 4)), field="pattern")
    with pytest.raises(UserError, match="pattern that is not symmetric; set directed = true if i"):
        make({"file": "g.mtx"}, 4, folder=tmp_path)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("sparkle-ed", "topology: ed needs a W whose rows"),
        ("mdbo", "topology: non-gt needs a W whose rows"),
        ("ma-dsbo-push-pull", "topology: non-gt needs a W whose rows"),
        (
            "dsbo-push-pull",
            "topology: the method averages by a W whose rows and columns sum to one",
        ),
        ("gossip-dsbo-push-pull", "topology: the method averages by a W"),
    ],
)
def test_methods_that_need_a_doubly_stochastic_matrix(method, words):
    graph = {"name": "directed-erdos-renyi", "p": 0.3, "seed": 1}
    with pytest.raises(UserError, match=words):
        mpidbo.solve("quadratic", method, graph, 8, iterations=1)


def test_a_large_graph_has_the_spectrum_of_the_dense_one(monkeypatch):
    spec = {"name": "directed-erdos-renyi", "p": 0.15, "seed": 1}
    expected = make(spec, 60)
    values = expected.rho, expected.lambda_min
    monkeypatch.setattr("mpidbo.network.spectrum.MAX_DENSE", 50)
    monkeypatch.setattr("mpidbo.network.spectrum.KRYLOV_VECTORS", 40)
    sparse = make(spec, 60)
    np.testing.assert_allclose((sparse.rho, sparse.lambda_min), values, atol=1e-8)
