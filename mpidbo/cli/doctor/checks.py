"""What one rank finds on its machine: libraries, launcher, files, threads, GPU."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata, util
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from threadpoolctl import threadpool_info

from ..._text import plural
from ..._version import __version__
from ...errors import UserError
from ...parallel.launcher import launched
from ...storage import files

OK, WARNING, WRONG, ABSENT = "ok", "warning", "wrong", "-"
LAUNCHER = {"OMPI_COMM_WORLD_SIZE": "Open MPI's launcher", "PMI_SIZE": "mpiexec or srun", "SLURM_STEP_NUM_TASKS": "srun"}
PACKAGES = ("mpi4py", "numpy", "scipy", "h5py", "networkx", "threadpoolctl", "tqdm", "tomli-w")
OPTIONAL = {
    "matplotlib": ("matplotlib", "pictures: plot, topology --picture", ("plot",)),
    "scikit-learn": ("sklearn", "the data set digits, LIBSVM files", ("data",)),
    "pooch": ("pooch", "mpidbo data fetch", ("data",)),
    "cupy": ("cupy", "running on GPUs", ("cuda12", "cuda13")),
}
"""Package -> (its module, what it is for, the extras that bring it)."""


class Line(NamedTuple):
    """A finding: ok, warning, wrong, or - for what is not there and not needed."""

    verdict: str
    what: str
    text: str


def findings(comm: Any, folder: Path, library: str, refused: str) -> list[Line]:
    """This rank's own, as `command.examine` describes them. Nothing here waits for another rank."""
    checks: dict[str, Callable[[], Iterator[Line]]] = {
        "python": _python, "mpi": lambda: _mpi(comm, library, refused), "mpiexec": _mpiexec, "slurm": _slurm, "packages": _packages,
        "hdf5": lambda: _hdf5(folder), "threads": _threads, "gpu": _gpu, "memory": _memory, "optional": _optional}
    found = []
    for what, check in checks.items():
        try:
            found += list(check())
        except Exception as error:                     # a check that cannot be made is a finding too
            found.append(Line(WRONG, what, f"{type(error).__name__}: {error}"))
    return found


def _python() -> Iterator[Line]:
    yield Line(OK, "python", f"{platform.python_version()}, mpidbo {__version__}")


def _mpi(comm: Any, library: str, refused: str) -> Iterator[Line]:
    told, _, variable = launched()
    if refused:
        yield Line(WRONG, "mpi", refused)
    elif library:
        yield Line(WARNING, "mpi", f"no MPI library can be loaded ({library}): all agents run in one process; for several install one, "
                                   "pip install 'mpidbo[mpich]', or load your cluster's module")
    else:
        size = 1 if comm is None else comm.size
        by = f"started by {LAUNCHER.get(variable, 'a launcher')} ({variable} = {told})" if variable else "not started by a launcher"
        by = "by a launcher that is not known here" if size > 1 and not variable else by
        level = {0: "single", 1: "funneled", 2: "serialized", 3: "multiple"}.get(_module().Query_thread(), "unknown")
        yield Line(OK, "mpi", f"{_library()}, {plural(size, 'rank')}, {by}; threads {level}")


def _module() -> Any:
    return sys.modules.get("mpi4py.MPI")


def _library() -> str:
    """"MPICH Version: 5.0.2", from a text of many lines."""
    return " ".join(_module().Get_library_version().strip("\0").split("\n")[0].split(",")[0].split()) if _module() else ""


def _mpiexec() -> Iterator[Line]:
    """Whether the mpiexec that a user would start belongs to the library; not asked among ranks, where forking may be unsafe."""
    if launched()[2] or not _module():
        return
    found, beside = shutil.which("mpiexec"), Path(sys.executable).with_name("mpiexec")
    if found is None:
        where = f"it is {beside}" if beside.exists() else "install one, pip install 'mpidbo[mpich]', or load your cluster's module"
        yield Line(WARNING, "mpiexec", f"none on PATH; {where}")
        return
    said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20).stdout
    theirs, ours = _family(said), _family(_library())
    if theirs != ours and theirs and ours:
        remedy = f"start with {beside}" if beside.exists() and str(beside) != found else f"put the mpiexec of {ours} first on PATH"
        yield Line(WRONG, "mpiexec", f"{found} is of {theirs}, the library loaded is {ours}: every process would be alone; {remedy}")
    else:
        yield Line(OK, "mpiexec", f"{found}, of {theirs or 'an unknown MPI'}")


def _family(text: str) -> str:
    low = text.lower()
    if any(word in low for word in ("open mpi", "openrte", "prrte", "open-mpi")):
        return "Open MPI"
    return "the MPICH family" if any(word in low for word in ("mpich", "hydra", "intel", "mvapich")) else ""


