"""mpidbo on a Slurm cluster: see slurm_cluster.py.

`make test-slurm` runs these tests with MPICH, `make test-slurm-openmpi` with Open MPI.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

import support
from mpidbo.storage import files
from support import ROOT, SLOW, launch, slurm_cluster
from support.runs import QUADRATIC, kept, run, same, toml

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.timeout(400),
]

FENCE = support.MPI / "pmix_fence.py"
TABLES = {
    **QUADRATIC,
    "problem.name": f"{SLOW}:Slow",
    "checkpoint.every": 0,
    "run.iterations": 400,
    "run.evaluate_every": 50,
}
BIN = Path(sys.executable).parent
MPI = "pmix" if launch.is_openmpi() else "pmi2"  # what this MPI speaks with srun
OTHER = "pmi2" if launch.is_openmpi() else "pmix"
SRUN = f"srun --mpi={MPI}"
LAUNCHERS = [SRUN, "mpiexec -n 4"]
JOBSCRIPTS = ROOT / "jobscripts"
# All nodes have one host name: Open MPI would give the shared memory of two nodes the same name.
OPENMPI = {
    "OMPI_MCA_btl": "^sm",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}
# With UCX the ranks exchange addresses in lines longer than Slurm's pmi2 plugin reads at once, and
# on a busy machine it takes a part of one for the whole: see docs/cluster.md.
MPICH = {"MPIR_CVAR_CH4_NETMOD": "ofi"}
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}


class Slurm:
    """The cluster in `folder`; jobs run in the folder `cwd`, with this Python first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.segments = folder, set()

    def __call__(self, *line: object, **more) -> str:
        """What a client command prints."""
        env = launch.environment(
            {
                **OPENMPI,
                **MPICH,
                "SLURM_CONF": str(self.folder / "slurm.conf"),
                "PRTE_MCA_prte_tmpdir_base": str(self.folder),  # as launch.session
                "PATH": f"{BIN}:{os.environ['PATH']}",
            }
        ) | more.pop("env", {})
        words = [str(word) for word in line]
        done = subprocess.run(
            words, env=env, capture_output=True, text=True, timeout=30, **{"input": "", **more}
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def submit(
        self, *words: object, cwd: Path, env: Mapping[str, str] | None = None, script: str = ""
    ) -> str:
        """The id of the job that `sbatch *words` makes; `script` is its standard input."""
        return self(
            "sbatch", "--parsable", *words, cwd=cwd, env=dict(env or {}), input=script
        ).strip()

    def records(self, job: str) -> list[SimpleNamespace]:
        """(state, code, restarts, log) of a job, or of each of an array's."""
        found = []
        for line in self("scontrol", "show", "job", "-o", job).splitlines():
            fields = dict(re.findall(r"(\w+)=(\S*)", line))
            log = Path(fields["StdOut"])
            found.append(
                SimpleNamespace(
                    state=fields["JobState"],
                    code=int(fields["ExitCode"].partition(":")[0]),
                    restarts=int(fields["Restarts"]),
                    log=log.read_text(errors="replace") if log.exists() else "",
                    fields=fields,
                )
            )
        return found

    def wait(self, job: str, seconds: float = 120) -> list[SimpleNamespace]:
        """The records when all have ended; the test fails with the logs if they do not."""
        self.until(job, seconds, lambda records: all(one.state in ENDED for one in records))
        return self.records(job)

    def one(self, job: str, seconds: float = 120) -> SimpleNamespace:
        """The record of a job that is no array, when it has ended."""
        (record,) = self.wait(job, seconds)
        return record

    def until(self, job, seconds, true):
        limit = time.monotonic() + seconds
        while not true(records := self.records(job)):
            if time.monotonic() > limit:
                self("scancel", "--full", job)
                printed = "\n".join(f"{one.fields}\n{one.log}" for one in records)
                pytest.fail(f"job {job}: not after {seconds:g} s\n{printed}", pytrace=False)
            time.sleep(0.2)

    def running(self, job, pids, ranks):
        """The ids of the ranks, when all of them compute; the folder is empty afterwards."""
        self.until(
            job,
            120,
            lambda records: len(list(pids.iterdir())) == ranks or records[0].state in ENDED,
        )
        (record,) = self.records(job)
        assert record.state == "RUNNING", f"{record.state} {record.code}\n{record.log}"
        found = [int(file.name) for file in pids.iterdir()]
        self.segments |= {segment for pid in found for segment in launch.shared_memory(pid)}
        for file in pids.iterdir():
            file.unlink()
        return found


@pytest.fixture(scope="session")
def slurm():
    """A cluster of 4 nodes with 2 CPUs and 2 GPUs each; it ends with its standard input."""
    if why := slurm_cluster.missing():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="slurm", ignore_cleanup_errors=True) as name:
        line = [sys.executable, slurm_cluster.__file__, "hold", f"{name}/c", "--mpi", MPI]
        with subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as keeper:
            if keeper.stdout.readline() != "ready\n":
                pytest.fail(keeper.stderr.read(), pytrace=False)
            cluster = Slurm(Path(name, "c"))
            yield cluster
            keeper.communicate(timeout=60)
            for segment in cluster.segments:  # what killed ranks cannot remove themselves
                segment.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The folder of the run without Slurm."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    run(toml(folder, TABLES), folder / "out")
    return folder / "out"


