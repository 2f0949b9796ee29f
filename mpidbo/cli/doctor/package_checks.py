"""Checks of Python and of the packages that are installed."""

import platform
import re
from collections.abc import Iterator
from importlib import metadata, util
from typing import NamedTuple

from ..._version import __version__
from .findings import ABSENT, OK, WARNING, WRONG, Finding

REQUIRED = ("mpi4py", "numpy", "scipy", "h5py", "networkx", "threadpoolctl", "tqdm", "tomli-w")


class OptionalPackage(NamedTuple):
    """An optional package: its module, its purpose, and the extras that install it."""

    module: str
    purpose: str
    extras: tuple[str, ...]


OPTIONAL = {
    "matplotlib": OptionalPackage("matplotlib", "figures: plot, topology --picture", ("plot",)),
    "scikit-learn": OptionalPackage("sklearn", "the data set digits, LIBSVM files", ("data",)),
    "pooch": OptionalPackage("pooch", "mpidbo data fetch", ("data",)),
    "cupy": OptionalPackage("cupy", "running on GPUs", ("cuda12", "cuda13")),
}


def check_python() -> Iterator[Finding]:
    """The versions of Python and of this package."""
    yield Finding(OK, "python", f"{platform.python_version()}, mpidbo {__version__}")


def check_packages() -> Iterator[Finding]:
    """Installed versions against the oldest ones that the metadata of this package allow."""
    oldest = _oldest_versions()
    installed = []
    for name in REQUIRED:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(
                WARNING, "packages", f"{name} is not installed, or not by pip; pip install {name}"
            )
            continue
        if name in oldest and _numbers(version) < _numbers(oldest[name]):
            yield Finding(
                WRONG,
                "packages",
                f"{name} {version} is older than {oldest[name]}; pip install -U {name}",
            )
        else:
            installed.append(f"{name} {version}")
    yield Finding(OK, "packages", ", ".join(installed))


def _oldest_versions() -> dict[str, str]:
    """Package -> the oldest version allowed, for requirements of the form `name>=version`."""
    try:
        requirements = metadata.requires("mpidbo") or []
    except metadata.PackageNotFoundError:
        return {}
    oldest = {}
    for requirement in requirements:
        parts = re.match(r"([\w.-]+)\s*>=\s*([\d.]+)\s*$", requirement)
        if parts:
            name, version = parts.groups()
            oldest[name] = version
    return oldest


def _numbers(version: str) -> list[int]:
    """The first three numbers of a version, to be compared."""
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def check_optional() -> Iterator[Finding]:
    """Optional packages, and what each is for."""
    for name, package in OPTIONAL.items():
        if util.find_spec(package.module) is not None:
            yield Finding(OK, "optional", f"{name}: {package.purpose}")
            continue
        remedy = " or ".join(f"pip install 'mpidbo[{extra}]'" for extra in package.extras)
        yield Finding(ABSENT, "optional", f"{name} is not installed: {package.purpose}; {remedy}")
