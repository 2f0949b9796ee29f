"""The scripts of examples/habits run, and do what their first lines say; docstrings with examples
do, too."""

import doctest
import runpy
from importlib import import_module

import pytest

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


@pytest.mark.parametrize("module", ["api", "result", "stepwise"])
def test_docstrings(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(import_module(f"mpidbo.solver.{module}"))
    assert found.attempted > 2 and not found.failed
