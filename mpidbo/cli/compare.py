"""`mpidbo compare`: the runs of a study, and its table and figure."""

from argparse import ArgumentParser, Namespace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from .. import studies
from ..config import load, named_folder
from ..errors import STOPPED
from ..parallel import agreed, is_root
from ..reports import figure_format
from ..solver import StallWatch, compare_ranks, stall_timeout
from . import arguments
from .kinds import expect_configuration

if TYPE_CHECKING:
    from mpi4py import MPI


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo compare`."""
    parser.set_defaults(call=compare)
    parser.add_argument(
        "study", type=Path, metavar="STUDY", help="a TOML file with a section [study]"
    )
    arguments.add_overrides(parser, "override a key")
    parser.add_argument(
        "--out",
        type=named_folder,
        metavar="DIR",
        help="the study's folder; default: study.out, else runs/NAME-OF-STUDY",
    )
    parser.add_argument(
        "--part",
        metavar="I/N",
        help="only every N-th run (method, topology and seed), from the I-th on, I from 0",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="only write the table and the figure of the runs that have been made",
    )
    parser.add_argument(
        "--figure",
        type=Path,
        metavar="FILE",
        help="a .png, .pdf or .svg; default: curves.png in the study's folder",
    )
    parser.add_argument(
        "--against",
        nargs="+",
        action="extend",
        choices=list(studies.PANELS),
        metavar="COST",
        help=f"panels of the figure: {', '.join(studies.PANELS)}; default: all but floats",
    )
    parser.add_argument(
        "--column",
        action="store_true",
        help="a figure as wide as one column of a page, 3.4 inches, with small text",
    )


def compare(args: Namespace, comm: "MPI.Comm | None") -> int:
    """Make the runs that are missing, then write and print the report."""
    root = is_root(comm)
    read = cache(partial(load, args.study, args.overrides))
    with StallWatch(comm, stall_timeout(read), "mpidbo compare"):
        with agreed(comm):
            expect_configuration(args.study, "compare")
            if args.figure:
                figure_format(args.figure)
            study = studies.load_study(args.study, args.overrides, args.out)
            work = study.work if args.part is None else study.part(args.part)
        compare_ranks(
            comm,
            "mpidbo compare",
            lambda: {**study.tables(), "--part": args.part, "--report": args.report},
        )
    log = print if root else lambda line: None
    if not args.report and not studies.run_study(study, work, comm, log):
        return STOPPED
    with agreed(comm):
        if root and args.part is None:
            against = args.against or studies.USUAL_PANELS
            print(*studies.write_report(study, args.figure, against, column=args.column), sep="\n")
    return 0
