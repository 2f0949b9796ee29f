"""Ranks that mean different runs are told so, all of them, before anything else; a script that
forgot comm= is warned."""

import json
from functools import partial

import networkx
import numpy as np
import pytest
from scipy.sparse import csr_array

from mpidbo.solver.ranks import stall_timeout, written
from support import MPI

SENTENCES = {
    "seed": "run.seed is 0 on rank 0 and 1 on rank 1;",
    "seed of the last": "run.seed is 0 on rank 0 and 1 on rank 2;",
    "iterations": "run.iterations is 3 on rank 0 and 4 on rank 1;",
    "metrics": 'run.metrics is [] on rank 0 and ["hypergradient_norm"] on rank 1;',
    "stop": ('run.stop is [] on rank 0 and [{"below": 1.0, "metric": "upper_loss"}] on rank 2;'),
    "out": '/out" on rank 0 and not given on rank 1;',
    "out of the last": 'run.out is not given on rank 0 and "',
    "gather": "gather is true on rank 0 and false on rank 1;",
    "steps": "steps.alpha is 0.2 on rank 0 and 0.1 on rank 2;",
    "schedule": 'steps.alpha.kind is not given on rank 0 and "inverse-sqrt" on rank 2',
    "method": 'method.name is "sparkle" on rank 0 and "d-soba" on rank 2',
    "topology": 'topology.name is "ring" on rank 0 and "star" on rank 2;',
    "levels": 'topology.upper.name is not given on rank 0 and "star" on rank 2',
    "agents": "run.agents is 4 on rank 0 and 6 on rank 2;",
    "stall_timeout": "run.stall_timeout is 7.0 on rank 0 and 8.0 on rank 1;",
    "everything": "more; pass",
    "problem": 'problem.name is "quadratic" on rank 0 and "linear-regression" on rank 2',
    "class": 'problem.name is "mpidbo.problems.quadratic:Quadratic" on rank 0 and ',
    "local class": 'problem.name is "mpidbo.problems.quadratic:Quadratic" on rank 0 and ',
    "option": "problem.p is 3 on rank 0 and 4 on rank 2;",
    "option array": "problem.anything is float64 array (10000,) ",
    "option function": (
        "problem.anything is __main__:function on rank 0 and __main__:other_function on rank 2;"
    ),
    "option graph": "problem.anything is networkx.classes.graph:Graph ",
    "option object": "problem.anything is <__main__.Plain object>",
    "option dtype": "problem.anything is float64 array (10000,) ",
    "option list": "problem.anything is [1, ",
    "edges": "topology.edges is [[0, 1], [1, 2], [2, 3], ",
    "source": "the problem's source is ",
    "long": 'problem.anything is "aaaaaaa',
    "same": None,
    "same local class": None,
}


def test_on_three_ranks(mpi, tmp_path):
    done = mpi(3, [MPI / "ranks_disagree.py", tmp_path / "out", tmp_path / "sources"])
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert answers.keys() == SENTENCES.keys()
    for case, words in SENTENCES.items():
        printed, *others = answers[case]
        assert others == [printed, printed], case
        if words is None:
            assert printed == "", case
        else:
            assert printed.startswith("solve: ranks disagree: ") and printed.endswith(
                "; pass the same arguments on every rank"
            ), (case, printed)
            assert words in printed and len(printed) < 1000, (case, printed)
    assert not (tmp_path / "out").exists()


CONFIG = """
[problem]
name = "quadratic"
[run]
agents = 4
iterations = 5
seed = {}
"""


@pytest.mark.long
def test_commands(mpi, tmp_path):
    """Each rank has a file of its own under one name, or other options: a sentence by rank 0,
    exit code 2, no folder."""
    code = (
        "import sys; from mpidbo import cli; rank = cli.comm_world().rank\n"
        "sys.exit(cli.main([word.replace('RANK', str(rank)) for word in sys.argv[1:]]))"
    )
    for rank in range(2):
        (tmp_path / f"{rank}.toml").write_text(CONFIG.format(rank))
        (tmp_path / f"study{rank}.toml").write_text(
            CONFIG.format(0) + f"[study]\nseeds = {rank + 1}\n"
        )
    cases = {
        (
            "run",
            "RANK.toml",
            "--out",
            "out",
        ): "mpidbo run: ranks disagree: run.seed is 0 on rank 0 and 1 on rank 1; start every rank",
        ("run", "0.toml", "--out", "outRANK"): "run.out is ",
        (
            "reproduce",
            "mixed-strategies",
            "--out",
            "outRANK",
        ): "mpidbo reproduce: ranks disagree: --out is ",
        (
            "compare",
            "studyRANK.toml",
            "--out",
            "out",
        ): "study.seeds is [0] on rank 0 and [0, 1] on rank 1",
        (
            "compare",
            "study0.toml",
            "--part",
            "RANK/2",
            "--out",
            "out",
        ): '--part is "0/2" on rank 0 and "1/2" on rank 1',
    }
    for words, sentence in cases.items():
        done = mpi(2, ["-c", code, *words], cwd=tmp_path)
        assert done.returncode == 2 and sentence in done.stderr, done.stderr
        assert done.stderr.count("ranks disagree") == 1
    assert {path.suffix for path in tmp_path.iterdir()} == {".toml"}


