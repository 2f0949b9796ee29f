"""The program `mpidbo`: the table of its commands, and what they have in common.

A command is a module with two functions, `add_arguments(parser)` and the command itself, which
takes the parsed arguments and the communicator and returns the exit code. It is imported when it
is asked for, so that a command loads only what it needs, and after signals are noted.
"""

import os
import sys
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stderr
from functools import partial
from importlib import import_module
from io import StringIO, TextIOWrapper
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _signals as signals
from .._version import __version__
from ..errors import INTERRUPTED, MpidboError, UserError
from ..parallel import abort, end_process, guarded, is_other_rank, rank_now, wait_for_rank_0
from .words import check_processes, unknown_argument, unknown_command
from .world import comm_world, load_library

if TYPE_CHECKING:
    from mpi4py import MPI


class Command(NamedTuple):
    """A command of the program.

    Parameters
    ----------
    module : str
        Its module, relative to this package.
    summary : str
        What it does, for `--help`.
    ranks : bool
        Whether several processes are the ranks of one job. Otherwise each process works alone,
        without MPI.
    stoppable : bool
        Whether SIGTERM and SIGUSR1 stop it with a checkpoint. Otherwise they end the process.
    """

    module: str
    summary: str
    ranks: bool = False
    stoppable: bool = False


COMMANDS = {
    "run": Command("run", "Run a configuration.", ranks=True, stoppable=True),
    "new": Command(
        "new.command",
        "Make a folder with losses, a configuration and a job script, which runs without changes.",
    ),
    "tune": Command(
        "tune",
        "Find step sizes for a configuration by short runs from its start.",
        ranks=True,
        stoppable=True,
    ),
    "where": Command(
        "where", "Print the folder of a run or study that the same arguments would start or resume."
    ),
    "jobscript": Command(
        "jobscript.command",
        "Write a job script for a batch system, filled in for a configuration.",
    ),
    "check": Command(
        "check",
        "Compare every oracle of a problem with finite differences; without a name: list the "
        "problems.",
    ),
    "plot": Command("plot", "Plot the curves of one or several runs."),
    "report": Command(
        "report",
        "Write a page with interactive curves, configuration, graph and cost of one or several "
        "runs, or serve it while they continue.",
    ),
    "compare": Command(
        "compare",
        "Compare methods, strategies and topologies over seeds, each with its own tuned step "
        "sizes.",
        ranks=True,
        stoppable=True,
    ),
    "reproduce": Command(
        "reproduce",
        "Run a claim of the papers and report whether it holds; without a name: list the claims.",
        ranks=True,
        stoppable=True,
    ),
    "show": Command("show", "Print the configuration, progress, cost and provenance of a run."),
    "topology": Command(
        "topology",
        "Print degrees, spectrum and suitable strategies of a topology; without a name: "
        "list the topologies.",
    ),
    "methods": Command(
        "methods",
        "List the methods with their keys, needs and messages, and the strategies.",
    ),
    "data": Command(
        "data", "Fetch data sets by name: MNIST, Fashion-MNIST, australian, a9a, ijcnn1, covtype."
    ),
    "doctor": Command(
        "doctor.command",
        "Check MPI, HDF5, threads, GPU and packages of this machine; under mpiexec on all ranks.",
        ranks=True,
    ),
}
"""The commands, in the order of `--help`. A new one is a module and an entry here."""


