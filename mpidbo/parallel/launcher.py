"""The ranks of a job: how many the launcher started, and how all of them end when one cannot go on."""

import os
import sys
from time import sleep
from typing import Any

from ..errors import MpidboError, UserError

LAUNCHERS = {"OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK", "PMI_SIZE": "PMI_RANK", "SLURM_STEP_NUM_TASKS": "SLURM_PROCID"}
"""Where launchers say how many processes they started, and which of them this is."""
MARKS = (*LAUNCHERS, *LAUNCHERS.values(), "PMI_FD", "PMIX_RANK", "PMIX_NAMESPACE")
"""What a shell that was started among the ranks of a job hands on to a program in it, which is none of these ranks."""


def launched() -> tuple[int, int, str]:
    """(processes, this one's number, the variable that says so) by the launcher's account; (1, 0, "") without one."""
    for size, rank in LAUNCHERS.items():
        if found := _number(size):
            return found, _number(rank) or 0, size
    return 1, 0, ""


def _number(name: str) -> int | None:
    """A variable of the environment that holds a whole number, else None."""
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def let_rank_0_speak() -> None:
    """Wait where the launcher says that this is another rank: launchers end a job with its first process that fails."""
    if launched()[1] > 0:
        sleep(1)


def another_speaks() -> bool:
    """Whether this process is another rank than 0 of a launcher that is there, as far as can be known before MPI is loaded."""
    openmpi, mpich = "PMIX_NAMESPACE" in os.environ and not _dead_pmix(), "PMI_FD" in os.environ and not _dead_pmi()
    return launched()[1] > 0 and (openmpi or mpich)


def same_protocol(MPI: Any) -> None:
    """UserError where the MPI library would stop the program at its start with words of its own; before MPI_Init."""
    openmpi = MPI.get_vendor()[0] == "Open MPI"
    speaks_pmix = "PMIX_RANK" in os.environ and not {"PMI_RANK", "PMI_FD"} & os.environ.keys()
    if speaks_pmix and MPI.get_vendor()[0] == "MPICH" and "pmix" not in MPI.Get_library_version().lower():
        raise UserError(f"the launcher speaks PMIx, as Open MPI's does, and the MPI library loaded here ({_name(MPI)}) does not; "
                        f"{remedy()}")
    if broken := _dead_pmix() if openmpi else _dead_pmi():
        raise UserError(f"{broken}: this is no process of the launcher that set it, but one in a shell which that had started; "
                        f"for one process: {single()}; for several put mpiexec -n after the last of these names")


def _dead_pmi() -> str:
    """The variable by which MPICH would look for a launcher that is not there; "" where all is well."""
    if os.environ.get("PMI_SIZE") and _number("PMI_SIZE") is None:
        return f"PMI_SIZE = {os.environ['PMI_SIZE'][:40]}"
    if "PMI_FD" in os.environ:
        try:
            os.fstat(int(os.environ["PMI_FD"]))
        except (OSError, ValueError, OverflowError):
            return f"PMI_FD = {os.environ['PMI_FD'][:40]}"
    return ""


def _dead_pmix() -> str:
    """The same for Open MPI."""
    if "PMIX_NAMESPACE" not in os.environ:
        return ""
    if not any(name.startswith("PMIX_SERVER_URI") for name in os.environ):
        return f"PMIX_NAMESPACE = {os.environ['PMIX_NAMESPACE'][:40]}"
    folder = os.environ.get("PMIX_SERVER_TMPDIR", "")
    return f"PMIX_SERVER_TMPDIR = {folder}" if folder and not os.path.isdir(folder) else ""


def same_launcher(comm: Any) -> None:
    """UserError where the launcher started several processes and the MPI library knows of this one only."""
    told, _, variable = launched()
    if told <= 1 or comm.size > 1:
        return
    MPI = sys.modules[type(comm).__module__]
    if MPI.COMM_WORLD.size == 1:
        raise UserError(f"the launcher started {told} processes ({variable}), but each is alone in the MPI library loaded here "
                        f"({_name(MPI)}), which belongs to another MPI; {remedy()}")


def remedy() -> str:
    """How to start ranks that know of each other, and how one process in a shell that is itself part of a job."""
    return ("start with that library's own mpiexec, or with srun --mpi=pmi2 (MPICH) or --mpi=pmix (Open MPI); for one process, in a shell "
            f"that a launcher started: {single()}")


def single() -> str:
    """The command that starts one process without what the launcher of its shell left in the environment."""
    return f"env {' '.join(f'-u {name}' for name in MARKS if name in os.environ)} mpidbo ..."


def _name(MPI: Any) -> str:
    return " ".join(MPI.Get_library_version().strip("\0").splitlines()[0].split(",")[0].split())


class guarded:
    """End the job on all ranks when one alone raises: the others would wait for it for ever."""

    def __init__(self, comm: Any) -> None:
        self.comm = comm

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or self.comm is None or self.comm.size == 1 or getattr(error, "agreed", False):
            return
        if isinstance(error, MpidboError):
            said, code = f"mpidbo: {error}", error.exit_code
        elif isinstance(error, KeyboardInterrupt):
            said, code = "mpidbo: interrupted", INTERRUPTED
        else:
            import traceback  # here: signals are noted before what is not always needed is imported
            said, code = "".join(traceback.format_exception(error)), 1
        abort(self.comm, said, code)


def abort(comm: Any, said: str, code: int) -> None:
    """End the job on all ranks with these last words of this one; does not return."""
    sys.stdout.flush()
    sys.stderr.write("".join(f"rank {comm.rank}: {line}\n" for line in said.splitlines()))
    sys.stderr.flush()
    sleep(0.2)                  # launchers may drop what they have not forwarded when the job is aborted
    comm.Abort(code)
    os._exit(code)              # MPICH's Abort returns before it takes effect


INTERRUPTED = 130
"""The exit code after Ctrl-C."""
