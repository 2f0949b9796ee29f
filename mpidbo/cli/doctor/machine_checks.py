"""Checks of files, threads, GPU and shared memory, by each rank for itself."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import h5py
import numpy as np
from threadpoolctl import threadpool_info

from ...errors import UserError
from ...storage import read_arrays, write_arrays
from .findings import OK, WARNING, WRONG, Finding

MIN_SHARED_MEMORY_BYTES = 2**27


def check_hdf5(folder: Path) -> Iterator[Finding]:
    """Write a file with checksums as a run does, in a new folder within `folder`, and read it."""
    values = np.random.default_rng(0).standard_normal(100_000)
    attributes = {"text": "η"}
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="mpidbo-") as own:
            path = Path(own) / "test.h5"
            write_arrays(path, {"values": values}, attributes)
            found, found_attributes = read_arrays(path)
    except (OSError, UserError) as error:
        yield Finding(WRONG, "hdf5", f"{error}; give another folder: mpidbo doctor --folder DIR")
        return
    version = h5py.version.hdf5_version
    equal = np.array_equal(found["values"], values)
    if equal and found_attributes["text"] == attributes["text"]:
        yield Finding(OK, "hdf5", f"{version}; written, synced and read back in {folder}")
    else:
        yield Finding(
            WRONG,
            "hdf5",
            f"{version}: what was written in {folder} reads back differently; "
            "do not trust this file system",
        )


def check_threads() -> Iterator[Finding]:
    """The libraries whose number of threads a run sets, and OMP_NUM_THREADS."""
    libraries = set()
    for pool in threadpool_info():
        libraries.add(f"{pool['internal_api']} {pool.get('version') or ''}".strip())
    value = os.environ.get("OMP_NUM_THREADS")
    variable = f"OMP_NUM_THREADS = {value}" if value else "OMP_NUM_THREADS unset"
    if libraries:
        names = ", ".join(sorted(libraries))
        yield Finding(OK, "threads", f"run.threads (1 unless set) applies to {names}; {variable}")
        return
    yield Finding(
        OK if value == "1" else WARNING,
        "threads",
        f"no BLAS library whose threads mpidbo can set; {variable}; export OMP_NUM_THREADS=1",
    )


def check_gpu() -> Iterator[Finding]:
    """The GPUs that CuPy sees, and a sum on the first."""
    if util.find_spec("cupy") is None:
        if Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi"):
            yield Finding(
                WARNING,
                "gpu",
                "an NVIDIA driver but no CuPy; to use the GPU: pip install 'mpidbo[cuda12]' "
                "or 'mpidbo[cuda13]'",
            )
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import cupy
    if not cupy.is_available():
        yield Finding(
            WARNING,
            "gpu",
            f"CuPy {cupy.__version__}, but no CUDA device: look at nvidia-smi, "
            "ask the batch system for a GPU",
        )
        return
    runtime = cupy.cuda.runtime
    names = [
        runtime.getDeviceProperties(device)["name"].decode()
        for device in range(runtime.getDeviceCount())
    ]
    text = f"CuPy {cupy.__version__}, {', '.join(names)}"
    if float(cupy.arange(1000, dtype="float64").sum()) == sum(range(1000)):
        yield Finding(OK, "gpu", text)
    else:
        yield Finding(WRONG, "gpu", f"{text}: computes wrong sums")


def check_shared_memory() -> Iterator[Finding]:
    """Free space in /dev/shm, through which ranks of a node communicate; containers limit it."""
    path = Path("/dev/shm")
    if not path.is_dir():
        return
    free = shutil.disk_usage(path).free
    if free < MIN_SHARED_MEMORY_BYTES:
        yield Finding(
            WARNING,
            "memory",
            f"{free >> 20} MiB free in {path}, little for many ranks; "
            "in a container: --shm-size=1g",
        )
