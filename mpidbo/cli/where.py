"""`mpidbo where`: the folder of a run, in which scripts look for the marker `done`."""

from argparse import ArgumentParser, Namespace

from ..config import check, folder
from . import arguments


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo where`."""
    parser.set_defaults(call=where)
    arguments.add_run(parser)


def where(args: Namespace, comm: None) -> int:
    """Print the folder that `mpidbo run` with the same arguments uses."""
    config = check(arguments.read_configuration(args.config, args.overrides, "where"))
    print(folder(args.config, args.out, config.run.out))
    return 0
