"""Fixtures of all tests. Nothing here, and no test, imports mpi4py: see launch.py."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.register_assert_rewrite("support")

from support import ROOT, launch  # noqa: E402

# A shell starts what it puts in the background with SIGINT ignored, and so would be all that tests
# start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left():
    """What killed ranks leave in /dev/shm and /tmp is removed, whichever test started them."""
    with launch.SEGMENTS:
        yield
    launch.remove_sessions()


@pytest.fixture(scope="session", autouse=True)
def _disk_is_not_waited_for():
    """In this process `os.fsync` only looks at its argument: no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who uses the fixture `mpi` carries the mark `mpi`."""
    for item in items:
        if "mpi" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.mpi)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `gpu` needs CuPy and a device."""
    if item.get_closest_marker("gpu"):
        cupy = pytest.importorskip(
            "cupy", reason="CuPy is not installed: pip install 'mpidbo[cuda12]'"
        )
        if not cupy.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture
def mpi() -> Callable:
    """`launch.mpirun`, or a skip where no mpiexec is installed."""
    if launch.mpiexec() is None:
        pytest.skip("no mpiexec beside this Python or on PATH: pip install mpich")
    return launch.mpirun


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """shared_data(name) -> path of a real data set in shared/data beside the repository, or a
    skip."""

    def find(name: str) -> Path:
        path = ROOT.parent / "shared" / "data" / name
        if not path.exists():
            pytest.skip(f"data set {name} is not in ../shared/data")
        return path

    return find


@pytest.fixture(scope="session")
def australian(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The option of the problem `australian` for random records in its format."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("records") / "records"
    lines = (
        " ".join([f"{label:+d}", *(f"{j + 1}:{value:.3f}" for j, value in enumerate(row))])
        for label, row in zip(rng.choice([-1, 1], 90), rng.uniform(-1, 1, (90, 6)), strict=True)
    )
    path.write_text("\n".join(lines) + "\n")
    return {"data": str(path)}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Records of the shape of the Australian ones, where `mpidbo data fetch` would put them."""
    rng, home = np.random.default_rng(0), tmp_path_factory.mktemp("data")
    X, normal = rng.uniform(-1, 1, (690, 14)), rng.standard_normal(14)
    (home / "australian").mkdir()
    (home / "australian" / "australian_scale").write_text(
        "".join(
            f"{1 if row @ normal > 0 else -1} "
            + " ".join(f"{j}:{value:.4f}" for j, value in enumerate(row, 1))
            + "\n"
            for row in X
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPIDBO_DATA", str(home))
        yield
