"""The ranks of a job: how many the launcher started, and how all of them end when one cannot go on."""

import os
import sys
import traceback
from time import sleep
from typing import Any

from .errors import MpidboError, UserError

LAUNCHERS = {"OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK", "PMI_SIZE": "PMI_RANK", "SLURM_STEP_NUM_TASKS": "SLURM_PROCID"}
"""Where launchers say how many processes they started, and which of them this is."""


def launched() -> tuple[int, int, str]:
    """(processes, this one's number, the variable that says so) by the launcher's account; (1, 0, "") without one."""
    for size, rank in LAUNCHERS.items():
        if os.environ.get(size, "").isdigit():
            number = os.environ.get(rank, "")
            return int(os.environ[size]), int(number) if number.isdigit() else 0, size
    return 1, 0, ""


def same_protocol(MPI: Any) -> None:
    """UserError where MPICH would stop the program at its start, since the launcher speaks PMIx only; before MPI_Init."""
    speaks_pmix = "PMIX_RANK" in os.environ and not {"PMI_RANK", "PMI_FD"} & os.environ.keys()
    if speaks_pmix and MPI.get_vendor()[0] == "MPICH" and "pmix" not in MPI.Get_library_version().lower():
        raise UserError(f"the launcher speaks PMIx, as Open MPI's does, and the MPI library loaded here ({_name(MPI)}) does not; {REMEDY}")


def same_launcher(comm: Any) -> None:
    """UserError where the launcher started several processes and the MPI library knows of this one only."""
    told, _, variable = launched()
    if told == 1 or comm.size > 1:
        return
    MPI = sys.modules[type(comm).__module__]
    if MPI.COMM_WORLD.size == 1:
        raise UserError(f"the launcher started {told} processes ({variable}), but each is alone in the MPI library loaded here "
                        f"({_name(MPI)}), which belongs to another MPI; {REMEDY}")


REMEDY = "start with that library's own mpiexec, or with srun --mpi=pmi2 (MPICH) or --mpi=pmix (Open MPI)"


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
