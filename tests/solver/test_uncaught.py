"""Errors that nobody catches: a sentence in a notebook, and once, not once a rank."""

import subprocess
import sys

import pytest

import mpidbo
from support import launch

SCRIPT = """
import sys
from mpi4py import MPI
import mpidbo

if "hook" in sys.argv:
    sys.excepthook = lambda kind, error, trace: print("mine", kind.__name__, flush=True)
steps = {"beta": 50.0} if "diverged" in sys.argv else {"alpa": 0.1}
try:
    mpidbo.solve("quadratic", agents=2, steps=steps, comm=MPI.COMM_WORLD)
except mpidbo.MpidboError:
    if "other" in sys.argv:
        print(1 / 0)
    raise
"""
MESSAGE = "mpidbo: steps.alpa: unknown key; did you mean alpha?\n"


def test_in_a_notebook():
    """What IPython asks an error for, in place of its own traceback of all frames."""
    with pytest.raises(mpidbo.UserError) as caught:
        mpidbo.solve("quadratic", seed=-1)
    (line,) = caught.value._render_traceback_()
    assert line == f"UserError: {caught.value}" and "run.seed: -1 is out of range" in line


@pytest.mark.slow
def test_in_ipython(tmp_path):
    pytest.importorskip("IPython")
    code = "import mpidbo\nmpidbo.solve('quadratic', seed=-1)"
    (tmp_path / "script.ipy").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--colors=NoColor", tmp_path / "script.ipy"],
        capture_output=True,
        text=True,
        timeout=60,
        env=launch.environment({"IPYTHONDIR": str(tmp_path)}),
    )
    printed = (done.stdout + done.stderr).strip().splitlines()
    assert printed == ["UserError: run.seed: -1 is out of range; give at least 0"], printed


@pytest.mark.parametrize("start", [[], pytest.param(["-m", "mpi4py"], marks=pytest.mark.slow)])
def test_once_under_mpiexec(start, mpi, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = mpi(2, [*start, tmp_path / "script.py"])
    assert done.returncode == 2 and done.stderr.count("alpa") == 1, done.stderr
    assert MESSAGE in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "code", "printed"),
    [
        ("diverged", 3, "mpidbo: diverged: level y not finite after iteration"),
        ("hook", 1, "mine UserError"),
        ("other", 1, "ZeroDivisionError: division by zero"),
    ],
)
def test_other_errors_and_hooks(word, code, printed, mpi, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = mpi(2, [tmp_path / "script.py", word])
    times = 1 if word == "diverged" else 2
    assert done.returncode == code and (done.stderr + done.stdout).count(printed) == times, done
