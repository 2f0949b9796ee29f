"""Step sizes that are functions of k."""

import logging

import numpy as np
import pytest

import mpidbo
from mpidbo import cli

RUN = {"problem": "quadratic", "agents": 2, "iterations": 20, "evaluate_every": 10}


def halved(k):
    return np.float32(0.25) if k < 8 else 0.125


def other(k):
    return 0.25


TABLE = {"kind": "piecewise", "values": [0.25, 0.125], "boundaries": [8]}


class Decaying:
    def __call__(self, k):
        return 0.1 / (1 + k)


def test_a_function_is_as_good_as_a_table():
    expected = mpidbo.solve(**RUN, steps={"alpha": TABLE})
    result = mpidbo.solve(**RUN, steps={"alpha": halved})
    assert np.array_equal(result.x, expected.x)
    assert result.config.tables()["steps"]["alpha"] == {
        "kind": "function",
        "name": "solver.test_functions:halved" if "." in __name__ else f"{__name__}:halved",
    }
    again = mpidbo.solve(**RUN, steps={"alpha": Decaying(), "theta": lambda k: 1 / (k + 1)})
    assert again.config.tables()["steps"]["alpha"]["name"].endswith(":Decaying")
    method = {"name": "sun-dsbo", "mu": lambda k: 0.5}
    constant = mpidbo.solve(**RUN, method={"name": "sun-dsbo", "mu": 0.5})
    assert np.array_equal(mpidbo.solve(**RUN, method=method).x, constant.x)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda k: "a", r"steps\.alpha: .*<lambda>\(0\) is not a number"),
        (lambda: 1, r"steps\.alpha: .*<lambda>\(0\) is not a number .*takes 0 positional"),
        (lambda k: -1, r"steps\.alpha: .*<lambda>\(0\): -1.0 is out of range; give at least 0"),
        (lambda k: np.nan, r"steps\.alpha: .*<lambda>\(0\): NaN is not a finite number"),
        (None, None),
    ],
)
def test_mistakes(function, message):
    if function is None:
        assert mpidbo.solve(**RUN, steps={"alpha": None}).nit == 20
        return
    with pytest.raises(mpidbo.UserError, match=message):
        mpidbo.solve(**RUN, steps={"alpha": function})
    with pytest.raises(mpidbo.UserError, match=r"steps\.theta: 2"):
        mpidbo.solve(**RUN, method="gossip-dsbo", steps={"theta": lambda k: 2.0})


def test_a_folder_has_its_name(tmp_path, caplog, capsys):
    run = {**RUN, "steps": {"alpha": halved}, "out": tmp_path / "out"}
    with caplog.at_level(logging.WARNING, "mpidbo"):
        result = mpidbo.solve(**run)
    (sentence,) = [text for text in caplog.messages if "steps.alpha" in text]
    assert "halved of Python" in sentence and "a restart cannot tell it from another" in sentence
    again = mpidbo.solve(**run, resume="auto")
    assert np.array_equal(again.x, result.x) and again.config.steps["alpha"](9) == 0.125
    longer = mpidbo.solve(**{**run, "iterations": 30}, resume="auto")
    assert np.array_equal(longer.x, mpidbo.solve(**{**run, "iterations": 30, "out": None}).x)
    with pytest.raises(mpidbo.UserError, match=r"holds another run, which differs in steps\.alpha"):
        mpidbo.solve(**{**run, "steps": {"alpha": other}}, resume="auto")
    config = tmp_path / "out" / "config.toml"
    assert config.read_text().startswith("# mpidbo run cannot run this file: steps.alpha is the")
    assert cli.main(["run", str(config)]) == 2
    assert "steps.alpha: was the function" in (printed := capsys.readouterr().err)
    assert "which a configuration cannot hold; give a number" in printed
    assert mpidbo.load(tmp_path / "out").iteration == 30


SCRIPT = """
import sys
from mpi4py import MPI
import mpidbo

def mine(k):
    return 0.25

def theirs(k):
    return 0.25

comm = MPI.COMM_WORLD
mpidbo.solve("quadratic", agents=2, iterations=5, comm=comm, steps={"alpha": mine})
function = theirs if comm.rank else mine
mpidbo.solve("quadratic", agents=2, iterations=5, comm=comm, steps={"alpha": function})
"""


@pytest.mark.slow
def test_ranks_have_the_same_function(mpi, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = mpi(2, [tmp_path / "script.py"])
    assert done.returncode != 0 and "ranks disagree: steps.alpha.name" in done.stderr, done.stderr
