"""`mpidbo jobscript`: from the arguments to the job that a script asks for, and its script."""

import os
import re
import shutil
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from ..._fields import convert
from ...config import check, folder, named_folder
from ...errors import UserError
from .. import arguments
from ..kinds import expect_configuration
from .directives import checked_directive
from .job import KINDS, Job
from .options import add_options, options_of
from .protocol import protocol
from .render import script

DEFAULT_TASKS = 4
DEFAULT_GPUS = 4
"""GPUs on each node where the kind is slurm-gpu."""


class Size(NamedTuple):
    """The number of agents of a configuration, where it sets one."""

    agents: int
    path: Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add a parser for each kind of script."""
    parser.set_defaults(call=jobscript)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for name, kind in KINDS.items():
        own = kinds.add_parser(
            name,
            help=kind.text,
            description=f"{kind.text[0].upper()}{kind.text[1:]}. "
            f"Without a configuration: jobscripts/{kind.file}.",
        )
        several = name == "slurm-array"
        what = "study" if name == "slurm-study" else "configuration"
        own.add_argument(
            "configs",
            nargs="*" if several else "?",
            type=Path,
            metavar="STUDY" if name == "slurm-study" else "CONFIG",
            help="the configurations, one for each task" if several else f"the {what}",
        )
        arguments.add_overrides(own, "as in mpidbo run")
        own.add_argument("--out", type=named_folder, metavar="DIR", help="as in mpidbo run")
        add_options(own, name)


def jobscript(args: Namespace, comm: None) -> int:
    """Print a job script, filled in."""
    print(script(job_of(args)), end="")
    return 0


def job_of(args: Namespace) -> Job:
    """The job that the arguments describe.

    Raises
    ------
    UserError
        If a value is out of range, a configuration has a mistake, two of them share a folder, or
        there are more ranks than agents.
    """
    given = _given(args)
    configs = _configs(args)
    if args.kind == "slurm-gpu":
        given.setdefault("gpus", DEFAULT_GPUS)
    kind = "slurm-gpu" if args.kind == "slurm" and given.get("gpus") else args.kind
    if args.kind == "slurm-study":
        sizes = _sizes_of_study(configs, args, given)
    else:
        sizes = _sizes(configs, args.overrides, args.out)
    if given.get("survive") and len(sizes) < len(configs):
        raise UserError(
            "--survive: set run.agents in the configuration, since there are fewer ranks once one "
            "has died"
        )
    given.setdefault("tasks", _default_tasks(given, sizes))
    _check_ranks(given, sizes)
    if configs:
        given.setdefault("name", _default_name(configs))
        given["program"] = _program()
        given["launch"] = os.environ.get("LAUNCH") or None
    if KINDS[kind].system == "slurm" and not (given.get("launch") or given.get("survive")):
        given["mpi"] = protocol(given.get("mpi"), by_library=bool(configs))
    options = []
    for override in args.overrides:
        options += ["--set", override]
    if args.out:
        options += ["--out", os.path.abspath(args.out)]
    return Job(
        kind,
        configs=tuple(os.path.abspath(path) for path in configs),
        options=tuple(options),
        **given,
    )


def _given(args: Namespace) -> dict[str, Any]:
    """The fields of the job that the command line sets, checked."""
    given = {}
    hints = get_type_hints(Job, include_extras=True)
    for field, option in options_of(args.kind).items():
        value = getattr(args, field)
        if value is None:
            continue
        if field == "directives":
            value = tuple(checked_directive(text, args.kind) for text in value)
        convert(value, hints[field], option.name)
        # It becomes part of a directive, in which batch systems know no quotes.
        if option.type is str and isinstance(value, str) and not re.fullmatch(r"[\w.:@+-]+", value):
            raise UserError(f"{option.name} {value!r}: not a word; use letters, digits, - and _")
        given[field] = value
    if "mail_user" in given and "mail_types" not in given:
        raise UserError("--mail-user: no mail is sent unless --mail-type says when; add it")
    _check_shares(args.kind, given)
    return given


def _check_shares(kind: str, given: dict[str, Any]) -> None:
    """UserError where Flux cannot divide the GPUs of a node among its ranks."""
    gpus, tasks = given.get("gpus", 0), given.get("tasks")
    if KINDS[kind].system == "flux" and tasks and gpus % tasks:
        raise UserError(
            f"--gpus-per-node: {gpus} for {tasks} ranks on each node, and Flux gives each rank "
            "GPUs of its own; ask for as many ranks as GPUs"
        )


def _configs(args: Namespace) -> list[Path]:
    """The configurations on the command line."""
    configs: list[Path]
    if isinstance(args.configs, list):
        configs = args.configs
    else:
        configs = [args.configs] if args.configs else []
    unused = [name for name, value in (("--set", args.overrides), ("--out", args.out)) if value]
    if getattr(args, "seeds", None) is not None:
        unused.append("--seeds")
    if not configs and unused:
        raise UserError(
            f"{' and '.join(unused)}: need a configuration; "
            f"name it, such as mpidbo jobscript {args.kind} config.toml"
        )
    return configs


def _sizes(paths: list[Path], overrides: list[str], out: Path | None) -> list[Size]:
    """The size of each configuration that has a number of agents.

    Raises UserError for a mistake in one, or for two runs in one folder.
    """
    sizes: list[Size] = []
    config_of: dict[Path, Path] = {}
    for path in paths:
        run = check(arguments.read_configuration(path, overrides, "jobscript")).run
        place = folder(path, out, run.out)
        if place in config_of:
            raise UserError(
                f"{config_of[place]} and {path}: both would run in {place}; "
                "give each a run.out of its own"
            )
        config_of[place] = path
        if run.agents is not None:
            sizes.append(Size(run.agents, path))
    return sizes


def _sizes_of_study(paths: list[Path], args: Namespace, given: dict[str, Any]) -> list[Size]:
    """The size of a study that sets a number of agents, and its default number of parts.

    Raises UserError for a mistake in it, or for more parts than runs.
    """
    from ... import studies

    sizes = []
    for path in paths:
        expect_configuration(path, "compare")
        study = studies.load_study(path, args.overrides, args.out)
        runs = len(study.work)
        given.setdefault("parts", min(Job.parts, runs))
        if given["parts"] > runs:
            raise UserError(
                f"--parts {given['parts']}: {path} has {runs} runs; ask for at most as many parts"
            )
        for group in study.groups:
            agents = check(group.tables).run.agents
            if agents is not None:
                sizes.append(Size(agents, path))
    return sizes


def _default_tasks(given: dict[str, Any], sizes: list[Size]) -> int:
    """Ranks on each node: one for each GPU, else 4, or fewer where there are fewer agents."""
    if given.get("gpus"):
        gpus: int = given["gpus"]
        return gpus
    nodes = given.get("nodes", 1)
    agents_per_node = [size.agents // nodes for size in sizes]
    return max(1, min([DEFAULT_TASKS, *agents_per_node]))


def _check_ranks(given: dict[str, Any], sizes: list[Size]) -> None:
    """UserError where a configuration has fewer agents than there are ranks."""
    nodes, tasks = given.get("nodes", 1), given["tasks"]
    for number, path in sizes:
        if nodes * tasks > number:
            raise UserError(
                f"run.agents: {number} in {path}, but {nodes * tasks} ranks ({nodes} x {tasks}); "
                "ask for fewer with --nodes and --ntasks-per-node, or for more agents"
            )


def _default_name(configs: list[Path]) -> str:
    """The name of the only configuration without its suffix, else "sweep"."""
    if len(configs) > 1:
        return "sweep"
    return re.sub(r"[^\w-]+", "-", configs[0].stem)


def _program() -> tuple[str, ...]:
    """The words that start this mpidbo."""
    found = shutil.which("mpidbo")
    return (os.path.abspath(found),) if found else (sys.executable, "-m", "mpidbo")
