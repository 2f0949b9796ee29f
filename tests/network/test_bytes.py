"""The bytes that a history counts are those that cross a network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import launch

TEN_PERCENT, BITS = '{"compress": "top-k", "k": 0.1}', '{"compress": "quantize", "bits": 4}'


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not Path("/dev/net/tun").exists(),
    reason="needs root, the program ip and /dev/net/tun",
)
@pytest.mark.skipif(launch.is_openmpi(), reason="needs MPICH")
@pytest.mark.parametrize("compress", [TEN_PERCENT, BITS])
def test_compressed_messages_on_an_emulated_network(compress, repo):
    """Packets of 9000 bytes, whose headers and acknowledgements are few; 20 iterations more."""

    def sent(iterations):
        done = subprocess.run(
            [
                *(sys.executable, repo / "benchmarks" / "slow_network.py"),
                *("-n", "3", "--delay", "0", "--rate", "1e9", "--mtu", "9000", "--seconds", "100"),
                *(sys.executable, repo / "tests" / "mpi" / "ranks_bytes.py"),
                *(compress, str(iterations)),
            ],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
            env=launch.environment({"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}),
        )
        found = re.findall(r"^column: (\d+)$|^slow network: (\d+) bytes", done.stdout, re.MULTILINE)
        assert done.returncode == 0 and len(found) == 2, done.stdout + done.stderr
        return int(found[0][0]), int(found[1][1])

    (few, few_crossed), (many, many_crossed) = sent(5), sent(25)
    column, crossed = many - few, many_crossed - few_crossed
    assert column > 1e6 and column < crossed < 1.05 * column
