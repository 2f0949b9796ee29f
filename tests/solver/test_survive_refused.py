"""Where `run.survive` is refused, and where it has no effect."""

import pytest

import mpidbo
from mpidbo.solver import copies
from support import launch, runs

TABLES = {**runs.QUADRATIC, "run.survive": 4}


def test_of_one_process_there_is_nothing_to_copy(tmp_path, monkeypatch):
    monkeypatch.delattr(copies.Copies, "look")
    runs.run(runs.toml(tmp_path, TABLES), tmp_path / "with")
    runs.run(runs.toml(tmp_path, TABLES), tmp_path / "without", run__survive=0)
    assert runs.same(tmp_path / "with", tmp_path / "without")


def test_mpi_that_cannot(mpi, tmp_path):
    words = ["-m", "mpidbo", "run", runs.toml(tmp_path, TABLES), "--out", tmp_path / "out"]
    done = mpi(2, words)
    assert done.returncode == 2 and not (tmp_path / "out").exists()
    remedy = "--with-ft ulfm, or leave run.survive out"
    assert done.stderr.count("mpidbo: run.survive: ") == 1 and remedy in done.stderr
    assert ("ends a job" in done.stderr) != launch.is_openmpi()


def test_other_ways_to_run(mpi):
    code = (
        "from mpi4py import MPI\n"
        "from mpidbo.config import check; from mpidbo.solver import run_config\n"
        "run = {'agents': 2, 'iterations': 2, 'survive': 1}\n"
        "run_config(check({'problem': {'name': 'quadratic'}, 'run': run}), MPI.COMM_WORLD)"
    )
    done = mpi(2, ["-m", "mpi4py", "-c", code])
    assert done.returncode and "run.survive: only mpidbo run has it" in done.stderr, done.stderr


@pytest.mark.survive
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"run.agents": None}, "set run.agents"),
    ],
)
def test_what_does_not_go_together(more, words, mpi, tmp_path):
    tables = {key: value for key, value in (TABLES | more).items() if value is not None}
    path = runs.toml(tmp_path, tables)
    given = ["-m", "mpidbo", "run", path, "--out", tmp_path / "out"]
    done = mpi(2, given, options=("--with-ft", "ulfm"))
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_mistakes(tmp_path, capsys):
    runs.run(runs.toml(tmp_path, TABLES), tmp_path / "out", run__survive=-1, code=2)
    assert "run.survive: -1 is out of range" in capsys.readouterr().err
    with pytest.raises(mpidbo.UserError, match="survive"):
        mpidbo.solve("quadratic", agents=2, survive=1)
