"""The claim on ranks that are killed."""

import numpy as np
import pytest

from mpidbo import cli
from mpidbo.studies import claims
from mpidbo.studies.claims import lost_rank
from mpidbo.studies.claims.finding import FAILS, HOLDS, UNDECIDED, findings
from mpidbo.studies.claims.lost_rank import CENTRE, KILLED, LOST, NONE
from support import launch


@pytest.mark.parametrize(
    ("killed", "lost", "verdicts"),
    [
        ([[4, 0], [4, 0], [4, 0]], 5.0, [HOLDS, HOLDS]),
        ([[4, 60], [4, 60], [4, 60]], 5.0, [FAILS, HOLDS]),
        ([[4, 0], [0, 0], [4, 0]], 5.0, [UNDECIDED, HOLDS]),
        ([[4, 0], [4, 0], [4, 0]], 1.5, [HOLDS, FAILS]),
    ],
)
def test_bits_and_the_centre_decide(killed, lost, verdicts):
    rows = np.linspace(1, 1.01, 3)[:, None] * np.ones(5)
    cases = {NONE: rows, KILLED: rows, CENTRE: rows, LOST: lost * rows}
    found = {case: (np.arange(5), values) for case, values in cases.items()}
    found["killed"] = (np.array(killed),)
    judged = findings(claims.make_claim("lost-rank").judge(found))
    assert [finding.verdict for finding in judged] == verdicts


def test_without_open_mpi_it_says_so(monkeypatch, tmp_path, capsys):
    launcher = tmp_path / "launcher"
    launcher.write_text("#!/bin/sh\necho unrecognized argument\nexit 255\n")
    launcher.chmod(0o755)
    monkeypatch.setenv("LAUNCH", str(launcher))
    assert cli.main(["reproduce", "lost-rank", "--out", str(tmp_path / "out")]) == 2
    assert "(unrecognized argument); it needs Open MPI 5" in capsys.readouterr().err


@pytest.mark.survive
@pytest.mark.timeout(300)
def test_ranks_are_killed(monkeypatch, tmp_path, capsys):
    if not launch.is_openmpi():
        pytest.skip("MPICH ends a job in which a process has died")
    for key in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        monkeypatch.setenv(key, "1")
    monkeypatch.setenv("OMPI_MCA_mpi_yield_when_idle", "1")
    monkeypatch.setattr(lost_rank, "SIZES", {"quick": (600, 2)})
    assert cli.main(["reproduce", "lost-rank", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("2 ranks killed, 0 numbers differ") == 2 and printed.endswith(
        f"\n{HOLDS}\n"
    )
