"""`mpidbo plot`: curves of runs, into a figure."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..reports import AGAINST, draw_curves, figure_format, save
from ..storage import files, read_run
from .arguments import folder_of
from .kinds import expect_run


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo plot`."""
    parser.set_defaults(call=plot)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="the folder of a run, or a history.h5"
    )
    parser.add_argument(
        "--metric",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="datasets of history.h5, or consensus for the consensus distances of all levels; "
        "default: all that the runs have",
    )
    parser.add_argument(
        "--against",
        choices=AGAINST,
        default="iterations",
        help="the x axis; default: iterations",
    )
    parser.add_argument(
        "--target",
        type=float,
        metavar="VALUE",
        help="a dashed line at this value of the first metric",
    )
    parser.add_argument(
        "--column",
        action="store_true",
        help="as wide as one column of a page, 3.4 inches, with small text",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="a .png, .pdf or .svg; default: curves.png, for one run in its folder",
    )


def plot(args: Namespace, comm: None) -> int:
    """Draw the curves and print the name of the file."""
    for path in args.runs:
        expect_run(path, "plot")
    runs = [read_run(path) for path in args.runs]
    out = args.out or folder_of([run.path for run in runs]) / files.CURVES
    figure_format(out)
    save(
        draw_curves(runs, args.metric, args.against, target=args.target, column=args.column),
        out,
    )
    print(out)
    return 0
