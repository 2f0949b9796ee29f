"""The demo, as `make demo` runs it."""

import re
from importlib import util

import pytest

from support import launch


def run(mpi, repo, out, *args):
    """The demo starts mpiexec itself."""
    done = mpi(0, [repo / "examples" / "demo" / "demo.py", "--out", out, *args], timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


FOLDERS = ["cleaning.png", "not-stopped", "with-cleaning", "without-cleaning"]


def figures(printed):
    """{name: (iterations, accuracy, AUC)} of the table at the end."""
    rows = re.findall(
        r"^   (without|with|not)[a-z ]+ (\d+) +([\d.]+)% +([\d.]+)   at the", printed, re.MULTILINE
    )
    return {name: tuple(map(float, numbers)) for name, *numbers in rows}


@pytest.mark.parametrize(
    ("ranks", "iterations"), [("1", "20"), pytest.param("2", "30", marks=pytest.mark.long)]
)
def test_a_short_one(mpi, repo, tmp_path, ranks, iterations):
    words = ["--iterations", iterations, "--ranks", ranks]
    printed = run(mpi, repo, tmp_path / "demo", *words)
    assert "8 agents hold 500 labelled images" in printed
    assert ("mpiexec" in printed) == (ranks != "1") and printed.count(
        "mpidbo run examples/demo/demo.toml"
    ) == 3
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == FOLDERS
    assert printed.count(f"{iterations} iterations (all iterations done)") == 3
    found = figures(printed)
    assert found["without"][2] == 0.5 and found["with"][2] == found["not"][2] > 0.8


@pytest.mark.slow
def test_again_and_on_one_rank(mpi, repo, tmp_path):
    """A second demo takes the place of the first; the numbers do not depend on the ranks."""
    first, second = (
        run(mpi, repo, tmp_path, "--iterations", "30", "--ranks", ranks, "--seed", "1")
        for ranks in ("3", "1")
    )
    assert "mpiexec" in first and "mpiexec" not in second
    assert figures(first) == figures(second)
    assert sorted(path.name for path in tmp_path.iterdir()) == FOLDERS


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_cleaning_and_stopping_help(mpi, repo, tmp_path, seed):
    printed = run(mpi, repo, tmp_path, "--seed", seed, "--ranks", "4" if seed == "0" else "1")
    assert printed.count("(holdout_loss has not improved by more than 0.02 for 3 evaluations") == 2
    found = figures(printed)
    assert found["with"][1] > found["without"][1] + 1
    assert found["with"][0] < 1000 and found["not"][0] == 2000
    assert found["with"][1] > found["not"][1] - 1
    assert found["with"][2] > found["not"][2] > 0.88


def test_without_mpiexec(repo, monkeypatch, capsys):
    spec = util.spec_from_file_location("demo", repo / "examples" / "demo" / "demo.py")
    demo = util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    line, ranks = demo.launcher(4)
    assert ranks == 1 and "mpiexec" not in " ".join(line)
    assert "No mpiexec was found" in capsys.readouterr().out


def test_a_failing_run_is_passed_on(repo, tmp_path):
    done = launch.mpirun(
        0,
        [
            repo / "examples" / "demo" / "demo.py",
            "--out",
            tmp_path,
            "--iterations",
            "-1",
            "--ranks",
            "1",
        ],
    )
    assert done.returncode == 2
    assert "run.iterations" in done.stderr and "exit code 2" in done.stderr
