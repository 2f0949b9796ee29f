"""The job scripts, with programs that imitate batch systems and record their calls."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpidbo import cli
from mpidbo.cli.jobscript import protocol
from mpidbo.cli.jobscript import render as batch
from mpidbo.errors import UserError
from support import ROOT, SLOW, launch
from support.runs import QUADRATIC, run, same, toml

TEMPLATES = Path("mpidbo", "cli", "jobscript", "templates")
PAGE = Path("mpidbo", "reports", "page", "templates")
FOLDER = ROOT / "jobscripts"
SCRIPTS = batch.shipped()
JOB = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "mpidbo",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_JOB_NODELIST": "n[1-2]",
    "SLURM_NTASKS": "4",
}
ARRAYS = ("array.sbatch", "study.sbatch")
SLURM = ["run.sbatch", "requeue.sbatch", "gpu.sbatch", "array.sbatch", "chain.sh"]

LAUNCHER = """
[ "$1" != --version ] || { echo "launcher 1.2"; exit; }
echo "${0##*/} $*" >>calls
read -r next rest <codes
echo "$rest" >codes
case $next in
    0) mkdir -p out && touch out/done; exit 0 ;;
    lie) exit 0 ;;                                     # cut off, and says that all is well
    stall) mkdir -p out/stall; exit 137 ;;             # srun's code after MPI_Abort
    wait) trap 'echo "USR1 to ${0##*/}" >>calls; exit 85' USR1 ;;
    wait-die) ;;                                       # USR1 kills it
    wait-*) trap 'exit '"${next#wait-}" USR1 ;;    # ranks not yet started, with MPICH
    storm)
        trap 'trap "" USR1; echo "USR1 to ${0##*/}" >>calls; command -p sleep 1.5; exit 85' USR1
        ;;
    *) exit "$next" ;;
esac
touch ready
for i in {1..400}; do command -p sleep 0.05; done
exit 99
"""
TOOLS = {
    **dict.fromkeys(("srun", "mpiexec", "mpirun"), LAUNCHER),
    "mpidbo": """
[ "$1" != where ] || { [ -z "$WRONG" ] || exit 2; echo "$PWD/out"; exit; }
echo "mpidbo 0.0"
""",
    "scontrol": """
[ "$1" != show ] || { echo "JobId=7 JobState=${STATE:-RUNNING} x=y"; exit; }
echo "scontrol $*" >>calls
exit "${REFUSED:-0}"
""",
    "qsub": """
echo "qsub $* [$CONFIG|$ARGS|$RESTARTS|$MAX_RESTARTS]" >>calls
exit "${REFUSED:-0}"
""",
    "qstat": 'echo "    Resource_List.walltime = ${WALLTIME:-01:00:00}"\n',
    "flux": f"""
case "$*" in
    "getattr size") echo 2 ;;
    "getattr jobid") echo f7 ;;
    "job timeleft") echo "$LEFT" ;;
    "job killall --force --signal=USR1") echo "flux $*" >>calls; kill -USR1 "$(<running)" ;;
    --parent*) echo "flux $* [$RESTARTS|$MAX_RESTARTS]" >>calls; exit "${{REFUSED:-0}}" ;;
    *)
        trap '' USR1                           # as flux run, which does not pass it on
        echo $$ >running
        {LAUNCHER}
        ;;
