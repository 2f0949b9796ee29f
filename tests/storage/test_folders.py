"""A run's folder: nothing but a run is renamed or resumed, wherever the project lies; a finished
run is seen before it is made."""

import re
import shutil
import textwrap

import numpy as np
import pytest

import mpidbo
from mpidbo import cli
from mpidbo.problems.quadratic import Quadratic
from mpidbo.storage import files, lock, read_arrays
from mpidbo.storage.folder import stored_run
from support import DATA, launch
from support.archives import unpack
from support.runs import QUADRATIC, kept, run, same, toml

OLD = DATA / "run_of_version_0.1.0.tar.gz"
"""A project with a finished run, written before folders were locked and markers held a digest."""


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)


@pytest.fixture
def path(tmp_path):
    return toml(tmp_path, {**QUADRATIC, "run.iterations": 10})


def names(folder):
    return sorted(item.name for item in folder.iterdir())


# what may be renamed

SETTLED = {
    "notes": ["notes.txt"],
    "a script": ["train.py"],
    "another's config": ["config.toml"],
    "a project of another program": ["config.toml", "checkpoints/last.pt", "train.py"],
    "results without a config": ["result.h5"],
    "a hidden file": [".git/HEAD"],
    "a damaged config": ["config.toml", "notes.txt"],
}


@pytest.mark.parametrize("resume", ["auto", "never"])
@pytest.mark.parametrize("what", SETTLED)
def test_a_folder_of_somebody_else_is_left_alone(what, resume, path, tmp_path, capsys):
    out = tmp_path / "mine"
    for name in SETTLED[what]:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("[run\n" if what == "a damaged config" else "[run]\nseed = 3\n")
    before = sorted(out.rglob("*"))
    run(path, out, "--resume", resume, code=2)
    printed = capsys.readouterr().err
    assert str(out) in printed and "Traceback" not in printed and "choose another folder" in printed
    with pytest.raises(mpidbo.UserError, match="choose another folder"):
        mpidbo.solve("quadratic", agents=2, iterations=1, out=out)
    assert sorted(out.rglob("*")) == before and not (tmp_path / "mine.1").exists()


def test_the_working_folder_is_not_renamed(path, tmp_path, monkeypatch, capsys):
    here = tmp_path / "here"
    here.mkdir()
    (here / "train.py").write_text("")
    monkeypatch.chdir(here)
    for out in (".", str(here), "../here"):
        for resume in ("auto", "never"):
            run(path, out, "--resume", resume, code=2)
        with pytest.raises(mpidbo.UserError, match="holds no run"):
            mpidbo.solve("quadratic", agents=2, iterations=1, out=out)
    assert names(here) == ["train.py"] and names(tmp_path) == ["a.toml", "here"]
    (here / "train.py").unlink()
    run(path, ".")  # empty: it may be used, and resumed from inside
    run(path, ".")
    assert "already finished" in capsys.readouterr().out
    (here / "checkpoints" / "deeper").mkdir()
    monkeypatch.chdir(here / "checkpoints" / "deeper")
    run(path, here, "--resume", "never", code=2)
    assert (
        "is the working folder or holds it" in capsys.readouterr().err
        and (here / files.DONE).exists()
    )


def test_a_run_with_files_of_the_user_is_resumed_and_not_renamed(path, tmp_path, capsys):
    out = tmp_path / "out"
    run(path, out, run__iterations=5)
    (out / "paper.tex").write_text("mine")
    run(path, out)
    run(path, out, "--resume", "never", code=2)
    assert "paper.tex" in capsys.readouterr().err and names(tmp_path) == ["a.toml", "out"]
    (out / "paper.tex").unlink()
    assert cli.main(["plot", str(out)]) == 0  # what mpidbo itself puts there is no obstacle
    run(path, out, "--resume", "never")
    assert (
        "now" in capsys.readouterr().out
        and (tmp_path / "out.1" / "curves.png").exists()
        and kept(out) == [7, 10]
    )


