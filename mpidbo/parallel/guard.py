"""End the job on all ranks when one rank fails alone: the others would wait for it for ever."""

import os
import sys
from functools import partial
from time import sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import INTERRUPTED, MpidboError

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

FORWARDING_TIME_S = 0.2
"""Seconds for the launcher to forward the last lines, which it may drop when the job is aborted."""


class guarded:
    """Context that aborts the job when this rank alone raises.

    An error that every rank raises (its `agreed` is true) passes, and so does any error of a single
    process. The exit code is that of the error: see `mpidbo.errors`.

    Parameters
    ----------
    comm : mpi4py communicator, or None for one process
    """

    def __init__(self, comm: "Comm | None") -> None:
        self.comm = comm

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or getattr(error, "agreed", False):
            return
        if self.comm is None or self.comm.size == 1:
            return
        if isinstance(error, MpidboError):
            message, code = f"mpidbo: {error}", error.exit_code
        elif isinstance(error, KeyboardInterrupt):
            message, code = "mpidbo: interrupted", INTERRUPTED
        else:
            import traceback  # here, because a command has to note signals before it imports more

            message, code = "".join(traceback.format_exception(error)), 1
        abort(self.comm, message, code)


class guarded_script(guarded):
    """Context of a call from a script, which also prints an error of all ranks only once.

    Where nobody catches it, rank 0 alone prints the message, without a traceback, and every rank
    ends with the exit code of the error. A hook of the script's own stays in place, and so does
    that of an interactive interpreter.
    """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if self.comm is None or self.comm.size == 1 or not isinstance(error, MpidboError):
            return
        if sys.excepthook is sys.__excepthook__ and not hasattr(sys, "ps1"):
            sys.excepthook = partial(_tell_once, self.comm.rank)


def _tell_once(
    rank: int, kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print an error of all ranks on rank 0, as the hook for errors that nobody catches."""
    if not (isinstance(error, MpidboError) and error.agreed):
        sys.__excepthook__(kind, error, trace)
        return
    if rank == 0:
        print(f"mpidbo: {error}", file=sys.stderr, flush=True)
    # No rank waits for another: `python -m mpi4py` need not abort the job.
    MPI: Any = sys.modules.get("mpi4py.MPI")
    if "mpi4py.run" in sys.modules and hasattr(MPI, "_set_abort_status"):
        MPI._set_abort_status(0)
    sys.exit(error.exit_code)


def abort(comm: "Comm", message: str, code: int) -> None:
    """Print a message with the number of this rank and end the job on all ranks."""
    sys.stdout.flush()
    sys.stderr.write("".join(f"rank {comm.rank}: {line}\n" for line in message.splitlines()))
    sys.stderr.flush()
    sleep(FORWARDING_TIME_S)
    comm.Abort(code)
    os._exit(code)  # MPICH's Abort returns before it takes effect
