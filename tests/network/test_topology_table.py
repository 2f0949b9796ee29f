"""Every key of `[topology]` is checked with the configuration, whether a graph is made from it
or not."""

import subprocess
import sys

import pytest

import mpidbo
from mpidbo import cli
from mpidbo.algorithms import METHODS
from mpidbo.config import check
from mpidbo.errors import UserError
from mpidbo.network import TOPOLOGIES

RING, STAR = {"name": "ring"}, {"name": "star"}
BOTH = {"upper": RING, "lower": STAR}

REFUSED = [
    ("soba", {"name": "W.npy"}, r'topology\.name: .*a file is file = "W\.npy"'),
    (
        "soba",
        {"edges": [[0, 1], [1]]},
        r"topology\.edges: \[\[0, 1\], \[1\]\] does not fit; give pairs",
    ),
    ("soba", {"edges": [[0, 1], [1, 2, 0.5]]}, r"topology\.edges: .*does not fit"),
    ("soba", {"edges": [[0, -1]]}, r"topology\.edges: .*does not fit"),
    ("soba", {"edges": [[0, 0.5]]}, r"topology\.edges: .*does not fit"),
    ("soba", {"edges": [[0, 2**70]]}, r"topology\.edges: .*out of range"),
    ("soba", {"edges": "W.npy"}, r'topology\.edges: "W\.npy" does not fit'),
    ("soba", {"edges": [[0, 1]], "p": 0.5}, r"topology\.p: unknown key of edges"),
    ("sparkle", {"name": "ring", "edges": [[0, 1]]}, "either a name or a file"),
    ("soba", {"name": "rnig"}, r'topology\.name: .*"rnig"; did you mean ring'),
    (
        "soba",
        {"name": "ring", "lasy": True},
        r"topology\.lasy: unknown key of ring; did you mean lazy",
    ),
    ("soba", {"lazy": 1}, r"topology\.lazy: 1 is not true or false"),
    ("soba", {"drop": 0.5}, r"topology\.drop: centralized averages"),
    ("soba", {"name": "ring", "file": "W.npy"}, "either a name or a file"),
    (
        "soba",
        {"lower": {"name": "star", "drop": 0.5}},
        r"topology\.lower\.drop: centralized averages",
    ),
    ("soba", {"upper": {"name": "satr"}}, r"topology\.upper\.name: .*did you mean star"),
    (
        "lopa",
        {"lower": STAR},
        r"topology\.lower: has no effect, since lopa sends nothing at that level",
    ),
    ("lopa", {"lower": {"name": "rnig"}}, r"topology\.lower\.name: .*did you mean ring"),
    (
        "lopa",
        {"upper": STAR, "lazy": False},
        r"topology\.lazy: has no effect, since \[topology\.upper\] replaces all",
    ),
    ("lopa", {"upper": STAR, "name": "grid"}, r"topology\.name: has no effect"),
    ("dsgd", {**BOTH}, r"topology\.lower: has no effect, since dsgd"),
    ("single-level", {"lower": RING}, r"topology\.lower: has no effect"),
    (
        "sparkle",
        {**BOTH, "drop": 0.5},
        (
            r"topology\.drop: has no effect, since \[topology\.upper\] and \[topology\.lower\] "
            r"replace all"
        ),
    ),
    ("sparkle", {**BOTH, "dorp": 0.5}, r"topology\.dorp: has no effect"),
    ("sparkle", {**BOTH, "name": "ring"}, r"topology\.name: has no effect"),
    ("sparkle", {**BOTH, "name": "grid", "shape": [2, 2]}, r"topology\.name: has no effect"),
    (
        "sparkle",
        {"upper": RING, "lower": {"name": "ring", "p": 0.5}},
        r"topology\.lower\.p: unknown key of ring",
    ),
    (
        "sparkle",
        {"upper": {"lazy": True}},
        r"topology\.upper\.name: a topology has either a name or a file",
    ),
    ("sparkle", {"upper": "ring"}, r'topology\.upper: "ring" is not a table'),
    ("sparkle", {"upper": {"upper": RING, "name": "ring"}}, r"topology\.upper\.upper: unknown key"),
    ("sparkle", {"uper": RING}, r"topology\.uper: unknown key of ring"),
    ("sparkle", {"name": ["ring"]}, r'topology\.name: no topology is called \["ring"\]'),
    (
        "sparkle",
        {"name": "exponential", "directed": "yes"},
        r'topology\.directed: "yes" is not true or false',
    ),
    ("sparkle", {"name": "x" * 5000}, r'no topology is called "x+\.\.\.x+"; '),
    (
        "sparkle",
        {"name": "ring", "weights": ["uniform"]},
        r'topology\.weights: \["uniform"\] is none of',
    ),
    ("sparkle", {"name": "erdos-renyi", "seed": 10**5000, "p": -1}, r"topology\.seed|topology\.p"),
]


