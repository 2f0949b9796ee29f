"""The average in the user's own form: on every rank, and in trees.h5, to the bit."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import mpidbo
from mpidbo import cli
from mpidbo.parallel.agents import Agents
from mpidbo.storage import files, trees
from support import SUPPORT, TESTS
from support.nested import Nested, same

KEYS = [
    "w",
    "w/b",
    "/",
    ".",
    "..",
    "",
    "%",
    "%25",
    "%2F",
    "%=",
    "%=3",
    "3",
    "-1",
    "٣",
    " a b ",
    "\0",
    "\ud800",
    "ключ",
    3,
    0,
    -1,
    2**70,
]
TYPES = ["float64", "float32", "float16", "int64", "uint8", "bool", "complex128", ">f8"]
CONFIG = f"""
problem.name = "{SUPPORT / "nested.py"}:Nested"
method.name = "sparkle-ed-gt"
run = {{ agents = 4, iterations = 30, evaluate_every = 10, out = "out" }}
"""


def grown(rng, depth):
    """A random tree."""
    kind = rng.integers(6) if depth else rng.integers(3)
    if kind < 3:
        shape = tuple(rng.integers(0, 4, rng.integers(0, 4)))
        data = rng.integers(
            0, 256, (*shape, 16), dtype=np.uint8
        )  # any bits: infinities, NaN with a payload, negative zeros
        dtype = np.dtype(TYPES[rng.integers(len(TYPES))])
        bits = np.ascontiguousarray(data[..., : dtype.itemsize])
        return np.asarray(bits[..., 0] % 2 == 1 if dtype.kind == "b" else bits.view(dtype)[..., 0])
    parts = [grown(rng, depth - 1) for _ in range(rng.integers(0, 5))]
    if kind == 3:
        return {KEYS[i]: part for i, part in zip(rng.permutation(len(KEYS)), parts, strict=False)}
    return parts if kind == 4 else (*parts, None)


def test_random_trees_survive(tmp_path):
    rng = np.random.default_rng(5)
    kinds = set()
    for k in range(150):
        tree = {"x": grown(rng, 4), "y": grown(rng, 1)}
        checked = {name: trees.checked(part, name) for name, part in tree.items()}
        assert same(tree, checked)
        trees.write(tmp_path / "trees.h5", checked, k)
        found, iteration = trees.read(tmp_path / "trees.h5")
        assert same(found, checked) and iteration == k
        kinds.add(type(checked["x"]))
    assert kinds == {dict, list, tuple, np.ndarray}


def test_all_keys_in_one_dict(tmp_path):
    tree = {key: np.array(i) for i, key in enumerate([*KEYS, "k" * 100_000])}
    trees.write(tmp_path / "trees.h5", {"x": tree}, 0)
    assert same(trees.read(tmp_path / "trees.h5")[0]["x"], tree)


def test_names_of_the_file(tmp_path):
    """Without this package: keys are names as far as they can be."""
    trees.write(
        tmp_path / "trees.h5",
        trees.of(Nested(0, 1, xp=np, seed=0), np.arange(6.0), np.arange(6.0)),
        7,
    )
    with h5py.File(tmp_path / "trees.h5") as file:
        assert file.attrs["iteration"] == 7
        assert (
            file["x/layers/0/w%2Feight"][()].tolist() == [[0, 1], [2, 3]] and file["x/3"][()] == 4
        )
        assert file["x/%=3/0"][()].tolist() == [5] and file["x/%=3"].attrs["kind"] == "tuple"
        assert file["x/layers"].attrs["kind"] == "list" and file["x/layers/1"].attrs["keys"] == "[]"
        assert file["y"].shape == (2, 3)


def test_average_of_the_agents(tmp_path):
    result = mpidbo.solve(Nested, "sparkle-ed", agents=3, iterations=7, out=tmp_path / "run")
    x, y = (Agents(3).mean(rows) for rows in (result.x, result.y))
    problem = Nested(0, 3, xp=np, seed=0)
    assert (
        np.ptp(result.y) > 0
        and same(result.x_tree, trees.checked(problem.x_tree(x), ""))
        and same(result.y_tree, problem.y_tree(y))
    )
    found, iteration = trees.read(tmp_path / "run" / files.TREES)
    assert same(found, {"x": result.x_tree, "y": result.y_tree}) and iteration == 7


def test_vectors_need_no_file(tmp_path):
    result = mpidbo.solve("quadratic", agents=3, iterations=5, out=tmp_path / "run")
    assert same(result.x_tree, Agents(3).mean(result.x)) and same(
        result.y_tree, Agents(3).mean(result.y)
    )
    assert not (tmp_path / "run" / files.TREES).exists()


def test_a_lower_variable_of_each_agent_is_not_averaged(tmp_path):
    lopa, maml = (
        mpidbo.solve(Nested, method, agents=3, iterations=5, out=tmp_path / method)
        for method in ("lopa", "maml")
    )
    assert lopa.y_tree is None and [*trees.read(tmp_path / "lopa" / files.TREES)[0]] == ["x"]
    assert same(
        maml.y_tree, Agents(3).mean(maml.y).reshape(2, 3)
    )  # the initial head, on which agents agree


@pytest.mark.parametrize(
    ("tree", "printed"),
    [
        ({"a": [1.0, {2, 3}]}, "x_tree: a: 1: a set, not an array of numbers; return nested dicts"),
        ([np.array(["text"])], "x_tree: 0: a ndarray, not an array of numbers"),
        ([[1, 2], object()], "x_tree: 1: a object"),
        ({"a": {1.5: 0}}, "x_tree: a: the key 1.5 is neither a string nor an integer"),
        ({True: 0}, "x_tree: the key true is neither"),
    ],
)
def test_mistakes_are_told_before_the_run(tree, printed):
    class Mistaken(Nested):
        def x_tree(self, x):
            return tree

        def g_y(self, x, y, sample):
            raise AssertionError("the run has begun")

    with pytest.raises(mpidbo.UserError, match="problem Mistaken") as caught:
        mpidbo.solve(Mistaken, "sparkle", iterations=1)
    assert printed in str(caught.value)


SCRIPT = """
import sys
import numpy as np
from mpi4py import MPI
import mpidbo
from mpidbo.storage import trees
from support.nested import Nested, same
comm = MPI.COMM_WORLD
for gather in (True, False):
    size = {"agents": 4, "iterations": 30, "evaluate_every": 10}
    result = mpidbo.solve(Nested, "sparkle-ed-gt", comm=comm, gather=gather, **size)
    found = trees.read(sys.argv[1])[0]
    assert same({"x": result.x_tree, "y": result.y_tree}, found), comm.rank
"""


def test_over_ranks(mpi, tmp_path, monkeypatch):
    """The command on two ranks writes what one process writes; `solve` gives it to every rank."""
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "config.toml"]) == 0
    done = mpi(
        2, ["-m", "mpi4py", "-m", "mpidbo", "run", "config.toml", "--out", "ranks"], cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    alone, ranks = (trees.read(Path(folder, files.TREES)) for folder in ("out", "ranks"))
    assert same(alone[0], ranks[0]) and alone[1] == ranks[1] == 30
    done = mpi(
        2,
        ["-m", "mpi4py", "-c", SCRIPT, "out/trees.h5"],
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
    )
    assert done.returncode == 0, done.stderr
