"""The environment of a shell is not a job: what launchers and batch systems leave in it decides
nothing by itself."""

import os
import re
import subprocess
import sys

import pytest

from mpidbo import cli
from mpidbo.parallel import launcher as job
from support import launch
from support.runs import QUADRATIC, run, toml

LEFT = {
    "MPICH": {"PMI_RANK": "1"},
    "MPICH, whole": {"PMI_RANK": "1", "PMI_SIZE": "4", "PMI_FD": "99", "MPI_LOCALRANKID": "1"},
    "Slurm": {"SLURM_PROCID": "2"},
    "Slurm, whole": {
        "SLURM_PROCID": "2",
        "SLURM_STEP_NUM_TASKS": "8",
        "SLURM_NTASKS": "8",
        "SLURM_JOB_ID": "7",
    },
    "Open MPI": {"OMPI_COMM_WORLD_RANK": "3"},
    "Open MPI, whole": {
        "OMPI_COMM_WORLD_RANK": "3",
        "OMPI_COMM_WORLD_SIZE": "4",
        "PMIX_RANK": "3",
        "PMIX_NAMESPACE": "gone@1",
    },
    "no numbers": {
        "PMI_SIZE": "two",
        "PMI_RANK": "one",
        "SLURM_STEP_NUM_TASKS": "\N{SUPERSCRIPT TWO}",
        "SLURM_PROCID": "9" * 5000,
    },
}


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return toml(tmp_path, {**QUADRATIC, "run.iterations": 3})


@pytest.fixture
def shell(monkeypatch):
    """shell(variables): another rank's variables in the environment; nobody waits for rank 0."""
    monkeypatch.setattr(job, "sleep", lambda seconds: None)

    def shell(variables):
        for name in {name for each in LEFT.values() for name in each}:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return shell


ALONE = [
    "show out",
    "show out --history",
    "plot out --out a.png",
    "methods",
    "methods sparkle",
    "topology",
    "topology ring -n 4",
    "data list",
    "check",
    "check quadratic",
    "where a.toml",
    "jobscript slurm a.toml",
    "new FOLDER --framework numpy",
    "--version",
    "--help",
    "run --help",
]


@pytest.mark.parametrize("line", ALONE)
def test_commands_without_mpi_print(line, shell, path, capsys):
    if "out" in line:
        run(path, path.parent / "out")
    for number, variables in enumerate(
        LEFT.values() if line not in ("methods", "plot out --out a.png") else [LEFT["MPICH, whole"]]
    ):
        shell(variables)
        capsys.readouterr()
        assert (
            cli.main(line.replace("FOLDER", f"new{number}").split()) == 0
            and capsys.readouterr().out
        ), variables


MISTAKES = [
    "shwo",
    "show",
    "run",
    "run a.toml --resume sometimes",
    "",
    "show nowhere",
    "methods sparcle",
    "topology oval -n 3",
]


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_are_printed(line, shell, capsys):
    for variables in LEFT.values():
        shell(variables)
        assert cli.main(line.split()) == 2
        assert re.search("^(usage|mpidbo): ", capsys.readouterr().err), variables


def advised(stderr):
    """The command for one process, of the sentence on stderr."""
    (printed,) = [line for line in stderr.splitlines() if line.startswith("mpidbo: ")]
    return re.search(r"for one process.*: env ((-u \w+ )+)mpidbo", printed)[1].split()


