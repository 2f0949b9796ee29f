"""MPI ranks over a slow network, emulated on one machine: a host per rank, and a switch.

    python benchmarks/slow_network.py -n 8 mpidbo reproduce partial-average --out FOLDER

A host is a network namespace with one interface, a TAP device whose other end is this process, the
switch. A packet leaves at the rate of its sender, is delayed, and arrives at the rate of its
receiver, as over a wide-area link; no packets are lost. The script needs Linux, root access, the
program `ip` and MPICH, and fails if the ranks communicate in another way. Ranks and switch share
the machine: compare ratios.
"""

import argparse
import ctypes
import fcntl
import heapq
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

NETWORK, LAUNCHER = "10.213.0", 254
CLONE_NEWNET, TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x40000000, 0x400454CA, 0x0002, 0x1000
OVERHEAD = 24
"""Bytes of preamble, checksum and gap on the wire with each packet."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=20)


def enter(namespace: int) -> None:
    """Move this thread into the network namespace of a descriptor."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace")


def tap(name: str) -> int:
    """The switch's end of eth0 in a namespace."""
    with Path("/proc/self/ns/net").open() as here, Path("/run/netns", name).open() as there:
        enter(there.fileno())
        try:
            end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", b"eth0", IFF_TAP | IFF_NO_PI))
        finally:
            enter(here.fileno())
    return end


def address(host: int) -> str:
    return f"02:00:00:00:00:{host:02x}"


def host_up(name: str, host: int, hosts: list[int], mtu: int) -> None:
    """Set the addresses of a host and its neighbours, so that none is resolved later."""
    ip("-n", name, "link", "set", "lo", "up")
    ip("-n", name, "link", "set", "eth0", "mtu", str(mtu), "address", address(host), "up")
    ip("-n", name, "addr", "add", f"{NETWORK}.{host}/24", "dev", "eth0")
    for other in hosts:
        ip(
            "-n",
            name,
            "neigh",
            "replace",
            f"{NETWORK}.{other}",
            "lladdr",
            address(other),
            "dev",
            "eth0",
            "nud",
            "permanent",
        )


class Switch:
    """Forwards packets until the command has ended; `bytes` counts those between ranks."""

    def __init__(self, ends: dict[int, int], delay: float, rate: float) -> None:
        self.ends, self.delay, self.rate, self.bytes = ends, delay, rate, 0
        self.free = {(way, host): 0.0 for way in ("up", "down") for host in ends}
        self.on_the_way: list[tuple[float, int, str, int, bytes]] = []
        self.count = 0

    def serialised(self, way: str, host: int, at: float, packet: bytes) -> float:
        """When the packet has passed a host's link."""
        self.free[way, host] = (
            max(at, self.free[way, host]) + (len(packet) + OVERHEAD) * 8 / self.rate
        )
        return self.free[way, host]

    def later(self, at: float, stage: str, host: int, packet: bytes) -> None:
        self.count += 1
        heapq.heappush(self.on_the_way, (at, self.count, stage, host, packet))

    def run(self, command: subprocess.Popen[bytes]) -> None:
        host_of = {end: host for host, end in self.ends.items()}
        poll = select.poll()
        for end in host_of:
            poll.register(end, select.POLLIN)
        while command.poll() is None:
            wait = (
                min(0.1, max(0.0, self.on_the_way[0][0] - monotonic())) if self.on_the_way else 0.1
            )
            for end, _ in poll.poll(wait * 1000):
                self.read(end, host_of[end])
            while self.on_the_way and self.on_the_way[0][0] <= (now := monotonic()):
                _, _, stage, host, packet = heapq.heappop(self.on_the_way)
                if stage == "arrives":
                    self.later(
                        self.serialised("down", host, now, packet), "delivered", host, packet
                    )
                else:
                    os.write(self.ends[host], packet)

    def read(self, end: int, host: int) -> None:
        for _ in range(64):
            try:
                packet = os.read(end, 65536)
            except BlockingIOError:
                return
            to = packet[5]
            if packet[:5] == b"\x02\0\0\0\0" and to in self.ends:
                self.bytes += len(packet) * (LAUNCHER not in (host, to))
                self.later(
                    self.serialised("up", host, monotonic(), packet) + self.delay,
                    "arrives",
                    to,
                    packet,
                )


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Run a command's MPI ranks over an emulated slow network."
    )
    parser.add_argument("-n", type=int, default=8, help="ranks, each on a host of its own")
    parser.add_argument(
        "--delay", type=float, default=0.005, metavar="SECONDS", help="one way; default 0.005"
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=100e6,
        metavar="BITS",
        help="per second, of a host each way; default 100e6",
    )
    parser.add_argument("--mtu", type=int, default=1500, help="bytes of a packet; default 1500")
    parser.add_argument(
        "--expect",
        type=float,
        default=1e5,
        metavar="BYTES",
        help="that must cross between ranks; default 1e5",
    )
    parser.add_argument(
        "--seconds", type=float, default=600, help="after which the command is ended; default 600"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if os.geteuid() or not shutil.which("ip") or not Path("/dev/net/tun").exists():
        print("slow_network: needs root, the program ip and /dev/net/tun", file=sys.stderr)
        return 2
    hosts = [*range(1, args.n + 1), LAUNCHER]
    names = {host: f"slow{os.getpid()}-{host}" for host in hosts}
    made: list[str] = []
    try:
        for name in names.values():
            ip("netns", "add", name)
            made.append(name)
        ends = {host: tap(name) for host, name in names.items()}
        for host, name in names.items():
            host_up(name, host, hosts, args.mtu)
        with tempfile.TemporaryDirectory() as folder:
            shell = Path(folder, "shell")  # in place of ssh: HOST COMMAND ...
            shell.write_text(
                '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\nhost=${1##*.}; shift\n'
                f'exec ip netns exec "slow{os.getpid()}-$host" sh -c "$*"\n'
            )
            shell.chmod(0o700)
            command = [
                "ip",
                "netns",
                "exec",
                names[LAUNCHER],
                "timeout",
                str(args.seconds),
                "mpiexec",
                "-launcher",
                "ssh",
                "-launcher-exec",
                str(shell),
                "-localhost",
                f"{NETWORK}.{LAUNCHER}",
                "-hosts",
                ",".join(f"{NETWORK}.{host}" for host in hosts[:-1]),
                "-n",
                str(args.n),
                *args.command,
            ]
            switch = Switch(ends, args.delay, args.rate)
            with subprocess.Popen(
                command, env={**os.environ, "UCX_TLS": "tcp,self", "UCX_NET_DEVICES": "eth0"}
            ) as running:
                switch.run(running)
    finally:
        for name in made:
            ip("netns", "del", name)
    print(
        f"slow network: {switch.bytes} bytes between {args.n} ranks, "
        f"{1e3 * args.delay:g} ms one way, {args.rate / 1e6:g} Mbit/s",
        flush=True,
    )
    if switch.bytes < args.expect:
        print(
            f"slow_network: fewer than {args.expect:g} bytes crossed the network; "
            "the ranks communicate in another way",
            file=sys.stderr,
        )
        return 1
    return running.returncode


if __name__ == "__main__":
    sys.exit(main())
