"""`mpidbo topology`: numbers and a figure of a topology, or the list of all topologies."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..parallel import agreed
from ..reports import (
    catalogue,
    draw_topology,
    figure_format,
    save,
    topology_of,
    topology_report,
)
from . import arguments


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo topology`."""
    parser.set_defaults(call=topology)
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a name, or a file: W itself, or an edge list"
    )
    parser.add_argument(
        "-n", type=int, metavar="N", help="the number of agents; not needed for a file"
    )
    arguments.add_options(parser, "a key of [topology], such as lazy=false")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw the graph into a .png, .pdf or .svg"
    )


def topology(args: Namespace, comm: None) -> int:
    """Print the report of a topology, and draw it where asked to."""
    if args.name is None:
        print(catalogue.topologies())
        return 0
    with agreed(comm):  # it makes a UserError of a MemoryError
        found = topology_of(args.name, args.n, arguments.options(args.options))
        print(topology_report(found))
    if args.picture:
        figure_format(args.picture)
        save(draw_topology(found), args.picture)
        print(args.picture)
    return 0
