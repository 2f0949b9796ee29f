"""Where a result came from."""

import platform
from importlib import metadata
from pathlib import Path
from sys import modules
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..parallel import job_id, library_version

if TYPE_CHECKING:
    from mpi4py import MPI

LIBRARIES = ("numpy", "scipy", "h5py", "mpi4py", "networkx")
"""Libraries whose versions are recorded."""


def provenance_of(
    comm: "MPI.Comm | None", hosts: list[str], threads: int, workers: int | str = "auto"
) -> dict[str, Any]:
    """Return the attributes of the group `provenance` of result.h5.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm or None
        None for a run without MPI.
    hosts : list of str
        The host of each rank.
    threads : int
        BLAS threads of each rank.
    workers : int or "auto", default "auto"
        Threads among which the agents of a rank were divided, as far as it is known.

    Returns
    -------
    dict
        Versions of mpidbo, Python, the MPI library and others, the commit of a checkout, hosts,
        number of ranks, threads, workers, and the job; "" for what is unknown.
    """
    found: dict[str, Any] = {
        "version": __version__,
        "commit": commit_of(Path(__file__).parents[2]),
        "python": platform.python_version(),
        "hosts": sorted(set(hosts)),
        "ranks": 1 if comm is None else comm.size,
        "threads": threads,
        "workers": workers,
        "job": job_id(),
        "mpi": "" if comm is None else library_version(modules["mpi4py.MPI"]),
    }
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = ""
    return found


def commit_of(folder: Path) -> str:
    """Return the commit of a git checkout, without git; "" where the folder is not one.

    The checkout may be a worktree or a submodule, whose `.git` is a file, and its references may be
    packed into one file, as `git gc` does.
    """
    try:
        git = folder / ".git"
        if git.is_file():
            git = folder / git.read_text().removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        common = git / "commondir"  # of a worktree: where the references are
        references = git / common.read_text().strip() if common.is_file() else git
        name = head.removeprefix("ref: ")
        loose = references / name
        if loose.is_file():
            return loose.read_text().strip()
        lines = (references / "packed-refs").read_text().splitlines()
        return next((line.split()[0] for line in lines if line.endswith(f" {name}")), "")
    except OSError:
        return ""