def parser(only: str | None = None) -> ArgumentParser:
    """The parser of the program.

    Parameters
    ----------
    only : str, optional
        The command whose arguments are needed; the modules of the others are not imported.
        Default: the arguments of all commands.
    """
    top = ArgumentParser(
        prog="mpidbo", description="Decentralized stochastic bilevel optimization over MPI."
    )
    top.add_argument("--version", action="version", version=f"mpidbo {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        own = commands.add_parser(name, help=command.summary, description=command.summary)
        if only is None or only == name:
            import_module(f".{command.module}", __package__).add_arguments(own)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after `mpidbo`. Default: those of the process, which then ends with this command.

    Returns
    -------
    int
        The exit code: 0 done, 1 unforeseen error, 2 mistake of the user, 3 diverged, 4 stalled,
        85 stopped with a checkpoint, 130 interrupted.
    """
    words = sys.argv[1:] if argv is None else argv
    _print_any_character()
    command = COMMANDS.get(command_name(words))
    stoppable = command is not None and command.stoppable
    try:
        with signals.Command(to_the_end=argv is None) if stoppable else nullcontext():
            code = _run(words)
    except KeyboardInterrupt:  # before the command began
        code = _report("interrupted", int(is_other_rank()))
    if argv is None:
        end_process(code)
    return code


def command_name(words: Sequence[str]) -> str:
    """The first of the words that is not an option; "" without one."""
    for word in words:
        if not word.startswith("-"):
            return word
    return ""


def _print_any_character() -> None:
    """Let any string be printed: what the encoding lacks as an escape, names of files as bytes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            utf8 = stream.encoding.lower() == "utf-8"
            stream.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")


def _run(words: Sequence[str]) -> int:
    """Parse the words and call the command; errors become a message and an exit code."""
    comm, rank = None, 0
    name = command_name(words)
    if name not in COMMANDS or COMMANDS[name].ranks:
        # From the launcher's variables, so that rank 0 alone prints what fails before MPI_Init.
        rank = int(is_other_rank())
    try:
        args = _parse(name, words, rank)
        if isinstance(args, int):
            return args
        if COMMANDS[args.command].ranks:
            comm = _communicator(args)
        if comm is not None:
            rank = comm.rank
        with guarded(comm), warnings.catch_warnings():
            warnings.showwarning = partial(_show_warning, rank, warnings.showwarning)
            code: int = args.call(args, comm)
            return code
    except MpidboError as error:
        return _report(error, rank)
    except KeyboardInterrupt:
        _end_all_ranks()
        return _report("interrupted", rank)
    except BrokenPipeError:
        # The reader of a pipe has ended; Python would fail again when it flushes stdout at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parse(name: str, words: Sequence[str], rank: int) -> Namespace | int:
    """The arguments, or the exit code if argparse ends the program (help, version, a mistake)."""
    messages = StringIO()
    try:
        _check_words(name, words)
        # argparse prints on every rank; held back here, its messages are printed by rank 0 alone.
        with redirect_stderr(messages):
            args, unknown = parser(only=name).parse_known_args(words)
        if unknown:
            raise unknown_argument(name, unknown[0], words, _help(name))
        return args
    except UserError:
        wait_for_rank_0()
        raise
    except SystemExit as end:
        code = int(end.code or 0)
        if code:
            wait_for_rank_0()
        if rank == 0:
            print(messages.getvalue(), end="", file=sys.stderr, flush=True)
        return code


def _check_words(name: str, words: Sequence[str]) -> None:
    """Raise UserError for a first word that is no command, and for options of launchers."""
    if name and name not in COMMANDS:
        raise unknown_command(name, words[[*words].index(name) + 1 :], COMMANDS)
    if name and COMMANDS[name].ranks:
        check_processes(words)


def _help(name: str) -> str:
    """The help of a command."""
    own = ArgumentParser(prog=f"mpidbo {name}")
    import_module(f".{COMMANDS[name].module}", __package__).add_arguments(own)
    return own.format_help()


def _communicator(args: Namespace) -> "MPI.Comm | None":
    """`comm_world()`; for the doctor, what prevents it is a finding instead of an error."""
    doctor = args.command == "doctor"
    if doctor:
        args.library, args.refused = load_library()[1], ""
    try:
        return comm_world()
    except UserError as error:
        if not doctor:
            wait_for_rank_0()
            raise
        args.refused = str(error)
        return None


def _end_all_ranks() -> None:
    """After Ctrl-C outside of what is `guarded`, where the other ranks would wait forever."""
    MPI = sys.modules.get("mpi4py.MPI")
    if MPI and MPI.Is_initialized() and not MPI.Is_finalized() and MPI.COMM_WORLD.size > 1:
        abort(MPI.COMM_WORLD, "mpidbo: interrupted", INTERRUPTED)


def _report(error: MpidboError | str, rank: int) -> int:
    """Print an error on rank 0, and return its exit code."""
    if rank_now(rank) == 0:
        print(f"mpidbo: {error}", file=sys.stderr, flush=True)
    return error.exit_code if isinstance(error, MpidboError) else INTERRUPTED


def _show_warning(
    rank: int,
    default: Callable[..., None],
    message: Warning | str,
    category: type[Warning],
    *where: Any,
    **more: Any,
) -> None:
    """Print this package's own warnings as messages, on rank 0 alone."""
    if category is not UserWarning:
        default(message, category, *where, **more)
    elif rank_now(rank) == 0:
        print(f"mpidbo: warning: {message}", file=sys.stderr, flush=True)