esac
""",
    **dict.fromkeys(("sbatch", "scancel", "sleep"), 'echo "${0##*/} $*" >>calls\n'),
}


class Ended:
    """What became of a script: its exit code, what it said, and what it called."""

    def __init__(self, folder, code, printed):
        calls = folder / "calls"
        self.code, self.printed, self.calls = (
            code,
            printed,
            calls.read_text().splitlines() if calls.exists() else [],
        )

    def called(self, name):
        return [call for call in self.calls if call.startswith(f"{name} ")]


@pytest.fixture
def start(tmp_path):
    """start(script, words, codes, send=, **environment): run a script with these arguments.

    Its launcher returns the given codes, one after the other.

    When the launcher runs, the script receives the signal `send`, then those of `storm`.
    """
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in TOOLS.items():
        (tools / name).write_text(f"#!/usr/bin/env bash\n{text}")
        (tools / name).chmod(0o755)
    (tmp_path / "nodes").write_text("h1\nh1\nh2\nh2\n")

    def start(script, words="a.toml", codes="0", send=None, storm=(), **env):
        (tmp_path / "codes").write_text(f"{codes}\n")
        for name in ("calls", "ready"):
            (tmp_path / name).unlink(missing_ok=True)
        path = script if isinstance(script, Path) else FOLDER / script
        slurm = JOB if path.suffix in (".sbatch", ".sh") else {}
        if path.name in ARRAYS:
            array = {"JOB_ID": "7", "TASK_ID": "1", "TASK_COUNT": "1"}
            slurm = slurm | {f"SLURM_ARRAY_{name}": value for name, value in array.items()}
        full = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp_path), **slurm, **env}
        full = {name: value for name, value in full.items() if value}
        with subprocess.Popen(
            ["bash", path, *words.split()],
            cwd=tmp_path,
            env=full,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                limit = time.monotonic() + 30
                while send and not (tmp_path / "ready").exists() and time.monotonic() < limit:
                    time.sleep(0.02)
                if send:
                    process.send_signal(send)
                while storm and process.poll() is None:
                    process.send_signal(random.choice(storm))
                    time.sleep(0.01)
                printed, _ = process.communicate(timeout=40)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return Ended(tmp_path, process.returncode, printed)

    return start


@pytest.fixture(autouse=True)
def no_library(monkeypatch):
    """The protocol of srun is that of the site, as with an unknown MPI."""
    monkeypatch.setattr(protocol, "_of_library", lambda: None)


# the texts


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_files_are_what_the_command_writes(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert text == SCRIPTS[name], "write them again: make jobscripts"


def test_every_file_has_its_line_in_the_readme():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in FOLDER.iterdir()} == {*SCRIPTS, "README.md"}
    assert [name for name in SCRIPTS if f"`{name}`" not in text] == []
    assert [kind for kind in batch.KINDS if f"`{kind}`" not in text] == []


def filled(folder, capsys, *words, configs=("my runs/a.toml",), agents=64):
    """What `mpidbo jobscript` writes for these configurations."""
    (folder / "my runs").mkdir(exist_ok=True)
    tables = {**QUADRATIC, "run.agents": agents}
    if words[0] == "slurm-study":
        tables["study.seeds"] = 5
    paths = [toml(folder, tables, name) for name in configs]
    assert cli.main(["jobscript", *words, *map(str, paths)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def shorter(text):
    """A written script with the imitated mpidbo in place of this one."""
    return re.sub(r"^mpidbo=.*$", "mpidbo=(mpidbo)", text, flags=re.MULTILINE)


@pytest.mark.parametrize("kind", batch.KINDS)
def test_scripts_are_sound(kind, tmp_path, capsys):
    """For bash and, where there is one, for shellcheck."""
    words = "--set", "steps.alpha={kind = 'inverse-sqrt', start = 1}"
    (tmp_path / batch.KINDS[kind].file).write_text(filled(tmp_path, capsys, kind, *words))
    for path in (FOLDER / batch.KINDS[kind].file, tmp_path / batch.KINDS[kind].file):
        done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        if shutil.which("shellcheck"):
            done = subprocess.run(
                ["shellcheck", "--shell=bash", path], capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stdout
    if not shutil.which("shellcheck"):
        pytest.skip("sound for bash; shellcheck is not installed: apt install shellcheck")


# Slurm


@pytest.mark.parametrize("script", SLURM)
def test_a_run_that_finishes(script, start):
    done = start(script, "a.toml --set steps.alpha=0.1")
    gpu = "--set run.device=cuda " if script == "gpu.sbatch" else ""
    assert done.code == 0 and done.called("srun") == [
        f"srun mpidbo run a.toml {gpu}--set steps.alpha=0.1"
    ], done.printed
    for part in (
        "Slurm job 7 (mpidbo), restart 0: 4 tasks on 2 nodes, n[1-2]",
        "mpidbo 0.0; launcher 1.2",
        "finished: ",
    ):
        assert part in done.printed
    assert not done.called("scontrol")


@pytest.mark.parametrize(
    ("env", "launcher"),
    [
        ({"SRUN_MPI": "pmix"}, "srun --mpi=pmix mpidbo run"),
        ({"LAUNCH": "mpiexec -n 4 -x A"}, "mpiexec -n 4 -x A mpidbo run"),
        ({"LAUNCH": "mpirun", "SRUN_MPI": "pmi2"}, "mpirun mpidbo run"),
    ],
)
def test_the_launcher_is_the_users(env, launcher, start):
    done = start("run.sbatch", **env)
    assert done.code == 0 and done.calls == [f"{launcher} a.toml"]


@pytest.mark.parametrize("script", ["requeue.sbatch", "gpu.sbatch", "array.sbatch"])
@pytest.mark.parametrize(
    ("codes", "env", "code", "requeued", "words"),
    [
        ("85", {}, 85, True, "requeue 1 of at most 10"),
        ("85", {"SLURM_RESTART_COUNT": "9"}, 85, True, "requeue 10 of at most 10"),
        ("85", {"SLURM_RESTART_COUNT": "10"}, 85, False, "not finished after 10 restarts"),
        ("85", {"SLURM_RESTART_COUNT": "2", "MAX_RESTARTS": "2"}, 85, False, "MAX_RESTARTS is 2"),
        ("85", {"STATE": "CANCELLED"}, 85, False, "Slurm is ending this job"),
        ("85", {"REFUSED": "1"}, 85, True, "use chain.sh"),
        ("4", {}, 4, True, "stalled"),
        ("stall", {}, 4, True, "stalled"),
        ("lie", {}, 85, True, "there is no"),
        ("1", {}, 1, False, "failed with exit code 1"),
        ("2", {}, 2, False, "failed with exit code 2"),
        ("3", {}, 3, False, "failed with exit code 3"),
        ("137", {}, 137, False, "failed with exit code 137"),
    ],
)
def test_what_is_requeued(script, codes, env, code, requeued, words, start):
    done = start(script, codes=codes, **env)
    assert (done.code, words in done.printed) == (code, True), done.printed
    assert done.called("scontrol") == (
        [f"scontrol requeue 7{'_1' * (script == 'array.sbatch')}"] if requeued else []
    )
    assert bool(done.called("sleep")) == (requeued and "REFUSED" not in env), (
        "until Slurm has ended the script"
    )


def test_a_single_job_is_not_requeued(start):
    done = start("run.sbatch", codes="85")
    assert done.code == 85 and "submit the same again" in done.printed and len(done.calls) == 1


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
@pytest.mark.parametrize("script", ["run.sbatch", "requeue.sbatch"])
def test_signals_reach_the_launcher_as_usr1(script, number, start):
    done = start(script, codes="wait", send=number)
    assert done.code == 85 and "USR1 to srun" in done.calls, done.printed
    assert bool(done.called("scontrol")) == (script == "requeue.sbatch")


def test_a_launcher_that_a_signal_kills(start):
    done = start("requeue.sbatch", codes="wait-die", send=signal.SIGUSR1)
    assert done.code == 85 and done.called("scontrol") and "did not wait" in done.printed


@pytest.mark.parametrize("code", ["10", "15", "255", "1"])
def test_a_launcher_that_fails_after_a_signal(code, start):
    """Its ranks had not yet begun, or it does not bear many signals."""
    done = start("requeue.sbatch", codes=f"wait-{code}", send=signal.SIGUSR1)
    assert (
        done.code == 85
        and done.called("scontrol")
        and f"the launcher returned {code}" in done.printed
    ), done.printed


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("run.sbatch", marks=pytest.mark.slow),
        "requeue.sbatch",
        pytest.param("local.sh", marks=pytest.mark.slow),
    ],
)
def test_a_storm_of_signals_to_the_script(script, start):
    """The launcher receives it and the job is requeued; only then may SIGTERM end the script."""
    done = start(script, codes="storm", send=signal.SIGUSR1, storm=[signal.SIGUSR1, signal.SIGTERM])
    assert [call for call in done.calls if call.startswith("USR1 to ")] and done.printed.count(
        "the run is asked to stop"
    ) < 5, done.printed
    assert bool(done.called("scontrol")) == (script == "requeue.sbatch"), done.printed
    assert done.code in (85, -signal.SIGTERM if script == "requeue.sbatch" else 85), done.printed


@pytest.mark.parametrize(
    ("index", "config"), [("1", "a.toml"), ("3", "c.toml"), ("4", None), ("0", None), ("", None)]
)
def test_the_index_of_an_array_is_a_configuration(index, config, start):
    done = start(
        "array.sbatch", "a.toml b.toml c.toml --set run.seed=1 --out x", SLURM_ARRAY_TASK_ID=index
    )
    if config:
        assert done.code == 0 and done.calls == [
            f"srun mpidbo run {config} --set run.seed=1 --out x"
        ]
    else:
        assert done.code == 2 and not done.calls and "sbatch --array=1-3%2" in done.printed


def test_a_chain_is_submitted(start):
    done = start(
        "chain.sh",
        "--nodes=4 --time=5 a.toml --set run.seed=1",
        SLURM_JOB_ID="",
        JOBS="3",
        CHAIN="x",
    )
    line = (
        "sbatch --job-name=x --dependency=singleton --nodes=4 --time=5 "
        f"{FOLDER / 'chain.sh'} a.toml --set run.seed=1"
    )
    assert done.code == 0 and done.calls == 3 * [line]


@pytest.mark.parametrize(
    ("codes", "code", "goes_on"),
    [("0", 0, False), ("85", 85, True), ("4", 4, True), ("2", 2, False), ("3", 3, False)],
)
def test_the_end_of_a_chain(codes, code, goes_on, start):
    done = start("chain.sh", codes=codes)
    assert done.code == code and bool(done.called("scancel")) != goes_on
    assert goes_on or re.search("--name=mpidbo --state=PENDING$", done.called("scancel")[0])


# PBS, LSF, this machine


PBS = {
    "PBS_JOBID": "8.server",
    "PBS_NODEFILE": "nodes",
    "CONFIG": "a.toml",
    "ARGS": "--set run.seed=1",
}


@pytest.mark.parametrize(
    ("codes", "env", "code", "again"),
    [
        ("0", {}, 0, None),
        ("2", {}, 2, None),
        ("85", {}, 85, 1),
        ("4", {}, 4, 1),
        ("85", {"RESTARTS": "9"}, 85, 10),
        ("85", {"RESTARTS": "10"}, 85, None),
        ("85", {"RESTARTS": "1", "MAX_RESTARTS": "1"}, 85, None),
        ("85", {"REFUSED": "1"}, 85, 1),
    ],
)
def test_pbs(codes, env, code, again, start, tmp_path):
    done = start("run.pbs", "", codes=codes, PBS_O_WORKDIR=str(tmp_path), **(PBS | env))
    assert done.code == code and done.called("mpiexec") == [
        "mpiexec -n 4 mpidbo run a.toml --set run.seed=1"
    ], done.printed
    most = env.get("MAX_RESTARTS", "10")
    line = (
        f"qsub -v CONFIG,ARGS,RESTARTS,LAUNCH,SCRIPT,MAX_RESTARTS {FOLDER / 'run.pbs'} "
        f"[a.toml|--set run.seed=1|{again}|{most}]"
    )
    assert done.called("qsub") == ([line] if again else [])
    assert "4 ranks on h1 h2" in done.printed and ("qsub failed" in done.printed) == (
        "REFUSED" in env
    )


def test_pbs_stops_ahead_of_the_walltime(start, tmp_path):
    done = start(
        "run.pbs", "", codes="wait", PBS_O_WORKDIR=str(tmp_path), WALLTIME="00:00:02", **PBS
    )
    assert done.code == 85 and "USR1 to mpiexec" in done.calls and done.called("qsub"), done.printed


def test_pbs_jobs_that_are_deleted_stay_so(start, tmp_path):
    done = start(
        "run.pbs", "", codes="wait", send=signal.SIGTERM, PBS_O_WORKDIR=str(tmp_path), **PBS
    )
    assert done.code == 85 and "USR1 to mpiexec" in done.calls and not done.called("qsub"), (
        done.printed
    )


LSF = {
    "LSB_JOBID": "9",
    "LSB_JOBNAME": "x",
    "LSB_DJOB_NUMPROC": "4",
    "LSB_HOSTS": "h1 h1 h2 h2",
    "CONFIG": "a.toml",
}


def test_lsf_requeues_by_the_exit_code_until_the_cap(start, tmp_path):
    for restarts, codes in enumerate(("85", "stall", "85")):
        done = start(
            "run.lsf",
            "",
            codes=codes,
            LS_SUBCWD=str(tmp_path),
            MAX_RESTARTS="2",
            ARGS="--set run.seed=1",
            **LSF,
        )
        assert done.calls == ["mpirun -n 4 mpidbo run a.toml --set run.seed=1"]
        assert done.code == (85 if restarts < 2 else 1)
    printed = (tmp_path / "x-9.out").read_text()
    assert (
        "restart 2: 4 ranks on h1 h2" in printed
        and "requeue 2 of at most 2" in printed
        and "not finished after 2 restarts" in printed
    )
    assert '#BSUB -Q "85"' in SCRIPTS["run.lsf"] and not list(tmp_path.glob(".mpidbo*"))


@pytest.mark.parametrize(("codes", "code"), [("0", 0), ("2", 2), ("3", 3)])
def test_lsf_ends(codes, code, start, tmp_path):
    assert start("run.lsf", "", codes=codes, LS_SUBCWD=str(tmp_path), **LSF).code == code
    assert not list(tmp_path.glob(".mpidbo*"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGUSR1, 85), (signal.SIGTERM, 1)])
def test_lsf_signals(number, code, start, tmp_path):
    done = start("run.lsf", "", codes="wait", send=number, LS_SUBCWD=str(tmp_path), **LSF)
    assert done.code == code and "USR1 to mpirun" in done.calls


FLUX_RUN = "flux run -N 2 -n 8 -c 1 mpidbo run a.toml --set run.max_seconds={} --set run.seed=1"


@pytest.mark.parametrize(
    ("codes", "env", "code", "again"),
    [
        ("0", {}, 0, None),
        ("2", {}, 2, None),
        ("85", {}, 85, 1),
        ("stall", {}, 4, 1),
        ("85", {"RESTARTS": "9"}, 85, 10),
        ("85", {"RESTARTS": "1", "MAX_RESTARTS": "1"}, 85, None),
        ("85", {"REFUSED": "1"}, 85, 1),
    ],
)
def test_flux(codes, env, code, again, start):
    done = start("run.flux", "a.toml --set run.seed=1", codes=codes, LEFT="3600", **env)
    assert done.code == code, done.printed
    line = f"flux --parent batch {FOLDER / 'run.flux'} a.toml --set run.seed=1 [{again}|10]"
    assert done.calls == [FLUX_RUN.format(3480), *([line] if again else [])]
    assert "8 ranks on 2 nodes" in done.printed
    assert ("flux batch failed" in done.printed) == ("REFUSED" in env)


@pytest.mark.parametrize(("left", "seconds"), [("480", "360"), ("481", "361"), ("4294967295", "")])
def test_flux_stops_by_the_clock(left, seconds, start):
    done = start("run.flux", LEFT=left)
    limit = f" --set run.max_seconds={seconds}" if seconds else ""
    assert done.calls == [f"flux run -N 2 -n 8 -c 1 mpidbo run a.toml{limit}"]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_flux_signals(number, start):
    done = start("run.flux", codes="wait", send=number, LEFT="3600")
    assert done.code == 85 and "USR1 to flux" in done.calls, done.printed
    assert bool(done.called("flux --parent")) == (number == signal.SIGUSR1)


SGE = {"JOB_ID": "9", "JOB_NAME": "x", "NSLOTS": "4", "PE_HOSTFILE": "nodes"}


def test_sge_reschedules_by_the_exit_code_until_the_cap(start, tmp_path):
    for restarts, codes in enumerate(("85", "stall", "85")):
        done = start("run.sge", "a.toml --set run.seed=1", codes=codes, MAX_RESTARTS="2", **SGE)
        assert done.calls == ["mpirun -n 4 mpidbo run a.toml --set run.seed=1"]
        assert done.code == (99 if restarts < 2 else 85), done.printed
    assert "not finished after 2 restarts" in done.printed and not list(tmp_path.glob(".mpidbo*"))


@pytest.mark.parametrize(
    ("codes", "send", "code"),
    [("0", None, 0), ("3", None, 3), ("wait", signal.SIGUSR1, 99), ("wait", signal.SIGTERM, 85)],
)
def test_sge_ends(codes, send, code, start):
    assert start("run.sge", codes=codes, send=send, **SGE).code == code


@pytest.mark.parametrize(
    ("codes", "starts", "code"),
    [("0", 1, 0), ("85 4 0", 3, 0), ("85 85 85 85", 3, 85), ("85 2 0", 2, 2), ("3 0", 1, 3)],
)
def test_restarts_on_this_machine(codes, starts, code, start):
    done = start("local.sh", codes=codes, MAX_RESTARTS="2", RANKS="3")
    assert done.code == code and done.calls == starts * ["mpiexec -n 3 mpidbo run a.toml"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_who_stops_the_local_script_means_it(number, start):
    done = start("local.sh", codes="wait 0", send=number)
    assert (
        done.code == 85 and len(done.called("mpiexec")) == 1 and "USR1 to mpiexec" in done.calls
    ), done.printed
    assert "restart 1" not in done.printed


# mistakes


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_a_configuration(script, start, tmp_path):
    system = {k: v for k, v in (PBS | LSF | SGE).items() if k != "CONFIG"} | {
        "PBS_O_WORKDIR": str(tmp_path),
        "LS_SUBCWD": str(tmp_path),
    }
    done = start(script, "", **system)
    printed = done.printed + "".join(path.read_text() for path in tmp_path.glob("x-9.out"))
    assert (
        done.code == 2
        and not done.calls
        and re.search(r"configuration.*(sbatch|qsub|bsub|bash|flux) ", printed)
    ), printed


@pytest.mark.parametrize("script", SCRIPTS)
def test_mistakes_start_nothing(script, start, tmp_path):
    """A configuration that mpidbo refuses, no mpidbo, --resume never."""
    system = PBS | LSF | SGE | {"PBS_O_WORKDIR": str(tmp_path), "LS_SUBCWD": str(tmp_path)}
    words = "" if script in ("run.pbs", "run.lsf") else "a.toml"
    never = {"ARGS": "--resume never"} if not words else {}
    for done in (
        start(script, words, **(system | {"WRONG": "1"})),
        start(script, words and f"{words} --resume=never", **(system | never)),
    ):
        assert done.code == 2 and not [
            call for call in done.calls if not call.startswith("scancel")
        ]
    (tmp_path / "bin" / "mpidbo").unlink()
    done = start(script, words, **(system | {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}))
    assert done.code == 2 and "mpidbo: not found; load the modules" in done.printed + "".join(
        p.read_text() for p in tmp_path.glob("x-9.out")
    )


def refused(folder, capsys, *words):
    toml(folder, {**QUADRATIC, "run.agents": 8}, "a.toml")
    toml(folder, {**QUADRATIC, "steps.alpa": 1}, "wrong.toml")
    toml(folder, {**QUADRATIC, "run.agents": 8, "study.seeds": 2}, "study.toml")
    assert cli.main(["jobscript", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("slurm a.toml --nodes 16", "run.agents: 8 in a.toml, but 16 ranks (16 x 1)"),
        (
            "slurm a.toml --nodes 2 --ntasks-per-node 5",
            "ask for fewer with --nodes and --ntasks-per-node",
        ),
        ("slurm a.toml --nodes 0", "--nodes: 0 is out of range; give at least 1"),
        ("slurm a.toml --time 1:30", "'1:30' is not a time; write 12:00:00"),
        ("slurm a.toml --time 0", "--time: 0 is out of range; give at least 60"),
        ("pbs a.toml --queue two,words", "--partition 'two,words': not a word"),
        ("slurm nothing.toml", "nothing.toml: no such file"),
        ("slurm wrong.toml", "steps.alpa: unknown key; did you mean alpha?"),
        ("slurm --set run.seed=1", "name it, such as"),
        ("slurm-array --seeds 3", "--seeds: need a configuration; name it, such as"),
        ("slurm a.toml --mem 64", "'64' is not an amount of memory; write 64G, or 500M"),
        ("slurm a.toml --mail-type ends", "'ends' is not known; write begin, end, fail or all"),
        ("slurm a.toml --mail-user a@b.org", "no mail is sent unless --mail-type says when"),
        ("slurm a.toml --qos a,b", "--qos 'a,b': not a word"),
        ("slurm a.toml --constraint a;b", "'a;b' is not an expression of features"),
        ("slurm a.toml --modules a;b", "'a;b' is not the name of a module"),
        ("slurm a.toml --directive=exclusive", "write for example --directive '#SBATCH --excl"),
        ("slurm a.toml --directive=--mem=4G", "--mem is an option of mpidbo jobscript; write --m"),
        ("flux a.toml --mem 64G", "no option is called --mem"),
        ("flux a.toml --gpus-per-node 3 --ntasks-per-node 2", "3 for 2 ranks on each node, and F"),
        ("slurm-array a.toml --seeds 0", "--seeds: 0 is out of range; give at least 1"),
        ("slurm a.toml --seeds 3", "no option is called --seeds"),
        ("slurm-study a.toml", "needs a section [study]"),
        ("slurm-study study.toml --parts 9", "--parts 9: study.toml has 2 runs"),
        ("slurm-study study.toml --nodes 9", "run.agents: 8 in study.toml, but 9 ranks"),
        ("slurm-array a.toml a.toml", "both would run in"),
        ("local a.toml --nodes 2", "no option is called --nodes"),
        ("condor a.toml", "invalid choice: 'condor'"),
    ],
)
def test_mistakes_in_what_is_asked_for(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert says in refused(tmp_path, capsys, *words.split())


# the command


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            "slurm --nodes 4 --ntasks-per-node 8 --cpus-per-task 2 --time 2-00:00:00 "
            "--partition big --account me --name n --max-restarts 3",
            [
                "#SBATCH --job-name=n",
                "#SBATCH --nodes=4",
                "#SBATCH --ntasks-per-node=8",
                "#SBATCH --cpus-per-task=2",
                "#SBATCH --time=48:00:00",
                "#SBATCH --signal=B:USR1@120",
                "#SBATCH --requeue",
                "#SBATCH --partition=big",
                "#SBATCH --account=me",
                "MAX_RESTARTS=${MAX_RESTARTS:-3}",
            ],
        ),
        (
            "slurm --gpus-per-node 2 --time 4",
            [
                "#SBATCH --gpus-per-node=2",
                "#SBATCH --ntasks-per-node=2",
                "#SBATCH --signal=B:USR1@60",
            ],
        ),
        ("slurm --nodes 40", ["#SBATCH --ntasks-per-node=1"]),
        (
            "pbs --nodes 2 --gpus-per-node 2 --cpus-per-task 3 --queue big",
            ["#PBS -l select=2:ncpus=6:mpiprocs=2:ompthreads=3:ngpus=2", "#PBS -q big"],
        ),
        (
            "lsf --nodes 2 --time 90",
            ["#BSUB -n 8", '#BSUB -R "span[ptile=4]"', "#BSUB -W 01:30", "##BSUB -q NAME"],
        ),
        (
            "slurm --mem 1.5G --qos high --constraint skylake&ib --mail-type fail,end "
            "--mail-user me@lab.org --modules python/3.12,openmpi/5.0 --directive=--exclusive",
            [
                "#SBATCH --mem=1536M",
                "#SBATCH --qos=high",
                "#SBATCH --constraint=skylake&ib",
                "#SBATCH --mail-type=END,FAIL",
                "#SBATCH --mail-user=me@lab.org",
                "#SBATCH --exclusive",
                "module load python/3.12 openmpi/5.0 || exit 2",
            ],
        ),
        (
            "pbs --mem 64G --mail-type all --mail-user me@lab.org",
            [
                "#PBS -l select=1:ncpus=4:mpiprocs=4:ompthreads=1:mem=65536mb",
                "#PBS -m bea",
                "#PBS -M me@lab.org",
            ],
        ),
        (
            "lsf --mem 64G --mail-type begin --mail-user me@lab.org",
            ['#BSUB -R "rusage[mem=65536MB]"', "#BSUB -B", "#BSUB -u me@lab.org"],
        ),
        (
            "flux --nodes 2 --cpus-per-task 3 --gpus-per-node 4 --queue big --bank me --time 90",
            [
                "# flux: --nodes=2",
                "# flux: --nslots=8",
                "# flux: --cores-per-slot=3",
                "# flux: --gpus-per-slot=1",
                "# flux: --time-limit=5400s",
                "# flux: --queue=big",
                "# flux: --bank=me",
            ],
        ),
        (
            "sge --nodes 2 --cpus-per-task 2 --mem 64G --pe orte --queue big --time 60",
            [
                "#$ -pe orte 16",
                "#$ -l h_vmem=8192M",
                "#$ -l h_rt=01:00:00,s_rt=00:58:00",
                "#$ -q big",
                "SLOTS_PER_RANK=2",
            ],
        ),
        ("local --ntasks-per-node 3", ["RANKS=${RANKS:-3}"]),
    ],
)
def test_what_is_asked_for_is_filled_in(words, lines, tmp_path, capsys):
    text = filled(tmp_path, capsys, *words.split())
    assert [line for line in lines if line not in text.splitlines()] == [], text


def test_the_launcher_of_the_shell_is_filled_in(tmp_path, capsys, monkeypatch, start):
    monkeypatch.setenv("SRUN_MPI", "pmi2")
    (tmp_path / "one.sh").write_text(filled(tmp_path, capsys, "slurm"))
    monkeypatch.setenv("LAUNCH", "mpirun -x 'A B'")
    (tmp_path / "two.sh").write_text(filled(tmp_path, capsys, "slurm"))
    for file, launcher in (("one.sh", "srun --mpi=pmi2 "), ("two.sh", "mpirun -x 'A B' ")):
        text = (tmp_path / file).read_text()
        (tmp_path / file).write_text(shorter(text))
        assert start(tmp_path / file, "").calls[0].startswith(launcher)


def test_the_written_script_runs_its_configuration(tmp_path, capsys, monkeypatch, start):
    """With the path of this mpidbo, from a folder with a space; more words are passed on."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    words = (
        "slurm",
        "--set",
        "steps.alpha={kind = 'inverse-sqrt', start = 1}",
        "--out",
        str(tmp_path / "out"),
    )
    (tmp_path / "job.sbatch").write_text(filled(tmp_path, capsys, *words))
    program = shutil.which("mpidbo") or f"{sys.executable} -m mpidbo"
    done = start(tmp_path / "job.sbatch", "--set run.seed=1")
    assert done.code == 0, done.printed
    assert done.calls == [
        f"srun {program} run {tmp_path}/my runs/a.toml {' '.join(words[1:])} --set run.seed=1"
    ]


