"""A Slurm cluster of several virtual nodes on this machine, for tests: no systemd, no cgroups,
loopback only.

    python tests/support/slurm_cluster.py start DIR --nodes 4 --cpus 2 --gpus 2
    eval "$(python tests/support/slurm_cluster.py env DIR)"  # for sinfo, sbatch, srun of this shell
    python tests/support/slurm_cluster.py stop DIR

Needs slurmctld, slurmd, the client commands and munge (Debian: see PACKAGES). Everything it writes
is in DIR, which must be short: the path of a socket has a hundred characters at most. Its GPUs are
links to /dev/null, which Slurm counts and binds like real ones.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# libpmix-dev: for srun --mpi=pmix
PACKAGES = "slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge libpmix-dev"
PROGRAMS = "munged slurmctld slurmd sbatch srun scontrol scancel squeue sinfo"
os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"  # where a user's PATH does not look

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its old credential has expired.
AuthInfo=socket={dir}/munge/socket,cred_expire=5
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool/%n
TmpFS={dir}/tmp/%n
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/%n.pid
SlurmctldLogFile={dir}/log/slurmctld
SlurmdLogFile={dir}/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
MpiDefault={mpi}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MinJobAge=3600
MailProg=/bin/true
GresTypes=gpu
# MPI libraries name shared memory after the job: clusters side by side need ids of their own.
FirstJobId={port}
"""
NODE = (
    "NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} "
    "CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory=64000 Gres=gpu:{gpus} State=UNKNOWN\n"
)


def missing() -> str:
    """Why no cluster can be started here; empty if one can."""
    without = [name for name in PROGRAMS.split() if shutil.which(name) is None]
    return f"no {', '.join(without)} on this machine: apt install {PACKAGES}" if without else ""


def free_ports(n: int) -> list[int]:
    """Ports below those that Linux gives to whoever asks for any, from 32768 on: until the daemons
    listen, no other process gets one of them."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.SystemRandom().sample(range(10_000, 32_000), 100 + n):
            one = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                one.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == n:
                return found
    raise RuntimeError(f"fewer than {n} free ports among {100 + n}")


def configure(folder: Path, nodes: int, cpus: int, gpus: int, mpi: str) -> None:
    for name in (
        "munge",
        "state",
        "log",
        "gpu",
        *(f"{each}/n{i}" for i in range(1, nodes + 1) for each in ("spool", "tmp")),
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in (folder, *folder.iterdir()):
        name.chmod(0o755)
    (folder / "munge").chmod(0o711)
    (folder / "munge" / "key").write_bytes(os.urandom(128))
    (folder / "munge" / "key").chmod(0o600)
    for i in range(gpus):
        (folder / "gpu" / str(i)).unlink(missing_ok=True)
        (folder / "gpu" / str(i)).symlink_to("/dev/null")
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    host, (port, *ports) = socket.gethostname().partition(".")[0], free_ports(nodes + 1)
    conf = CONF.format(host=host, port=port, user=user, dir=folder, mpi=mpi)
    conf += "".join(
        NODE.format(i=i, host=host, port=port, cpus=cpus, gpus=gpus)
        for i, port in enumerate(ports, 1)
    )
    conf += "PartitionName=test Nodes=ALL Default=YES DefaultTime=10 PriorityTier=2\n"
    conf += "PartitionName=spare Nodes=ALL DefaultTime=10 PriorityTier=1 GraceTime=30\n"
    (folder / "slurm.conf").write_text(conf)
    (folder / "gres.conf").write_text(
        f"Name=gpu File={folder}/gpu/[0-{gpus - 1}]\n" if gpus else ""
    )


def start(folder: Path, nodes: int = 4, cpus: int = 2, gpus: int = 2, mpi: str = "none") -> None:
    """Start the daemons, and return when all nodes are idle; RuntimeError with the end of the
    logs if they do not become so."""
    if (folder / "pids").exists():
        raise RuntimeError(f"{folder}: a cluster is there; stop it first")
    configure(folder, nodes, cpus, gpus, mpi)
    munge = folder / "munge"
    daemons = {
        "slurmctld": ["slurmctld", "-D", "-c"],
        **{f"n{i}": ["slurmd", "-D", "-N", f"n{i}"] for i in range(1, nodes + 1)},
    }
    try:
        daemon(
            folder,
            "munged",
            [
                "munged",
                "-F",
                "--force",
                f"--socket={munge}/socket",
                f"--key-file={munge}/key",
                f"--pid-file={munge}/pid",
                f"--log-file={folder}/log/munged",
                f"--seed-file={munge}/seed",
            ],
        )
        until(10, "munged answers", (munge / "socket").is_socket)
        for name, line in daemons.items():
            daemon(folder, name, line)
        until(
            60,
            "all nodes are idle",
            lambda: ask(folder, "sinfo", "-hNp", "test", "-o", "%T").split() == nodes * ["idle"],
        )
    except BaseException as error:
        stop(folder)
        logs = "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}"
            for path in sorted((folder / "log").iterdir())
        )
        raise RuntimeError(f"the Slurm cluster did not start: {error}\n{logs}") from error


def daemon(folder: Path, name: str, line: list[str]) -> None:
    """Start a daemon in the foreground, as one that survives this process; its id goes to
    DIR/pids."""
    with open(folder / "log" / f"{name}.out", "wb") as log:
        process = subprocess.Popen(
            line,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    with open(folder / "pids", "a") as pids:
        pids.write(f"{process.pid}\n")


def environment(folder: Path) -> dict[str, str]:
    """This process's environment, outside of any job, with the cluster in it."""
    return {
        key: value for key, value in os.environ.items() if not key.startswith(("SLURM", "SBATCH"))
    } | {"SLURM_CONF": str(folder / "slurm.conf")}


