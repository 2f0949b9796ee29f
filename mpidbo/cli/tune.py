"""`mpidbo tune`: find step sizes for a configuration by short runs."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from functools import cache, partial
from math import isfinite
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Self

from .._text import plural
from ..config import TUNED, Config, check, named_folder, step_table
from ..errors import UserError
from ..parallel import agreed, is_root
from ..reports import describe_tuning, found_steps, tuned_configuration
from ..solver import Tried, agreed_config, set_up, stop_if_asked, tuned
from ..storage import write_text
from . import arguments

if TYPE_CHECKING:
    from mpi4py import MPI

ERASE = "\x1b[K"
"""What makes a terminal erase the rest of a line."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo tune`."""
    parser.set_defaults(call=tune)
    parser.add_argument(
        "config", type=Path, metavar="CONFIG", help="the configuration, a TOML file"
    )
    arguments.add_overrides(parser, "override a key, such as method.name=d-soba; may be repeated")
    parser.add_argument(
        "--out",
        type=named_folder,
        metavar="FILE",
        help="write a configuration with the step sizes that were found, and how; a TOML file that "
        "does not exist yet",
    )


def tune(args: Namespace, comm: "MPI.Comm | None") -> int:
    """Find step sizes, print how, and write a configuration with them."""
    read = cache(partial(arguments.read_configuration, args.config, args.overrides, "tune"))
    checked = agreed_config(
        comm,
        "mpidbo tune",
        read,
        partial(_checked, args.out),
        compared=lambda: {"--out": args.out},
    )
    with checked as config:
        stop_if_asked(comm)
        with set_up(config, comm) as setup, _Status(is_root(comm)) as status:
            config = tuned(setup, watch=status.show).config
        with agreed(comm):
            if is_root(comm):
                print(describe_tuning(config))
                print(_next(args, config, read()))
    return 0


class _Status:
    """Context of a line on the terminal with the newest pilot, which is gone at its end."""

    def __init__(self, is_root: bool) -> None:
        self.is_on = is_root and sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._print("")

    def show(self, tried: Tried) -> None:
        steps = ", ".join(f"{key} = {value:g}" for key, value in tried.steps.items())
        found = f"{tried.value:.4g}" if isfinite(tried.value) else "diverged"
        self._print(f"{plural(tried.iterations, 'iteration')} with {steps}: {found}")

    def _print(self, text: str) -> None:
        if self.is_on:
            print(f"\r{ERASE}{text}", end="", file=sys.stderr, flush=True)


def _checked(out: Path | None, tables: Mapping[str, Any]) -> Config:
    """The configuration, of which all step sizes are to be found where none is "auto"."""
    if out is not None and out.exists():
        raise UserError(f"--out {out}: exists already; choose another name")
    if out is not None and not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; make it, or choose another")
    config = check(tables)
    if config.auto:
        return config
    steps = step_table(tables.get("steps", {}), tables.get("method", {}))
    auto = dict.fromkeys((key for key in TUNED if key in config.steps), "auto")
    return check({**tables, "steps": {**steps, **auto}})


def _next(args: Namespace, config: Config, tables: Mapping[str, Any]) -> str:
    """What to do with the step sizes; writes the file of `--out`."""
    if args.out is not None:
        write_text(args.out, tuned_configuration(tables, config))
        return f"next: mpidbo run {quote(str(args.out))}"
    sets = [f"--set {quote(f'steps.{text}')}" for text in found_steps(config)]
    replaced = {"steps", *(f"steps.{key}" for key in config.tuning["found"])}
    others = [text for text in args.overrides if text.partition("=")[0].strip() not in replaced]
    words = ["mpidbo run", quote(str(args.config)), *(f"--set {quote(text)}" for text in others)]
    return f"next: {' '.join([*words, *sets])}"
