"""Words and files that a command cannot use: what they are, and the command for them."""

import json
import shlex

import pytest

from mpidbo import cli
from mpidbo.problems import problems_in
from support import MPI, launch

FILE = """
import mpidbo as m
from mpidbo import Problem, from_jax

class _Shared(Problem):
    pass

class Ridge(_Shared):
    pass

class Lasso(m.Problem):
    pass

class Duck:
    def g_y(self, x, y, sample): ...

class Other:
    pass

net = m.from_torch(f, g, x0, y0, data)
jitted = from_jax(f, g, x0, y0, data)
raise SystemExit("it was executed")
"""
CALLS = "import mpidbo\nfor seed in range(3):\n    print(mpidbo.solve('quadratic', seed=seed))\n"
CONFIG = "[problem]\nname = 'quadratic'\n[run]\nagents = 3\niterations = 2\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("words")
    (path / "only").mkdir()
    (path / "empty").mkdir()
    for name, text in {
        "config.toml": CONFIG,
        "done.toml": CONFIG,
        "only/own.toml": CONFIG,
        "study.toml": CONFIG + "[study]\nmethods = ['sparkle', 'd-soba']\n",
        "penalties.py": FILE,
        "calls.py": CALLS,
        "both.py": FILE + CALLS,
        "a.ipynb": json.dumps({"cells": []}),
        "a.yaml": "problem:\n  name: quadratic\n",
    }.items():
        (path / name).write_text(text)
    assert cli.main(["run", str(path / "done.toml"), "--out", str(path / "runs" / "done")]) == 0
    return path


LINES = {
    # files
    "run study.toml": (
        "is a study, and run takes the configuration of one run; write mpidbo compare"
    ),
    "jobscript slurm study.toml": "write mpidbo compare study.toml",
    "compare config.toml": (
        "needs a section [study], see docs/studies.md; for one run write mpidbo run"
    ),
    "compare runs/done": "runs/done: is a folder, and compare takes a study in TOML",
    "run calls.py": (
        "is a Python file, and run takes a configuration in TOML; run it by python calls.py"
    ),
    "run both.py": "run it by python both.py, write a configuration with [problem] name =",
    "run penalties.py": (
        '; write a configuration with [problem] name = "penalties.py:Ridge" or check the problem '
        "by mpidbo check penalties.py:Ridge"
    ),
    "compare penalties.py": "is a Python file, and compare takes a study in TOML",
    "show calls.py": "is a Python file, and show takes the folder of a run",
    "plot a.ipynb": "is a notebook, and plot takes the folder of a run; open it in Jupyter",
    "run a.ipynb": "is a notebook, and run takes a configuration in TOML; open it in Jupyter",
    "run a.yaml": "is YAML, and run takes a configuration in TOML; write the same keys as TOML",
    "run only": (
        "is a folder, and run takes a configuration in TOML; write mpidbo run only/own.toml"
    ),
    "run empty": "is a folder, and run takes a configuration in TOML; give a file",
    "run runs/done": (
        "is the folder of a run, and run takes a configuration in TOML; look at it by mpidbo show "
        "runs/done, or resume it by mpidbo run runs/done/config.toml --out runs/done"
    ),
    "run runs/done/result.h5": (
        "is a file with results, and run takes a configuration in TOML; write"
    ),
    "run configs.toml": "configs.toml: no such file; did you mean config.toml?",
    "run studies": "studies: no such file; did you mean study.toml?",
    "run Hyper_Cleaning": "is a problem, and run takes a configuration in TOML; write",
    "show done.toml": (
        "is a configuration, and show takes the folder of a run; write mpidbo show runs/done"
    ),
    "plot config.toml": (
        "is a configuration that has not been run, and plot takes the folder of a run"
    ),
    "show study.toml": (
        "is a study, and show takes the folder of a run; write mpidbo compare study.toml"
    ),
    "show runs": (
        "is a folder with runs, and show takes the folder of a run; write mpidbo show runs/done"
    ),
    "plot done": "done: no such folder; write mpidbo plot runs/done",
    "show .": "holds no run",
    "check penalties.py": (
        "is a file, and check takes a problem in it; write mpidbo check penalties.py:Ridge, mpidbo "
        "check penalties.py:Lasso or mpidbo check penalties.py:Duck"
    ),
    "check calls.py": "has no problem at its top level; define a class of mpidbo.Problem there",
    "check config.toml": (
        "is a configuration, and check takes a problem; write mpidbo check quadratic"
    ),
    "check Sparkle_ED": "is a method, and check takes a problem; write mpidbo methods sparkle-ed",
    "check torus": "is a topology, and check takes a problem; write mpidbo topology torus -n 8",
    "check penalties": "write penalties.py:Ridge or penalties.py:Lasso",
    "run config.toml --set problem.name=calls.py": "calls.py names no class; write",
    "run config.toml --set problem.name=penalties.py": "/penalties.py:Ridge or ",
    # processes
    "run config.toml -n 4": "write mpiexec -n 4 mpidbo run config.toml (",
    "run -np 3 config.toml": "write mpiexec -n 3 mpidbo run config.toml (",
    "run config.toml --np=5 --set run.seed=3": (
        "write mpiexec -n 5 mpidbo run config.toml --set run."
    ),
    "run -n12 config.toml": "write mpiexec -n 12 mpidbo run config.toml (",
    "compare study.toml --ntasks 2": "write mpiexec -n 2 mpidbo compare study.toml (",
    "run config.toml -n": "write mpiexec -n 4 mpidbo run config.toml (",
    # options
    "run config.toml --iterations 5": (
        "no option is called --iterations; write --set run.iterations=5"
    ),
    "run --lr=0.3 config.toml": "write --set steps.alpha=0.3",
    "where config.toml --max-iter 7": "write --set run.iterations=7",
    "run config.toml --outt x": "no option is called --outt; did you mean --out?",
    "plot runs/done --metrics f": "no option is called --metrics; did you mean --metric?",
    "show runs/done --zzz": "no option is called --zzz; see mpidbo show --help",
    "run config.toml other.toml": (
        'run: "other.toml" is one argument too many; see mpidbo run --help'
    ),
    "run config.toml --device gpu": "write --set run.device=cuda",
    "run config.toml --steps auto": "write --set steps=auto",
    "run config.toml --precision=double": "write --set run.dtype=float64",
    # values without --set
    "run config.toml iterations=5": (
        'run: "iterations=5" is one argument too many; values are set by --set: write '
        "--set run.iterations=5\n"
    ),
    "where config.toml run.iterations=5": "write --set run.iterations=5\n",
    "run config.toml topology.upper.name=star": "write --set topology.upper.name=star\n",
    "run config.toml device=gpu": "write --set run.device=cuda\n",
    "run config.toml lr=0.1": "write --set steps.alpha=0.1\n",
    "run config.toml zzz=1": "write --set SECTION.zzz=1\n",
    "check quadratic noise=0.1": "write --set noise=0.1\n",
    "show runs/done noise=0.1": '"noise=0.1" is one argument too many; see mpidbo show --help',
    # what is printed
    "run config.toml --quiet": (
        "run: no option is called --quiet; write what it prints to a file: mpidbo run ... > run.log"
    ),
    "check quadratic -q": "check: no option is called -q; write what it prints to a file: mpidbo c",
    "run config.toml --verbose": "a run prints a line at each evaluation (more of them: --set run.",
    "run config.toml --log-level=DEBUG": "no option is called --log-level; a run prints a line at",
    "run config.toml --Progress_Bar": "a run shows a bar on a terminal and prints lines elsewhere",
    "show runs/done --verbose": "no option is called --verbose; without it, show prints all that",
    # commands
    "train config.toml": "train: no such command; it is mpidbo run config.toml",
    "Resume config.toml": "Resume: no such command; it is mpidbo run config.toml",
    "RUN config.toml": "RUN: no such command; it is mpidbo run config.toml",
    "status runs/done": "status: no such command; it is mpidbo show runs/done",
    "topologies ring -n 4": "it is mpidbo topology ring -n 4",
    "list": "list: no such command; methods, topology, check and data list",
    "help": "help: no such command; it is mpidbo --help",
    "compar study.toml": "compar: no such command; did you mean compare?",
    "zzz": "zzz: no such command; known: run, new, ",
    "config.toml": "config.toml: a file is not a command; write mpidbo run config.toml",
    "runs/done": "runs/done: a file is not a command; write mpidbo show runs/done",
}


