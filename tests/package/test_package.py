"""What holds for the package as a whole: light to import, small files, no paths of
somebody's machine."""

import json
import shutil
import subprocess

import pytest

from mpidbo.algorithms.methods import SHIPPED
from support import ROOT, last_release, launch

FILES = sorted((ROOT / "mpidbo").rglob("*.py"))
HEAVY = ["mpi4py", "cupy", "numba", "matplotlib", "pandas", "sklearn", "torch", "jax"]
LONGEST = 400


def test_import_is_light():
    code = (
        f"import sys, json, mpidbo; print(json.dumps([name for name in {HEAVY} if name in "
        f"sys.modules]))"
    )
    done = launch.mpirun(None, ["-W", "error", "-c", code])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [], (
        "import mpidbo loads these; import them where they are used"
    )


def test_a_run_imports_what_it_uses(tmp_path):
    """The start of a job is mostly imports: those that the plainest run needs, and no others."""
    (tmp_path / "config.toml").write_text('[problem]\nname = "quadratic"\n[method]\nlower = "ed"\n')
    words = ["run", "config.toml", "--set", "run.agents=4", "--set", "run.iterations=1"]
    code = f"import sys, json, mpidbo.cli as c; c.main({words}); print(json.dumps([*sys.modules]))"
    done = launch.mpirun(None, ["-c", code], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = {*json.loads(done.stdout.splitlines()[-1])}
    assert "mpidbo.algorithms.sparkle" in loaded
    others = {f"mpidbo.algorithms.{where.partition(':')[0]}" for where, _ in SHIPPED.values()}
    unused = {
        *(others - {"mpidbo.algorithms.sparkle"}),
        *("networkx", "fractions", "mpidbo.reports", "mpidbo.studies"),
        *("mpidbo.solver.tuning", "mpidbo.solver.tracing", "mpidbo.problems.data.shares"),
        *("mpidbo.problems.data.fetch", "mpidbo.problems.autodiff.base"),
    }
    assert not unused & loaded


def test_files_are_small():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    long = {str(path): lines for path, lines in lengths.items() if lines > LONGEST}
    assert not long, f"probably two things each: {long}"


def test_no_path_of_a_machine():
    git = shutil.which("git")
    listed = git and subprocess.run(
        [git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    if not listed or listed.returncode:
        pytest.skip("not a git checkout")
    forbidden = [f"/{name}/" for name in ("work", "root")]
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):  # not text, or removed in the working tree
            continue
        found += [f"{name}: {word}" for word in forbidden if word in text]
    assert not found


def test_the_citation_names_the_last_release():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    version, date = last_release()
    assert f"\nversion: {version}\ndate-released: {date}\n" in text
