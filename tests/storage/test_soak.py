"""Runs killed at random and gone on with are, to the bit, the run that was not;
benchmarks/soak.py does more of it."""

import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_runs(mpi, repo, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(repo / "benchmarks")
    import soak

    kills, _ = soak.soak(tmp_path, 4, seed=1)
    assert kills > 0