def _slurm() -> Iterator[Line]:
    tasks = os.environ.get("SLURM_NTASKS", "")
    if "SLURM_JOB_ID" in os.environ:
        if tasks.isdigit() and int(tasks) > 1 and not launched()[2]:
            yield Line(WARNING, "slurm", f"an allocation of {tasks} tasks, of which this process uses one; start with srun or mpiexec")
        else:
            yield Line(OK, "slurm", f"job {os.environ['SLURM_JOB_ID']}, {tasks or '?'} tasks")


def _packages() -> Iterator[Line]:
    """Installed versions against the least ones of this package's metadata."""
    least, found = {}, []
    for text in _requirements():
        if parts := re.match(r"([\w.-]+)\s*>=\s*([\d.]+)\s*$", text):
            least[parts[1]] = parts[2]
    for name in PACKAGES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Line(WARNING, "packages", f"{name} is not installed, or not by pip; pip install {name}")
            continue
        if name in least and _numbers(version) < _numbers(least[name]):
            yield Line(WRONG, "packages", f"{name} {version} is older than {least[name]}; pip install -U {name}")
        else:
            found.append(f"{name} {version}")
    yield Line(OK, "packages", ", ".join(found))


def _requirements() -> list[str]:
    try:
        return metadata.requires("mpidbo") or []
    except metadata.PackageNotFoundError:
        return []


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def _hdf5(folder: Path) -> Iterator[Line]:
    """A file with checksums, written as a run writes it and read back, in a folder of its own."""
    values = np.random.default_rng(0).standard_normal(100_000)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="mpidbo-") as own:
            path = Path(own) / "test.h5"
            files.write_arrays(path, {"values": values}, {"text": "η"})
            arrays, attributes = files.read_arrays(path)
            same = np.array_equal(arrays["values"], values) and attributes["text"] == "η"
    except (OSError, UserError) as error:
        yield Line(WRONG, "hdf5", f"{error}; give another folder: mpidbo doctor --folder DIR")
        return
    library = h5py.version.hdf5_version
    if same:
        yield Line(OK, "hdf5", f"{library}; written, synced and read back in {folder}")
    else:
        yield Line(WRONG, "hdf5", f"{library}: what was written in {folder} reads back differently; do not trust this file system")


def _threads() -> Iterator[Line]:
    pools = sorted({f"{pool['internal_api']} {pool.get('version') or ''}".strip() for pool in threadpool_info()})
    said = os.environ.get("OMP_NUM_THREADS")
    told = f"OMP_NUM_THREADS = {said}" if said else "OMP_NUM_THREADS unset"
    if pools:
        yield Line(OK, "threads", f"run.threads (1 unless set) are set for {', '.join(pools)}; {told}")
    else:
        verdict = OK if said == "1" else WARNING
        yield Line(verdict, "threads", f"no BLAS whose threads can be set from here; {told}; export OMP_NUM_THREADS=1")


def _gpu() -> Iterator[Line]:
    if util.find_spec("cupy") is None:
        if Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi"):
            yield Line(WARNING, "gpu", "an NVIDIA driver but no CuPy; to use the GPU: pip install 'mpidbo[cuda12]' or 'mpidbo[cuda13]'")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import cupy
    if not cupy.is_available():
        yield Line(WARNING, "gpu", f"CuPy {cupy.__version__}, but no CUDA device: look at nvidia-smi, ask the batch system for a GPU")
        return
    names = [cupy.cuda.runtime.getDeviceProperties(i)["name"].decode() for i in range(cupy.cuda.runtime.getDeviceCount())]
    right = float(cupy.arange(1000, dtype="float64").sum()) == 499500
    yield Line(OK if right else WRONG, "gpu", f"CuPy {cupy.__version__}, {', '.join(names)}" + ("" if right else ": computes wrong sums"))


def _memory() -> Iterator[Line]:
    """MPI libraries talk through it within a node, and containers make it small."""
    path = Path("/dev/shm")
    if path.is_dir() and (free := shutil.disk_usage(path).free) < 2**27:
        yield Line(WARNING, "memory", f"{free >> 20} MiB free in {path}, little for many ranks; in a container: --shm-size=1g")


def _optional() -> Iterator[Line]:
    for name, (module, purpose, extras) in OPTIONAL.items():
        if util.find_spec(module) is not None:
            yield Line(OK, "optional", f"{name}: {purpose}")
        else:
            remedy = " or ".join(f"pip install 'mpidbo[{extra}]'" for extra in extras)
            yield Line(ABSENT, "optional", f"{name} is not installed: {purpose}; {remedy}")
