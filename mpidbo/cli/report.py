"""`mpidbo report`: a page with the curves, configuration, graph and cost of runs."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from ..reports import ReportServer, write_report
from ..storage import files, read_run
from .arguments import folder_of
from .kinds import expect_run

PORT = 8517
"""Of `--serve` without a number."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo report`."""
    parser.set_defaults(call=report)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="the folder of a run, or a history.h5"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE",
        help="the page, one file that needs no network; an earlier report is replaced, any other "
        "file is not; default: report.html, for one run in its folder",
    )
    how.add_argument(
        "--serve",
        nargs="?",
        const=PORT,
        type=_port,
        metavar="PORT",
        help="do not write a file, but serve the page to this machine and keep it up to date while "
        f"runs continue, until Ctrl-C; default port: {PORT}; 0: any that is free",
    )


def report(args: Namespace, comm: None) -> int:
    """Write the page and print the name of its file, or serve it and print its address."""
    paths = list({path.resolve(): path for path in args.runs}.values())
    for path in paths:
        expect_run(path, "report")
    if args.serve is not None:
        with ReportServer(paths, args.serve) as server:
            print(f"{server.url} (Ctrl-C ends)", flush=True)
            server.serve_forever()
    out = args.out or folder_of(paths) / files.REPORT
    write_report([read_run(path) for path in paths], out)
    print(out)
    return 0


def _port(text: str) -> int:
    """The number of a port."""
    try:
        port = int(text)
    except ValueError:
        raise ArgumentTypeError(
            f"{text} is not the number of a port; write the runs first: mpidbo report RUN --serve"
        ) from None
    if not 0 <= port < 2**16:
        raise ArgumentTypeError(f"{port} is not a port; give a number from 1024 to 65535")
    return port