@pytest.fixture
def slow(tmp_path):
    """The environment in which a run is slow and its ranks write their ids, and their folder."""
    (tmp_path / "pids").mkdir()
    return {
        "MPIDBO_TEST_DRAW": "0.004",
        "MPIDBO_TEST_PIDS": str(tmp_path / "pids"),
    }, tmp_path / "pids"


def resumes(path, out, uninterrupted):
    """Whether the run in `out` resumes from its checkpoint and ends as the uninterrupted one."""
    (at,) = kept(out)
    assert 0 < at < TABLES["run.iterations"] and not (out / files.DONE).exists()
    run(path, out, "--resume", "must")
    return same(uninterrupted, out)


@pytest.mark.parametrize("number", ["TERM", "USR1"])
def test_a_signal_to_a_step_of_8_ranks(slurm, number, slow, uninterrupted, tmp_path):
    """srun's own exit code is 85 too."""
    path, (env, pids) = toml(tmp_path, TABLES | {"run.agents": 8}), slow
    line = f"{SRUN} mpidbo run {path} --out out; code=$?; echo code=$code; exit $code"
    job = slurm.submit(
        "--nodes=4",
        "--ntasks=8",
        "--wrap",
        line,
        cwd=tmp_path,
        env={"SLURM_PMIX_FENCE": "ring", **env},
    )
    slurm.running(job, pids, 8)
    slurm("scancel", f"--signal={number}", f"{job}.0")
    done = slurm.one(job)
    assert (
        (done.state, done.code) == ("FAILED", 85)
        and "code=85" in done.log
        and "stopped on request" in done.log
    ), done.log
    run(path, tmp_path / "uninterrupted")
    assert resumes(path, tmp_path / "out", tmp_path / "uninterrupted")


def script(slurm, name, path, *words, given=(), env=None):
    """The job of a script in jobscripts/ on 2 nodes with 2 ranks each, and its folder `out`."""
    where = ["--nodes=2", "--ntasks-per-node=2", *given]
    return slurm.submit(
        *where,
        JOBSCRIPTS / name,
        path,
        "--out",
        "out",
        *words,
        cwd=path.parent,
        env={"SRUN_MPI": MPI, **(env or {})},
    )


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_three_requeues(slurm, launcher, slow, uninterrupted, tmp_path):
    path, (env, pids) = toml(tmp_path, TABLES), slow
    job = script(slurm, "requeue.sbatch", path, env={"LAUNCH": launcher, **env})
    for _ in range(3):
        slurm.running(job, pids, 4)
        slurm("scancel", "--batch", "--signal=USR1", job)
        slurm.until(job, 120, lambda records: records[0].state == "PENDING")
    done = slurm.one(job)
    assert (done.state, done.restarts) == ("COMPLETED", 3) and done.log.count(
        "resuming from iteration"
    ) == 3, done.log
    assert same(uninterrupted, tmp_path / "out")


