"""The scripts of examples/habits run, and do what their first lines say; docstrings with examples
do, too."""

import doctest
import inspect
import runpy
from importlib import import_module

import pytest

import mpidbo
from support import ROOT

SAID = {
    "scipy_minimize": "False stopped by the callback",
    "lightning_trainer": "distance has not improved by more than 0.001 for 5 evaluations",
    "own_loop": "(8, 5) stopped by the caller",
}


def test_all_are_run():
    assert {path.stem for path in (ROOT / "examples" / "habits").iterdir()} == set(SAID)


@pytest.mark.parametrize("name", SAID)
def test_scripts(name, tmp_path, monkeypatch, capsys):
    path = ROOT / "examples" / "habits" / f"{name}.py"
    code = path.read_text(encoding="utf-8").split('"""', 2)[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 14
    monkeypatch.chdir(tmp_path)
    for _ in range(2 if name == "lightning_trainer" else 1):  # the second time it has finished
        runpy.run_path(str(path))
        assert SAID[name] in capsys.readouterr().out


@pytest.mark.parametrize(
    "module",
    [
        "problems.base",
        "problems.data.subsets",
        "solver.api",
        "solver.result",
        "solver.stepwise",
        "storage.saved",
        pytest.param("problems.autodiff.losses", marks=[pytest.mark.torch, pytest.mark.jax]),
    ],
)
def test_docstrings(module, tmp_path, monkeypatch):
    if module == "problems.autodiff.losses":
        pytest.importorskip("torch")
        pytest.importorskip("jax")
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(import_module(f"mpidbo.{module}"))
    assert found.attempted > 2 and not found.failed


def test_each_function_has_an_example():
    """Of the API, in its docstring or in those of its methods."""
    named = [getattr(mpidbo, name) for name in mpidbo.__all__ if name != "__version__"]
    used = [thing for thing in named if not isinstance(thing, type) or thing is mpidbo.Problem]
    without = [thing for thing in used if ">>>" not in (inspect.getdoc(thing) or "")]
    assert len(used) > 6 and without == []
