"""A run has the same bits on any number of ranks, and so under any MPI library: its files are
those of one process."""

from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from mpi import ranks_solve
from mpidbo.storage import files, read_arrays

SCRIPT = Path(ranks_solve.__file__)
CASES = [
    case
    for case in ranks_solve.CASES
    if find_spec("sklearn") or not case.startswith(ranks_solve.FOR_DIGITS)
]
EVERYDAY = [case for case in CASES if case in ranks_solve.EVERYDAY]


class Alone:
    """The runs in one process, each once."""

    def __init__(self, folder):
        self.folder, self.results = folder, {}

    def __getitem__(self, case):
        if case not in self.results:
            self.results[case] = ranks_solve.run(case, self.folder)
        return self.results[case]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return Alone(tmp_path_factory.mktemp("alone"))


def untimed(file):
    arrays, attributes = read_arrays(file)
    return (
        {name: array for name, array in arrays.items() if not name.startswith("seconds_")},
        {name: attributes.get(name) for name in ("iteration", "method", "version")},
    )


@pytest.mark.slow
def test_the_cases_differ(alone):
    """They move, are finite and differ from one another, with noise also from those of another
    seed; one stops early."""
    assert len({ranks_solve.digest(alone[case]) for case in EVERYDAY}) == len(EVERYDAY)
    ends = {"stop": 3, "patience": 3}
    for case in [*EVERYDAY, *ends]:
        history = alone[case].history
        assert history["iteration"][-1] == ends.get(case, 12)
        # there is no estimate before the first iteration
        assert all(np.isfinite(column[1:]).all() for column in history.values())
        assert np.ptp(history["upper_loss"]) > 0 and np.ptp(alone[case].x) > 0


def same_bits(mpi, ranks, cases, alone, folder, timeout):
    done = mpi(ranks, ["-m", "mpi4py", SCRIPT, folder, *cases], timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = {case: ranks_solve.digest(alone[case]) for case in cases}
    assert dict(line.split() for line in done.stdout.splitlines()) == expected
    written = product(ranks_solve.WRITTEN, (files.RESULT, files.HISTORY))
    for case, name in [*written, ("patience", files.BEST)]:
        if case not in cases:
            continue
        (found, printed), (expected, message) = (
            untimed(place / case / name) for place in (folder, alone.folder)
        )
        assert printed == message and found.keys() == expected.keys()
        for key, rows in expected.items():
            assert found[key].dtype == rows.dtype and found[key].shape == rows.shape
            assert found[key].tobytes() == rows.tobytes(), (
                f"{case}: {key} of {name} on {ranks} ranks"
            )
    return True


@pytest.mark.parametrize("ranks", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_over_ranks(mpi, ranks, alone, tmp_path):
    assert same_bits(mpi, ranks, EVERYDAY, alone, tmp_path, timeout=110)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("ranks", "cases"), [(3, CASES), (2, CASES[::3]), (5, CASES[1::3]), (8, CASES[2::3])]
)
def test_everything_over_ranks(mpi, ranks, cases, alone, tmp_path):
    """Every case on three ranks, whose numbers of agents differ, and on one other number."""
    assert same_bits(mpi, ranks, cases, alone, tmp_path, timeout=290)
