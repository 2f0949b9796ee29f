"""Runs of `mpidbo run` in this process, and their files to the bit."""

import json

import numpy as np

from mpidbo import cli
from mpidbo.storage import files

QUADRATIC = {"problem.name": "quadratic", "problem.noise": 0.3, "problem.p": 3, "problem.q": 4, "run.agents": 4, "run.iterations": 31,
             "run.evaluate_every": 5, "checkpoint.every": 7, "steps.alpha": 0.002}


def written(value):
    """A value as TOML, on one line."""
    return json.dumps(value) if not isinstance(value, dict) else "{" + ", ".join(f"{k} = {written(v)}" for k, v in value.items()) + "}"


def toml(folder, tables, name="a.toml"):
    """The file of a configuration of dotted keys."""
    (folder / name).write_text("".join(f"{key} = {written(value)}\n" for key, value in tables.items()))
    return folder / name


def run(path, out, *words, code=0, **overrides):
    """`mpidbo run` in this process; `run__iterations=9` overrides run.iterations."""
    given = [word for key, value in overrides.items() for word in ("--set", f"{key.replace('__', '.')}={written(value)}")]
    assert cli.main(["run", str(path), "--out", str(out), *words, *given]) == code


def contents(file):
    """The datasets of an HDF5 file as bytes, but for the seconds."""
    found, attributes = files.read_arrays(file)
    return {name: (rows.dtype, rows.shape, rows.tobytes()) for name, rows in found.items() if not name.startswith("seconds_")} | {
        "": attributes.get("iteration")}


def same(a, b):
    """Whether the runs in two folders are the same to the bit."""
    for name in (files.RESULT, files.HISTORY):
        assert contents(a / name) == contents(b / name), name
    return True


def kept(out):
    """The iterations of the checkpoints in a folder."""
    return sorted(int(path.name) for path in (out / "checkpoints").iterdir())


def made(problem, agent=0, n=2, **options):
    """One agent of a problem's class."""
    return problem(agent, n, **{"xp": np, "seed": 0, **options})
