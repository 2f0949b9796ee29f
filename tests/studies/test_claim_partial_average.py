"""The claim on partial averages, and the emulated network of benchmarks/slow_network.py."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mpidbo import cli
from mpidbo.studies import claims
from mpidbo.studies.claims.finding import FAILS, HOLDS, findings
from mpidbo.studies.claims.partial_average import CENTRAL, GOSSIP, seconds
from support import MPI, launch


def test_it_wants_ranks(capsys, tmp_path):
    assert cli.main(["reproduce", "partial-average", "--out", str(tmp_path)]) == 2
    assert "this claim times 8 ranks; start it with mpiexec -n 8" in capsys.readouterr().err


class Recorded:
    study = SimpleNamespace(seeds=range(5))

    def reached(self, method, topology, target):
        return np.array([100.0, 110, 120, 90, 95])


@pytest.mark.parametrize(
    ("central", "verdicts"),
    [
        ({2: 0.011, 4: 0.02, 8: 0.03}, [HOLDS, HOLDS]),
        ({2: 0.03, 4: 0.02, 8: 0.02}, [HOLDS, FAILS]),
        ({2: 0.004, 4: 0.005, 8: 0.006}, [FAILS, HOLDS]),
    ],
)
def test_seconds_decide(central, verdicts):
    """The ring takes 10 ms whatever n."""
    found = {
        "timed": {
            f"{n} agents": {
                GOSSIP: (np.full(5, 0.01), np.zeros(5)),
                CENTRAL: (np.linspace(0.95, 1.05, 5) * s, np.zeros(5)),
            }
            for n, s in central.items()
        }
    } | {f"{n} agents": Recorded() for n in central}
    judged = findings(claims.make_claim("partial-average").judge(found))
    assert [finding.verdict for finding in judged] == verdicts
    assert seconds(found, "8 agents")[GOSSIP].tolist() == pytest.approx([1.0, 1.1, 1.2, 0.9, 0.95])


def test_over_ranks(mpi, tmp_path):
    done = mpi(
        2,
        ["-m", "mpi4py", MPI / "ranks_partial_average.py"],
        cwd=tmp_path,
        timeout=100,
    )
    assert done.returncode == 0 and done.stdout.split() == ["timed"], done.stdout + done.stderr


def test_packets_leave_and_arrive_at_the_rate(repo, monkeypatch):
    monkeypatch.syspath_prepend(repo / "benchmarks")
    from slow_network import OVERHEAD, Switch

    switch = Switch({1: -1, 2: -1}, delay=0.005, rate=8e6)  # a byte a microsecond
    packet = bytes(1000 - OVERHEAD)
    times = [switch.serialised("up", 1, at, packet) for at in (0.0, 0.0, 0.01)] + [
        switch.serialised("down", 1, 0.0, packet)
    ]
    assert times == pytest.approx([0.001, 0.002, 0.011, 0.001])


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not Path("/dev/net/tun").exists(),
    reason="needs root, the program ip and /dev/net/tun",
)
@pytest.mark.skipif(launch.is_openmpi(), reason="needs MPICH")
@pytest.mark.parametrize(("expected", "code"), [(1000, 0), (1e9, 1)])
def test_bytes_cross_the_network(repo, expected, code):
    """Each of 20 exchanges takes two delays at least, so the ranks feel the network; too few
    bytes are an error."""
    script = (
        "from mpi4py import MPI; from time import perf_counter as now; import numpy as np; c = "
        "MPI.COMM_WORLD; a = np.ones(40); c.Barrier(); t = now(); [c.Allreduce(a, np.empty(40)) "
        "for _ in range(20)]; print((now() - t) >= 20 * 0.005)"
    )
    done = subprocess.run(
        [
            sys.executable,
            repo / "benchmarks" / "slow_network.py",
            "-n",
            "2",
            "--seconds",
            "60",
            "--expect",
            str(expected),
            sys.executable,
            "-c",
            script,
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=launch.environment({"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}),
    )
    assert done.returncode == code and done.stdout.count("True") == 2, done.stdout + done.stderr
