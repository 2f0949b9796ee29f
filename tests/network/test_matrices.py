"""Graphs and W from files and objects of other programs: read, or refused with the line and the
remedy."""

import gzip
from functools import partial

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse

import mpidbo
from mpidbo import cli
from mpidbo.errors import UserError
from mpidbo.network import edges, make, matrix_market
from mpidbo.network import files as matrices

solve = partial(mpidbo.solve, method="sparkle-gt")
RING = make({"name": "ring", "lazy": False}, 6)
W = RING.W.toarray()
LINES = "0 1\n1 2\n2 3\n3 4\n4 5\n5 0\n"
DIRECTED = make({"name": "exponential", "directed": True, "lazy": False}, 6).W.toarray()


def same(topology, expected=RING):
    return topology.fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    "text",
    [
        LINES,
        LINES[:-1],
        LINES.replace(" ", ","),
        LINES.replace(" ", ", "),
        LINES.replace(" ", "\t"),
        LINES.replace("\n", "\r\n"),
        "\ufeff" + LINES,
        "# edges\n\n% of a ring\n" + LINES.replace("\n", " # one\n"),
        LINES + LINES,
        LINES + "1 0\n3 3\n",
        LINES.replace("\n", " {}\n"),
        "  " + LINES,
    ],
    ids=range(12),
)
@pytest.mark.parametrize("name", ["graph.edges", "graph.csv", "graph"])
def test_edge_lists(tmp_path, text, name):
    (tmp_path / name).write_bytes(text.encode())
    assert same(make({"file": name}, 6, folder=tmp_path))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(text.encode()))
    assert same(make({"file": "packed.gz"}, 6, folder=tmp_path))


