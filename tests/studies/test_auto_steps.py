"""Studies whose runs find their step sizes: steps = "auto"."""

import csv
import os
import signal
import tomllib

import numpy as np
import pytest
import tomli_w

from mpidbo import cli
from mpidbo.config import first_size
from mpidbo.problems import Quadratic
from mpidbo.storage import files
from support.runs import same

BASE = {
    "steps": "auto",
    "problem": {"name": "quadratic", "noise": 0.1, "p": 2, "q": 3},
    "run": {"agents": 2, "iterations": 20, "evaluate_every": 5},
}
STUDY = {
    "methods": ["f2sa", {"name": "d-soba", "steps": {"alpha": 0.05}}],
    "topologies": ["complete"],
    "seeds": 2,
    "metric": "distance",
}


ABG = ["alpha", "beta", "gamma"]


class Overflowing(Quadratic):
    """Whatever the step size."""

    def f_x(self, x, y, sample):
        return np.full(len(x), 1e200)

    def g_y(self, x, y, sample):
        return np.full(len(y), 1e200)


def written(folder, tables, **study):
    (folder / "study.toml").write_text(tomli_w.dumps({**tables, "study": {**STUDY, **study}}))
    return folder / "study.toml"


def compare(path, out, *words, code=0):
    assert cli.main(["compare", str(path), "--out", str(out), *words]) == code


def rows(out):
    with (out / "table.csv").open() as file:
        return {row["method"]: row for row in csv.DictReader(file)}


def config(folder):
    return tomllib.loads((folder / files.CONFIG).read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a study in one piece."""
    folder = tmp_path_factory.mktemp("whole")
    compare(written(folder, BASE), folder / "out")
    return folder / "out"


def runs(out):
    return sorted(path.parent.relative_to(out) for path in out.glob(f"*/*/*/{files.RESULT}"))


def test_each_run_finds_its_own_and_says_so(whole, tmp_path):
    assert len(runs(whole)) == 4
    for name, keys in (("f2sa", ABG), ("d-soba", ABG[1:])):
        tables = [config(whole / name / "complete" / f"seed-{seed}") for seed in (0, 1)]
        found = [one["tuning"]["found"] for one in tables]
        assert all(sorted(one) == keys for one in found)
        assert all(found[i].items() <= tables[i]["steps"].items() for i in (0, 1))
        betas = sorted(first_size(one["beta"]) for one in found)
        assert betas[0] < betas[1]
        assert f"beta={betas[0]:g} to {betas[1]:g}" in rows(whole)[name]["tuned"]
    # A run of the folder's own configuration is the run of the study.
    run, out = whole / "f2sa/complete/seed-1", tmp_path / "again"
    assert cli.main(["run", str(run / files.CONFIG), "--out", str(out)]) == 0
    assert same(out, run)


def test_parts_and_the_same_command_again(whole, tmp_path, capsys):
    path, out = written(tmp_path, BASE), tmp_path / "out"
    for part in ("1/2", "0/2"):
        compare(path, out, "--part", part)
    printed = capsys.readouterr()
    assert printed.err.count("step sizes found: ") == 4 and "auto" not in printed.out
    assert "f2sa on complete, seed 1: distance 0." in printed.out and "alpha = {" in printed.out
    compare(path, out)
    assert "step sizes found" not in capsys.readouterr().err, "nothing is repeated"
    assert (out / "table.csv").read_text() == (whole / "table.csv").read_text()
    assert all(same(out / run, whole / run) for run in runs(whole))


def test_stopped_while_it_searches(whole, tmp_path, capsys, monkeypatch):
    path, out, draw = written(tmp_path, BASE), tmp_path / "out", Quadratic.draw
    left = [None] * 60

    def signalling(self, rng):
        if left and len(runs(out)) == 2:
            left.pop()
            if not left:  # in a pilot of the third run
                os.kill(os.getpid(), signal.SIGTERM)
        return draw(self, rng)

    monkeypatch.setattr(Quadratic, "draw", signalling)
    compare(path, out, code=85)
    assert "stopped on request: SIGTERM, before step sizes were found" in capsys.readouterr().err
    assert len(runs(out)) == 2 and not (out / "d-soba/complete/seed-0").exists()
    compare(path, out)
    assert (out / "table.csv").read_text() == (whole / "table.csv").read_text()


def test_choices_of_a_study_take_the_place_of_auto(tmp_path):
    tune = {"budget": 40, "iterations": 20, "steps": {"alpha": [0.01, 0.05]}}
    path, out = written(tmp_path, {**BASE, "tune": tune}, methods=["f2sa"]), tmp_path / "out"
    compare(path, out)
    made = config(out / "f2sa/complete/seed-0")
    assert made["steps"]["alpha"] in (0.01, 0.05) and made["tuning"]["found"].keys() == {
        "beta",
        "gamma",
    }


def test_mistakes_name_the_method_or_the_run(tmp_path, capsys):
    compare(written(tmp_path, {**BASE, "steps": "automatic"}), tmp_path / "out", code=2)
    assert (
        'mpidbo: study: f2sa: steps: "automatic" is not a table; write steps = "auto"'
        in capsys.readouterr().err
    )
    problem = {**BASE["problem"], "name": f"{__name__}:Overflowing"}
    run = {**BASE["run"], "checks": "never", "batched": "never"}
    compare(written(tmp_path, {**BASE, "problem": problem, "run": run}), tmp_path / "out", code=2)
    where = tmp_path / "out/f2sa/complete/seed-0"
    assert f'mpidbo: {where}: steps: "auto" finds no step size' in capsys.readouterr().err
