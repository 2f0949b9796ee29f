"""`mpidbo show`: a run as text, or its history as a table."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..reports import show as show_run
from ..reports import table
from ..storage import read_run
from .kinds import expect_run


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo show`."""
    parser.set_defaults(call=show)
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run, or a result.h5")
    parser.add_argument("--history", action="store_true", help="print the history as a table")


def show(args: Namespace, comm: None) -> int:
    """Print what is known of a run."""
    expect_run(args.run, "show")
    found = read_run(args.run)
    print(table(found) if args.history else show_run(found))
    return 0