def test_the_written_array_runs_all_configurations(tmp_path, capsys, start):
    text = filled(
        tmp_path, capsys, "slurm-array", "--throttle", "7", configs=("a.toml", "my runs/b.toml")
    )
    assert "#SBATCH --array=1-2%7" in text and "#SBATCH --job-name=sweep" in text
    (tmp_path / "array.sbatch").write_text(shorter(text))
    for index, name in (("1", "a.toml"), ("2", "my runs/b.toml")):
        done = start(tmp_path / "array.sbatch", "--set run.seed=1", SLURM_ARRAY_TASK_ID=index)
        assert done.calls == [f"srun mpidbo run {tmp_path}/{name} --set run.seed=1"]


def test_an_array_over_seeds(tmp_path, capsys, start):
    configs = ("a.toml", "my runs/b.toml")
    text = filled(tmp_path, capsys, "slurm-array", "--seeds", "3", configs=configs)
    assert "#SBATCH --array=1-6%2" in text
    (tmp_path / "array.sbatch").write_text(shorter(text))
    out = tmp_path / "out"  # what the imitated `mpidbo where` prints
    for index, (name, seed) in {"1": (configs[0], 0), "6": (configs[1], 2)}.items():
        done = start(tmp_path / "array.sbatch", "", SLURM_ARRAY_TASK_ID=index)
        words = f"--set run.seed={seed} --out {out}/seed-{seed}"
        assert done.calls == [f"srun mpidbo run {tmp_path}/{name} {words}"], done.printed