def test_the_time_limit(slurm, uninterrupted, tmp_path):
    """Slurm looks at limits every 30 seconds, and signals up to 30 seconds early."""
    path = toml(tmp_path, TABLES)
    job = script(
        slurm,
        "requeue.sbatch",
        path,
        given=["--time=1", "--signal=B:USR1@10"],
        env={"MPIDBO_TEST_DRAW": "0.046"},
    )
    done = slurm.one(job, 350)
    assert done.state == "COMPLETED" and done.restarts >= 1 and "SIGUSR1" in done.log, done.log
    assert same(uninterrupted, tmp_path / "out")


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_run(slurm, launcher, uninterrupted, tmp_path):
    done = slurm.one(script(slurm, "run.sbatch", toml(tmp_path, TABLES), env={"LAUNCH": launcher}))
    assert (
        done.state == "COMPLETED"
        and "4 tasks on 2 nodes" in done.log
        and same(uninterrupted, tmp_path / "out")
    ), done.log


@pytest.mark.parametrize(
    ("given", "seen"), [("--gpus-per-node=2", ["0,1", "0,1"]), ("--gpus-per-task=1", ["0", "1"])]
)
def test_a_rank_for_each_gpu(slurm, given, seen, uninterrupted, tmp_path):
    """Each rank sees all GPUs of its node and uses that of its local rank, or sees only its own."""
    tell = tmp_path / "tell"
    tell.write_text(
        '#!/bin/sh\necho "gpu $SLURMD_NODENAME $SLURM_LOCALID $CUDA_VISIBLE_DEVICES"\nexec "$@"\n'
    )
    tell.chmod(0o755)
    given = ["--gpus-per-node=0", given] if "task" in given else [given]
    job = script(
        slurm,
        "gpu.sbatch",
        toml(tmp_path, TABLES),
        "--set",
        "run.device=auto",
        given=given,
        env={"LAUNCH": f"{SRUN} {tell}"},
    )
    done = slurm.one(job)
    nodes = sorted(re.findall(r"^gpu (n\d) (\d) (.*)$", done.log, re.M))
    assert [(rank, gpus) for _, rank, gpus in nodes] == 2 * list(zip("01", seen, strict=True)), (
        done.log
    )
    assert done.state == "COMPLETED" and same(uninterrupted, tmp_path / "out"), done.log


def test_no_rank_passes_a_fence_before_all_are_there(slurm, tmp_path):
    """As with Slurm's default fence on fewer nodes than TreeWidth; MPI_Init rarely crashes."""
    (there := tmp_path / "there").mkdir()
    launcher = f"srun --mpi=pmix {sys.executable} {FENCE} {there}"
    done = slurm.one(script(slurm, "run.sbatch", toml(tmp_path, TABLES), env={"LAUNCH": launcher}))
    assert re.findall("passed with .*", done.log) == 4 * ["passed with 4 of 4"], done.log


def test_written_script(slurm, uninterrupted, tmp_path):
    """mpidbo jobscript slurm --nodes 2 config.toml | sbatch"""
    path = toml(tmp_path, TABLES | {"run.agents": 4})
    text = slurm(
        "mpidbo",
        "jobscript",
        "slurm",
        "--nodes",
        2,
        path,
        "--out",
        tmp_path / "out",
        env={"SRUN_MPI": MPI},
    )
    done = slurm.one(slurm.submit(cwd=tmp_path, script=text))
    assert done.state == "COMPLETED" and same(uninterrupted, tmp_path / "out"), done.log


def written(slurm, *words, cwd):
    """The job of the script that `mpidbo jobscript` writes, which it makes of the MPI at hand."""
    env = {"SRUN_MPI": ""}
    return slurm.submit(cwd=cwd, env=env, script=slurm("mpidbo", "jobscript", *words, env=env))


