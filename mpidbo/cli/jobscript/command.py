"""`mpidbo jobscript`: from the arguments to the job that a script asks for, and its script."""

import os
import re
import shutil
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from ..._fields import convert
from ...config import check, folder, named_folder
from ...errors import UserError
from .. import arguments
from .job import KINDS, Job
from .render import script

DEFAULT_TASKS = 4
DEFAULT_GPUS = 4
"""GPUs on each node where the kind is slurm-gpu."""


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
        own.add_argument(
            "configs",
            nargs="*" if several else "?",
            type=Path,
            metavar="CONFIG",
            help="the configurations, one for each task" if several else "the configuration",
        )
        arguments.add_overrides(own, "as in mpidbo run")
        own.add_argument("--out", type=named_folder, metavar="DIR", help="as in mpidbo run")
        for field in fields_of(name):
            option = OPTIONS[field]
            own.add_argument(
                option.name,
                *option.aliases,
                dest=field,
                metavar=option.metavar,
                type=option.type,
                help=option.text,
            )


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
    agents = _agents(configs, args.overrides, args.out)
    given.setdefault("tasks", _default_tasks(given, agents))
    _check_ranks(given, agents)
    if configs:
        given.setdefault("name", _default_name(configs))
        given["program"] = _program()
        given["environment"] = {
            name: os.environ[name] for name in ("LAUNCH", "SRUN_MPI") if os.environ.get(name)
        }
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


def fields_of(kind: str) -> list[str]:
    """The fields of a Job that can be set for a kind of script."""
    if kind == "local":
        return ["tasks", "restarts"]
    unused = set()
    if kind in ("slurm-once", "slurm-chain"):
        unused.add("restarts")
    if kind != "slurm-array":
        unused.add("throttle")
    return [field for field in OPTIONS if field not in unused]


def _given(args: Namespace) -> dict[str, Any]:
    """The fields of the job that the command line sets, checked."""
    given = {}
    hints = get_type_hints(Job, include_extras=True)
    for field in fields_of(args.kind):
        option, value = OPTIONS[field], getattr(args, field)
        if value is None:
            continue
        convert(value, hints[field], option.name)
        # It becomes part of a directive, in which batch systems know no quotes.
        if isinstance(value, str) and not re.fullmatch(r"[\w.:@+-]+", value):
            raise UserError(f"{option.name} {value!r}: not a word; use letters, digits, - and _")
        given[field] = value
    return given


def _configs(args: Namespace) -> list[Path]:
    """The configurations on the command line."""
    configs: list[Path]
    if isinstance(args.configs, list):
        configs = args.configs
    else:
        configs = [args.configs] if args.configs else []
    if not configs and (args.overrides or args.out):
        raise UserError(
            "--set and --out need a configuration; "
            "name it, such as mpidbo jobscript slurm config.toml"
        )
    return configs


def _agents(paths: list[Path], overrides: list[str], out: Path | None) -> list[tuple[int, Path]]:
    """(agents, configuration) of each configuration that has a number of agents.

    Raises UserError for a mistake in one, or for two runs in one folder.
    """
    agents: list[tuple[int, Path]] = []
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
            agents.append((run.agents, path))
    return agents


def _default_tasks(given: dict[str, Any], agents: list[tuple[int, Path]]) -> int:
    """Ranks on each node: one for each GPU, else 4, or fewer where there are fewer agents."""
    if given.get("gpus"):
        gpus: int = given["gpus"]
        return gpus
    nodes = given.get("nodes", 1)
    agents_per_node = [number // nodes for number, _ in agents]
    return max(1, min([DEFAULT_TASKS, *agents_per_node]))


def _check_ranks(given: dict[str, Any], agents: list[tuple[int, Path]]) -> None:
    """UserError where a configuration has fewer agents than there are ranks."""
    nodes, tasks = given.get("nodes", 1), given["tasks"]
    for number, path in agents:
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


def _seconds(text: str) -> int:
    """Seconds of "90" (minutes), "1:30:00" or "2-00:00:00"."""
    if re.fullmatch(r"\d+", text):
        return 60 * int(text)
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", text)
    if not found:
        raise ArgumentTypeError(
            f"{text!r} is not a time; write 12:00:00, 2-00:00:00 (two days) or 90 (minutes)"
        )
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + seconds


class Option(NamedTuple):
    """An option of the command line that sets a field of the job.

    Parameters
    ----------
    name, metavar, text : str
        As argparse has them.
    type : callable
        Makes the value from a string.
    aliases : tuple of str
        Other spellings.
    """

    name: str
    metavar: str
    text: str
    type: Callable[[str], int | str] = int
    aliases: tuple[str, ...] = ()


OPTIONS = {
    "name": Option("--name", "TEXT", "the job's name; default: that of the configuration", str),
    "nodes": Option("--nodes", "N", "nodes; default: 1"),
    "tasks": Option(
        "--ntasks-per-node",
        "N",
        "ranks on each node; default: a rank for each GPU, else 4, or fewer for fewer agents",
    ),
    "cpus": Option("--cpus-per-task", "N", "cores for each rank; default: 1"),
    "gpus": Option("--gpus-per-node", "N", "GPUs on each node; default: none"),
    "seconds": Option(
        "--time",
        "H:MM:SS",
        "the time limit, also in minutes; default: an hour",
        _seconds,
    ),
    "partition": Option("--partition", "NAME", "the partition or queue", str, aliases=("--queue",)),
    "account": Option("--account", "NAME", "the account or project", str),
    "restarts": Option("--max-restarts", "N", "how often the run is started again; default: 10"),
    "throttle": Option("--throttle", "N", "how many tasks of the array run at a time; default: 2"),
}
"""Field of a Job -> its option."""