def test_a_study(tmp_path, capsys, start):
    """Its five runs are those of four tasks; no folder of it has a marker `done`."""
    (tmp_path / "study.sbatch").write_text(shorter(filled(tmp_path, capsys, "slurm-study")))
    for index, codes, requeued in (("1", "2", 0), ("4", "85", 1), ("4", "lie", 0)):
        done = start(tmp_path / "study.sbatch", "", codes=codes, SLURM_ARRAY_TASK_ID=index)
        path = f"{tmp_path}/my runs/a.toml"
        assert done.called("srun") == [
            f"srun mpidbo compare {path} --part {int(index) - 1}/4",
        ], done.printed
        assert len(done.called("scontrol")) == requeued
        assert f"mpidbo compare {path} --report" in done.printed
    done = start(tmp_path / "study.sbatch", SLURM_ARRAY_TASK_ID="5")
    assert done.code == 2 and not done.calls


@pytest.mark.parametrize("kind", ["slurm", "slurm-once", "slurm-gpu", "slurm-array"])
def test_a_job_that_goes_on_when_ranks_die(kind, tmp_path, capsys):
    text = filled(tmp_path, capsys, kind, "--survive=10")
    assert "#SBATCH --no-kill" in text and "SLURM_WAIT=0" in text
    assert 'LAUNCH="mpiexec --with-ft ulfm"' in text and "--set run.survive=10" in text
    assert not {"--no-kill", "SLURM_WAIT=0", "survive"} & {*filled(tmp_path, capsys, kind).split()}
    path = toml(tmp_path, {key: value for key, value in QUADRATIC.items() if key != "run.agents"})
    assert cli.main(["jobscript", kind, "--survive=10", str(path)]) == 2
    assert "--survive: set run.agents" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "folder"),
    [("slurm", "a-7.ranks"), ("pbs", "a-8.server.ranks"), ("flux", "a-f7.ranks")],
)
def test_a_log_for_each_rank(kind, folder, tmp_path, capsys, start):
    path = tmp_path / batch.KINDS[kind].file
    path.write_text(shorter(filled(tmp_path, capsys, kind, "--rank-logs")))
    (tmp_path / "bin" / "launcher").write_text(
        '#!/usr/bin/env bash\nfor PMI_RANK in 0 1; do PMI_RANK=$PMI_RANK "$@"; done\nmkdir -p out\n'
        "touch out/done\n"
    )
    (tmp_path / "bin" / "launcher").chmod(0o755)
    env = {**(PBS if kind == "pbs" else {}), "PBS_O_WORKDIR": str(tmp_path), "LAUNCH": "launcher"}
    for starts in (1, 2):
        done = start(path, "", **env)
        logs = {log.name: log.read_text() for log in (tmp_path / folder).iterdir()}
        assert done.code == 0, done.printed
        assert logs == dict.fromkeys(("0.log", "1.log"), starts * "mpidbo 0.0\n")