def test_what_is_asked_of_slurm(slurm, uninterrupted, tmp_path):
    """Resources, mail and a directive of one's own; the protocol of srun; logs of the ranks."""
    path = toml(tmp_path, TABLES | {"run.agents": 4})
    job = written(
        slurm,
        *("slurm", "--nodes=2", "--ntasks-per-node=2", "--time=5", "--mem=100M", "--rank-logs"),
        *("--mail-type=fail", "--mail-user=nobody@localhost", "--directive=--nice=7", path),
        *("--out", tmp_path / "out"),
        cwd=tmp_path,
    )
    done = slurm.one(job)
    assert done.state == "COMPLETED" and same(uninterrupted, tmp_path / "out"), done.log
    asked = {"MinMemoryNode": "100M", "TimeLimit": "00:05:00", "MailUser": "nobody@localhost"}
    assert asked.items() <= done.fields.items() and "FAIL" in done.fields["MailType"]
    assert done.fields["Nice"] == "7" and f"srun --mpi={MPI}" in done.log
    logs = {log.name: log.read_text() for log in (tmp_path / f"a-{job}.ranks").iterdir()}
    assert set(logs) == {f"{rank}.log" for rank in range(4)}
    assert "upper_loss" in logs["0.log"] and "upper_loss" not in done.log + logs["3.log"]


def test_written_array_over_seeds(slurm, tmp_path):
    path = toml(tmp_path, TABLES | {"run.agents": 2})
    words = "slurm-array", "--seeds=2", "--ntasks-per-node=2", path, "--out", tmp_path / "out"
    for done in slurm.wait(written(slurm, *words, cwd=tmp_path)):
        assert done.state == "COMPLETED", done.log
    for seed in (0, 1):
        run(path, tmp_path / "alone", "--set", f"run.seed={seed}", "--resume", "never")
        assert same(tmp_path / "alone", tmp_path / "out" / f"seed-{seed}")


def test_written_study(slurm, slow, tmp_path):
    """Two tasks make its three runs; the one that is signalled is requeued."""
    (env, pids) = slow
    study = TABLES | {"run.agents": 2, "run.evaluate_every": 100, "study.seeds": 3}
    path = toml(tmp_path, study, "study.toml")
    out = tmp_path / "out"
    words = "slurm-study", "--parts=2", "--ntasks-per-node=2", path, "--out", out
    text = slurm("mpidbo", "jobscript", *words, env={"SRUN_MPI": MPI})
    job = slurm.submit("--array=1-2%1", cwd=tmp_path, env=env, script=text)
    slurm.running(f"{job}_1", pids, 2)
    slurm("scancel", "--batch", "--signal=USR1", f"{job}_1")
    tasks = sorted(slurm.wait(job, 240), key=lambda one: int(one.fields["ArrayTaskId"]))
    assert [(one.state, one.restarts) for one in tasks] == [("COMPLETED", 1), ("COMPLETED", 0)], (
        tasks[0].log
    )
    assert len(list(out.glob("*/*/seed-*/done"))) == 3
    assert "table.md" in slurm("mpidbo", "compare", path, "--out", out, "--report")


def test_array(slurm, slow, uninterrupted, tmp_path):
    """One run at a time; only the signalled task is requeued: the last, with the array's id."""
    (env, pids), folders = slow, [tmp_path / f"out{i}" for i in (1, 2, 3)]
    paths = [
        toml(tmp_path, {**TABLES, "run.out": str(folder)}, f"{folder.name}.toml")
        for folder in folders
    ]
    job = slurm.submit(
        "--nodes=2",
        "--ntasks-per-node=2",
        "--array=1-3%1",
        JOBSCRIPTS / "array.sbatch",
        *paths,
        cwd=tmp_path,
        env={**env, "SRUN_MPI": MPI, "MPIDBO_TEST_DRAW": "0.001"},
    )
    for i in (1, 2, 3):
        slurm.running(f"{job}_{i}", pids, 4)
    slurm("scancel", "--batch", "--signal=USR1", f"{job}_3")
    tasks = sorted(slurm.wait(job), key=lambda one: int(one.fields["ArrayTaskId"]))
    assert [(one.state, one.restarts) for one in tasks] == [
        ("COMPLETED", 0),
        ("COMPLETED", 0),
        ("COMPLETED", 1),
    ], tasks[-1].log
    assert all(one.fields["EndTime"] <= next.fields["StartTime"] for one, next in pairwise(tasks))
    assert all(same(uninterrupted, folder) for folder in folders)