REFUSED = [
    (LINES[:-3], r"line 6: '5' has 1 column, an edge two and a row of W 6"),
    (LINES.replace("2 3", "2"), "line 3: '2' has 1 column"),
    (LINES.replace("2 3", "2 3 1"), "line 3: '2 3 1' has 3 columns"),
    (LINES.replace("2 3", "2 3 {'weight': 0.5}"), "line 3: .* has weights"),
    (LINES.replace("2 3", "2 x"), "line 3: '2 x' is not two agents"),
    (LINES.replace("2 3", "2.0 3"), "line 3: '2.0 3' is not two agents"),
    (LINES.replace("2 3", "2 -3"), r"agent -3 occurs in .*, line 3; use each of 0\.\.5"),
    (LINES.replace("2 3", "2 6"), r"agent 6 occurs in .*, line 3"),
    (LINES.replace("2 3", "2 " + "9" * 400), r"line 3: '2 9{58}\.\.\.' is not two agents"),
    (LINES.replace("2 3", "2,3 4"), "line 3: '2,3 4' is not two agents"),
    (LINES.replace("2 3", "2,3,"), "line 3: '2,3,' has 3 columns"),
    (LINES.replace("2 3", "2_0 3"), "line 3: '2_0 3' is not two agents"),
    ("source,target\n" + LINES, "line 1: 'source,target' is not two agents"),
    ("1 2\n2 3\n3 4\n4 5\n5 6\n6 1\n", r"agent 6 occurs in .*, line 5; count from 0, and use"),
    ("0 1\n1 2\n", r"agent 3 does not occur in"),
    ("0 1 2 3 4 5 6\n", "line 1: .* has 7 columns, an edge two and a row of W 6"),
    (LINES.replace("2 3", "2 \0 3"), "zero bytes"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=range(len(REFUSED)))
def test_refused_edge_lists(tmp_path, text, words):
    (tmp_path / "graph.edges").write_text(text)
    with pytest.raises(UserError, match=words) as refused:
        make({"file": "graph.edges"}, 6, folder=tmp_path)
    assert str(refused.value).startswith("topology.file: ") and len(str(refused.value)) < 400 + len(
        str(tmp_path)
    )


def test_an_edge_list_in_utf16(tmp_path):
    (tmp_path / "graph.edges").write_text(LINES, encoding="utf-16")
    with pytest.raises(UserError, match="UTF-16; save it as UTF-8"):
        make({"file": "graph.edges"}, 6, folder=tmp_path)


def saved(folder):
    """W as users save it."""
    np.save(folder / "W.npy", W)
    np.save(folder / "fortran.npy", np.asfortranarray(W).astype(">f8"))
    np.savez(folder / "W.npz", W)
    np.savez_compressed(folder / "named.npz", mixing=W)
    scipy.sparse.save_npz(folder / "csr.npz", scipy.sparse.csr_array(W))
    scipy.sparse.save_npz(folder / "coo.npz", scipy.sparse.coo_matrix(W))
    scipy.io.mmwrite(folder / "W.mtx", scipy.sparse.coo_array(W), precision=17)
    scipy.io.mmwrite(folder / "dense.mtx", W, precision=17)
    scipy.io.mmwrite(
        folder / "symmetric.mtx", scipy.sparse.coo_array(W), symmetry="symmetric", precision=17
    )
    (folder / "packed.mtx.gz").write_bytes(gzip.compress((folder / "W.mtx").read_bytes()))
    (folder / "windows.mtx").write_bytes((folder / "W.mtx").read_bytes().replace(b"\n", b"\r\n"))
    np.savetxt(folder / "W.txt", W)
    np.savetxt(folder / "W.csv", W, delimiter=",", header="W of a ring")
    (folder / "marked.csv").write_text(
        "\ufeff" + "\r\n".join(", ".join(map(repr, row)) for row in W.tolist()), encoding="utf-8"
    )
    return sorted(path.name for path in folder.iterdir())


def test_files_of_W(tmp_path):
    names = saved(tmp_path)
    assert len(names) == 14
    for name in names:
        assert same(make({"file": name}, 6, folder=tmp_path)), name
        assert matrices.agents_of(tmp_path / name) == 6
        with pytest.raises(UserError, match=r"topology\.file: .*(\(5, 5\)|of 5 agents|row of W 5)"):
            make({"file": name}, 5, folder=tmp_path)


def test_small_matrices_in_text(tmp_path):
    (tmp_path / "two.csv").write_text("0.5,0.5\n0.5,0.5\n")
    (tmp_path / "one.csv").write_text("1\n")
    (tmp_path / "edge.csv").write_text("0,1\n1,0\n")
    assert (make({"file": "two.csv"}, 2, folder=tmp_path).W.toarray() == 0.5).all()
    assert make({"file": "one.csv"}, 1, folder=tmp_path).W.toarray() == [[1]]
    assert (make({"file": "edge.csv"}, 2, folder=tmp_path).W.toarray() == 0.5).all()


def test_a_pattern_is_a_graph(tmp_path):
    links = scipy.sparse.coo_array(W - np.diag(W.diagonal()))
    scipy.io.mmwrite(tmp_path / "ring.mtx", links, field="pattern")
    assert same(make({"file": "ring.mtx"}, 6, folder=tmp_path))
    scipy.io.mmwrite(
        tmp_path / "oneway.mtx",
        scipy.sparse.coo_array(DIRECTED),
        field="pattern",
        symmetry="general",
    )
    with pytest.raises(UserError, match="pattern that is not symmetric"):
        make({"file": "oneway.mtx"}, 6, folder=tmp_path)


def test_refused_files_of_W(tmp_path):
    np.save(
        tmp_path / "float32.npy",
        make("ring", 6).W.toarray().astype(np.float32) * np.float32(1.0000001),
    )
    np.save(tmp_path / "float16.npy", W.astype(np.float16))
    np.save(tmp_path / "adjacency.npy", (W > 0).astype(int))
    np.save(tmp_path / "objects.npy", W.astype(object), allow_pickle=True)
    np.save(tmp_path / "complex.npy", W.astype(complex))
    np.save(tmp_path / "vector.npy", W[0])
    np.savez(tmp_path / "two.npz", W=W, V=W)
    np.savez(tmp_path / "none.npz")
    np.savez(tmp_path / "odd.npz", format=np.array("csr"), data=W)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:200])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "float16.npy").read_bytes()[:-7])
    (tmp_path / "text.npz").write_text(LINES)
    (tmp_path / "binary.csv").write_bytes((tmp_path / "two.npz").read_bytes())
    scipy.io.mmwrite(tmp_path / "W.mtx", scipy.sparse.coo_array(W))
    (tmp_path / "cut.mtx").write_bytes((tmp_path / "W.mtx").read_bytes()[:-30])
    (tmp_path / "text.mtx").write_text(LINES)
    text = "\n".join(",".join(map(repr, row)) for row in W.tolist())
    (tmp_path / "short.csv").write_text(text.rpartition("\n")[0])
    (tmp_path / "cut.csv").write_text(text.rpartition(",")[0])
    (tmp_path / "labels.csv").write_text("0,1,2,3,4,5\n" + text)
    (tmp_path / "words.csv").write_text(text.replace("0.0", "x", 1))
    (tmp_path / "nan.csv").write_text(text.replace("0.0", "nan", 1))
    (tmp_path / "rounded.csv").write_text(text.replace("3333333", "333"))
    for name, words in {
        "float32.npy": r"float32\.npy is float32, whose rounding leaves sums .* make it float64",
        "float16.npy": "is float16",
        "adjacency.npy": r"0 and 1 alone, as an adjacency matrix; .*networkx\.from_numpy_array",
        "objects.npy": "Python objects",
        "complex.npy": "complex128",
        "vector.npy": r"shape \(6,\)",
        "two.npz": "2 arrays: W, V",
        "none.npz": "0 arrays",
        "odd.npz": "damaged|cannot be read",
        "cut.npz": "damaged",
        "cut.npy": "cannot be read",
        "text.npz": "not a file of numpy",
        "binary.csv": "cannot be read",
        "cut.mtx": "cannot be read",
        "text.mtx": "cannot be read .*Matrix Market",
        "short.csv": "it has 5 rows where W of 6 agents has 6",
        "cut.csv": "line 6: .* has 5 columns where W of 6 agents has 6",
        "labels.csv": "it has 7 rows where W of 6",
        "words.csv": "line 1: 'x' is not a number",
        "nan.csv": r"entry \(0, 2\) of W is nan",
        "rounded.csv": "sums to 0.9",
        "missing.csv": "No such file",
    }.items():
        with pytest.raises(UserError, match=words) as refused:
            make({"file": name}, 6, folder=tmp_path)
        assert str(refused.value).startswith("topology.file: "), name


