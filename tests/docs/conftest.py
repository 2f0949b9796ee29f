"""The site, built once for the tests of a worker."""

import importlib.util
import subprocess
import sys

import pytest

from support import ROOT, launch

NEEDED = ("sphinx", "myst_nb", "furo", "sphinx_copybutton", "sphinx-mathjax-offline")


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The folder of the pages of a finished build."""
    out = tmp_path_factory.mktemp("site")
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        pytest.skip(f"{', '.join(missing)} not installed: pip install '.[docs]'")
    line = [
        sys.executable,
        "-m",
        "sphinx",
        "--fail-on-warning",
        "--keep-going",
        "--nitpicky",
        "--quiet",
        "-c",
        "docs",
        "-d",
        out / "trees",
        ".",
        out / "html",
    ]
    done = subprocess.run(
        [str(word) for word in line],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=350,
        env=launch.environment({}),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "html" / "docs"
