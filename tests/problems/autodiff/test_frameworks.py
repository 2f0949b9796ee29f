"""Losses in PyTorch and in JAX alike: the oracles of every shipped problem, runs over ranks and
restarts, the page on losses."""

import contextlib
import io
import re
import sys
from types import ModuleType

import numpy as np
import pytest

from mpidbo import cli
from mpidbo.problems import ORACLES
from mpidbo.storage import files, read_arrays
from support import ROOT, SUPPORT, written_losses
from support.launch import mpirun
from support.pages import alike, blocks, run_line
from support.runs import run, same, toml


@pytest.fixture(
    params=[
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("jax", marks=pytest.mark.jax),
    ]
)
def framework(request):
    pytest.importorskip(
        request.param,
        reason=f"{request.param} is not installed: pip install 'mpidbo[{request.param}]'",
    )
    return request.param


@pytest.fixture
def problem(framework):
    """The small problem of losses_torch.py or losses_jax.py, as a configuration has it."""
    return f"{SUPPORT / f'losses_{framework}.py'}:problem"


@pytest.fixture
def path(problem, tmp_path):
    """A configuration of it."""
    return toml(
        tmp_path,
        {
            "problem.name": problem,
            "method.name": "sparkle-ed-gt",
            "run.iterations": 24,
            "run.evaluate_every": 8,
            "checkpoint.every": 5,
        },
    )


@pytest.mark.parametrize("name", written_losses.WRITTEN)
def test_oracles_of_shipped_problems(framework, name, australian):
    """Losses and all six oracles agree with the shipped ones to rounding at a random point."""
    words, rng = getattr(written_losses, f"{framework}_words")(), np.random.default_rng(7)
    shipped, ours = written_losses.agent(
        words, name, **(australian if name == "australian" else {})
    )
    x, y = (part + rng.standard_normal(part.size) / 3 for part in shipped.start())
    v = rng.standard_normal(y.size)
    assert ours.dims == shipped.dims
    for oracle in ORACLES:
        point = (x, y, v) if oracle in ("g_yy", "g_xy") else (x, y)
        found, expected = (
            np.asarray(getattr(one, oracle)(*point, None)) for one in (ours, shipped)
        )
        assert found.shape == expected.shape and found.dtype == np.float64, oracle
        assert np.allclose(found, expected, rtol=1e-10, atol=1e-10), (
            oracle,
            abs(found - expected).max(),
        )


def test_check(problem):
    assert cli.main(["check", problem]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_over_ranks(path, mpi, ranks, tmp_path):
    """A run on ranks has the bits of the run in one process, of which each rank sees a part of
    the cores only."""
    run(path, tmp_path / "alone")
    done = mpi(ranks, ["-m", "mpidbo", "run", path, "--out", tmp_path / "ranks"], timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert same(tmp_path / "alone", tmp_path / "ranks")
    history = read_arrays(tmp_path / "alone" / files.HISTORY)[0]
    assert np.ptp(history["upper_loss"]) > 0 and np.isfinite(history["upper_loss"]).all()


@pytest.mark.slow
def test_restart(path, tmp_path):
    """A run that ended after a checkpoint and continued, in a process that knows nothing of it, is
    the one that did not end."""
    run(path, tmp_path / "whole")
    run(path, tmp_path / "cut", run__iterations=15)
    done = mpirun(
        None,
        ["-m", "mpidbo", "run", path, "--out", tmp_path / "cut", "--resume", "must"],
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "15" in done.stdout and same(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
def test_page(framework, tmp_path, monkeypatch):
    """The blocks of docs/losses.md that are of this framework: their code runs, and prints what
    stands below it."""
    monkeypatch.chdir(tmp_path)
    module, ran = ModuleType("page"), 0
    monkeypatch.setitem(sys.modules, "page", module)
    page = ROOT / "docs" / "losses.md"
    text = page.read_text(encoding="utf-8").partition("## In JAX")
    part = tmp_path / "page.md"
    part.write_text(text[0] if framework == "torch" else text[2], encoding="utf-8")
    for language, body, below in blocks(part):
        if language == "python":
            if named := re.match(r"# ([\w.]+)\n", body):
                (tmp_path / named[1]).write_text(body, encoding="utf-8")
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(body, str(page), "exec"), module.__dict__)
            assert below is None or alike(printed.getvalue(), below), printed.getvalue()
            ran += 1
        elif language == "sh":
            run_line(body)
    assert ran
