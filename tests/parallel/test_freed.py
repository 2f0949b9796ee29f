"""Memory that numpy frees is kept for the next array, and returned at the end of a run."""

import ctypes
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from mpidbo.parallel import keep_freed

if sys.argv[1] == "kept":
    keep_freed()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def large():  # above the largest threshold of glibc, 32 MiB, and no multiple of a huge page
    np.ones(5_000_001)

large()
before = faults()
for _ in range(20):
    large()
print(faults() - before)
"""

RETURNED = """
import resource
from pathlib import Path
import numpy as np
from mpidbo.parallel import keep_freed, return_freed

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

keep_freed()
arrays = [np.ones(1_000_000) for _ in range(40)]
last = np.ones(1000)  # above them in the heap
full = resident()
del arrays
kept = resident()
return_freed()
print(full, kept, resident())
"""


def printed(code, *words):
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


@pytest.fixture
def glibc():
    if not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        pytest.skip("the C library is not glibc, whose settings these are")


def test_large_arrays_are_mapped_once(glibc):
    (mapped,), (kept,) = (printed(FAULTS, word) for word in ("mapped", "kept"))
    assert mapped >= 20 and 4 * kept < mapped


def test_the_memory_of_a_run_is_returned(glibc):
    full, kept, returned = printed(RETURNED)
    assert kept > 0.9 * full
    assert returned < full - 0.9 * 40 * 8_000_000
