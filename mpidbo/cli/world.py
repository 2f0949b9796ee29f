"""The communicator of the program: the only place that imports mpi4py and asks for COMM_WORLD."""

import sys
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..parallel import check_launcher, check_protocol, launched, single_process_command

if TYPE_CHECKING:
    from mpi4py import MPI


def load_library() -> tuple[Any, str]:
    """mpi4py's module MPI, not yet initialized, and ""; or None, and why it cannot be loaded."""
    try:
        import mpi4py

        # By default mpi4py initializes MPI on import, and finalizes only what it has initialized.
        mpi4py.rc(initialize=False, finalize=True)
        from mpi4py import MPI

        return MPI, ""
    except (ImportError, RuntimeError) as error:
        lines = str(error).splitlines()
        return None, lines[0] if lines else type(error).__name__


def comm_world() -> "MPI.Comm | None":
    """COMM_WORLD, or None in a job of one process.

    Raises
    ------
    UserError
        If the launcher started several processes, but no MPI library can be loaded, or the
        library that is loaded belongs to another MPI than the launcher.
    """
    MPI, why = load_library()
    job = launched()
    if MPI is None:
        if job.size > 1:
            raise UserError(
                f"the launcher started {job.size} processes ({job.variable}), but no MPI library "
                f"can be loaded ({why}); install one: pip install 'mpidbo[mpich]'; for one "
                f"process, in a shell that a launcher started: {single_process_command()}"
            )
        return None
    if not MPI.Is_initialized():
        check_protocol(MPI)
        # Ranks write to their launcher; a terminal may mean a shell in place of a rank.
        if job.size > 1 and sys.stderr.isatty():
            print(
                f"mpidbo: waiting for {job.size} processes ({job.variable}); "
                f"for one process in this shell: {single_process_command()}",
                file=sys.stderr,
            )
        MPI.Init_thread()
    comm = MPI.COMM_WORLD
    check_launcher(comm)
    return comm if comm.size > 1 else None