def test_float32_that_is_exact_is_read(tmp_path):
    V = make({"name": "adjusted-ring", "lazy": False}, 8).W.toarray()
    np.save(tmp_path / "V.npy", V.astype(np.float32))
    assert (make({"file": "V.npy"}, 8, folder=tmp_path).W.toarray() == V).all()


OBJECTS = {
    "array": W,
    "matrix": np.matrix(W),
    "lists": W.tolist(),
    "csr": scipy.sparse.csr_array(W),
    "old csc": scipy.sparse.csc_matrix(W),
    "graph": nx.cycle_graph(6),
    "adjacency": nx.from_numpy_array((W > 0).astype(int)),
    "pairs": [(i, (i + 1) % 6) for i in range(6)],
    "both ways": nx.cycle_graph(6).to_directed(),
    "multigraph": nx.MultiGraph([*nx.cycle_graph(6).edges, (0, 1)]),
    "shuffled": nx.Graph([(5, 0), (3, 2), (1, 2), (4, 3), (0, 1), (4, 5)]),
    "texts": nx.relabel_nodes(nx.cycle_graph(6), dict(enumerate("cafebd"))),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_objects(name):
    expected = solve("quadratic", topology={"name": "ring", "lazy": False}, agents=6, iterations=5)
    for topology in (
        OBJECTS[name],
        {"name": OBJECTS[name]} if not isinstance(OBJECTS[name], list) else OBJECTS[name],
        {"upper": OBJECTS[name], "lower": {"edges": edges.edges_of(OBJECTS[name])[0]}},
    ):
        if isinstance(topology, dict) and isinstance(topology.get("upper"), list):
            continue
        result = solve("quadratic", topology=topology, agents=6, iterations=5)
        assert np.array_equal(result.x, expected.x) and np.array_equal(result.y, expected.y)


def test_options_beside_an_object():
    expected = solve(
        "quadratic",
        topology={"name": "ring", "weights": "uniform", "drop": 0.2},
        agents=6,
        iterations=5,
    )
    result = solve(
        "quadratic",
        topology={"edges": nx.cycle_graph(6), "weights": "uniform", "drop": 0.2, "lazy": True},
        agents=6,
        iterations=5,
    )
    assert np.array_equal(result.x, expected.x)
    with pytest.raises(UserError, match=r"topology\.weights: edges brings its own"):
        solve("quadratic", topology={"edges": W, "weights": "uniform"}, agents=6, iterations=5)


def weighted(graph, weight=0.5):
    nx.set_edge_attributes(graph, weight, "weight")
    return graph


REFUSED_OBJECTS = [
    (weighted(nx.cycle_graph(6)), "the graph's edges have weights; give W itself"),
    (nx.path_graph(6, nx.DiGraph), "not strongly connected, no way leads from agent 1 to agent 0"),
    (
        nx.relabel_nodes(nx.cycle_graph(6), lambda i: i + 1),
        r"6 nodes are not 0\.\.5; number them by networkx\.convert",
    ),
    (nx.cycle_graph(7), r"topology\.edges: agent 6 occurs; use each of 0\.\.5, or set run\.agents"),
    (nx.cycle_graph(5), r"topology\.edges: agent 5 does not occur"),
    (nx.disjoint_union(nx.cycle_graph(6), nx.empty_graph(1)), r"topology\.edges: agent 6 occurs"),
    (nx.disjoint_union(nx.cycle_graph(5), nx.empty_graph(1)), "not connected, agent 5"),
    ((W > 0).astype(int), "adjacency matrix"),
    (W[:5], r"shape \(5, 6\)"),
    (W.astype(complex), "complex128"),
    (W[0], r"shape \(6,\)"),
    (np.array([["a"] * 6] * 6), "give real numbers"),
    (W.astype(np.float32) * np.float32(1.0001), "is float32"),
    ([[0.5, 0.5], [0.5]], "cannot read as a matrix"),
    (0.9 * W, "row 0 of W sums to 0.9"),
    (np.full((6, 6), np.nan), "of W is nan"),
    (np.int64(3), r"shape \(\)"),
    (3, "no topology is called 3"),
    ({"upper": W, "lower": W, "drop": 0.1}, r"topology\.drop: has no effect"),
]


@pytest.mark.parametrize(("topology", "words"), REFUSED_OBJECTS, ids=range(len(REFUSED_OBJECTS)))
def test_refused_objects(topology, words):
    with pytest.raises(UserError, match=words) as refused:
        solve("quadratic", topology=topology, agents=6, iterations=1)
    assert str(refused.value).startswith("topology") and len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "topology",
    [W, nx.cycle_graph(6), {"upper": nx.star_graph(5), "lower": scipy.sparse.csr_array(W)}],
    ids=range(3),
)
def test_the_folder_of_such_a_run_can_be_run(tmp_path, topology, capsys):
    result = solve("quadratic", topology=topology, agents=6, iterations=20, out=tmp_path / "one")
    assert (
        cli.main(["run", str(tmp_path / "one" / "config.toml"), "--out", str(tmp_path / "two")])
        == 0
    )
    assert np.array_equal(mpidbo.load(tmp_path / "two").x, result.x)
    capsys.readouterr()
    assert cli.main(["show", str(tmp_path / "one")]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) < 400


