"""Kills within the first second of a restart: no checkpoint is lost, and the result is that of
the run that nothing interrupts."""

import re

import pytest

from support import SLOW, SUPPORT, launch
from support.runs import QUADRATIC, run, same, toml

MANY = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("keep", "kills", "iterations"),
    [(1, 3, 300), pytest.param(1, 50, 1500, marks=MANY), pytest.param(2, 50, 1500, marks=MANY)],
)
def test_no_checkpoint_is_lost(keep, kills, iterations, tmp_path):
    """At random times, half of them when a new checkpoint is begun."""
    path = toml(
        tmp_path,
        {
            **QUADRATIC,
            "run.iterations": iterations,
            "problem.name": f"{SLOW}:Slow",
            "checkpoint.every": 2,
            "run.evaluate_every": 100,
        },
    )
    done = launch.mpirun(
        None,
        [SUPPORT / "killed.py", path, tmp_path / "out", str(keep), str(kills), "7"],
        timeout=500,
        env={"MPIDBO_TEST_DRAW": "0.002"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    within, newest = map(
        int, re.search(r"(\d+) of \d+ kills .* iteration (\d+)", done.stdout).groups()
    )
    assert within > 0 and 4 <= newest < iterations, done.stdout
    run(path, tmp_path / "whole", checkpoint__every=0)
    assert same(tmp_path / "whole", tmp_path / "out")