@pytest.mark.parametrize(
    ("library", "offered", "found"),
    [
        ("Open MPI v5.0.8", "", "pmix"),
        ("MPICH Version: 5.0.2", "", "pmi2"),
        ("MPICH Version: 4.2 ... --with-pmix=/usr", "", "pmix"),
        (
            "MPI VERSION : CRAY MPICH version 8.1",
            "MPI plugin types are...\n\tcray_shasta",
            "cray_shasta",
        ),
        ("MPI VERSION : CRAY MPICH version 8.1", "MPI plugin types are...\n\tpmi2\n\tnone", "pmi2"),
        ("Open MPI v5.0.8", "MPI plugin types are...\n\tnone\n\tpmix\nversions: pmix_v4", "pmix"),
        ("Open MPI v5.0.8", "MPI plugin types are...\n\tnone\n\tpmi2", None),
        ("", "", None),
    ],
)
def test_the_protocol_of_the_library(library, offered, found, monkeypatch):
    monkeypatch.undo()  # of `no_library`
    monkeypatch.delenv("SRUN_MPI", raising=False)
    monkeypatch.setattr(
        protocol, "_output", lambda *line: offered if line[0] == "srun" else library
    )
    assert protocol.protocol(None, by_library=True) == found
    assert protocol.protocol(None, by_library=False) is None
    assert protocol.protocol("default", by_library=True) is None
    if offered:
        with pytest.raises(UserError, match=r"--mpi pmi: srun offers .*; choose one of these"):
            protocol.protocol("pmi", by_library=True)


