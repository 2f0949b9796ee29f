"""The command `mpidbo`; the only place that asks for COMM_WORLD."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import partial
from time import sleep
from typing import Any

from . import commands, starter
from ._version import __version__
from .errors import MpidboError, UserError
from .job import INTERRUPTED, guarded, launched, same_launcher, same_protocol


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
    if MPI is None:
        told, _, variable = launched()
        if told > 1:
            raise UserError(f"the launcher started {told} processes ({variable}), but no MPI library can be loaded ({why}); "
                            "install one: pip install 'mpidbo[mpich]'")
        return None
    if not MPI.Is_initialized():
        same_protocol(MPI)
        MPI.Init_thread()
    comm = MPI.COMM_WORLD
    same_launcher(comm)
    return comm if comm.size > 1 else None


def parser() -> argparse.ArgumentParser:
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
    """Run a command; the exit code: 0 done, 1 unforeseen, 2 the user's mistake, 3 diverged, 85 stopped."""
    comm, rank = None, launched()[1]
    try:
        args = _parsed(argv, rank)
        if isinstance(args, int):
            return _after_rank_0(args, rank)
        if not args.alone:
            comm = _world(args)
        if comm is None and rank > 0:
            return 0
        rank = 0 if comm is None else comm.rank
        with guarded(comm), warnings.catch_warnings():
            warnings.showwarning = partial(_warn, rank, warnings.showwarning)
            return args.call(args, comm)
    except MpidboError as error:
        code = _say(error, rank)
        return code if comm is not None else _after_rank_0(code, rank)
    except KeyboardInterrupt:
        return _say("interrupted", rank)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _world(args: argparse.Namespace) -> Any:
    """`world`; for the doctor, what stands in its way is a finding."""
    if args.command != "doctor":
        return world()
    args.library, args.refused = library()[1], ""
    try:
        return world()
    except UserError as error:
        args.refused = str(error)
        return None


def _parsed(argv: Sequence[str] | None, rank: int) -> argparse.Namespace | int:
    """The arguments, or the exit code if the parser has said all there is to say: rank 0's does."""
    with ExitStack() as quiet:
        if rank > 0:
            nowhere = quiet.enter_context(open(os.devnull, "w"))
            quiet.enter_context(redirect_stdout(nowhere))
            quiet.enter_context(redirect_stderr(nowhere))
        try:
            return parser().parse_args(argv)
        except SystemExit as done:
            return int(done.code or 0)


def _say(error: MpidboError | str, rank: int) -> int:
    if rank == 0:
        print(f"mpidbo: {error}", file=sys.stderr, flush=True)
    return error.exit_code if isinstance(error, MpidboError) else INTERRUPTED


def _after_rank_0(code: int, rank: int) -> int:
    """The code, when rank 0 has had time to speak: launchers end a job with its first process that fails."""
    if code and rank > 0:
        sleep(1)
    return code


def _warn(rank: int, usual: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """This package's own warnings as a sentence, on rank 0."""
    if category is not UserWarning:
        usual(message, category, *where, **more)
    elif rank == 0:
        print(f"mpidbo: warning: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
