"""What test_torch.py and test_jax.py ask of both frameworks alike."""

import contextlib
import io
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

import test_docs
from launch import environment as launched
from launch import mpirun
from mpidbo import cli, files
from runs import run, same, toml

FOLDER = Path(__file__).parent


def tables(framework):
    return {"problem.name": f"{FOLDER / f'losses_{framework}.py'}:problem", "method.name": "sparkle-ed-gt", "run.iterations": 24,
            "run.evaluate_every": 8, "checkpoint.every": 5}


def is_right(framework):
    """`mpidbo check` finds nothing wrong."""
    assert cli.main(["check", f"{FOLDER / f'losses_{framework}.py'}:problem"]) == 0


def same_bits_on_ranks(framework, mpi, ranks, folder):
    """A run on that many ranks has the bits of the run in one process, of which each rank sees a part of the cores only."""
    path = toml(folder, tables(framework))
    run(path, folder / "alone")
    done = mpi(ranks, ["-m", "mpidbo", "run", path, "--out", folder / "ranks"], timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert same(folder / "alone", folder / "ranks")
    history = files.read_arrays(folder / "alone" / files.HISTORY)[0]
    assert np.ptp(history["upper_loss"]) > 0 and np.isfinite(history["upper_loss"]).all()


def same_bits_after_restart(framework, folder):
    """A run that ended after a checkpoint and went on, in a process that knows nothing of it, is the one that did not end."""
    path = toml(folder, tables(framework))
    run(path, folder / "whole")
    run(path, folder / "cut", run__iterations=15)
    words = ["-m", "mpidbo", "run", path, "--out", folder / "cut", "--resume", "must"]
    done = mpirun(None, words, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "15" in done.stdout and same(folder / "whole", folder / "cut")


def made(problem, agent=0, n=2, **options):
    """One agent of a problem."""
    return problem(agent, n, **{"xp": np, "seed": 0, **options})


def page_runs(framework, folder, monkeypatch):
    """The blocks of docs/losses.md that are of this framework: their code runs, and prints what stands below it."""
    monkeypatch.chdir(folder)
    module, ran = ModuleType("page"), 0
    monkeypatch.setitem(sys.modules, "page", module)
    page = test_docs.ROOT / "docs" / "losses.md"
    text = page.read_text(encoding="utf-8").partition("## In JAX")
    part = folder / "page.md"
    part.write_text(text[0] if framework == "torch" else text[2], encoding="utf-8")
    for language, body, below in test_docs.blocks(part):
        if language == "python":
            if named := re.match(r"# ([\w.]+)\n", body):
                (folder / named[1]).write_text(body, encoding="utf-8")
            with contextlib.redirect_stdout(io.StringIO()) as said:
                exec(compile(body, str(page), "exec"), module.__dict__)
            assert below is None or test_docs.alike(said.getvalue(), below), said.getvalue()
            ran += 1
        elif language == "sh":
            test_docs.run_line(body)
    assert ran


def environment():
    """That of a process started by a test."""
    return launched({})