MINE = {
    False: [
        {"PMI_SIZE": "4", "PMI_FD": "99", "PMI_RANK": "1"},
        {"PMI_FD": "none"},
        {"PMI_SIZE": "four"},
        {"PMI_SIZE": "4", "PMI_RANK": "x"},
        {"PMI_SIZE": "4"},
        {"PMIX_RANK": "1", "PMIX_NAMESPACE": "gone@1"},
    ],
    True: [
        {"PMIX_NAMESPACE": "gone@1", "PMIX_RANK": "1"},
        {
            "PMIX_NAMESPACE": "gone@1",
            "PMIX_RANK": "1",
            "PMIX_SERVER_URI4": "x",
            "PMIX_SERVER_TMPDIR": "/nowhere",
        },
    ],
}
ANY = [
    {"SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"},
    {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5"},
    {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"},
    {"PMI_SIZE": "2", "SLURM_STEP_NUM_TASKS": "8"},
]


@pytest.mark.parametrize(
    "number", [n if n == 4 else pytest.param(n, marks=pytest.mark.slow) for n in range(10)]
)
def test_what_the_refusal_says_of_one_process_works(number, mpi, path):
    """Whichever rank's shell it is, the refusal is printed."""
    cases = [*ANY, *MINE[launch.is_openmpi()]]
    if number >= len(cases):
        pytest.skip("fewer cases with this MPI")
    line = [sys.executable, "-W", "ignore", "-m", "mpidbo", "run", str(path), "--out", "out"]
    env = launch.environment(cases[number])
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and not (path.parent / "out").exists(), done.stderr
    done = subprocess.run(
        ["env", *advised(done.stderr), *line], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "3 iterations (all iterations done)" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "left",
    [
        {"PMI_RANK": "1"},
        {"SLURM_PROCID": "2", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "7"},
        {"OMPI_COMM_WORLD_RANK": "3"},
        {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
        {"SLURM_STEP_NUM_TASKS": "0"},
        {"PMI_RANK": "x"},
    ],
    ids=str,
)
def test_a_run_in_such_a_shell_is_one(left, mpi, path):
    done = mpi(None, ["-m", "mpidbo", "run", path, "--out", "out"], env=left)
    assert done.returncode == 0 and "3 iterations (all iterations done)" in done.stdout, done.stderr


INSIDE = """
import os, subprocess, sys
if os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK")) == "1":
    sys.exit(subprocess.run(["env", *sys.argv[1:]]).returncode)
"""


@pytest.mark.long
def test_a_shell_in_a_job_of_mpiexec(mpi, path):
    """A process that a rank has started: commands without MPI print, and a run for one process
    is possible."""
    unset = [word for name in job.INHERITED for word in ("-u", name)]
    command = [sys.executable, "-W", "ignore", "-m", "mpidbo"]
    done = mpi(2, ["-c", INSIDE, *command, "methods"])
    assert done.returncode == 0 and "sparkle: " in done.stdout, done.stderr
    done = mpi(2, ["-c", INSIDE, *unset, *command, "run", path, "--out", "out"])
    assert done.returncode == 0 and "3 iterations (all iterations done)" in done.stdout, done.stderr
    if not launch.is_openmpi():  # Open MPI takes it for the rank, and waits for the others
        done = mpi(2, ["-c", INSIDE, *command, "run", path, "--out", "another"])
        assert advised(done.stderr) and "PMI_FD" in done.stderr and done.returncode == 2


def test_mistakes_of_several_ranks(mpi):
    done = mpi(2, ["-m", "mpidbo", "run", "--typo"])
    assert done.returncode == 2 and done.stderr.count("the following arguments are required") >= 1


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_terminal_among_ranks_is_told_how_to_run_one_process(mpi, path):
    """`srun --pty` with several tasks: MPI waits for the others, which are shells."""
    ours, theirs = os.openpty()
    size = {"OMPI_COMM_WORLD_SIZE": "4"}
    line = [sys.executable, "-W", "ignore", "-m", "mpidbo", "run", str(path), "--out", "out"]
    done = subprocess.run(
        line, env=launch.environment(size), stderr=theirs, stdout=subprocess.DEVNULL, timeout=60
    )
    os.close(theirs)
    printed = os.read(ours, 10000).decode()
    os.close(ours)
    assert (
        done.returncode == 2
        and "waiting for 4 processes (OMPI_COMM_WORLD_SIZE); for one process in this shell: env -u"
        in printed
    )