def test_chain(slurm, slow, uninterrupted, tmp_path):
    path, (env, pids) = toml(tmp_path, TABLES), slow
    printed = slurm(
        "bash",
        JOBSCRIPTS / "chain.sh",
        "--nodes=2",
        "--ntasks-per-node=2",
        path,
        "--out",
        "out",
        cwd=tmp_path,
        env={**env, "SRUN_MPI": MPI, "JOBS": "3", "CHAIN": tmp_path.name},
    )
    first, second, third = re.findall(r"job (\d+)", printed)
    slurm.running(first, pids, 4)
    slurm("scancel", "--batch", "--signal=USR1", first)
    ends = [(done.state, done.code) for done in map(slurm.one, (first, second, third))]
    assert ends == [("FAILED", 85), ("COMPLETED", 0), ("CANCELLED", 0)] and same(
        uninterrupted, tmp_path / "out"
    )


def test_sigterm_to_the_script_requeues_it(slurm, slow, uninterrupted, tmp_path):
    path, (env, pids) = toml(tmp_path, TABLES), slow
    job = script(slurm, "requeue.sbatch", path, env=env)
    slurm.running(job, pids, 4)
    slurm("scancel", "--batch", "--signal=TERM", job)
    done = slurm.one(job)
    assert (done.state, done.restarts) == ("COMPLETED", 1) and same(
        uninterrupted, tmp_path / "out"
    ), done.log


def test_a_preempted_job_is_resumed(slurm, slow, uninterrupted, tmp_path):
    """Slurm itself requeues it; it has a grace time for the checkpoint.

    When Slurm does so is up to its scheduler: the run is too slow to end before.
    """
    path, (env, pids) = toml(tmp_path, TABLES), slow
    (seconds := tmp_path / "seconds").write_text("0.1")
    env |= {"MPIDBO_TEST_DRAW": str(seconds)}
    job = script(slurm, "requeue.sbatch", path, given=["--partition=spare"], env=env)
    slurm.running(job, pids, 4)
    assert (
        slurm.one(slurm.submit("--nodes=4", "--exclusive", "--wrap", "true", cwd=tmp_path)).state
        == "COMPLETED"
    )
    (at_once := tmp_path / "at_once").write_text("0")
    at_once.rename(seconds)
    done = slurm.one(job)
    assert (done.state, done.restarts) == (
        "COMPLETED",
        1,
    ) and "resuming from iteration" in done.log, done.log
    assert same(uninterrupted, tmp_path / "out")


@pytest.mark.parametrize("launcher", LAUNCHERS[:1] if launch.is_openmpi() else LAUNCHERS)
def test_a_cancelled_job_leaves_a_checkpoint(slurm, launcher, slow, uninterrupted, tmp_path):
    """Not with Open MPI's mpiexec, whose daemons receive SIGTERM too and end the ranks."""
    path, (env, pids) = toml(tmp_path, TABLES), slow
    job = script(slurm, "requeue.sbatch", path, env={"LAUNCH": launcher, **env})
    slurm.running(job, pids, 4)
    slurm("scancel", job)
    done = slurm.one(job)
    assert (done.state, done.restarts) == ("CANCELLED", 0) and resumes(
        path, tmp_path / "out", uninterrupted
    ), done.log


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_killed_rank_ends_the_job(slurm, launcher, slow, uninterrupted, tmp_path):
    """It is not requeued: the next start would probably run out of memory as well."""
    path, (env, pids) = toml(tmp_path, TABLES | {"checkpoint.every": 2}), slow
    job = script(slurm, "requeue.sbatch", path, env={"LAUNCH": launcher, "SLURM_WAIT": "3", **env})
    os.kill(slurm.running(job, pids, 4)[-1], signal.SIGKILL)
    done = slurm.one(job)
    assert (
        (done.state, done.restarts) == ("FAILED", 0)
        and done.code not in (0, 85)
        and "failed with exit code" in done.log
    ), done.log
    run(path, tmp_path / "out", "--resume", "must")
    assert same(uninterrupted, tmp_path / "out")


@pytest.fixture
def surviving(slurm, slow, tmp_path):
    """surviving(**tables) -> a job of 6 ranks on 3 nodes that continues when ranks die: ids."""
    if not launch.is_openmpi():
        pytest.skip("MPICH ends a job in which a process has died")

    def start(**tables):
        path, (env, pids) = toml(tmp_path, TABLES | {"run.agents": 6} | tables), slow
        words = ["--survive=5", "--nodes=3", "--ntasks-per-node=2", path, "--out", tmp_path / "out"]
        text = slurm("mpidbo", "jobscript", "slurm", *words)
        job = slurm.submit("--nodelist=n1,n2,n3", cwd=tmp_path, env=env, script=text)
        found = slurm.running(job, pids, 6)
        run(path, tmp_path / "whole")
        return job, found

    return start


