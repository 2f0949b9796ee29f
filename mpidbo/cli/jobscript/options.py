"""The options of `mpidbo jobscript`: which field of a job each sets, and for which scripts."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Any, NamedTuple

from .job import KINDS

MAIL_TYPES = ("begin", "end", "fail")
BATCH = ("slurm", "pbs", "lsf", "flux", "sge")
WITH_MEMORY = ("slurm", "pbs", "lsf", "sge")
"""Batch systems whose jobs ask for memory; Flux's do not."""


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


def _mebibytes(text: str) -> int:
    """MiB of "64G", "500M" or "1.5T"."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([MGT])(?:i?B)?", text, re.IGNORECASE)
    if not found:
        raise ArgumentTypeError(f"{text!r} is not an amount of memory; write 64G, or 500M")
    return int(float(found[1]) * 1024 ** "MGT".index(found[2].upper()))


def _mail_types(text: str) -> tuple[str, ...]:
    """Events of "end,fail" or "all"."""
    words = text.lower().split(",")
    if words == ["all"]:
        return MAIL_TYPES
    for word in words:
        if word not in MAIL_TYPES:
            raise ArgumentTypeError(f"{word!r} is not known; write begin, end, fail or all")
    return tuple(word for word in MAIL_TYPES if word in words)


def _modules(text: str) -> tuple[str, ...]:
    """Names of "python/3.12,openmpi/5.0", or with spaces between them."""
    names = tuple(text.replace(",", " ").split())
    for name in names:
        if not re.fullmatch(r"[\w.+/@:=-]+", name):
            raise ArgumentTypeError(
                f"{name!r} is not the name of a module; write python/3.12,openmpi/5.0"
            )
    if not names:
        raise ArgumentTypeError("no module is named; write python/3.12,openmpi/5.0")
    return names


def _constraint(text: str) -> str:
    """Slurm's expression of features, such as "skylake&ib" or "[rack1*2|rack2*4]"."""
    if not re.fullmatch(r"[\w.&|,*@:()\[\]+-]+", text):
        raise ArgumentTypeError(f"{text!r} is not an expression of features; write 'skylake&ib'")
    return text


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
    systems : tuple of str
        The batch systems that have it.
    kinds : tuple of str
        The kinds of scripts that have it; empty: all of these systems.
    action : str
        What argparse does with the value.
    """

    name: str
    metavar: str
    text: str
    type: Callable[[str], Any] = int
    aliases: tuple[str, ...] = ()
    systems: tuple[str, ...] = BATCH
    kinds: tuple[str, ...] = ()
    action: str = "store"


RESTARTED = tuple(kind for kind in KINDS if kind not in ("slurm-once", "slurm-chain"))
ARRAYS = ("slurm-array", "slurm-study")
OPTIONS = {
    "name": Option("--name", "TEXT", "the job's name; default: that of the configuration", str),
    "nodes": Option("--nodes", "N", "nodes; default: 1"),
    "tasks": Option(
        "--ntasks-per-node",
        "N",
        "ranks on each node; default: a rank for each GPU, else 4, or fewer for fewer agents",
        systems=(*BATCH, "local"),
    ),
    "cpus": Option("--cpus-per-task", "N", "cores for each rank; default: 1"),
    "gpus": Option("--gpus-per-node", "N", "GPUs on each node; default: none"),
    "memory": Option(
        "--mem",
        "SIZE",
        "memory of each node, such as 64G; default: the site's",
        _mebibytes,
        systems=WITH_MEMORY,
    ),
    "seconds": Option(
        "--time", "H:MM:SS", "the time limit, also in minutes; default: an hour", _seconds
    ),
    "partition": Option("--partition", "NAME", "the partition or queue", str, aliases=("--queue",)),
    "account": Option(
        "--account", "NAME", "the account, project or bank", str, aliases=("--bank",)
    ),
    "qos": Option("--qos", "NAME", "the quality of service", str, systems=("slurm",)),
    "constraint": Option(
        "--constraint",
        "FEATURES",
        "features that the nodes must have, such as 'skylake&ib'",
        _constraint,
        systems=("slurm",),
    ),
    "parallel_environment": Option(
        "--pe", "NAME", "the parallel environment; default: mpi", str, systems=("sge",)
    ),
    "mail_types": Option(
        "--mail-type",
        "EVENTS",
        "send mail at begin, end, fail (with commas between them) or all",
        _mail_types,
        systems=WITH_MEMORY,
    ),
    "mail_user": Option(
        "--mail-user", "ADDRESS", "who gets the mail; default: you", str, systems=WITH_MEMORY
    ),
    "modules": Option(
        "--modules",
        "NAMES",
        "modules that the script loads, such as python/3.12,openmpi/5.0",
        _modules,
        systems=(*BATCH, "local"),
    ),
    "directives": Option(
        "--directive",
        "TEXT",
        "a further directive, such as --directive=--exclusive; may be repeated",
        str,
        action="append",
    ),
    "mpi": Option(
        "--mpi",
        "PROTOCOL",
        "srun's protocol, such as pmix, or default for the site's; default: SRUN_MPI, else that "
        "of the MPI library at hand",
        str,
        systems=("slurm",),
    ),
    "rank_logs": Option(
        "--rank-logs",
        "",
        "each rank writes a log of its own, into the folder NAME-JOB.ranks",
        systems=(*BATCH, "local"),
        action="store_true",
    ),
    "restarts": Option(
        "--max-restarts",
        "N",
        "how often the run is started again; default: 10",
        systems=(*BATCH, "local"),
        kinds=RESTARTED,
    ),
    "survive": Option(
        "--survive",
        "K",
        "the run continues when ranks die: run.survive = K, under Open MPI's mpiexec",
        kinds=("slurm", "slurm-once", "slurm-gpu", "slurm-array"),
    ),
    "throttle": Option(
        "--throttle",
        "N",
        "how many tasks of the array run at a time; default: 2",
        kinds=ARRAYS,
    ),
    "seeds": Option(
        "--seeds",
        "N",
        "N runs of each configuration, with run.seed = 0, ..., N - 1",
        kinds=("slurm-array",),
    ),
    "parts": Option(
        "--parts",
        "N",
        "tasks among which the runs of the study are divided; default: 4, or fewer for fewer runs",
        kinds=("slurm-study",),
    ),
}
"""Field of a Job -> its option."""


def options_of(kind: str) -> dict[str, Option]:
    """The options that a kind of script has, by the field of a Job."""
    return {
        field: option
        for field, option in OPTIONS.items()
        if KINDS[kind].system in option.systems and (not option.kinds or kind in option.kinds)
    }


def add_options(parser: ArgumentParser, kind: str) -> None:
    """Add the options of a kind of script."""
    for field, option in options_of(kind).items():
        more: dict[str, Any] = {"metavar": option.metavar, "type": option.type}
        if option.action == "store_true":
            more = {"default": None}
        parser.add_argument(
            option.name,
            *option.aliases,
            dest=field,
            action=option.action,
            help=option.text,
            **more,
        )
