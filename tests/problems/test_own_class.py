"""A class given to `solve` is named in config.toml so that `mpidbo run` finds it again; where it
cannot be, a sentence says why."""

import subprocess
import sys
import textwrap
from importlib import import_module

import pytest

import mpidbo
from mpidbo.problems.lookup import name_of, problem_class
from mpidbo.problems.quadratic import Quadratic
from mpidbo.storage import files
from support import launch
from support.runs import run, same, toml

MODULE = '''
"""A problem of one's own."""
from mpidbo.problems.quadratic import Quadratic


class Own(Quadratic):
    class Inner(Quadratic):
        pass


Made = type("Hidden", (Quadratic,), {"__module__": __name__})


def local():
    class Local(Quadratic):
        pass
    return Local
'''


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def package(tmp_path, monkeypatch, request):
    """A folder with own_N.py and own_N/deep.py, N the test's: no other test has imported them."""
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / "project" / f"{name}_package").mkdir(parents=True)
    (tmp_path / "project" / f"{name}.py").write_text(MODULE)
    (tmp_path / "project" / f"{name}_package" / "__init__.py").write_text("")
    (tmp_path / "project" / f"{name}_package" / "base.py").write_text(MODULE)
    (tmp_path / "project" / f"{name}_package" / "deep.py").write_text(
        "from .base import Own\n\n\nclass Deep(Own):\n    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    return name


def solved(cls, tmp_path):
    mpidbo.solve(cls, agents=2, iterations=3, evaluate_every=1, out=tmp_path / "out")
    return (tmp_path / "out" / files.CONFIG).read_text()


@pytest.mark.parametrize("attribute", ["Own", "Own.Inner", "Made"])
def test_the_config_of_a_class_runs(attribute, package, tmp_path, monkeypatch):
    with monkeypatch.context() as there:
        there.syspath_prepend(tmp_path / "project")
        cls = problem_class(f"{package}:{attribute}")
        assert f'name = "{package}:{attribute}"' in solved(cls, tmp_path)
    monkeypatch.chdir(tmp_path / "project")
    run(tmp_path / "out" / files.CONFIG, tmp_path / "again")
    assert same(tmp_path / "out", tmp_path / "again")


@pytest.mark.parametrize("name", ["{}:Own", "{}_package.deep:Deep", "{}_package.base:Own.Inner"])
@pytest.mark.parametrize("where", ["working folder", "beside the config"])
def test_a_module_is_found(name, where, package, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    config = toml(
        folder if where == "beside the config" else tmp_path,
        {"problem.name": name.format(package), "run.agents": 2, "run.iterations": 2},
    )
    monkeypatch.chdir(folder if where == "working folder" else tmp_path)
    run(config, tmp_path / "out")


def test_a_shipped_class(tmp_path):
    assert 'name = "mpidbo.problems.quadratic:Quadratic"' in solved(Quadratic, tmp_path)
    run(tmp_path / "out" / files.CONFIG, tmp_path / "again")


SENTENCES = {
    "nowhere_at_all:Own": "no module nowhere_at_all is installed, nor in ",
    "os.nowhere:Own": "no module os.nowhere is installed",
    "{}_package.nowhere:Own": "_package.nowhere is installed",
    "{}:Onw": 'has no class "Onw"; did you mean Own?',
    "{}:local": 'has no class "local"',
    "__main__:Own": (
        "Own was defined in an interactive session; write it into a file, and name = "
        '"my_file.py:Own"'
    ),
    "{}:local.<locals>.Local": (
        "Local was defined inside of a function, where it cannot be found; define it at the top "
        "level"
    ),
    "broken_{}:Own": "line 1: ",
    "importing_{}:Own": (
        "imports nowhere_at_all, which is neither installed nor beside it; install it"
    ),
    "a.toml": '"a.toml" is a configuration, not a problem; run it by mpidbo run a.toml, or',
    "not a module:Own": 'no problem is called "not a module:Own"',
    "quadratic:": "no module quadratic is installed",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_module_that_is_not_found(name, package, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path / "project")
    (tmp_path / "project" / f"broken_{package}.py").write_text("class Own(:\n")
    (tmp_path / "project" / f"importing_{package}.py").write_text("import nowhere_at_all\n")
    config = toml(tmp_path, {"problem.name": name.format(package), "run.agents": 2})
    run(config, tmp_path / "out", code=2)
    printed = capsys.readouterr().err
    assert (
        printed.startswith("mpidbo: problem.name: ")
        and SENTENCES[name] in printed
        and printed.count("\n") == 1
    )
    assert not (tmp_path / "out").exists()


def test_a_class_that_no_config_can_name(package, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path / "project")
    text = solved(import_module(package).local(), tmp_path)
    assert text.startswith(
        "# mpidbo run cannot run this file: Local was defined inside of a function"
    )
    run(tmp_path / "out" / files.CONFIG, tmp_path / "again", code=2)
    assert "Local was defined inside of a function" in capsys.readouterr().err


SCRIPT = """
import sys
import mpidbo
from mpidbo.problems.quadratic import Quadratic


class Own(Quadratic):
    pass

if GUARD:
    mpidbo.solve(Own, agents=2, iterations=3, evaluate_every=1, out="out")
"""


@pytest.mark.parametrize("how", ["script", "module", "unguarded", "session"])
def test_a_class_of_the_program_itself(how, tmp_path, monkeypatch, capsys):
    code = textwrap.dedent(SCRIPT).replace(
        "GUARD", "True" if how == "unguarded" else '__name__ == "__main__"'
    )
    (tmp_path / "train.py").write_text(code)
    words = {
        "script": ["train.py"],
        "unguarded": ["train.py"],
        "module": ["-m", "train"],
        "session": ["-c", code],
    }[how]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=launch.environment({}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    config = tmp_path / "out" / files.CONFIG
    name = {"module": "train:Own", "session": "__main__:Own"}.get(
        how, f"{tmp_path / 'train.py'}:Own"
    )
    assert f'name = "{name}"' in config.read_text()
    monkeypatch.chdir(tmp_path)
    run(config, tmp_path / "again", code=0 if how in ("script", "module") else 2)
    if how == "unguarded":
        assert 'put the call below if __name__ == "__main__":' in capsys.readouterr().err
    sys.modules.pop("train", None)
    assert sorted(item.name for item in tmp_path.glob("out*")) == ["out"]


def test_names():
    assert (
        name_of(Quadratic) == "mpidbo.problems.quadratic:Quadratic"
        and problem_class(name_of(Quadratic)) is Quadratic
    )

    class Local(Quadratic):
        pass

    assert "<locals>" in name_of(Local)