def place(pid):
    """The node of a process."""
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (name,) = (word.decode() for word in words if word.startswith(b"SLURMD_NODENAME="))
    return name.partition("=")[2]


def test_a_run_goes_on_without_a_rank(slurm, surviving, tmp_path):
    job, pids = surviving()
    os.kill(next(pid for pid in pids if place(pid) == "n2"), signal.SIGKILL)
    done = slurm.one(job)
    assert (done.state, done.restarts) == ("COMPLETED", 0), done.log
    assert re.search(r"died; 5 of 6 ranks resume from iteration", done.log), done.log
    assert same(tmp_path / "whole", tmp_path / "out")


def test_without_a_daemon_of_mpiexec_it_is_requeued(slurm, surviving, tmp_path):
    """As where all processes of a node are lost: mpiexec ends the job."""
    job, pids = surviving(**{"checkpoint.every": 5})
    daemon = next(Path(f"/proc/{pid}/stat") for pid in pids if place(pid) == "n3")
    os.kill(int(daemon.read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    done = slurm.one(job)
    assert (done.state, done.restarts) == ("COMPLETED", 1), done.log
    assert "resuming from iteration" in done.log and same(tmp_path / "whole", tmp_path / "out")


def test_a_run_goes_on_where_slurm_takes_a_node_for_down(slurm, surviving, tmp_path):
    job, _ = surviving()
    (slurmd,) = (
        pid
        for pid in slurm_cluster.processes(slurm.folder)
        if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:4]
        == [b"slurmd", b"-D", b"-N", b"n3"]
    )
    os.kill(slurmd, signal.SIGKILL)
    try:
        slurm("scontrol", "update", "nodename=n3", "state=down", "reason=test")
        done = slurm.one(job)
    finally:
        line = ["slurmd", "-D", "-N", "n3"]  # from another process, which does not wait for it
        code = f"import slurm_cluster as c; c.daemon(c.Path('{slurm.folder}'), 'n3', {line})"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests" / "support", check=True)
        slurm("scontrol", "update", "nodename=n3", "state=resume")
    assert (done.state, done.restarts) == ("COMPLETED", 0), done.log
    assert same(tmp_path / "whole", tmp_path / "out")


def test_a_stalled_job_is_requeued(slurm, slow, uninterrupted, tmp_path):
    path, (env, pids) = (
        toml(tmp_path, TABLES | {"checkpoint.every": 2, "run.stall_timeout": 5}),
        slow,
    )
    job = script(slurm, "requeue.sbatch", path, env=env)
    os.kill(slurm.running(job, pids, 4)[-1], signal.SIGSTOP)
    done = slurm.one(job)
    assert (
        (done.state, done.restarts) == ("COMPLETED", 1)
        and "stalled" in done.log
        and same(uninterrupted, tmp_path / "out")
    ), done.log


@pytest.mark.parametrize("mpi", ["none", OTHER])
def test_another_mpis_srun_is_refused(slurm, mpi, tmp_path):
    """Every rank would be alone and compute the whole run."""
    done = slurm.one(script(slurm, "requeue.sbatch", toml(tmp_path, TABLES), env={"SRUN_MPI": mpi}))
    assert (done.state, done.code, done.restarts) == ("FAILED", 2, 0), done.log
    assert (
        "srun --mpi=pmi2 (MPICH) or --mpi=pmix (Open MPI)" in done.log
        and not (tmp_path / "out").exists()
    ), done.log


@pytest.mark.parametrize(
    ("wrong", "printed"),
    [("steps.alpa=1", "did you mean alpha"), ("topology.name=oval", "topology.name")],
)
def test_a_mistake_is_not_requeued(slurm, wrong, printed, tmp_path):
    done = slurm.one(script(slurm, "requeue.sbatch", toml(tmp_path, TABLES), "--set", wrong))
    assert (done.state, done.code, done.restarts) == ("FAILED", 2, 0) and printed in done.log, (
        done.log
    )
