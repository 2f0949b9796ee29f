"""Helpers of the tests, and where things are.

`launch` starts ranks, `runs` makes runs and compares their files, `dense` holds the dense
recursions, `standin` stands in for CuPy, `slurm_cluster` starts a Slurm cluster; the other files
are problems and losses that configurations name by path.
"""

from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
TESTS = SUPPORT.parent
ROOT = TESTS.parent
"""The repository."""
DATA = TESTS / "data"
MPI = TESTS / "mpi"
"""Scripts that tests start on several ranks."""
SLOW = SUPPORT / "slow_quadratic.py"
