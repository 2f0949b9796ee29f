"""A run of compressed messages on three ranks: ranks_bytes.py KEYS ITERATIONS.

It prints the bytes that its history counts, and those that the operating system has counted for
each rank: of the packets that left its network interface, headers and acknowledgements included,
and of the data that its TCP sockets have delivered. The oracles are those of
benchmarks/networks.py.
"""

import contextlib
import json
import os
import socket
import struct
import sys
from pathlib import Path
from time import sleep

from mpi4py import MPI

import mpidbo

BYTES_ACKED = 120
"""Where it is in struct tcp_info of linux/tcp.h."""


def interface_bytes():
    """Of eth0 in this network namespace."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    return next(int(line.split()[9]) for line in lines if line.lstrip().startswith("eth0:"))


def socket_bytes():
    """Of all TCP sockets of this process."""
    total = 0
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as end:
            info = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            total += struct.unpack_from("Q", info, BYTES_ACKED)[0]
    return total


strategy = {"name": "beer", "gamma": 0.3, **json.loads(sys.argv[1])}
networks = Path(__file__).parents[2] / "benchmarks" / "networks.py"
result = mpidbo.solve(
    {"name": f"{networks}:Separable", "dim": 20_000},
    {"name": "sparkle", "lower": strategy, "upper": strategy},
    "ring",
    3,
    {"alpha": 1e-3, "beta": 1e-2, "gamma": 1e-2},
    int(sys.argv[2]),
    evaluate_every=1000,
    comm=MPI.COMM_WORLD,
    checks="never",
)
MPI.COMM_WORLD.Barrier()
sleep(0.5)  # until the last data is acknowledged
counted = MPI.COMM_WORLD.gather((interface_bytes(), socket_bytes()))
if MPI.COMM_WORLD.rank == 0:
    print("column:", int(result.history["bytes"][-1]))
    print("counted:", json.dumps(counted), flush=True)
