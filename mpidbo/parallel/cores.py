"""Processor cores that this process may use, and those that nobody else uses."""

import os
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path
from time import sleep

CONTROL_GROUPS = Path("/sys/fs/cgroup")
SAMPLES, BETWEEN_SAMPLES_S = 5, 0.004
"""How often it is counted what runs, of which the least counts: most of what runs is soon done."""


def usable_cores() -> int:
    """Return the number of cores that system, container and batch job let this process use."""
    limits = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        limits.append(len(os.sched_getaffinity(0)))
    with suppress(ValueError):
        limits.append(int(os.environ.get("SLURM_CPUS_PER_TASK", "")))
    limits += _quotas()
    return max(1, min(limits))


def free_cores() -> int:
    """Return the number of usable cores that no other program uses now; at least 1."""
    busy = _running() - 1
    for _ in range(SAMPLES - 1):
        if busy < 1:
            break
        sleep(BETWEEN_SAMPLES_S)
        busy = min(busy, _running() - 1)
    return max(1, min(usable_cores(), (os.cpu_count() or 1) - busy))


def _running() -> int:
    """The threads of the machine that run or wait for a core, this one included (Linux)."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    return 1


def _quotas() -> Iterator[int]:
    """The cores of each limit of the control groups of this process, rounded up (Linux)."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            version_1 = "cpu" in controllers.split(",")
            if controllers and not version_1:
                continue
            root = CONTROL_GROUPS / "cpu" if version_1 else CONTROL_GROUPS
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):
                yield from _quota(folder)
                if folder == root:
                    break


def _quota(folder: Path) -> Iterator[int]:
    """The cores of the limit of one control group, if it has one."""
    with suppress(OSError, ValueError):
        if (folder / "cpu.max").is_file():  # version 2
            microseconds, period = (folder / "cpu.max").read_text().split()
        else:
            microseconds = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        quota = int(microseconds)  # "max" and -1: no limit
        if quota > 0:
            yield ceil(quota / int(period))
