"""`run.overlap`: oracles are called while a message is under way."""

from pathlib import Path

import numpy as np
import pytest

from mpi import ranks_overlap
from mpidbo.parallel import Rows
from mpidbo.parallel.fusion import CALLS, make_calls

pytest.importorskip("numba")
SCRIPT = Path(ranks_overlap.__file__)


def test_calls_are_put_off_until_they_are_needed():
    made = []

    def call(name):
        made.append(name)
        return np.ones((2, 3))

    x = Rows(np.full((2, 3), 2.0))
    u = Rows.of_call(lambda: call("u"), (2, 3), x.dtype)
    v = Rows.of_call(lambda: call("v"), (2, 3), x.dtype)
    assert (2 * x - x).array[0, 0] == 2 and not made
    assert (x - 3 * v).array[0, 0] == -1 and made == ["u", "v"]  # in their order
    assert u.known and not CALLS


def test_calls_after_one_that_fails_are_not_made():
    def call():
        raise RuntimeError("no")

    Rows.of_call(call, (1, 1), np.float64)
    Rows.of_call(call, (1, 1), np.float64)
    with pytest.raises(RuntimeError):
        make_calls()
    assert not CALLS


@pytest.mark.long
@pytest.mark.timeout(200)
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_same_bits(mpi, ranks):
    done = mpi(ranks, ["-m", "mpi4py", SCRIPT], timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(ranks_overlap.CASES) + 1
    assert all(line.endswith(": same") for line in lines), lines


@pytest.mark.long
def test_a_rank_that_raises_while_a_message_is_under_way_ends_the_job(mpi):
    done = mpi(2, [SCRIPT, "failing"], timeout=60)
    assert done.returncode != 0
    assert "the oracle of agent 0" in done.stderr
