"""Runs of `mpidbo run` in this process, and their files to the bit."""

import json

import numpy as np

from mpidbo import cli
from mpidbo.storage import Checkpoints, files, read_arrays

QUADRATIC = {
    "problem.name": "quadratic",
    "problem.noise": 0.3,
    "problem.p": 3,
    "problem.q": 4,
    "run.agents": 4,
    "run.iterations": 31,
    "run.evaluate_every": 5,
    "checkpoint.every": 7,
    "steps.alpha": 0.002,
}
POLICY = {
    **{key: value for key, value in QUADRATIC.items() if not key.startswith("problem.")},
    "problem.name": "policy-evaluation",
    "problem.states": 5,
    "problem.p": 3,
}
"""For dsgd, which solves no other problem."""


def with_method(name, strategy, order):
    """A configuration of a method, with a strategy and a schedule where they are given."""
    saddle = {**QUADRATIC, "problem.name": "minimax"}
    problem = {"dsgd": POLICY, "gda": saddle, "dm-hsgd": saddle}
    tables = {**problem.get(name, QUADRATIC), "method.name": name}
    if strategy:
        tables["method.strategy"] = strategy
    if order:
        tables["method.schedule"] = order
    return tables


def written(value):
    """A value as TOML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {written(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


def toml(folder, tables, name="a.toml"):
    """The file of a configuration of dotted keys."""
    (folder / name).write_text(
        "".join(f"{key} = {written(value)}\n" for key, value in tables.items())
    )
    return folder / name


def run(path, out, *words, code=0, **overrides):
    """`mpidbo run` in this process; `run__iterations=9` overrides run.iterations."""
    given = [
        word
        for key, value in overrides.items()
        for word in ("--set", f"{key.replace('__', '.')}={written(value)}")
    ]
    assert cli.main(["run", str(path), "--out", str(out), *words, *given]) == code


def contents(file):
    """The datasets of an HDF5 file as bytes, but for the seconds."""
    found, attributes = read_arrays(file)
    return {
        name: (rows.dtype, rows.shape, rows.tobytes())
        for name, rows in found.items()
        if not name.startswith("seconds_")
    } | {"": attributes.get("iteration")}


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


class Killed(BaseException):
    """Stands for a SIGKILL; nothing in the package knows it."""


def cutting(monkeypatch, *iterations):
    """Runs end without a word right after the checkpoint at the first of these iterations, the
    next after that at the second, and so on; returns those that are left."""
    left, usual = list(iterations), Checkpoints.begin

    def begin(self, snapshot):
        usual(self, snapshot)
        if left and snapshot.iteration == left[0]:
            left.pop(0)
            self.writing.advance(wait=True)
            raise Killed

    monkeypatch.setattr(Checkpoints, "begin", begin)
    return left
