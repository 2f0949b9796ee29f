"""`mpidbo run`: run a configuration, into its folder."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._text import plural
from ..config import Config, check, folder, tuning_summary
from ..errors import STOPPED
from ..parallel import is_root
from ..solver import (
    Copies,
    Log,
    ProgressBar,
    Result,
    Resume,
    advice,
    agreed_config,
    run_config,
    set_up,
    stop_if_asked,
    survived,
)
from ..storage import in_brief, with_stored_values
from . import arguments

if TYPE_CHECKING:
    from mpi4py import MPI


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo run`."""
    parser.set_defaults(call=run)
    arguments.add_run(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")


def run(args: Namespace, comm: "MPI.Comm | None") -> int:
    """Run a configuration, or print its plan."""
    read = cache(partial(arguments.read_configuration, args.config, args.overrides, "run"))
    options = {"--resume": args.resume, "--dry-run": args.dry_run}
    checked = agreed_config(
        comm, "mpidbo run", read, partial(_checked, args), compared=lambda: options
    )
    with checked as config:
        if args.dry_run:
            return _dry_run(config, comm)
        return survived(partial(_run, config), config, comm, args.resume)


def _checked(args: Namespace, tables: Mapping[str, Any]) -> Config:
    """The configuration with the folder of the run and the values that an earlier start fixed."""
    # Once to find the folder, and again with the values that are stored there.
    config = check(tables)
    out = folder(args.config, args.out, config.run.out)
    if args.resume != "never":
        config = check(with_stored_values(tables, out))
    return replace(config, run=replace(config.run, out=str(out)))


def _dry_run(config: Config, comm: "MPI.Comm | None") -> int:
    """Print what would run where; only rank 0 has the text."""
    # Here, since a plan needs what makes topologies, and in a run only rank 0 imports that.
    from ..reports import describe

    stop_if_asked(comm)
    with set_up(config, comm) as setup:
        text = describe(setup)
    if text:
        print(text)
    return 0


def _run(
    config: Config, comm: "MPI.Comm | None", resume: Resume, copies: Copies | None = None
) -> int:
    """Run in the folder, with a progress bar on a terminal and lines elsewhere."""
    root = is_root(comm)
    # What is in copies alone is kept by the loop's own stop.
    resumed = copies is not None and bool(copies.generations)
    bar = ProgressBar(config.run.iterations) if root and sys.stderr.isatty() else None
    try:
        result = run_config(
            config,
            comm,
            resume=resume,
            copies=copies,
            interrupt=lambda: None if resumed else stop_if_asked(comm),
            notify=partial(print, flush=True),
            observers=[bar] if bar else [],
            watchers=[bar.show_row if bar else Log(root)],
        )
    finally:
        if bar:
            bar.close()
    out = Path(str(config.run.out))
    if result is None:
        text = f"{out}: already finished, nothing to do; `--resume never` starts again"
    else:
        text = summary(result, out)
    if root:
        print(text)
    return STOPPED if result and result.stopped else 0


def summary(result: Result, out: Path) -> str:
    """Describe how a run ended: iteration and reason, metrics, the best, advice, its folder."""
    metrics = [
        f"{name} {values[-1]:.4g}" for name, values in result.history.items() if in_brief(name)
    ]
    ended = f"{plural(result.iteration, 'iteration')} ({result.reason})"
    best = f"best {result.best}" if result.best else ""
    suggestion = advice(result.history, result.config.steps)
    steps = tuning_summary(result.config)
    return "\n".join(filter(None, [ended, "  ".join(metrics), best, suggestion, steps, str(out)]))
