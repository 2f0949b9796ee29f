"""The command `mpidbo`; the only place that asks for COMM_WORLD."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import commands
from ._version import __version__
from .agents import agreed
from .errors import MpidboError, UserError
from .solve import guarded

LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
"""Where launchers say how many processes they started; the first that is set is believed."""


def world() -> Any:
    """COMM_WORLD, or None where this is the only process. UserError when the launcher's size is not the library's."""
    launcher, told = next(((name, int(os.environ[name])) for name in LAUNCHERS if os.environ.get(name, "").isdigit()), ("", 1))
    try:
        from mpi4py import MPI
        comm = MPI.COMM_WORLD
        size = comm.Get_size()
    except (ImportError, RuntimeError) as error:
        if told > 1:
            raise UserError(f"{launcher} = {told}, but no MPI library can be loaded ({str(error).splitlines()[0]}); "
                            "install one: pip install mpidbo[mpich]") from None
        return None
    if told > 1 and size != told:
        library = MPI.Get_library_version().strip("\0").split("\n")[0].strip()
        raise UserError(
            f"the launcher started {told} processes ({launcher}), but each sees {size} in the MPI library loaded here ({library}): "
            "it belongs to another MPI; start with that library's own mpiexec, or with srun --mpi=pmi2 (MPICH) or --mpi=pmix (Open MPI)")
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
        return _say(error, None)
    try:
        with guarded(comm):
            with agreed(comm):
                args = _parsed(argv, comm)
            return args.call(args, comm)
    except MpidboError as error:
        return _say(error, comm)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parsed(argv: Sequence[str] | None, comm: Any) -> argparse.Namespace:
    if comm is not None and comm.rank > 0:
        sys.stderr, kept = open(os.devnull, "w"), sys.stderr
        try:
            return parser().parse_args(argv)
        finally:
            sys.stderr = kept
    return parser().parse_args(argv)


def _say(error: MpidboError, comm: Any) -> int:
    if comm is None or comm.rank == 0:
        print(f"mpidbo: {error}", file=sys.stderr, flush=True)
    return error.exit_code




if __name__ == "__main__":
    sys.exit(main())
