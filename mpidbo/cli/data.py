"""`mpidbo data`: the data sets that have names; list them, fetch one, or print its folder."""

from argparse import ArgumentParser, Namespace

from ..errors import UserError
from ..problems import datasets, datasets_listing, fetch_dataset, located


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo data`."""
    parser.set_defaults(call=data)
    parser.add_argument(
        "action",
        choices=("list", "fetch", "path"),
        help="list them; fetch one; print the folder of one that has been fetched",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a data set: see mpidbo data list")
    parser.add_argument(
        "--url", help="a server with the files under their names, instead of the registered servers"
    )


def data(args: Namespace, comm: None) -> int:
    """Print the list, or the folder of a data set, which `fetch` downloads first."""
    if args.action == "list":
        print(datasets_listing())
        return 0
    if args.name is None:
        raise UserError(f"mpidbo data {args.action}: which one? Known: {', '.join(datasets())}")
    if args.action == "fetch":
        print(fetch_dataset(args.name, args.url or ""))
    else:
        print(located(args.name))
    return 0