@pytest.mark.parametrize("line", LINES)
def test_a_sentence(line, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert cli.main(shlex.split(line)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("mpidbo: ") and err.count("\n") == 1
    assert LINES[line] in err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_the_sentence_names_a_command_that_works(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    for line in ("show done.toml", "run runs/done", "status runs/done"):
        cli.main(shlex.split(line))
        command = capsys.readouterr().err.rpartition("mpidbo ")[2]
        assert cli.main(shlex.split(command)) == 0
        capsys.readouterr()


def test_problems_are_found_without_execution(folder, tmp_path):
    assert problems_in(folder / "penalties.py") == ["Ridge", "Lasso", "Duck", "net", "jitted"]
    (tmp_path / "broken.py").write_text("class Own(:\n")
    assert problems_in(tmp_path / "broken.py") == problems_in(tmp_path / "none.py") == []


def test_one_rank_speaks(mpi, folder):
    done = mpi(3, ["-m", "mpidbo", "train", "config.toml"], cwd=folder)
    assert done.returncode == 2
    printed = [text for text in done.stderr.splitlines() if text.startswith("mpidbo: ")]
    assert len(printed) == 1, done.stderr
    lines = ("run study.toml", "run config.toml -n 2", "run --zzz 1")
    (folder / "cases.json").write_text(json.dumps([line.split() for line in lines]))
    done = mpi(3, [MPI / "ranks_mistakes.py", "cases.json"], cwd=folder)
    assert done.returncode == 0, done.stderr
    for answer in json.loads((folder / "answers.json").read_text()):
        assert answer["codes"] == [2, 2, 2]
        assert sum(text.count("mpidbo: ") for text in answer["printed"]) == 1, answer


def test_unknown_words_import_little():
    code = (
        "import sys; from mpidbo import cli; cli.main(['train']); "
        "print([name for name in ('numpy', 'h5py', 'scipy') if name in sys.modules])"
    )
    assert launch.mpirun(None, ["-c", code]).stdout.endswith("[]\n")
