"""The bytes that a history counts are those that the operating system sends."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support import launch

TEN_PERCENT, BITS = '{"compress": "top-k", "k": 0.1}', '{"compress": "quantize", "bits": 4}'


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not Path("/dev/net/tun").exists(),
    reason="needs root, the program ip and /dev/net/tun",
)
@pytest.mark.skipif(launch.is_openmpi(), reason="needs MPICH")
@pytest.mark.parametrize("packet", [9000, 1500])
@pytest.mark.parametrize("compress", [TEN_PERCENT, BITS])
def test_compressed_messages_on_an_emulated_network(compress, packet, repo):
    """By the counters of the operating system, of each rank, in 20 iterations more.

    The data of TCP, and in packets of 9000 bytes all that leaves the network interface: there
    headers and acknowledgements are few. In packets of 1500 they are more than 5 %.
    """

    def sent(iterations):
        done = subprocess.run(
            [
                *(sys.executable, repo / "benchmarks" / "slow_network.py"),
                *("-n", "3", "--delay", "0", "--rate", "1e9", "--mtu", str(packet)),
                *("--seconds", "100"),
                *(sys.executable, repo / "tests" / "mpi" / "ranks_bytes.py"),
                *(compress, str(iterations)),
            ],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
            env=launch.environment({"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}),
        )
        column = re.search(r"^column: (\d+)$", done.stdout, re.MULTILINE)
        counted = re.search(r"^counted: (.*)$", done.stdout, re.MULTILINE)
        assert done.returncode == 0 and column and counted, done.stdout + done.stderr
        return int(column[1]) / 3, np.array(json.loads(counted[1]))  # all send as many

    (few, few_counted), (many, many_counted) = sent(5), sent(25)
    column = many - few
    interface, sockets = (many_counted - few_counted).T
    assert column > 5e5
    assert (column < sockets).all() and (sockets < 1.05 * column).all()
    assert (sockets < interface).all()
    if packet == 9000:
        assert (interface < 1.05 * column).all()