def ask(folder: Path, *line: str, timeout: float = 30) -> str:
    """What a client command prints; empty if it fails."""
    done = subprocess.run(
        line,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout if done.returncode == 0 else ""


def until(seconds: float, what: str, true: Callable[[], bool]) -> None:
    limit = time.monotonic() + seconds
    while not true():
        if time.monotonic() > limit:
            raise TimeoutError(f"not after {seconds:g} s: {what}")
        time.sleep(0.1)


def processes(folder: Path) -> Iterator[int]:
    """What lives of this cluster: its daemons, and the jobs' processes, which all have it in
    their environment."""
    word = f"SLURM_CONF={folder / 'slurm.conf'}".encode()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if word in entry.read_bytes().split(b"\0") and int(entry.parent.name) not in lineage():
                yield int(entry.parent.name)


def lineage() -> set[int]:
    """This process and those that started it: a shell whose environment names the cluster is
    none of its processes."""
    found, pid = set(), os.getpid()
    while pid > 1:
        found.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def stop(folder: Path) -> None:
    """End all jobs, then the daemons, then whatever is left of them; each by its id."""
    if not (folder / "pids").exists():
        return
    with contextlib.suppress(subprocess.TimeoutExpired, TimeoutError):
        if ask(folder, "squeue", "-ho", "%i", timeout=5):
            ask(folder, "scancel", "--state=PENDING", "--full", timeout=5)
            ask(folder, "scancel", "--full", timeout=5)
            until(10, "no jobs", lambda: not ask(folder, "squeue", "-ho", "%i", timeout=5))
    ours = set((folder / "pids").read_text().split())
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        left = list(processes(folder))
        for pid in left:
            if number == signal.SIGKILL or str(pid) in ours:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        with contextlib.suppress(TimeoutError):
            until(seconds, "no processes", lambda: not list(processes(folder)))
            break
    (folder / "pids").unlink()


def main() -> int:
    words = argparse.ArgumentParser(
        description="A Slurm cluster of several virtual nodes on this machine."
    )
    words.add_argument(
        "verb",
        choices=("start", "stop", "env", "hold", "packages"),
        help=(
            "hold: start, say so, and stop when standard input ends; packages: what Debian calls "
            "what is needed"
        ),
    )
    words.add_argument(
        "folder",
        type=lambda name: Path(name).resolve(),
        metavar="DIR",
        nargs="?",
        default=f"{tempfile.gettempdir()}/slurm",
    )
    for name, default in (("nodes", 4), ("cpus", 2), ("gpus", 2)):
        words.add_argument(f"--{name}", type=int, default=default)
    words.add_argument(
        "--mpi", default="none", help="what srun takes without --mpi: none, pmi2, pmix"
    )
    given = words.parse_args()
    if given.verb == "packages":
        print(PACKAGES)
    elif given.verb == "env":
        print(f"export SLURM_CONF={given.folder / 'slurm.conf'}")
    elif given.verb == "stop":
        stop(given.folder)
    else:
        if why := missing():
            sys.exit(why)
        try:
            start(given.folder, given.nodes, given.cpus, given.gpus, given.mpi)
        except RuntimeError as error:
            sys.exit(str(error))
        if given.verb == "hold":
            print("ready", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                sys.stdin.read()
            stop(given.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
