"""`run.overlap`: oracles are called while a message is under way."""

import json
from pathlib import Path

import numpy as np
import pytest

from mpi import ranks_overlap
from mpidbo.parallel import ALONE, Overlapping, Rows
from mpidbo.parallel.fusion import CALLS

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


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_no_call_is_left_after_iterations_that_an_error_ends(error):
    backend = Overlapping()
    with pytest.raises(error), backend.iterations(ALONE):
        assert backend.overlaps
        Rows.of_call(lambda: np.ones((1, 1)), (1, 1), np.float64)
        raise error
    assert not CALLS and not backend.overlaps


def test_calls_are_made_by_the_end_of_the_iterations():
    with Overlapping().iterations(ALONE):
        answer = Rows.of_call(lambda: np.ones((1, 1)), (1, 1), np.float64)
    assert answer.known and not CALLS


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


@pytest.mark.long
def test_an_interrupted_run_is_resumed_with_the_same_bits(mpi, tmp_path):
    done = mpi(2, [SCRIPT, "interrupted", tmp_path / "out"], timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "interrupted on rank 0, True, 0 left, True" in done.stdout


@pytest.mark.long
def test_a_rank_that_does_not_come_back_from_an_oracle_is_named(mpi):
    done = mpi(2, [SCRIPT, "silent"], timeout=60)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "busy for 3 s at ranks_overlap.py" in done.stderr, done.stderr
    assert "rank 1 waits for rank 0" in done.stderr, done.stderr


@pytest.mark.long
def test_the_timeline_has_oracles_within_exchanges(mpi, tmp_path):
    done = mpi(2, [SCRIPT, "traced", tmp_path / "out"], timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    trace = json.loads((tmp_path / "out" / "trace.json").read_text())
    spans = [span for span in trace["traceEvents"] if span["ph"] == "X" and span["pid"] == 0]
    calls = [span for span in spans if span["name"] == "f_x"]
    exchanges = [span for span in spans if span["cat"] == "exchange"]
    assert len(calls) == len(exchanges) == 40
    assert all(
        exchange["ts"] <= call["ts"]
        and call["ts"] + call["dur"] <= exchange["ts"] + exchange["dur"]
        for call, exchange in zip(calls, exchanges, strict=True)
    )
