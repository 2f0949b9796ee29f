"""The launcher of the tests: it starts ranks, reports codes, and leaves nothing behind."""


import pytest

import launch

RANKS = "from mpi4py import MPI; c = MPI.COMM_WORLD; print('rank', c.rank, 'of', c.size, flush=True)"
FAILS = "from mpi4py import MPI; print('before', flush=True); 1 / (MPI.COMM_WORLD.rank - 1)"
SLEEPS = "import time; print('asleep', flush=True); time.sleep(600)"


def test_two_ranks(mpi):
    done = mpi(2, ["-c", RANKS])
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["rank 0 of 2", "rank 1 of 2"]


def test_more_ranks_than_cores(mpi):
    done = mpi(5, ["-c", RANKS])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("of 5") == 5


def test_an_exception_is_a_code(mpi):
    done = mpi(2, ["-m", "mpi4py", "-c", FAILS])
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(("n", "code", "limit"), [(0, SLEEPS, 2), (2, f"from mpi4py import MPI; {SLEEPS}", 6)],
                         ids=["alone", "ranks"])
def test_the_time_limit_ends_everything(mpi, n, code, limit, monkeypatch):
    marks = []
    monkeypatch.setattr(launch, "end", lambda process, mark, end=launch.end: (marks.append(mark), end(process, mark)))
    with pytest.raises(pytest.fail.Exception, match=f"no end after {limit} s(.|\n)*asleep"):
        mpi(n, ["-c", code], timeout=limit)
    assert len(marks) == 1
    assert launch.marked(marks[0]) == []


def test_without_mpiexec(tmp_path):
    code = "import os; print(os.getcwd(), os.environ['WORD'], os.environ['OMP_NUM_THREADS'])"
    done = launch.mpirun(None, ["-c", code], cwd=tmp_path, env={"WORD": "here"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path), "here", "1"]


def test_marks_of_an_outer_launcher_are_removed(monkeypatch):
    for name in ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PRTE_X", "PMI_RANK", "HYDRA_X", "SLURM_NTASKS"):
        monkeypatch.setenv(name, "7")
    assert not [key for key in launch.environment({}) if key.startswith(launch.FOREIGN)]
    assert launch.environment({"SLURM_NTASKS": "2"})["SLURM_NTASKS"] == "2"
