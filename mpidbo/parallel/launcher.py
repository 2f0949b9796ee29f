"""Variables of launchers and batch systems, and whether they fit the MPI library.

A shell that was started by a rank of a job inherits the variables of that rank. A program in such a
shell is not a rank, so the variables alone decide nothing: they are compared with what the MPI
library reports.
"""

import os
import sys
from collections.abc import Mapping
from time import sleep
from typing import Any, NamedTuple

from ..errors import UserError

ROOT_HEAD_START_S = 1.0
"""Seconds for which the other ranks leave it to rank 0 to print a message."""
MAX_SHOWN = 40
"""Characters of a variable's value that a message repeats."""


class Launcher(NamedTuple):
    """Variables in which a launcher sets the number of processes and the rank of a process."""

    size: str
    rank: str
    name: str


# Slurm is the last: mpirun starts its daemons by srun, and ranks inherit the daemons' variables.
LAUNCHERS = (
    Launcher("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "Open MPI's launcher"),
    Launcher("PMI_SIZE", "PMI_RANK", "mpiexec or srun"),
    Launcher("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "srun"),
)
LOCAL_RANKS = (
    "SLURM_LOCALID",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "PMI_LOCAL_RANK",
    "PALS_LOCAL_RANKID",
    "FLUX_TASK_LOCAL_ID",
)
"""Variables with the number of a process on its node."""
JOB_IDS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")
"""Variables with the number of a batch job."""
INHERITED = (
    *(launcher.size for launcher in LAUNCHERS),
    *(launcher.rank for launcher in LAUNCHERS),
    "PMI_FD",
    "PMIX_RANK",
    "PMIX_NAMESPACE",
)
"""Variables to remove for a process that is not a rank of the job of its shell."""


class Launched(NamedTuple):
    """What a launcher reports about this process; `variable` is empty without a launcher."""

    size: int = 1
    rank: int = 0
    variable: str = ""
    launcher: str = ""


def launched() -> Launched:
    """Return the number of processes and the rank that the launcher reports."""
    for launcher in LAUNCHERS:
        size = _integer(launcher.size)
        if size:
            return Launched(size, _integer(launcher.rank) or 0, launcher.size, launcher.name)
    return Launched()


def local_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of this process on its node that the launcher reports; 0 without one."""
    for name in LOCAL_RANKS:
        if environment.get(name, "").isdigit():
            return int(environment[name])
    return 0


def job_id() -> str:
    """Return the number of the batch job of this process; "" outside of one."""
    return next((os.environ[name] for name in JOB_IDS if name in os.environ), "")


def _integer(name: str) -> int | None:
    """Return the nonnegative integer in an environment variable, or None."""
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def wait_for_rank_0() -> None:
    """Sleep on ranks other than 0, which has to print before the launcher ends the job."""
    if launched().rank > 0:
        sleep(ROOT_HEAD_START_S)


def is_other_rank() -> bool:
    """Whether this is another rank than 0 of a running launcher, as known before MPI_Init."""
    openmpi = "PMIX_NAMESPACE" in os.environ and not _stale_pmix()
    mpich = "PMI_FD" in os.environ and not _stale_pmi()
    return launched().rank > 0 and (openmpi or mpich)


def check_protocol(MPI: Any) -> None:
    """Check, before MPI_Init, that the MPI library can connect to the launcher of this process.

    Raises
    ------
    UserError
        MPI_Init would end the program with a message of its own.
    """
    vendor = MPI.get_vendor()[0]
    uses_pmix = "PMIX_RANK" in os.environ and not {"PMI_RANK", "PMI_FD"} & os.environ.keys()
    library_has_pmix = vendor != "MPICH" or "pmix" in MPI.Get_library_version().lower()
    if uses_pmix and not library_has_pmix:
        raise UserError(
            f"the launcher speaks PMIx, as Open MPI's does, and the MPI library loaded here "
            f"({library_name(MPI)}) does not; {how_to_launch()}"
        )
    stale = _stale_pmix() if vendor == "Open MPI" else _stale_pmi()
    if stale:
        raise UserError(
            f"{stale}: this process was not started by the launcher that set it, but in a shell "
            f"which that launcher had started; for one process: {single_process_command()}; "
            "for several put mpiexec -n after the last of these names"
        )


def _stale_pmi() -> str:
    """Return the variable by which MPICH would look for a launcher that is not there, or ""."""
    if os.environ.get("PMI_SIZE") and _integer("PMI_SIZE") is None:
        return f"PMI_SIZE = {os.environ['PMI_SIZE'][:MAX_SHOWN]}"
    if "PMI_FD" in os.environ:
        # The number of a socket that MPICH's launcher hands to a rank, and to no process after it.
        try:
            os.fstat(int(os.environ["PMI_FD"]))
        except (OSError, ValueError, OverflowError):
            return f"PMI_FD = {os.environ['PMI_FD'][:MAX_SHOWN]}"
    return ""


def _stale_pmix() -> str:
    """Return the variable by which Open MPI would look for a launcher that is not there, or ""."""
    if "PMIX_NAMESPACE" not in os.environ:
        return ""
    # The address of the launcher's server, by a variable for each version of PMIx: URI2, URI41, ...
    if not any(name.startswith("PMIX_SERVER_URI") for name in os.environ):
        return f"PMIX_NAMESPACE = {os.environ['PMIX_NAMESPACE'][:MAX_SHOWN]}"
    folder = os.environ.get("PMIX_SERVER_TMPDIR", "")
    return f"PMIX_SERVER_TMPDIR = {folder}" if folder and not os.path.isdir(folder) else ""


def check_launcher(comm: Any) -> None:
    """Check that the MPI library knows of the processes that the launcher started.

    Raises
    ------
    UserError
        The launcher started several processes, and each is alone in its own COMM_WORLD.
    """
    size, _, variable, _ = launched()
    if size <= 1 or comm.size > 1:
        return
    MPI = sys.modules[type(comm).__module__]
    if MPI.COMM_WORLD.size == 1:
        raise UserError(
            f"the launcher started {size} processes ({variable}), but each is alone in the MPI "
            f"library loaded here ({library_name(MPI)}), which belongs to another MPI; "
            f"{how_to_launch()}"
        )


def how_to_launch() -> str:
    """Return the remedy of a message: how to start ranks of one job, or a single process."""
    return (
        "start with that library's own mpiexec, or with srun --mpi=pmi2 (MPICH) or --mpi=pmix "
        "(Open MPI); for one process, in a shell that a launcher started: "
        f"{single_process_command()}"
    )


def single_process_command() -> str:
    """Return the command that starts one process without the variables of a launcher."""
    unset = [f"-u {name}" for name in INHERITED if name in os.environ]
    return f"env {' '.join(unset)} mpidbo ..."


def library_version(MPI: Any) -> str:
    """Return the first line of the MPI library's description of itself."""
    return str(MPI.Get_library_version()).strip("\0").split("\n")[0]


def library_name(MPI: Any) -> str:
    """Return name and version of the MPI library, such as "MPICH Version: 5.0.2"."""
    return " ".join(library_version(MPI).split(",")[0].split())
