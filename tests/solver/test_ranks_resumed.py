"""A run that one process began is resumed on several ranks to the bits of one process.

Also on directed graphs and on graphs that change, whose place in their sequence is a function of
the iteration alone.
"""

import os
import sys
from pathlib import Path

import pytest

from mpi import ranks_resumed
from mpi.ranks_solve import digest

SCRIPT = Path(ranks_resumed.__file__)
CASES = tuple(ranks_resumed.CASES)


def resumed_to_the_bit(mpi, ranks, cases, folder, timeout):
    whole = {}
    for case in cases:
        first = ranks_resumed.run(case, folder / "parts" / case, ranks_resumed.PART)
        assert first.history["iteration"][-1] == ranks_resumed.PART
        result = ranks_resumed.run(case, folder / "whole" / case, ranks_resumed.ALL)
        whole[case] = digest(result)
        assert abs(result.x - first.x).max() > 1e-6
    words = ["-m", "mpi4py", SCRIPT, folder / "parts", *cases]
    done = mpi(ranks, words, env={"PYTHONPATH": os.pathsep.join(sys.path)}, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    found = dict(line.split() for line in done.stdout.splitlines() if line.startswith(cases))
    return found == whole


def test_one_rank_goes_on_with_three(mpi, tmp_path):
    assert resumed_to_the_bit(mpi, 3, ranks_resumed.EVERYDAY, tmp_path, timeout=60)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("ranks", "cases"), [(3, CASES), (2, CASES[::2]), (8, CASES[1::2])])
def test_every_case_goes_on_with_more_ranks(mpi, ranks, cases, tmp_path):
    assert resumed_to_the_bit(mpi, ranks, cases, tmp_path, timeout=240)
