"""The launcher of the tests: it starts ranks, reports codes, and leaves nothing behind."""

import mmap
import re
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from support import launch

ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

RANKS = (
    "from mpi4py import MPI; c = MPI.COMM_WORLD; print('rank', c.rank, 'of', c.size, flush=True)"
)
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


@pytest.mark.parametrize(
    ("n", "code", "limit"),
    [
        (0, SLEEPS, 2),
        pytest.param(2, f"from mpi4py import MPI; {SLEEPS}", 6, marks=pytest.mark.long),
    ],
    ids=["alone", "ranks"],
)
def test_the_time_limit_ends_everything(mpi, n, code, limit, monkeypatch):
    marks = []
    monkeypatch.setattr(
        launch,
        "end",
        lambda process, mark, end=launch.end: (marks.append(mark), end(process, mark)),
    )
    with pytest.raises(pytest.fail.Exception, match=f"no end after {limit} s(.|\n)*asleep"):
        mpi(n, ["-c", code], timeout=limit)
    assert len(marks) == 1
    assert launch.marked(marks[0]) == []


KILLED = """
import os, signal, sys, time
from mpi4py import MPI
comm = MPI.COMM_WORLD
maps = [line for line in open("/proc/self/maps") if "/dev/shm/" in line]
print("made", *{line.split()[5] for line in maps if "deleted" not in line}, flush=True)
comm.Barrier()
time.sleep(1)
if str(comm.rank) in sys.argv[1]:
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(float(sys.argv[2]))
"""


def segments(text):
    """What the ranks said that they made."""
    return {
        Path(word)
        for line in text.splitlines()
        if line.startswith("made ")
        for word in line.split()[1:]
    }


def test_each_launch_has_a_folder_of_its_own_for_shared_memory(mpi):
    """Names in one folder may be equal: tests side by side would write into each other's."""
    if not launch.is_openmpi():
        pytest.skip("only Open MPI names shared memory after a hash of 16 bits")
    first, second = (segments(mpi(2, ["-c", KILLED, "", "0"]).stdout) for _ in range(2))
    assert first and second
    assert not {path.parent for path in first} & {path.parent for path in second}


@pytest.mark.parametrize("killed", ["1", "012"])
def test_killed_ranks_leave_no_shared_memory(killed, mpi):
    made = segments(mpi(3, ["-c", KILLED, killed, "5"]).stdout)
    assert made and not [path for path in made if path.exists()]


@pytest.mark.slow
def test_a_launch_that_is_ended_leaves_no_shared_memory(mpi):
    with pytest.raises(pytest.fail.Exception) as failed:
        mpi(2, ["-c", KILLED, "", "600"], timeout=8)
    made = segments(str(failed.value))
    assert made and not [path for path in made if path.exists()]


def test_shared_memory_of_others_stays(mpi):
    """Also of those that are gone, and of this process's own children that live."""
    others = Path("/dev/shm", f"mpich_shm_{uuid.uuid4().hex[:8]}_0")
    line = launch.command(2, ["-c", KILLED, "", "600"])
    others.touch()
    try:
        with subprocess.Popen(
            line,
            env=launch.environment({launch.MARK: others.name, **ROOT}),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                made = segments(process.stdout.readline())
                time.sleep(0.5)
                launch.SEGMENTS.clean()
                assert made and all(path.exists() for path in made) and others.exists()
            finally:
                launch.end(process, others.name)
        launch.SEGMENTS.clean()
        assert not [path for path in made if path.exists()] and others.exists()
    finally:
        others.unlink()


def test_how_a_user_removes_what_is_left(repo, tmp_path):
    """The lines of docs/cluster.md, in another folder."""
    lines = re.search(
        r"\n    for file in /dev/shm(.|\n)*?\n    done\n", (repo / "docs/cluster.md").read_text()
    )[0]
    for name in ("mpich_shm_1_0", "mpich_shm_2_0", "sm_segment.h.0.1.0", "another"):
        (tmp_path / name).write_bytes(bytes(4096))
    with open(tmp_path / "mpich_shm_2_0", "r+b") as file, mmap.mmap(file.fileno(), 0):
        done = subprocess.run(
            ["bash", "-c", lines.replace("/dev/shm", str(tmp_path))],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert (
        done.returncode == 0
        and done.stderr == ""
        and sorted(path.name for path in tmp_path.iterdir()) == ["another", "mpich_shm_2_0"]
    )


def test_what_a_killed_mpiexec_left_is_in_nobodys_way(mpi):
    """Each mpiexec of Open MPI has a folder of its own, and not /tmp/ompi.PID."""
    if not launch.is_openmpi():
        pytest.skip("Open MPI's mpiexec only")
    code = "import os; print(os.environ['PMIX_SERVER_TMPDIR'])"
    folders = [mpi(1, ["-c", code], env=ROOT).stdout.strip() for _ in range(2)]
    assert len({str(Path(folder).parent) for folder in folders}) == 2
    assert all(Path(folder).parent.name.startswith("mpidbo-") for folder in folders)


def test_without_mpiexec(tmp_path):
    code = "import os; print(os.getcwd(), os.environ['WORD'], os.environ['OMP_NUM_THREADS'])"
    done = launch.mpirun(None, ["-c", code], cwd=tmp_path, env={"WORD": "here"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path), "here", "1"]


def test_marks_of_an_outer_launcher_are_removed(monkeypatch):
    for name in (
        "OMPI_COMM_WORLD_SIZE",
        "PMIX_RANK",
        "PRTE_X",
        "PMI_RANK",
        "HYDRA_X",
        "SLURM_NTASKS",
    ):
        monkeypatch.setenv(name, "7")
    assert not [key for key in launch.environment({}) if key.startswith(launch.FOREIGN)]
    assert launch.environment({"SLURM_NTASKS": "2"})["SLURM_NTASKS"] == "2"