def test_options_that_are_the_same_and_others():
    """What `written` tells apart, and what it does not: content, never addresses or the order of
    a set."""

    def local():
        class Local:
            pass

        return Local

    class Numbered:
        def __init__(self, value):
            self.value = value

    class Unspoken:
        def __repr__(self):
            raise RuntimeError

    rows = np.arange(12.0).reshape(3, 4)
    same = [
        (rows, rows.copy()),
        (rows.T, rows.T.copy()),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (rows[::-1, ::2], rows[::-1, ::2].copy()),
        (local(), local()),
        (Numbered(3), Numbered(3)),
        (partial(max, 3), partial(max, 3)),
        (Unspoken(), Unspoken()),
        (lambda: 1, lambda: 1),
        (object(), object()),
        (csr_array(rows), csr_array(rows)),
        ({1: "a", 2: "b"}, {2: "b", 1: "a"}),
        (networkx.Graph([(0, 1), (1, 2)]), networkx.Graph([(2, 1), (0, 1)])),
        (np.array(["a", None]), np.array(["a", None])),
        (np.array("2020-01-01", "M8[D]"), np.array("2020-01-01", "M8[D]")),
        (float("nan"), float("nan")),
        ({"a", "b"}, {"b", "a"}),
    ]
    for a, b in same:
        assert written(a) == written(b), (a, b)
    other = rows.copy()
    other[2, 3] += 1e-12
    differ = [
        (rows, other),
        (rows, rows.T),
        (rows, rows.astype("f4")),
        (rows, rows.reshape(4, 3)),
        (Numbered(3), Numbered(4)),
        (Numbered(rows), Numbered(other)),
        (len, max),
        (csr_array(rows), csr_array(other)),
        (1, True),
        (1, "1"),
        ({"a": rows}, {"a": other}),
        (networkx.path_graph(4), networkx.cycle_graph(4)),
        (networkx.path_graph(4), networkx.path_graph(4, networkx.DiGraph)),
        (np.array(["a", None]), np.array(["b", None])),
        ([1, [2]], [1, 2]),
        (None, 0),
    ]
    for a, b in differ:
        assert written(a) != written(b), (a, b)
    endless = Numbered(3)
    endless.value = [endless]
    assert written(endless) == written(endless)


def test_the_time_limit_of_tables_that_nobody_has_checked():
    assert stall_timeout(lambda: {"run": {"stall_timeout": 7}}) == 7.0
    for wrong in ("soon", -1, np.nan, None, True):
        assert stall_timeout(lambda wrong=wrong: {"run": {"stall_timeout": wrong}}) == 300.0
    for wrong in ({}, {"run": 3}, None):
        assert stall_timeout(lambda wrong=wrong: wrong) == 300.0


WITHOUT_COMM = (
    "import mpidbo\nfor _ in range(3):\n    mpidbo.solve('quadratic', agents=2, "
    "iterations=1)\nprint('done')"
)


def test_a_script_that_forgot_comm_is_warned_once(mpi, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(WITHOUT_COMM)
    done = mpi(2, [script])
    assert done.returncode == 0 and done.stdout.split() == ["done", "done"], done.stderr
    assert done.stderr.count("the launcher started 2 processes") == 1, done.stderr
    assert (
        "without comm= each of them solves the same by itself; to share the agents among them pass "
        "comm=MPI.COMM_WORLD"
    ) in done.stderr
    assert "script.py:3: UserWarning" in done.stderr
    alone = mpi(0, ["-W", "error", script])
    assert alone.returncode == 0 and alone.stderr == ""