def test_too_large_a_matrix_for_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(edges, "MAX_STORED_EDGES", 10)
    with pytest.raises(UserError, match=r"18 entries are too many .*save_npz.*\"W\.npz\""):
        solve("quadratic", topology=W, agents=6, iterations=1, out=tmp_path / "one")
    assert not (tmp_path / "one").exists()
    solve("quadratic", topology=W, agents=6, iterations=1)


def test_a_users_matrix_is_left_alone():
    given = scipy.sparse.csr_matrix(W)
    given.data[0] = given.data[0]
    before = given.copy()
    solve("quadratic", topology=given, agents=6, iterations=1)
    assert (given != before).nnz == 0 and given.nnz == before.nnz


HEAD = "%%MatrixMarket matrix coordinate real symmetric\n% a pair\n2 2 3\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "1 1 0.5\n2 1 0.5\n", "it has 2 entries where its size announces 3"),
        (HEAD + "1 1 0.5\n2 1 0.5\n2 2", r"line 6: '2 2' is not an"),
        (
            HEAD + "1 1 0.5\n2 1 0.5\n2 3 0.5\n",
            "line 6: '2 3 0.5' is not an entry of a matrix of 2 rows",
        ),
        (HEAD + "1 1 x\n2 1 1\n2 2 1\n", "line 4: 'x'"),
        (HEAD + "1 1 0.5\n2 1 0.5\n1 2 0.5\n", "an entry twice"),
        (HEAD + "1 1 0.5 1\n2 1 0.5\n2 2 0.5\n", "line 4"),
        (HEAD[:40], "line 1"),
        (HEAD.replace("2 2 3", "2 2"), "line 3: '2 2' is not the size"),
        (HEAD.replace("real", "complex"), "line 1: .*complex"),
        (HEAD.replace("2 2 3", "2 3 3"), "line 3: a symmetric matrix of 2 rows and 3"),
        (HEAD.partition("\n")[0], "line 2: '' is not the size"),
        (
            "%%MatrixMarket matrix array real general\n2 2\n0.5\n0.5\n0.5\n",
            "it has 3 entries where its size announces 4",
        ),
        (
            "%%MatrixMarket matrix array real general\n2 2\n0.5\n0.5\n0.5 0.5\n0.5\n",
            "line 5: '0.5 0.5' is not a number",
        ),
        (
            "%%MatrixMarket matrix array real general\n999999999 999999999\n0.5\n",
            "it has 1 entries",
        ),
        (
            "%%MatrixMarket matrix coordinate real general\n999999999 999999999 1\n1 1 1\n",
            r"shape \(999999999, 999999999\)",
        ),
    ],
)
def test_matrix_market_by_line(tmp_path, text, words):
    (tmp_path / "W.mtx").write_text(text)
    with pytest.raises(UserError, match=words):
        make({"file": "W.mtx"}, 2, folder=tmp_path)


