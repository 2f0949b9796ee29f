"""Helpers of the tests, and where things are.

`launch` starts ranks, `runs` makes runs and compares their files, `dense` holds the dense
recursions, `standin` stands in for CuPy, `slurm_cluster` starts a Slurm cluster; the other files
are problems and losses that configurations name by path.
"""

import re
from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
TESTS = SUPPORT.parent
ROOT = TESTS.parent
"""The repository."""
DATA = TESTS / "data"
MPI = TESTS / "mpi"
"""Scripts that tests start on several ranks."""
SLOW = SUPPORT / "slow_quadratic.py"


def last_release() -> tuple[str, str]:
    """Version and date of the last release: the first heading of CHANGELOG.md that has a date."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", text, re.MULTILINE)
    assert found, "CHANGELOG.md has no section of a release"
    return found[1], found[2]
