"""Checks of the MPI library, its launcher and the batch system, by each rank for itself."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._text import plural
from ...parallel import launched, library_name
from .findings import OK, WARNING, WRONG, Finding

if TYPE_CHECKING:
    from mpi4py import MPI

THREAD_LEVELS = {0: "single", 1: "funneled", 2: "serialized", 3: "multiple"}
OPEN_MPI_WORDS = ("open mpi", "openrte", "prrte", "open-mpi")
MPICH_WORDS = ("mpich", "hydra", "intel", "mvapich")
VERSION_TIMEOUT_S = 20


def check_mpi(comm: "MPI.Comm | None", library: str, refused: str) -> Iterator[Finding]:
    """The library that is loaded, the number of ranks and who started them.

    `library` is why no library could be loaded, `refused` why it does not fit the launcher; ""
    where all is well.
    """
    if refused:
        yield Finding(WRONG, "mpi", refused)
        return
    if library:
        yield Finding(
            WARNING,
            "mpi",
            f"no MPI library can be loaded ({library}): all agents run in one process; for "
            "several install one, pip install 'mpidbo[mpich]', or load your cluster's module",
        )
        return
    ranks = 1 if comm is None else comm.size
    level = THREAD_LEVELS.get(_mpi4py().Query_thread(), "unknown")
    yield Finding(
        OK,
        "mpi",
        f"{_library_version()}, {plural(ranks, 'rank')}, {_launcher(ranks)}; threads {level}",
    )


def _launcher(ranks: int) -> str:
    """Describe who started this process."""
    job = launched()
    if job.variable:
        return f"started by {job.launcher} ({job.variable} = {job.size})"
    if ranks > 1:
        return "started by an unknown launcher"
    return "not started by a launcher"


def _mpi4py() -> Any:
    """mpi4py's module MPI if it has been imported, else None."""
    return sys.modules.get("mpi4py.MPI")


def _library_version() -> str:
    """The library in a few words, such as "MPICH Version: 5.0.2"; "" if none is loaded."""
    MPI = _mpi4py()
    return "" if MPI is None else library_name(MPI)


def check_mpiexec() -> Iterator[Finding]:
    """Whether the mpiexec on PATH belongs to the library that is loaded.

    Not checked among ranks, where starting a process may be unsafe.
    """
    if launched().variable or not _mpi4py():
        return
    on_path = shutil.which("mpiexec")
    beside = Path(sys.executable).with_name("mpiexec")
    if on_path is None:
        if beside.exists():
            remedy = f"it is {beside}"
        else:
            remedy = "install one, pip install 'mpidbo[mpich]', or load your cluster's module"
        yield Finding(WARNING, "mpiexec", f"none on PATH; {remedy}")
        return

    version = subprocess.run(
        [on_path, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S
    ).stdout
    launcher, library = _family(version), _family(_library_version())
    if launcher == library or not launcher or not library:
        yield Finding(OK, "mpiexec", f"{on_path}, of {launcher or 'an unknown MPI'}")
        return
    if beside.exists() and str(beside) != on_path:
        remedy = f"start with {beside}"
    else:
        remedy = f"put the mpiexec of {library} first on PATH"
    yield Finding(
        WRONG,
        "mpiexec",
        f"{on_path} is of {launcher}, the library loaded is {library}: every process would be "
        f"alone; {remedy}",
    )


def _family(version: str) -> str:
    """Whose MPI a version names; "" if it is not known."""
    lower = version.lower()
    if any(word in lower for word in OPEN_MPI_WORDS):
        return "Open MPI"
    if any(word in lower for word in MPICH_WORDS):
        return "the MPICH family"
    return ""


def check_slurm() -> Iterator[Finding]:
    """Within a Slurm job: whether the processes were started by a launcher."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return
    tasks = os.environ.get("SLURM_NTASKS", "")
    if tasks.isdigit() and int(tasks) > 1 and not launched().variable:
        yield Finding(
            WARNING,
            "slurm",
            f"an allocation of {tasks} tasks, of which this process uses one; "
            "start with srun or mpiexec",
        )
    else:
        yield Finding(OK, "slurm", f"job {job}, {tasks or '?'} tasks")
