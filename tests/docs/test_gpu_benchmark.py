"""benchmarks/gpu.py, which is made for a machine that the tests do not have: every part runs, at
tiny sizes, on the stand-in for CuPy."""

import os
import re
import subprocess
import sys

import pytest

from support import standin


@pytest.fixture
def script(repo, monkeypatch):
    monkeypatch.syspath_prepend(repo / "benchmarks")
    return repo / "benchmarks" / "gpu.py"


def call(script, *words, timeout=60, **environment):
    return subprocess.run(
        [sys.executable, str(script), *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | environment,
    )


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.skipif(standin.compiler() is None, reason="no C compiler: apt install gcc libc6-dev")
def test_every_part_runs(script, mpi, tmp_path):
    import gpu

    done = call(script, "all", "--stand-in", "--out", str(tmp_path / "gpu.md"), timeout=480)
    page = (tmp_path / "gpu.md").read_text()
    assert done.returncode == 0, done.stdout + done.stderr
    assert gpu.MEANINGLESS in done.stdout and gpu.MEANINGLESS in page
    parts = dict(re.findall(r"^## (\w+)\n\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert list(parts) == list(gpu.SECONDS)
    for name, text in parts.items():
        assert text.count("\n| ") >= 2 + (name != "tests"), f"{name} has no rows:\n{text}"
        assert not re.search("not measured|exit code|not installed|Error|nan", text), text
    assert (
        "| 2 | 0 | 0 | 0 |" in parts["tests"]
        and "| NO |" not in parts["agree"]
        and "| device |" in parts["buffers"]
    )


def test_without_a_gpu(script, tmp_path):
    (tmp_path / "cupy.py").write_text(
        "__version__ = '14.0'\ndef is_available():\n    return False\n"
    )
    done = call(script, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert (
        done.stdout.startswith("no GPU: CuPy finds no CUDA device")
        and done.stdout.count("\n") == 1
        and not done.stderr
    )


def test_a_part_that_takes_too_long_is_ended(script):
    import gpu

    code, message = gpu.lines_of("agree", True, 0.1)
    assert code != 0 and message == ["ended after 0.1 s: what is missing here was not measured"]


def test_products_of_a_perceptron(script, tmp_path):
    """The shapes that were noted have the number of operations that the passes of a perceptron
    have."""
    import gpu_common
    import gpu_mlp

    size = gpu_common.TINY
    gpu_common.images(tmp_path, size)
    plan = gpu_common.plan_of(
        problem=gpu_common.perceptron(tmp_path, size, (5,), gpu_mlp.SAMPLES), run={"agents": 1}
    )
    first, second = 784 * 5, 5 * 10
    gradient = (
        3 * (first + second) - first
    )  # forward, weights, and back through all layers but the first
    along = gradient  # forward, and the tangent through all layers but the first
    hessian = along + (first + second) + 3 * second
    assert sum(a[0] * a[1] * b[1] for a, b in gpu_mlp.products(plan)) == gpu_mlp.SAMPLES * (
        2 * gradient + along + hessian
    )
