"""`mpidbo methods`: all methods and strategies, or one with its equations."""

from argparse import ArgumentParser, Namespace

from ..reports import catalogue


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo methods`."""
    parser.set_defaults(call=methods)
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a method or strategy: print its equations"
    )


def methods(args: Namespace, comm: None) -> int:
    """Print the list, or one method or strategy."""
    print(catalogue.methods() if args.name is None else catalogue.method(args.name))
    return 0