@pytest.mark.parametrize("form", ["coordinate", "array"])
@pytest.mark.parametrize("symmetry", ["general", "symmetric"])
def test_matrix_market_is_read_as_by_scipy(tmp_path, form, symmetry):
    V = W + np.diag(np.arange(6.0))
    if symmetry == "general":
        V[0, 3] = 0.1
    scipy.io.mmwrite(
        tmp_path / "V.mtx",
        V if form == "array" else scipy.sparse.coo_array(V),
        symmetry=symmetry,
        precision=17,
    )
    assert form in (tmp_path / "V.mtx").read_text() and symmetry in (tmp_path / "V.mtx").read_text()
    found, is_pattern = matrix_market.read((tmp_path / "V.mtx").read_text())
    assert (found.toarray() == V).all() and not is_pattern


def test_a_sparse_matrix_with_indices_beyond_its_shape(tmp_path):
    odd = scipy.sparse.csr_array(W)
    odd.indices[3] = 77
    scipy.sparse.save_npz(tmp_path / "W.npz", odd)
    with pytest.raises(UserError, match=r"W\.npz cannot be read"):
        make({"file": "W.npz"}, 6, folder=tmp_path)
    with pytest.raises(UserError, match="cannot read as a matrix"):
        solve("quadratic", topology=odd, agents=6, iterations=1)


def test_an_entry_twice():
    with pytest.raises(UserError, match=r"topology\.edges: an entry of W is given twice"):
        make({"edges": [[0, 0, 0.5], [0, 1, 0.25], [0, 1, 0.25], [1, 0, 0.5], [1, 1, 0.5]]}, 2)


def test_a_large_matrix_is_checked_once(monkeypatch):
    """Not entry by entry with the configuration: it is known to be of Python's numbers."""
    from mpidbo.config import values as config

    asked = []
    monkeypatch.setattr(
        config,
        "plain",
        lambda value, depth=0, plain=config.plain: asked.append(value) or plain(value, depth),
    )
    solve("quadratic", topology=W, agents=6, iterations=1)
    assert asked and not any(entry in asked for entry in edges.edges_of(W)[0])
