"""Paths in configurations: only what a problem declares as one is made absolute, and from the
right folder."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

import mpidbo
from mpidbo import cli
from mpidbo.errors import UserError
from mpidbo.problems.quadratic import Quadratic

OWN = """
import json
from pathlib import Path
from mpidbo.problems.quadratic import Quadratic

class Own(Quadratic):
    paths = ("table", "parts", "named")

    def __init__(
        self, agent, n_agents, *, table="", parts=(), named=None, dataset="", unit="",
        pieces=(), seen="", **more,
    ):
        super().__init__(agent, n_agents, **more)
        assert all(type(text) is str for text in (table, dataset, unit, *parts, *pieces))
        if agent == 0:
            found = {"table": table, "parts": list(parts), "named": named, "dataset": dataset,
                     "unit": unit, "pieces": list(pieces)}
            Path(seen or "seen.json").write_text(json.dumps(found))
"""
CONFIG = """
[problem]
name = "own.py:Own"
table = "set.csv"
parts = ["a.csv", "sub/b.csv", "/c.csv"]
named = { first = "~/d.csv", second = "https://host/e.csv" }
dataset = "org/name"
unit = "km/h"
pieces = ["f/g", "h"]
[run]
agents = 2
iterations = 2
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's folder, and another one to work in, where a file of the same name lies."""
    folder, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for place in (folder, elsewhere):
        place.mkdir()
        (place / "set.csv").write_text(place.name)
    (folder / "own.py").write_text(OWN)
    (folder / "own.toml").write_text(CONFIG)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", "/home/me")
    return folder


def seen(folder=Path()):
    import json

    return json.loads((folder / "seen.json").read_text())


def test_of_a_file(project):
    assert cli.main(["run", str(project / "own.toml")]) == 0
    assert seen() == {
        "table": f"{project}/set.csv",
        "parts": [f"{project}/a.csv", f"{project}/sub/b.csv", "/c.csv"],
        "named": {"first": "/home/me/d.csv", "second": "https://host/e.csv"},
        "dataset": "org/name",
        "unit": "km/h",
        "pieces": ["f/g", "h"],
    }


def test_of_set(project):
    assert (
        cli.main(
            [
                "run",
                str(project / "own.toml"),
                "--set",
                "problem.table=set.csv",
                "--set",
                "problem.unit=m/s",
                "--set",
                'problem.named={ third = "i.csv" }',
                "--set",
                "problem.parts=[]",
            ]
        )
        == 0
    )
    found, here = seen(), Path.cwd()
    assert (found["table"], found["unit"], found["parts"]) == (f"{here}/set.csv", "m/s", [])
    assert found["named"] == {
        "first": "/home/me/d.csv",
        "second": "https://host/e.csv",
        "third": f"{here}/i.csv",
    }


def test_of_solve_and_check(project):
    table = {
        "name": str(project / "own.py:Own"),
        "table": "set.csv",
        "dataset": "org/name",
        "parts": [Path("a.csv")],
    }
    mpidbo.solve(table, agents=2, iterations=1)
    assert (seen()["table"], seen()["dataset"], seen()["parts"]) == (
        f"{Path.cwd()}/set.csv",
        "org/name",
        [f"{Path.cwd()}/a.csv"],
    )
    assert (
        cli.main(
            [
                "check",
                str(project / "own.py:Own"),
                "--set",
                "table=set.csv",
                "--set",
                "dataset=org/name",
            ]
        )
        == 0
    )
    assert (seen()["table"], seen()["dataset"]) == (f"{Path.cwd()}/set.csv", "org/name")


def test_of_a_study(project):
    (project / "s.toml").write_text(
        '[study]\nmethods = ["sparkle", "d-soba"]\nseeds = 1\n'
        + CONFIG
        + "[tune]\niterations = 2\nbudget = 4\nsteps.alpha = [0.1, 0.2]\n"
    )
    for _ in range(2):
        assert cli.main(["compare", str(project / "s.toml"), "--out", "study"]) == 0
        assert (seen()["table"], seen()["unit"]) == (f"{project}/set.csv", "km/h")


def test_the_folder_of_a_run_can_be_run_from_anywhere(project, tmp_path, monkeypatch):
    assert cli.main(["run", str(project / "own.toml"), "--out", "run"]) == 0
    first, config = seen(), Path("run/config.toml").resolve()
    assert tomllib.loads(config.read_text())["problem"]["table"] == f"{project}/set.csv"
    assert cli.main(["run", str(project / "own.toml"), "--out", "run"]) == 0  # finished already
    (tmp_path / "third").mkdir()
    monkeypatch.chdir(tmp_path / "third")
    assert cli.main(["run", str(config), "--out", "run"]) == 0 and seen() == first


def test_a_class_that_declares_nothing(project):
    (project / "own.py").write_text(OWN.replace('paths = ("table", "parts", "named")', ""))
    assert cli.main(["run", str(project / "own.toml")]) == 0
    assert (seen()["table"], seen()["parts"]) == ("set.csv", ["a.csv", "sub/b.csv", "/c.csv"])


@pytest.mark.parametrize("paths", ["table", ("table", 3), None, 3])
def test_a_declaration_that_names_no_options(paths):
    class Odd(Quadratic):
        pass

    Odd.paths = paths
    with pytest.raises(
        UserError, match=r"problem Odd\.paths: .* does not name options; give a tuple"
    ):
        mpidbo.solve(Odd, agents=2, iterations=1)


def libsvm(rng, base=1, samples=60):
    return "".join(
        f"{label} "
        + " ".join(f"{i + base}:{value:.3f}" for i, value in enumerate(rng.standard_normal(4)))
        + "\n"
        for label in np.arange(samples) % 2
    )


def test_a_data_set_beside_its_configuration(project, capsys):
    pytest.importorskip("sklearn")
    text = (
        '[problem]\nname = "hyper-cleaning"\ndata = "set.svm"\n[run]\nagents = 2\niterations = 2\n'
    )
    (project / "one.toml").write_text(text)
    (Path("set.svm")).write_text(
        libsvm(np.random.default_rng(0))
    )  # in the working folder, another one
    assert cli.main(["run", str(project / "one.toml")]) == 2
    assert f"{project}/set.svm: " in capsys.readouterr().err
    (project / "set.svm").write_text(libsvm(np.random.default_rng(1)))
    Path("set.svm").unlink()
    assert cli.main(["run", str(project / "one.toml")]) == 0
    assert mpidbo.load("runs/one").config.problem["data"] == str(project / "set.svm")


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_a_name_of_a_data_set_comes_first(project, name):
    pytest.importorskip("sklearn")
    (project / "one.toml").write_text(
        f'[problem]\nname = "logistic-tuning"\ndata = "{name}"\n[run]\nagents = 2\niterations = 1\n'
    )
    (project / name).mkdir()
    assert cli.main(["run", str(project / "one.toml")]) == 0
    assert mpidbo.load("runs/one").config.problem["data"] == name