@pytest.mark.mpi
def test_the_protocol_of_this_library(monkeypatch, mpi):
    monkeypatch.undo()
    monkeypatch.delenv("SRUN_MPI", raising=False)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))  # without srun
    wanted = "pmix" if launch.is_openmpi() else "pmi2"
    assert protocol.protocol(None, by_library=True) == wanted


def test_without_mpidbo_on_path_it_is_this_interpreter(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert f"mpidbo=({sys.executable} -m mpidbo)" in filled(tmp_path, capsys, "slurm").splitlines()


@pytest.mark.parametrize(
    ("words", "folder"), [((), "runs/a"), (("--out", "x"), "x"), (("--set", "run.out=y"), "y")]
)
def test_where(words, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = toml(tmp_path, {**QUADRATIC, "run.iterations": 2})
    assert cli.main(["where", str(path), *words]) == 0
    assert capsys.readouterr().out == f"{tmp_path / folder}\n"
    assert cli.main(["run", str(path), *words]) == 0 and (tmp_path / folder / "done").exists()


@pytest.mark.parametrize(("words", "folder"), [((), "runs/study"), (("--out", "x"), "x")])
def test_where_of_a_study(words, folder, tmp_path, monkeypatch, capsys):
    """The folder that `mpidbo compare` makes."""
    monkeypatch.chdir(tmp_path)
    study = {"study.methods": ["sparkle-ed"], "run.iterations": 2}
    path = toml(tmp_path, {**QUADRATIC, **study}).rename(tmp_path / "study.toml")
    assert cli.main(["where", str(path), *words]) == 0
    assert capsys.readouterr().out == f"{tmp_path / folder}\n"
    assert cli.main(["compare", str(path), *words]) == 0
    assert (tmp_path / folder / "table.csv").exists()


# the real program


def test_a_run_with_restarts_is_the_run_without(mpi, tmp_path):
    """local.sh with this mpidbo and mpiexec: ranks stop at their 101st draw; the same bits."""
    path = toml(
        tmp_path,
        {**QUADRATIC, "problem.name": f"{SLOW}:Slow"},
    )
    run(path, tmp_path / "whole")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "mpidbo").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mpidbo "$@"\n')
    (tools / "mpidbo").chmod(0o755)
    env = launch.environment(
        {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "LAUNCH": " ".join(launch.command(2, [])[:-1]),
            "MPIDBO_TEST_ASK": "0123",
            "MPIDBO_TEST_SIGNAL": str(int(signal.SIGUSR1)),
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        }
    )
    line = ["bash", FOLDER / "local.sh", path, "--out", tmp_path / "out"]
    with subprocess.Popen(
        line,
        env=env,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=100)
        except BaseException:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=10)
            process.kill()
            raise
    assert process.returncode == 0, printed
    assert (
        "restart 1 of at most 10" in printed
        and "restart 2" not in printed
        and "resuming from iteration" in printed
    )
    assert same(tmp_path / "whole", tmp_path / "out")


def test_the_templates_are_installed(tmp_path):
    """What a wheel is made of, without building one."""
    pytest.importorskip("setuptools", reason="setuptools is not installed: pip install setuptools")
    source = tmp_path / "source"
    shutil.copytree(
        FOLDER.parent / "mpidbo", source / "mpidbo", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(FOLDER.parent / name, source / name)
    code = "import setuptools; setuptools.setup()"
    done = subprocess.run(
        [sys.executable, "-c", code, "-q", "build", "--build-lib", tmp_path / "lib"],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=source,
    )
    assert done.returncode == 0, done.stderr
    for folder in (TEMPLATES, PAGE, PAGE / "uplot"):
        files = {path.name for path in (tmp_path / "lib" / folder).iterdir()}
        assert files == {path.name for path in (FOLDER.parent / folder).iterdir()}