@pytest.mark.parametrize(
    ("code", "sets"),
    [(85, {"run__max_seconds": 0.0}), (3, {"steps__alpha": 1e6, "run__iterations": 400}), (0, {})],
)
def test_however_a_run_ended_its_folder_is_a_runs(code, sets, path, tmp_path):
    run(path, tmp_path / "out", code=code, **sets)
    assert stored_run(tmp_path / "out").others == ()
    run(path, tmp_path / "out", "--resume", "never")
    assert (tmp_path / "out.1" / files.CONFIG).exists() and lock.LOCK not in names(
        tmp_path / "out.1"
    )


@pytest.mark.parametrize("words", [["--out", ""], ["--set", "run.out="], ["--set", 'run.out=" "']])
def test_an_empty_name(words, path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", str(path), *words]) == 2
    assert "names no folder" in capsys.readouterr().err and names(tmp_path) == ["a.toml"]


def test_an_empty_name_in_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(mpidbo.UserError, match=r'run\.out: "" names no folder'):
        mpidbo.solve("quadratic", agents=2, iterations=1, out="")
    assert names(tmp_path) == []


class Loose(Quadratic):
    """Takes options of any type."""

    def __init__(self, agent, n_agents, *, data, **options):
        super().__init__(agent, n_agents, **options)


def test_solve_says_what_it_renames(tmp_path):
    for aside in ("out.1", "out.2"):
        mpidbo.solve("quadratic", agents=2, iterations=1, out=tmp_path / "fresh")
        shutil.move(tmp_path / "fresh", tmp_path / "out") if aside == "out.1" else shutil.rmtree(
            tmp_path / "fresh"
        )
        with pytest.warns(UserWarning, match=rf"out held a run, and is now .*{aside}"):
            mpidbo.solve("quadratic", agents=2, iterations=1, out=tmp_path / "out")
    with pytest.raises(mpidbo.UserError, match="not what config"):
        mpidbo.solve(
            {"name": Loose, "data": np.zeros(3)}, agents=2, iterations=1, out=tmp_path / "out"
        )
    assert names(tmp_path) == ["out", "out.1", "out.2"]


# what a kill leaves

LEFT = {
    "an empty folder": [],
    "half a config": [".config.toml.part"],
    "half of anything": [".history.h5.part", ".done.part"],
    "a lock": [".lock"],
    "notes of a stall": ["stall/rank-1.json", ".lock"],
    "a lock and more": [".lock", ".config.toml.part"],
    "an open file on NFS": [".nfs0000001"],
}


@pytest.mark.parametrize("resume", ["auto", "never"])
@pytest.mark.parametrize("what", LEFT)
def test_what_a_kill_leaves_is_taken(what, resume, path, tmp_path, monkeypatch):
    monkeypatch.setattr("mpidbo.storage.lock.DEAD_UNNAMED_S", 0.0)
    out = tmp_path / "out"
    out.mkdir()
    for name in LEFT[what]:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("")
    run(path, out, "--resume", resume)
    assert (out / files.DONE).exists() and not [
        name for name in names(out) if name.endswith(".part") or name == ".lock"
    ]


KILLED = """
import os, sys
from mpidbo import cli; from mpidbo.storage import files
usual = os.replace
def replace(a, b):
    if str(b).endswith(sys.argv[1]):
        os.kill(os.getpid(), 9)
    usual(a, b)
os.replace = replace
cli.main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    "file",
    [
        "config.toml",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("manifest.json", "history.h5", "result.h5", "done")
        ),
    ],
)
def test_killed_before_a_file_is_there(file, path, tmp_path):
    out = tmp_path / "out"
    done = launch.mpirun(None, ["-c", KILLED, file, "run", path, "--out", out])
    assert done.returncode == -9 and any(out.rglob(f".{file}.part")), done.stderr
    run(path, out)
    run(path, tmp_path / "whole")
    assert same(tmp_path / "whole", out)


# another run's files


def test_a_checkpoint_of_another_run_is_refused(path, tmp_path, capsys):
    """As two processes of an earlier version left it: the config of one, the checkpoints of the
    other."""
    a, b = tmp_path / "a", tmp_path / "b"
    run(path, a, run__seed=1)
    run(path, b, run__iterations=0)
    shutil.rmtree(b / "checkpoints")
    shutil.copytree(a / "checkpoints", b / "checkpoints")
    (b / files.DONE).unlink()
    run(path, b, code=2)
    printed = capsys.readouterr().err
    assert (
        "of another run, which differs in run.seed (run.seed: 1 there, 0 here)" in printed
        and kept(b) == [7, 10]
    )


@pytest.mark.parametrize("file", [files.DONE, files.RESULT])
def test_a_result_of_another_run_is_not_this_ones(file, path, tmp_path, capsys):
    a, b = tmp_path / "a", tmp_path / "b"
    run(path, a, run__seed=1)
    run(path, b)
    shutil.copy(a / file, b / file)
    run(path, b, code=2)
    assert f"holds the {files.DONE} or {files.RESULT} of another run" in capsys.readouterr().err
    run(path, b, "--resume", "never")


def test_both_values_are_named(path, tmp_path, capsys):
    run(path, tmp_path / "out", run__seed=3, problem__noise=0.1)
    run(path, tmp_path / "out", run__seed=4, problem__noise=0.2, steps__beta=0.07, code=2)
    printed = capsys.readouterr().err
    assert "which differs in problem.noise, run.seed, steps.beta; " in printed
    assert "(problem.noise: 0.1 there, 0.2 here; run.seed: 3 there, 4 here; steps.beta: " in printed
    run(path, tmp_path / "out", "--set", f"problem.name={'long' * 2000}:Name", code=2)
    assert len(capsys.readouterr().err) < 9000


# the project lies elsewhere


@pytest.fixture
def project(tmp_path):
    """A project of an earlier version, unpacked where it was not made."""
    unpack(OLD, tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


def go(project, *words, code=0):
    return run(project / "old.toml", project / "runs" / "old", *words, code=code)


def test_a_run_of_an_earlier_version_is_recognised(project, capsys):
    before = (project / "runs" / "old" / files.DONE).read_text()
    go(project)
    assert "already finished" in capsys.readouterr().out and before == "8\n"
    assert (project / "runs" / "old" / files.DONE).read_text() == before


def test_a_run_of_an_earlier_version_is_resumed(project, capsys):
    go(project, "--set", "run.iterations=20")
    assert "resuming from iteration 8" in capsys.readouterr().out
    run(project / "old.toml", project / "whole", run__iterations=20)
    found, _ = read_arrays(project / "runs" / "old" / files.RESULT)
    whole, _ = read_arrays(project / "whole" / files.RESULT)
    assert all(
        np.allclose(found[name], whole[name], rtol=1e-12) for name in "xyz"
    )  # made on another processor
    go(project, "--set", "run.iterations=20")
    assert "already finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("run.seed=1", "run.seed"),
        ("steps.alpha=0.2", "steps.alpha"),
        ("problem.shift=2.0", "problem.shift"),
    ],
)
def test_a_run_of_an_earlier_version_is_told_from_another(override, key, project, capsys):
    go(project, "--set", override, code=2)
    assert f"differs in {key}; " in capsys.readouterr().err


@pytest.fixture
def moved(tmp_path, project):
    """A function: the project run in one folder, copied to another, and that one."""

    def move(iterations=6, **overrides):
        shutil.rmtree(project / "runs")
        go(
            project,
            "--set",
            f"run.iterations={iterations}",
            *(f"--set={key}={value}" for key, value in overrides.items()),
        )
        shutil.copytree(project, tmp_path / "copy" / "deep")
        shutil.rmtree(project)
        return tmp_path / "copy" / "deep"

    return move


def test_a_copied_project_is_the_same_run(moved, capsys):
    project = moved()
    go(project, "--set", "run.iterations=6")
    assert "already finished" in capsys.readouterr().out
    go(project)
    assert "resuming from iteration 6" in capsys.readouterr().out
    assert str(project / "mine.py") in (project / "runs" / "old" / files.CONFIG).read_text()


def change(project):
    file = project / "mine.py"
    file.write_text(file.read_text().replace("x - self.c", "x - 2 * self.c"))


@pytest.mark.parametrize("iterations", [6, 8])
def test_another_content_of_the_problem_is_another_run(iterations, moved, capsys):
    """Both where it has finished and where it would be resumed."""
    project = moved()
    original = (project / "mine.py").read_text()
    change(project)
    go(project, "--set", f"run.iterations={iterations}", code=2)
    printed = capsys.readouterr().err
    assert "differs in problem.name" in printed and printed.count("mine:Mine with SHA-256 ") == 2
    (
        project / "runs" / "old" / files.DONE
    ).unlink()  # as if it had been cut: its checkpoint says the same
    go(project, "--set", f"run.iterations={iterations}", code=2)
    assert (
        printed.count("mine:Mine with SHA-256 ") == 2
        and "differs in problem.name" in capsys.readouterr().err
    )
    (project / "mine.py").write_text(original)
    go(project)


@pytest.mark.parametrize("name", ["other.py:Mine", "mine.py:Other"])
def test_another_name_of_the_problem_is_another_run(name, moved, capsys):
    project = moved()
    (project / "other.py").write_text((project / "mine.py").read_text())
    (project / "mine.py").write_text(
        (project / "mine.py").read_text() + "\n\nclass Other(Mine):\n    pass\n"
    )
    toml = project / "old.toml"
    toml.write_text(toml.read_text().replace("mine.py:Mine", name))
    go(project, code=2)
    printed = capsys.readouterr().err
    assert "differs in problem.name; " in printed and "mine.py:Mine" in printed and name in printed


def test_other_paths_are_compared_by_name_and_content(tmp_path, capsys):
    """A topology's file, a start, and data in an option."""
    for place in ("one", "two"):
        folder = tmp_path / place
        (folder / "data").mkdir(parents=True)
        np.save(folder / "W.npy", np.full((3, 3), 1 / 3))
        (folder / "data" / "set.csv").write_text("1\n2\n")
        (folder / "mine.py").write_text(
            textwrap.dedent("""
            from mpidbo.problems.quadratic import Quadratic
            class Mine(Quadratic):
                paths = ("path", "more")
                def __init__(
                    self, agent, n_agents, *, path: str = "", more: list = [], unit: str = "",
                    **options,
                ):
                    super().__init__(agent, n_agents, **options)
                    for file in (path, *more):
                        open(file).close()
        """)
        )
        toml(
            folder,
            {
                "problem.name": "mine.py:Mine",
                "problem.path": "data/set.csv",
                "problem.more": ["data/set.csv", "W.npy"],
                "problem.unit": "km/h",
                "topology.file": "W.npy",
                "run.agents": 3,
                "run.iterations": 4,
            },
        )
    toml(
        tmp_path / "one",
        {"problem.name": "quadratic", "run.agents": 3, "run.iterations": 2},
        "first.toml",
    )
    run(tmp_path / "one" / "first.toml", tmp_path / "first")
    start = f"run.start={tmp_path / 'first' / 'result.h5'}"
    one, two = (
        [tmp_path / place / "a.toml", tmp_path / "out", "--set"] for place in ("one", "two")
    )
    run(*one, start)
    run(*two, start, "--set", "run.iterations=5")
    assert "resuming from iteration 4" in capsys.readouterr().out
    run(*one, start, "--set", "run.iterations=5")
    assert "already finished" in capsys.readouterr().out
    (tmp_path / "two" / "data" / "set.csv").write_text("1\n3\n")
    run(*two, start, "--set", "run.iterations=6", code=2)
    assert "differs in problem.more, problem.path; " in capsys.readouterr().err
    run(*one, start, "--set", "run.iterations=6")
    run(tmp_path / "one" / "first.toml", tmp_path / "first", run__iterations=3)
    run(*one, start, "--set", "run.iterations=6", code=2)
    assert "differs in run.start; " in capsys.readouterr().err


# a finished run is seen first


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"method.name": "mdbo"},
        {"method.name": "sun-dsbo"},
        {"run.agents": None},
        {"steps.beta": {"kind": "sqrt-n-over-t", "scale": 0.05}, "method.name": "sun-dsbo"},
        {"run.stop": {"metric": "consensus_y", "above": 1e-9}},
        {"problem.name": "minimax"},
    ],
    ids=["plain", "an estimated L", "defaults", "agents", "a horizon", "a stop rule", "own steps"],
)
def test_a_finished_run_is_seen_before_anything_is_made(tables, tmp_path, monkeypatch, capsys):
    given = {**QUADRATIC, "run.iterations": 6, **tables}
    if given["problem.name"] != "quadratic" or "method.name" in tables:
        given = {
            key: value
            for key, value in given.items()
            if key in tables or key.startswith(("run.", "problem.name"))
        }
    path = toml(tmp_path, {key: value for key, value in given.items() if value is not None})
    run(path, tmp_path / "out")
    capsys.readouterr()
    monkeypatch.setattr("mpidbo.solver.execute.set_up", None)
    run(path, tmp_path / "out")
    run(path, tmp_path / "out", "--resume", "must")
    assert capsys.readouterr().out.count("already finished, nothing to do") == 2


