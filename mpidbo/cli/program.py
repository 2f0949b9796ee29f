"""The command `mpidbo`; the only place that asks for COMM_WORLD."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import partial
from io import StringIO, TextIOWrapper
from typing import Any

from .. import _signals as signals
from .._version import __version__
from ..errors import MpidboError, UserError
from ..parallel.launcher import (
    INTERRUPTED,
    abort,
    another_speaks,
    guarded,
    launched,
    let_rank_0_speak,
    same_launcher,
    same_protocol,
    single,
)

STOPPABLE = {"run", "compare", "reproduce"}
"""The commands that a signal stops with a checkpoint; elsewhere signals do what they usually do."""
RANKED = {*STOPPABLE, "doctor"}
"""The commands of which several processes are the ranks of one job; any other is done by each for itself."""


def library() -> tuple[Any, str]:
    """mpi4py's MPI, not yet initialised, or None and why it cannot be loaded."""
    try:
        import mpi4py
        mpi4py.rc(initialize=False, finalize=True)
        from mpi4py import MPI
        return MPI, ""
    except (ImportError, RuntimeError) as error:
        return None, (str(error).splitlines() or [type(error).__name__])[0]


def world() -> Any:
    """COMM_WORLD, or None where this is the only process. UserError when the launcher's size is not the library's."""
    MPI, why = library()
    size, _, variable = launched()
    if MPI is None:
        if size > 1:
            raise UserError(f"the launcher started {size} processes ({variable}), but no MPI library can be loaded ({why}); "
                            f"install one: pip install 'mpidbo[mpich]'; for one process, in a shell that a launcher started: {single()}")
        return None
    if not MPI.Is_initialized():
        same_protocol(MPI)
        if size > 1 and sys.stderr.isatty():    # ranks write to their launcher; this may be a shell in place of a rank
            print(f"mpidbo: waiting for {size} processes ({variable}); for one process in this shell: {single()}", file=sys.stderr)
        MPI.Init_thread()
    comm = MPI.COMM_WORLD
    same_launcher(comm)
    return comm if comm.size > 1 else None


def parser() -> argparse.ArgumentParser:
    from . import run as commands  # here: they import numpy, and signals are noted before
    from .new import command as starter

    top = argparse.ArgumentParser(prog="mpidbo", description="Decentralized stochastic bilevel optimization over MPI.")
    top.add_argument("--version", action="version", version=f"mpidbo {__version__}")
    verbs = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def verb(name: str, call: Callable[..., int], text: str, alone: bool = True) -> argparse.ArgumentParser:
        """A command; `alone`: one process does it, without MPI."""
        made = verbs.add_parser(name, help=text, description=text)
        made.set_defaults(call=call, alone=alone)
        return made

    run = verb("run", commands.run, "Run a configuration.", alone=False)
    commands.of_a_run(run)
    run.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    starter.add(verb)
    commands.add(verb)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code: 0 done, 1 unforeseen, 2 the user's mistake, 3 diverged, 85 stopped.

    Without `argv` it is that of the process, which ends with this command.
    """
    words = sys.argv[1:] if argv is None else argv
    _print_anything()
    if command(words) not in STOPPABLE:
        return _command(words)
    with signals.Command(to_the_end=argv is None):
        return _command(words)


def command(words: Sequence[str]) -> str:
    """The name of the command in the words of a command line."""
    return next((word for word in words if not word.startswith("-")), "")


def _print_anything() -> None:
    """What a terminal's encoding lacks is printed as an escape, and the bytes of a file's name as they are."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="surrogateescape" if stream.encoding.lower() == "utf-8" else "backslashreplace")


def _command(words: Sequence[str]) -> int:
    comm, rank = None, 0
    try:
        args = _parsed(words)
        if isinstance(args, int):
            return args
        if not args.alone:
            rank = int(another_speaks())
            comm = _world(args)
        if comm is not None:
            rank = comm.rank
        with guarded(comm), warnings.catch_warnings():
            warnings.showwarning = partial(_warn, rank, warnings.showwarning)
            return args.call(args, comm)
    except MpidboError as error:
        return _say(error, rank)
    except KeyboardInterrupt:
        _end_all_ranks()
        return _say("interrupted", rank)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _world(args: argparse.Namespace) -> Any:
    """`world`; for the doctor, what stands in its way is a finding."""
    doctor = args.command == "doctor"
    if doctor:
        args.library, args.refused = library()[1], ""
    try:
        return world()
    except UserError as error:
        if not doctor:
            let_rank_0_speak()
            raise
        args.refused = str(error)
        return None


def _parsed(words: Sequence[str]) -> argparse.Namespace | int:
    """The arguments, or the exit code if the parser has said all there is to say."""
    made, said = parser(), StringIO()
    try:
        with redirect_stderr(said):
            return made.parse_args(words)
    except SystemExit as done:
        if done.code:
            let_rank_0_speak()
        if command(words) in RANKED and another_speaks():
            return int(done.code or 0)
        print(said.getvalue(), end="", file=sys.stderr, flush=True)
        return int(done.code or 0)


def _end_all_ranks() -> None:
    """After Ctrl-C outside of what is `guarded`: the others would wait for this rank for ever."""
    MPI = sys.modules.get("mpi4py.MPI")
    if MPI and MPI.Is_initialized() and not MPI.Is_finalized() and MPI.COMM_WORLD.size > 1:
        abort(MPI.COMM_WORLD, "mpidbo: interrupted", INTERRUPTED)


def _say(error: MpidboError | str, rank: int) -> int:
    if rank == 0:
        print(f"mpidbo: {error}", file=sys.stderr, flush=True)
    return error.exit_code if isinstance(error, MpidboError) else INTERRUPTED


def _warn(rank: int, usual: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """This package's own warnings as a sentence, on rank 0."""
    if category is not UserWarning:
        usual(message, category, *where, **more)
    elif rank == 0:
        print(f"mpidbo: warning: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
