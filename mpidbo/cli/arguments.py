"""Arguments that several commands share."""

import os
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config import load, named_folder, parse_overrides
from ..errors import UserError
from .kinds import expect_configuration, expect_one_run


def add_run(parser: ArgumentParser) -> None:
    """Add the arguments that select a run: its configuration, its folder, and how it starts."""
    parser.add_argument(
        "config", type=Path, metavar="CONFIG", help="the configuration, a TOML file"
    )
    add_overrides(parser, "override a key, such as steps.alpha=0.1; may be repeated")
    parser.add_argument(
        "--out",
        type=named_folder,
        metavar="DIR",
        help="the run's folder; default: run.out, else runs/NAME-OF-CONFIG",
    )
    parser.add_argument(
        "--resume",
        choices=("auto", "never", "must"),
        default="auto",
        help="what to do with an existing folder: resume its run (auto), rename it and start "
        "again (never), or refuse to start without a checkpoint (must); default: auto",
    )


def read_configuration(path: Path, overrides: list[str], command: str) -> dict[str, Any]:
    """Return the tables of a configuration, not checked; UserError also for another file."""
    expect_configuration(path, command)
    tables = load(path, overrides)
    expect_one_run(path, tables, command)
    return tables


def add_overrides(parser: ArgumentParser, text: str) -> None:
    """Add `--set SECTION.KEY=VALUE` for keys of a configuration."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        dest="overrides",
        help=text,
    )


def add_options(parser: ArgumentParser, text: str) -> None:
    """Add `--set KEY=VALUE` for the keys of one table."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="options", help=text
    )


def options(assignments: list[str]) -> dict[str, Any]:
    """Parse `["noise=0.1"]` to `{"noise": 0.1}`. Raises UserError."""
    for assignment in assignments:
        key, equals, _ = assignment.partition("=")
        if not key.strip() or not equals:
            raise UserError(
                f"--set {assignment}: not of the form key=value; write for example --set noise=0.1"
            )
    tables = parse_overrides(f"options.{assignment}" for assignment in assignments)
    found: dict[str, Any] = tables.get("options", {})
    return found


def folder_of(runs: Sequence[Path]) -> Path:
    """The folder for what is written about runs: that of the only run, else the working one."""
    if len(runs) > 1:
        return Path()
    return runs[0] if os.path.isdir(runs[0]) else runs[0].parent
