"""Starting Python under mpiexec from a test, and ending all of it when it takes too long.

The test process itself never imports mpi4py: a process that initialised MPI cannot reliably start
another.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

# What an outer launcher or batch system leaves in the environment; a nested mpiexec would take it
# for its own.
FOREIGN = ("OMPI_", "PMIX_", "PRTE_", "PMI_", "HYDRA_", "MPI_LOCAL", "SLURM_")
# It makes print write piece by piece, and the ranks' lines run into each other.
UNWANTED = {"PYTHONUNBUFFERED"}
MARK = "MPIDBO_TEST_LAUNCH"


def mpiexec() -> str | None:
    """The launcher of the MPI installed beside this Python; else the one on PATH, as on a
    cluster; or None."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("mpiexec")


@cache
def is_openmpi() -> bool:
    """Whether `mpiexec` is Open MPI's."""
    launcher = mpiexec()
    if launcher is None:
        return False
    answer = subprocess.run(
        [launcher, "--version"], capture_output=True, text=True, timeout=30, env=environment({})
    )
    return (
        "Open MPI" in answer.stdout or "OpenRTE" in answer.stdout or "prte" in answer.stdout.lower()
    )


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without the marks of a launcher, with one BLAS thread, ranks of
    MPICH that sleep while they wait for others, since they share cores, and `extra`."""
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(FOREIGN) and key not in UNWANTED
    }
    return env | {"OMP_NUM_THREADS": "1", "MPIR_CVAR_ENABLE_HEAVY_YIELD": "1"} | dict(extra)


def command(
    n: int | None, args: Iterable[str | os.PathLike[str]], options: Iterable[str] = ()
) -> list[str]:
    """The command line that runs `python *args` on `n` ranks, or without mpiexec for 0 or None.

    `options` are mpiexec's.
    """
    python = [sys.executable, *map(os.fspath, args)]
    if not n:
        return python
    launcher = mpiexec()
    if launcher is None:
        pytest.skip("no mpiexec beside this Python or on PATH: pip install mpich")
    # Ranks outnumber cores, and tests run side by side: no rank may be bound to a core.
    shared = ["--oversubscribe", "--bind-to", "none", *session()] if is_openmpi() else []
    return [launcher, *options, *shared, "-n", str(n), *python]


_SESSIONS: list[str] = []


def session() -> list[str]:
    """The options that give Open MPI's mpiexec a folder of its own for the files of its session
    and for the memory that its ranks share.

    By default the first is /tmp/ompi.PID: where a killed mpiexec left one, no later process with
    the same id can be mpiexec ("The PMIx server's listener thread failed to start"). The second is
    /dev/shm, with names made of 16 bits of a hash of that id: two jobs of one host that have the
    same ones write into each other's memory (signal 11 in mca_btl_sm_poll_handle_frag).
    """
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="mpidbo-", dir=memory)
    _SESSIONS.append(folder)
    backing = ("btl_sm_backing_directory", "osc_sm_backing_directory")
    shared = [word for name in backing for word in ("--mca", name, folder)]
    return ["--prtemca", "prte_tmpdir_base", folder, *shared]


def remove_sessions() -> None:
    """Remove the folders of all sessions that this process has started."""
    while _SESSIONS:
        shutil.rmtree(_SESSIONS.pop(), ignore_errors=True)


def mpirun(
    n: int | None,
    args: Iterable[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
    options: Iterable[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run `python *args` on `n` ranks (0 or None: without mpiexec) and return code and output.

    After `timeout` seconds everything that was started is killed and the test fails with the output
    that the ranks flushed until then.
    """
    mark = uuid.uuid4().hex
    full = environment({MARK: mark, **(env or {})})
    if n and is_openmpi():
        full |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    line = command(n, args, options)
    process = subprocess.Popen(
        line,
        cwd=cwd,
        env=full,
        text=True,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process, SEGMENTS.cleaned():
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            end(process, mark)
            out, err = process.communicate()
            printed = f"--- stdout\n{out}\n--- stderr\n{err}"
            pytest.fail(f"no end after {timeout:g} s: {' '.join(line)}\n{printed}", pytrace=False)
        except BaseException:  # an interrupt, or the test's own time limit
            end(process, mark)
            raise
    return subprocess.CompletedProcess(line, process.returncode, out, err)


def end(process: subprocess.Popen[str], mark: str) -> None:
    """Kill the group of `process` and all that carries its `mark`: launchers put ranks into
    groups of their own."""
    segments = {path for pid in marked(mark) for path in shared_memory(pid)}
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)  # lets a launcher remove its files
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=3)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    limit = time.monotonic() + 5
    while (alive := marked(mark)) and time.monotonic() < limit:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for path in segments:  # what killed ranks cannot remove themselves
        path.unlink(missing_ok=True)


def marked(mark: str) -> list[int]:
    """The processes whose environment carries `mark` (none where there is no /proc)."""
    word = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if word in entry.read_bytes():
                found.append(int(entry.parent.name))
    return found


def shared_memory(pid: int) -> set[Path]:
    """The segments in /dev/shm that an MPI library made for the ranks of process `pid`."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        paths = {Path(line.split(maxsplit=5)[5]) for line in lines if "/dev/shm/" in line}
        return {path for path in paths if path.name.startswith(("mpich_shm_", "sm_segment."))}
    return set()


class Segments:
    """The shared memory of MPI libraries in all that this process has started, which killed
    ranks leave in /dev/shm.

    A process that is gone no longer says what was its own: so, while this is entered, a thread
    looks, and what no process maps any more is removed by `clean`. Nothing else is.
    """

    def __init__(self, every: float = 0.1) -> None:
        self.every, self.seen = every, set[Path]()
        self._over = threading.Event()

    def __enter__(self) -> "Segments":
        self._over.clear()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self.clean()

    def _look(self) -> None:
        while not self._over.wait(self.every):
            self.seen |= self.mapped()

    def mapped(self) -> set[Path]:
        """What the descendants of this process map now; not what it maps itself."""
        found = {path for pid in descendants(os.getpid()) for path in shared_memory(pid)}
        return found and found - shared_memory(os.getpid())

    def clean(self) -> None:
        if not self.seen:
            return
        for path in self.seen - self.mapped() - shared_memory(os.getpid()):
            path.unlink(missing_ok=True)
            self.seen.discard(path)

    @contextlib.contextmanager
    def cleaned(self) -> Iterator[None]:
        """Clean at the end of the block."""
        try:
            yield
        finally:
            self.clean()


SEGMENTS = Segments()


def descendants(pid: int) -> list[int]:
    """The processes that `pid` has started, and theirs."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, children.read_text().split()):
                found += [child, *descendants(child)]
    return found