@pytest.mark.parametrize(("method", "topology", "words"), REFUSED, ids=range(len(REFUSED)))
def test_refused(method, topology, words):
    with pytest.raises(UserError, match=words) as refused:
        check({"problem": {"name": "quadratic"}, "method": {"name": method}, "topology": topology})
    assert len(str(refused.value)) < 500
    with pytest.raises(UserError, match=words):
        mpidbo.solve("quadratic", method=method, topology=topology, agents=4, iterations=1)


def test_a_level_whose_strategy_is_centralized():
    tables = {
        "problem": {"name": "quadratic"},
        "method": {"name": "sparkle", "upper": "centralized"},
    }
    assert check({**tables, "topology": {"name": "star", "lower": RING}})
    assert check({**tables, "topology": {"upper": STAR}})
    with pytest.raises(UserError, match=r"topology\.drop: centralized"):
        check({**tables, "topology": {"drop": 0.1, "lower": RING}})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("topology", [{}, STAR, {"lazy": False}, {"upper": STAR}, BOTH], ids=str)
def test_what_is_resolved_is_taken_again(method, topology):
    tables = {"problem": {"name": "quadratic"}, "method": {"name": method}, "topology": topology}
    try:
        once = check(tables)
    except UserError as refused:
        assert "has no effect" in str(refused) and topology.keys() & {"upper", "lower"}
        return
    assert check(once.tables()).tables() == once.tables()


KEYS = {
    "nme = 'star'": "topology.nme: unknown key of ring; did you mean name?",
    "name = 'rnig'": 'topology.name: no topology is called "rnig"; did you mean ring?',
    "name = 'erdos-renyi'\np = 2": "topology.p: 2 is out of range; give at least 0 and at most 1",
    "upper.name = 'star'\nupper.lasy = true": "topology.upper.lasy: unknown key of star",
}


@pytest.mark.parametrize("command", ["run", "where", "jobscript slurm", "compare"])
@pytest.mark.parametrize("method", ["sparkle", "soba"])
@pytest.mark.parametrize("keys", KEYS, ids=range(len(KEYS)))
def test_every_command_refuses(command, method, keys, tmp_path, capsys):
    """Whether the method makes a graph, as sparkle does, or averages over all agents, as soba
    does."""
    study = f"[study]\nmethods = ['{method}']\n" if command == "compare" else ""
    text = f"{study}[method]\nname = '{method}'\n[problem]\nname = 'quadratic'\n[topology]\n{keys}"
    (tmp_path / "one.toml").write_text(text)
    assert cli.main([*command.split(), str(tmp_path / "one.toml")]) == 2
    assert KEYS[keys] in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["one.toml"]


def test_a_study_refuses(tmp_path, capsys):
    (tmp_path / "s.toml").write_text(
        '[study]\nmethods = ["sparkle", "lopa"]\n[problem]\nname = "quadratic"\n'
        '[topology.lower]\nname = "star"\n'
    )
    assert cli.main(["compare", str(tmp_path / "s.toml")]) == 2
    assert "study: lopa on topologies: topology.lower: has no effect" in capsys.readouterr().err


def test_a_graph_of_ones_own_without_a_rule(monkeypatch):
    def own(n, *, knots=3):
        return TOPOLOGIES["ring"](n)

    monkeypatch.setitem(TOPOLOGIES, "own", own)
    result = mpidbo.solve("quadratic", topology={"name": "own", "knots": 4}, agents=4, iterations=1)
    assert result.config.topology == {"name": "own", "knots": 4}


def test_checking_needs_no_networkx():
    code = (
        "import sys\nfrom mpidbo.config import check\n"
        "check({'problem': {'name': 'quadratic'}, 'topology': {'name': 'erdos-renyi', 'p': 0.3}})\n"
        "assert 'networkx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
