"""The protocol between srun and an MPI library."""

import os
import re
import subprocess
import sys

from ...errors import UserError

DEFAULT = "default"
"""The word for the protocol of the site."""
PROTOCOLS = (
    # A part of the library's description of itself -> the protocols that it speaks, best first.
    ("cray mpich", ("cray_shasta", "pmi2")),
    ("open mpi", ("pmix",)),
    ("pmix", ("pmix",)),  # others name it where they were built with it
    ("intel", ("pmi2",)),
    ("mvapich", ("pmi2",)),
    ("mpich", ("pmi2",)),
)
TIMEOUT_S = 30


def protocol(asked: str | None, by_library: bool) -> str | None:
    """Return the protocol that srun is to speak; None for the default of the site.

    Parameters
    ----------
    asked : str or None
        That of the command line, "default" for the site's.
    by_library : bool
        Whether, without one, SRUN_MPI and the MPI library of this mpi4py decide.

    Raises
    ------
    UserError
        If srun is on this machine and does not offer the protocol that was asked for.
    """
    if asked == DEFAULT:
        return None
    if asked:
        offered = _offered()
        if offered and not _is_among(asked, offered):
            raise UserError(
                f"--mpi {asked}: srun offers {', '.join(offered)}; choose one of these, or "
                "--mpi default"
            )
        return asked
    if not by_library:
        return None
    return os.environ.get("SRUN_MPI") or _of_library()


def _of_library() -> str | None:
    """The protocol of the MPI library that mpi4py loads here, if srun offers it."""
    description = _output(
        sys.executable,
        "-c",
        "from mpidbo.cli.world import load_library; MPI, _ = load_library(); "
        "print(MPI.Get_library_version() if MPI else '')",
    ).lower()
    spoken = next((names for part, names in PROTOCOLS if part in description), ())
    offered = _offered() if spoken else []
    usable = [name for name in spoken if not offered or _is_among(name, offered)]
    return usable[0] if usable else None


def _offered() -> list[str]:
    """The protocols of srun; empty where there is no srun, or no cluster."""
    # "MPI plugin types are...\n\tpmi2\n\tpmix\nspecific pmix plugin versions available: pmix_v4"
    words = re.findall(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", _output("srun", "--mpi=list"))
    return [word for word in words if re.match(r"pmi|cray|openmpi|none", word)]


def _is_among(name: str, offered: list[str]) -> bool:
    return name in offered or any(other.startswith(f"{name}_") for other in offered)


def _output(*line: str) -> str:
    """What a command prints; "" where it fails."""
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr if done.returncode == 0 else ""
