"""`mpidbo reproduce`: run a claim of the literature and report whether it holds, or list them."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import named_folder
from ..errors import STOPPED, UserError, did_you_mean, shown
from ..parallel import agreed, is_root
from ..reports import FORMATS
from ..solver import StallWatch, compare_ranks, stall_timeout
from ..studies import claims, claims_listing

if TYPE_CHECKING:
    from mpi4py import MPI


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo reproduce`."""
    parser.set_defaults(call=reproduce)
    parser.add_argument("name", nargs="?", metavar="NAME", help="a claim")
    parser.add_argument(
        "--size",
        choices=claims.SIZES,
        default="quick",
        help="quick: a minute; standard: up to an hour of two cores; full: as in the paper",
    )
    parser.add_argument(
        "--full", dest="size", action="store_const", const="full", help="short for --size full"
    )
    parser.add_argument(
        "--part",
        metavar="I/N",
        help="only every N-th run, from the I-th on, I from 0, and no verdict; for job arrays",
    )
    parser.add_argument(
        "--out",
        type=named_folder,
        metavar="DIR",
        help="the folder of its runs; default: runs/claims/NAME",
    )
    parser.add_argument(
        "--figures", choices=FORMATS, default="png", help="the format of its figures; default: png"
    )
    parser.add_argument(
        "--column",
        action="store_true",
        help="figures as wide as one column of a page, 3.4 inches, with small text",
    )


def reproduce(args: Namespace, comm: "MPI.Comm | None") -> int:
    """Run a claim and print whether it holds; without a name, list the claims."""
    root = is_root(comm)
    if args.name is None:
        if root:
            print(claims_listing())
        return 0
    if args.name not in claims.CLAIMS:
        with agreed(comm):
            raise UserError(
                f"reproduce: no claim is called {shown(args.name)}; "
                f"{did_you_mean(args.name, claims.CLAIMS)}"
            )
    with StallWatch(comm, stall_timeout(dict), "mpidbo reproduce"):
        compare_ranks(
            comm,
            "mpidbo reproduce",
            lambda: {
                "name": args.name,
                "--size": args.size,
                "--part": args.part,
                "--out": str(args.out),
            },
        )
    folder = args.out or Path("runs", "claims", args.name)
    out = (folder / args.size).resolve()
    log = print if root else lambda line: None
    claim = claims.make_claim(args.name)
    if args.size == "full" and claim.full_hours:
        log(
            f"the full size takes about {claim.full_hours:g} processor hours; a run that is "
            "stopped is resumed by the same command"
        )
    if args.part is not None:
        return 0 if claim.run_part(args.part, args.size, out, comm, log) else STOPPED
    found = claims.reproduce(
        args.name, claim, args.size, out, comm, log, figures=args.figures, column=args.column
    )
    if found is None:
        return STOPPED
    if root:
        print(found)
    return 0
