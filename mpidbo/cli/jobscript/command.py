"""The command `mpidbo jobscript`: from its arguments to the job that a script asks for."""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from ...config import validate as configuration
from ...config.toml import folder, load, named_folder
from ...errors import UserError
from .render import KINDS, Job

OPTIONS = {
    "name": ("--name", "TEXT", "the job's name; default: that of the configuration"),
    "nodes": ("--nodes", "N", "nodes; default: 1"),
    "tasks": ("--ntasks-per-node", "N", "ranks on each node; default: a rank for each GPU, else 4, or fewer for fewer agents"),
    "cpus": ("--cpus-per-task", "N", "cores for each rank; default: 1"),
    "gpus": ("--gpus-per-node", "N", "GPUs on each node; default: none"),
    "seconds": ("--time", "H:MM:SS", "the time limit, also in minutes; default: an hour"),
    "partition": ("--partition", "NAME", "the partition or queue"),
    "account": ("--account", "NAME", "the account or project"),
    "restarts": ("--max-restarts", "N", "how often the run is started again; default: 10"),
    "throttle": ("--throttle", "N", "how many tasks of the array run at a time; default: 2"),
}
"""Field of a Job -> its option, what it takes, and its help."""
LEAST = {"gpus": 0, "restarts": 0, "seconds": 60}
"""The least number, where it is not 1."""


def options(kind: str) -> list[str]:
    """The fields of a Job that a script of this kind has a use for."""
    if kind == "local":
        return ["tasks", "restarts"]
    unused = {"restarts" if kind in ("slurm-once", "slurm-chain") else "", "throttle" if kind != "slurm-array" else ""}
    return [name for name in OPTIONS if name not in unused]


def add_arguments(made: argparse.ArgumentParser) -> None:
    """A parser for each kind."""
    kinds = made.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, (file, _, text) in KINDS.items():
        one = kinds.add_parser(kind, help=text, description=f"{text[0].upper()}{text[1:]}. Without a configuration: jobscripts/{file}.")
        many = kind == "slurm-array"
        one.add_argument("configs", nargs="*" if many else "?", type=Path, metavar="CONFIG",
                         help="the configurations, one for each task" if many else "the configuration")
        one.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides", help="as in mpidbo run")
        one.add_argument("--out", type=named_folder, help="as in mpidbo run")
        for name in options(kind):
            option, takes, about = OPTIONS[name]
            spellings = [option, "--queue"] if name == "partition" else [option]
            convert: Any = {"name": str, "partition": str, "account": str, "seconds": _seconds}.get(name, int)
            one.add_argument(*spellings, dest=name, metavar=takes, type=convert, help=about)


def job_of(args: argparse.Namespace) -> Job:
    """The job that the arguments describe. Raises UserError."""
    given = {name: value for name in options(args.kind) if (value := getattr(args, name)) is not None}
    for name, value in given.items():
        if isinstance(value, int) and value < LEAST.get(name, 1):
            raise UserError(f"{OPTIONS[name][0]}: {value} is too small; give at least {LEAST.get(name, 1)}")
        if isinstance(value, str) and not re.fullmatch(r"[\w.:@+-]+", value):
            raise UserError(f"{OPTIONS[name][0]} {value!r}: not a word; use letters, digits, - and _")
    configs: list[Path] = args.configs if isinstance(args.configs, list) else [args.configs] if args.configs else []
    if not configs and (args.overrides or args.out):
        raise UserError("--set and --out: of no configuration; name it, such as mpidbo jobscript slurm config.toml")
    if args.kind == "slurm-gpu":
        given.setdefault("gpus", 4)
    kind = "slurm-gpu" if args.kind == "slurm" and given.get("gpus") else args.kind
    if given.get("gpus"):
        given.setdefault("tasks", given["gpus"])
    agents = _agents(configs, args.overrides, args.out)
    nodes = given.get("nodes", 1)
    given.setdefault("tasks", max(1, min([4, *(number // nodes for number, _ in agents)])))
    ranks = nodes * given["tasks"]
    for number, path in agents:
        if ranks > number:
            raise UserError(f"run.agents: {number} in {path}, but {ranks} ranks ({nodes} x {given['tasks']}); ask for fewer with --nodes "
                            "and --ntasks-per-node, or for more agents")
    if configs:
        given.setdefault("name", re.sub(r"[^\w-]+", "-", configs[0].stem) if len(configs) == 1 else "sweep")
        found = shutil.which("mpidbo")
        given["program"] = (os.path.abspath(found),) if found else (sys.executable, "-m", "mpidbo")
        given["environment"] = {name: os.environ[name] for name in ("LAUNCH", "SRUN_MPI") if os.environ.get(name)}
    words = [word for text in args.overrides for word in ("--set", text)]
    words += ["--out", os.path.abspath(args.out)] if args.out else []
    return Job(kind, configs=tuple(os.path.abspath(path) for path in configs), options=tuple(words), **given)


def _seconds(text: str) -> int:
    """Seconds of "90" (minutes), "1:30:00" or "2-00:00:00"."""
    if re.fullmatch(r"\d+", text):
        return 60 * int(text)
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; write 12:00:00, 2-00:00:00 (two days) or 90 (minutes)")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + seconds


def _agents(paths: list[Path], overrides: list[str], out: Path | None) -> list[tuple[int, Path]]:
    """(agents, configuration) where it says how many; UserError for a mistake in one, or for two runs in one folder."""
    found, folders = [], dict[Path, Path]()
    for path in paths:
        run = configuration.check(load(path, overrides)).run
        place = folder(path, out, run.out)
        if place in folders:
            raise UserError(f"{folders[place]} and {path}: both would run in {place}; give each a run.out of its own")
        folders[place] = path
        if run.agents is not None:
            found.append((run.agents, path))
    return found


