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
        "commit": _commit(),
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


def _commit() -> str:
    """The commit of the checkout with this package; "" where it is installed."""
    git = Path(__file__).parents[2] / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        return (git / head.removeprefix("ref: ")).read_text().strip()
    except OSError:
        return ""
