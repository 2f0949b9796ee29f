"""The command `mpidbo`; the only place that asks for COMM_WORLD."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from . import commands
from ._version import __version__
from .errors import MpidboError, UserError
from .job import INTERRUPTED, guarded, launched, same_launcher


def world() -> Any:
    """COMM_WORLD, or None where this is the only process. UserError when the launcher's size is not the library's."""
    try:
        from mpi4py import MPI
        comm = MPI.COMM_WORLD
        size = comm.Get_size()
    except (ImportError, RuntimeError) as error:
        told, _, variable = launched()
        if told > 1:
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"the launcher started {told} processes ({variable}), but no MPI library can be loaded ({why}); "
                            "install one: pip install 'mpidbo[mpich]'") from None
        return None
    same_launcher(comm)
    return comm if size > 1 else None


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="mpidbo", description="Decentralized stochastic bilevel optimization over MPI.")
    top.add_argument("--version", action="version", version=f"mpidbo {__version__}")
    verbs = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def verb(name: str, call: Callable[..., int], text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text)
        made.set_defaults(call=call)
        return made

    run = verb("run", commands.run, "Run a configuration.")
    run.add_argument("config", type=Path, help="the configuration, a TOML file")
    run.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides",
                     help="override a key, such as steps.alpha=0.1; may be repeated")
    run.add_argument("--out", type=Path, help="the run's folder; default: run.out, else runs/NAME-OF-CONFIG")
    run.add_argument("--resume", choices=("auto", "never", "must"), default="auto",
                     help="what to do with an existing folder: go on with it, set it aside, or insist on a checkpoint")
    run.add_argument("--dry-run", action="store_true", help="print the plan and stop")

    check = verb("check", commands.check, "Compare every oracle of a problem with finite differences.")
    check.add_argument("problem", help="a name, or my_file.py:MyProblem")
    check.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="options", help="an option of the problem")
    check.add_argument("--agents", type=int, default=2)
    check.add_argument("--seed", type=int, default=0)
    commands.add(verb)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code: 0 done, 1 unforeseen, 2 the user's mistake, 3 diverged."""
    try:
        comm = world()
    except UserError as error:
        return _say(error, launched()[1])
    rank = 0 if comm is None else comm.rank
    try:
        with guarded(comm), warnings.catch_warnings():
            warnings.showwarning = partial(_warn, rank, warnings.showwarning)
            args = _parsed(argv, rank)
            return args if isinstance(args, int) else args.call(args, comm)
    except MpidboError as error:
        return _say(error, rank)
    except KeyboardInterrupt:
        return _say("interrupted", rank)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


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


def _warn(rank: int, usual: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """This package's own warnings as a sentence, on rank 0."""
    if category is not UserWarning:
        usual(message, category, *where, **more)
    elif rank == 0:
        print(f"mpidbo: warning: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
