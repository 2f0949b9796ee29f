"""`mpidbo doctor`: what this machine has for a run, and what is wrong with it, over all ranks.

Every rank checks for itself. A finding that all ranks share is one line of the report; findings
that differ are a line each, with their ranks.
"""

import json
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..._text import aligned, plural
from ...parallel import allgather_text, is_root
from ...solver import StallWatch, stall_timeout
from .findings import WARNING, WRONG, Finding
from .job_checks import check_cores, check_gossip, check_survivors
from .machine_checks import check_gpu, check_hdf5, check_shared_memory, check_threads
from .mpi_checks import check_mpi, check_mpiexec, check_slurm
from .package_checks import check_optional, check_packages, check_python

if TYPE_CHECKING:
    from mpi4py import MPI


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo doctor`."""
    parser.set_defaults(call=doctor)
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="where to test writing files; default: the system's temporary folder",
    )


def doctor(args: Namespace, comm: "MPI.Comm | None") -> int:
    """Print what this machine has and lacks; 1 if something is wrong."""
    folder = args.folder or Path(tempfile.gettempdir())
    with StallWatch(comm, stall_timeout(dict), "mpidbo doctor"):
        findings = examine(comm, folder=folder, library=args.library, refused=args.refused)
    if is_root(comm):
        print(report(findings))
    return int(any(finding.verdict == WRONG for finding in findings))


def examine(
    comm: "MPI.Comm | None", *, folder: Path, library: str, refused: str = ""
) -> list[Finding]:
    """Make all checks. Collective.

    Parameters
    ----------
    comm : MPI.Comm or None
        The ranks; None for one process.
    folder : Path
        Where a file is written and read back.
    library : str
        Why no MPI library could be loaded; "" if one was.
    refused : str
        Why the launcher does not fit the library; "" if it does.

    Returns
    -------
    list of Finding
        The same on every rank.
    """
    own = json.dumps(_findings_of_this_rank(comm, folder, library, refused))
    ranks = [
        [Finding(*finding) for finding in json.loads(text)] for text in allgather_text(comm, own)
    ]
    return [*_merged(ranks), check_cores(comm), check_gossip(comm), *check_survivors(comm)]


def _findings_of_this_rank(
    comm: "MPI.Comm | None", folder: Path, library: str, refused: str
) -> list[Finding]:
    """The findings of this rank alone; nothing here waits for another rank."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": check_python,
        "mpi": lambda: check_mpi(comm, library, refused),
        "mpiexec": check_mpiexec,
        "slurm": check_slurm,
        "packages": check_packages,
        "hdf5": lambda: check_hdf5(folder),
        "threads": check_threads,
        "gpu": check_gpu,
        "memory": check_shared_memory,
        "optional": check_optional,
    }
    findings: list[Finding] = []
    for subject, check in checks.items():
        try:
            findings += check()
        except Exception as error:  # a check that fails must not hide the others
            findings.append(Finding(WRONG, subject, f"{type(error).__name__}: {error}"))
    return findings


def report(findings: list[Finding]) -> str:
    """The findings as a table, and how many are wrong."""
    wrong = sum(finding.verdict == WRONG for finding in findings)
    warnings = sum(finding.verdict == WARNING for finding in findings)
    counts = []
    if wrong:
        counts.append(f"{wrong} wrong")
    if warnings:
        counts.append(plural(warnings, "warning"))
    return f"{aligned(findings)}\n\n{', '.join(counts) or 'nothing is wrong'}"


def _merged(ranks: list[list[Finding]]) -> Iterator[Finding]:
    """The findings of all ranks by subject; ranks are named where they do not agree."""
    subjects = dict.fromkeys(finding.subject for findings in ranks for finding in findings)
    for subject in subjects:
        groups: dict[tuple[Finding, ...], list[int]] = {}
        for rank, findings in enumerate(ranks):
            of_subject = tuple(finding for finding in findings if finding.subject == subject)
            groups.setdefault(of_subject, []).append(rank)
        for group, members in groups.items():
            suffix = ""
            if len(groups) > 1:
                noun = "rank" if len(members) == 1 else "ranks"
                suffix = f" ({noun} {_ranges(members)})"
            for finding in group:
                yield finding._replace(text=finding.text + suffix)


def _ranges(ranks: list[int]) -> str:
    """Sorted numbers as ranges: "0, 2-4" for [0, 2, 3, 4]."""
    ranges: list[tuple[int, int]] = []
    for rank in ranks:
        if ranges and ranges[-1][1] == rank - 1:
            ranges[-1] = (ranges[-1][0], rank)
        else:
            ranges.append((rank, rank))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