@pytest.mark.parametrize(
    ("first", "then", "key"),
    [
        ({"run.seed": 0}, {"run.seed": 1}, "run.seed"),
        ({"method.name": "mdbo", "method.L": 7.0}, {"method.name": "mdbo"}, "method.L"),
        ({"method.name": "mdbo"}, {"method.name": "mdbo", "method.L": 7.0}, "method.L"),
        ({"steps.alpha": 0.03}, {}, "steps.alpha"),
        (
            {"problem.name": "minimax", "steps.alpha": 0.02},
            {"problem.name": "minimax"},
            "steps.alpha",
        ),
        ({"run.agents": 4}, {"run.agents": 5}, "run.agents"),
    ],
)
def test_what_is_not_the_same_run_is_not_taken_for_finished(first, then, key, tmp_path, capsys):
    base = {"problem.name": "quadratic", "run.agents": 4, "run.iterations": 3}
    run(toml(tmp_path, {**base, **first}), tmp_path / "out")
    run(toml(tmp_path, {**base, **then}), tmp_path / "out", code=2)
    assert f"differs in {key}" in capsys.readouterr().err


def test_an_estimate_of_another_processor(tmp_path, capsys):
    """Its last digit may differ, since sums are taken in another order."""
    out = tmp_path / "out"
    path = toml(tmp_path, {"problem.name": "quadratic", "method.name": "mdbo", "run.iterations": 2})
    run(path, out)
    text = (out / "config.toml").read_text()
    L = float(re.search(r"^L = (.*)$", text, re.MULTILINE)[1])
    for other, code in ((np.nextafter(L, 2 * L), 0), (1.001 * L, 2)):
        (out / "done").unlink()
        (out / "config.toml").write_text(text.replace(f"L = {L!r}", f"L = {float(other)!r}"))
        run(path, out, code=code)
    assert "differs in method.L" in capsys.readouterr().err


@pytest.mark.long
def test_a_finished_run_is_seen_on_any_number_of_ranks(mpi, path, tmp_path):
    run(path, tmp_path / "out")
    for ranks in (2, 5):  # of four agents: five ranks could not even start
        done = mpi(ranks, ["-m", "mpidbo", "run", path, "--out", tmp_path / "out"])
        assert done.returncode == 0 and done.stdout.count("already finished") == 1, done.stderr
