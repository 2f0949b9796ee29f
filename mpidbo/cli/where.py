"""`mpidbo where`: the folder of a run or study, in which job scripts look for the marker `done`."""

from argparse import ArgumentParser, Namespace

from ..config import check, folder, load
from . import arguments
from .kinds import expect_configuration


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo where`."""
    parser.set_defaults(call=where)
    arguments.add_run(parser)


def where(args: Namespace, comm: None) -> int:
    """Print the folder that `mpidbo run`, or `mpidbo compare`, with the same arguments uses."""
    expect_configuration(args.config, "where")
    tables = load(args.config, args.overrides)
    if "study" in tables:
        # Here, since the start of a job waits for what is imported.
        from .. import studies

        print(studies.load_study(args.config, args.overrides, args.out).out)
    else:
        print(folder(args.config, args.out, check(tables).run.out))
    return 0
