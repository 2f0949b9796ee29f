"""Studies: what is compared runs once, is tuned on one budget, goes on where it was cut, and is told in a table and a figure."""

import csv
import signal
from pathlib import Path

import numpy as np
import pytest

from mpidbo import archive, cli, files
from mpidbo.errors import UserError
from mpidbo.studies import execute, load, running
from mpidbo.studies.curves import reached
from mpidbo.studies.study import checked
from mpidbo.studies.tune import affordable, candidates, lengths
from runs import same

BASE = {"problem": {"name": "quadratic", "noise": 0.1, "p": 2, "q": 3}, "run": {"agents": 4, "iterations": 40, "evaluate_every": 5}}
STUDY = {"methods": ["sparkle-ed", "d-soba"], "topologies": ["ring", "complete"], "seeds": 2, "metric": "distance"}
TUNE = {"how": "halving", "budget": 81, "iterations": 27, "steps": {"alpha": [1e-3, 1e-2, 3e-2, 50.0], "gamma": [0.1, 0.2]}}


def written(folder, tables):
    import tomli_w
    (folder / "study.toml").write_text(tomli_w.dumps(tables))
    return folder / "study.toml"


def compare(path, out, *words, code=0):
    assert cli.main(["compare", str(path), "--out", str(out), *words]) == code


def rows(out):
    with (out / "table.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_combination_runs_and_is_told(tmp_path, capsys):
    path, out = written(tmp_path, {**BASE, "study": {**STUDY, "target": 1.0}}), tmp_path / "out"
    compare(path, out)
    assert capsys.readouterr().out.count(", seed ") == 8
    found = rows(out)
    assert {(row["method"], row["topology"]) for row in found} == {(m, t) for m in STUDY["methods"] for t in STUDY["topologies"]}
    for row in found:
        folders = [out / row["method"] / row["topology"] / f"seed-{seed}" for seed in (0, 1)]
        ends = [archive.read(folder).history["distance"][-1] for folder in folders]
        assert float(row["distance"]) == pytest.approx(np.mean(ends), rel=1e-3) and row["seeds"] == "2" and row["iterations"] == "40"
        assert archive.read(folders[1]).config["run"]["seed"] == 1
    assert (out / "curves.png").stat().st_size > 10000 and (out / "table.md").read_text().startswith("| topology | method | distance |")


@pytest.mark.parametrize(("where", "at"), [("d-soba/ring/seed-1", 13), ("d-soba/ring/tune/005", 4)])
def test_it_goes_on_where_it_was_cut(where, at, tmp_path, capsys, monkeypatch):
    """Nothing that has finished runs again, and the result is that of the study in one go."""
    study = {**STUDY, "methods": ["d-soba"], "topologies": ["ring"]}
    path = written(tmp_path, {**BASE, "study": study, "tune": TUNE, "checkpoint": {"every": 3}})
    compare(path, tmp_path / "whole")
    usual, calls, cuts = running.Plan.run, [], [where]

    class Stop:
        def next(self, k):
            return k + 1

        def look(self, k, state, last):
            if k == at and cuts:
                cuts.clear()
                signal.raise_signal(signal.SIGUSR1)

    def cut(self, **how):
        calls.append(how["folder"].path)
        return usual(self, **how, observers=(Stop(),) if str(calls[-1]).endswith(where) else ())

    monkeypatch.setattr(running.Plan, "run", cut)
    compare(path, tmp_path / "cut", code=85)
    before = len(calls)
    assert not cuts and str(calls[-1]).endswith(where) and not (calls[-1] / files.DONE).exists()
    compare(path, tmp_path / "cut")
    if "seed" in where:
        assert calls[before] == calls[before - 1] and not set(calls[:before - 1]) & set(calls[before:])
    folders = sorted({path.parent for path in (tmp_path / "whole").rglob("done")})
    assert len(folders) == 2 + 8 and all(same(folder, tmp_path / "cut" / folder.relative_to(tmp_path / "whole")) for folder in folders)
    assert (tmp_path / "whole" / "table.csv").read_text() == (tmp_path / "cut" / "table.csv").read_text()
    done = len(calls)
    compare(path, tmp_path / "cut")
    assert len(calls) == done


@pytest.mark.parametrize("when", ["between", "late"])
def test_a_signal_between_two_runs_is_not_lost(when, tmp_path, monkeypatch):
    """Nor is one that comes when a run has no step left to stop before."""
    study = checked({**BASE, "study": STUDY}, "s", out=tmp_path)
    usual, before = running.Plan.run, signal.getsignal(signal.SIGUSR1)

    class Late:
        def next(self, k):
            return 40

        def look(self, k, state, last):
            if last:
                signal.raise_signal(signal.SIGUSR1)

    if when == "late":
        monkeypatch.setattr(running.Plan, "run", lambda self, **how: usual(self, **how, observers=(Late(),)))
    told = [] if when == "late" else Signalling()
    assert not execute(study, study.groups, None, told.append)
    assert len(told) == len(list(tmp_path.rglob("done"))) == 1 and signal.getsignal(signal.SIGUSR1) == before


class Signalling(list):
    def append(self, line):
        super().append(line)
        signal.raise_signal(signal.SIGUSR1)


def test_parts_make_the_whole(tmp_path):
    path = written(tmp_path, {**BASE, "study": STUDY})
    compare(path, tmp_path / "parts", "--part", "1/3")
    assert not (tmp_path / "parts" / "table.csv").exists() and len(list((tmp_path / "parts").rglob("done"))) == 2
    compare(path, tmp_path / "parts", "--report")
    assert sorted(row["missing"] for row in rows(tmp_path / "parts")) == ["0", "2", "2", "2"]
    for part in ("0/3", "2/3"):
        compare(path, tmp_path / "parts", "--part", part)
    compare(path, tmp_path / "parts", "--report")
    assert {row["missing"] for row in rows(tmp_path / "parts")} == {"0"}


@pytest.mark.parametrize("how", ["grid", "halving"])
def test_tuning_keeps_its_budget_and_finds_the_best(how, tmp_path):
    tables = {**BASE, "study": {**STUDY, "seeds": 1, "topologies": ["ring"]}, "tune": {**TUNE, "how": how}}
    study = load(written(tmp_path, tables), [])
    for group in study.groups:
        points = candidates(study.tune, group)
        assert len(points) == min(8, affordable(study.tune)) and len(points) * lengths(study.tune)[0] <= study.tune["budget"]
        assert len({str(point) for point in points}) == len(points)
    compare(tmp_path / "study.toml", tmp_path / "out")
    for group in study.groups:
        import tomllib
        found = tomllib.loads((tmp_path / "out" / group.method / "ring" / "tuned.toml").read_text())
        best = min(found["trials"], key=lambda trial: trial["score"])
        assert found["winner"]["steps"] == best["steps"] and best["steps"]["alpha"] < 50
        done = sum(archive.read(path.parent).iteration for path in (tmp_path / "out" / group.method / "ring" / "tune").rglob("done"))
        assert 0 < done <= study.tune["budget"]
        used = archive.read(tmp_path / "out" / group.method / "ring" / "seed-0").config["steps"]
        assert all(used[key] == value for key, value in best["steps"].items())


def test_a_choice_is_the_size_of_a_schedule(tmp_path):
    tables = {**BASE, "study": STUDY, "tune": {**TUNE, "how": "grid", "budget": 10**6}, "steps": {
        "alpha": {"kind": "inverse-sqrt", "start": 1.0, "offset": 7}, "gamma": {"kind": "sqrt-n-over-t", "scale": 1.0}}}
    study = load(written(tmp_path, tables), [])
    point = candidates(study.tune, study.groups[0])[0]["steps"]
    assert point == {"alpha": {"kind": "inverse-sqrt", "start": 1e-3, "offset": 7}, "gamma": {"kind": "sqrt-n-over-t", "scale": 0.1}}


def test_a_diverged_run_is_part_of_the_result(tmp_path, capsys):
    wild = {"name": "sparkle-ed", "label": "wild", "steps": {"alpha": 30.0}}
    study = {**STUDY, "methods": ["d-soba", wild], "topologies": ["ring"]}
    path = written(tmp_path, {**BASE, "study": study, "run": {**BASE["run"], "iterations": 400}})
    compare(path, tmp_path / "out")
    assert [(row["method"], row["diverged"], row["seeds"]) for row in rows(tmp_path / "out")] == [("d-soba", "0", "2"), ("wild", "2", "0")]
    before = capsys.readouterr().out
    assert "wild on ring, seed 1: distance nan" in before
    compare(path, tmp_path / "out")
    assert capsys.readouterr().out == before
    compare(written(tmp_path, {**BASE, "study": {**study, "methods": [wild]}, "run": {**BASE["run"], "iterations": 400}}), tmp_path / "all")
    assert rows(tmp_path / "all")[0]["diverged"] == "2" and not (tmp_path / "all" / "curves.png").exists()


def test_reached():
    values = np.array([3.0, 0.5, 2.0, 0.9, 0.8])
    assert reached(values, 1.0, higher=False) == 3 and reached(values, 0.1, higher=False) is None
    assert reached(values, 0.6, higher=True) == 2 and reached(values, 0.0, higher=True) == 0


def test_strategies_multiply_the_methods():
    study = checked({**BASE, "study": {"methods": ["sparkle", "d-soba"], "strategies": ["ed", "gt"], "seeds": [4]}}, "s")
    assert [group.method for group in study.groups] == ["sparkle-ed", "sparkle-gt", "d-soba-ed", "d-soba-gt"]
    assert study.groups[1].tables["method"]["name"] == "sparkle-gt" and study.out == Path("runs/s").resolve() and not study.higher
    assert checked({**BASE, "study": {"metric": "test_accuracy"}}, "s").higher


MISTAKES = {
    "study.method: unknown key; did you mean methods?": {"study": {"method": ["d-soba"]}},
    "study: sparkle-ee on ring: method.name": {"study": {"methods": ["sparkle-ee"]}},
    'study.seeds: [1, 1] is neither a number of seeds nor a list of different ones': {"study": {"seeds": [1, 1]}},
    "study.seeds: 0 is neither": {"study": {"seeds": 0}},
    "study: d-soba on ring stands there twice; give one of them a label": {"study": {"methods": ["d-soba", "d-soba"]}},
    "study.topologies: \"ring\" is not a list": {"study": {"topologies": "ring"}},
    "study.target: \"low\" is not a number": {"study": {"target": "low"}},
    "study.better: \"more\" is neither": {"study": {"better": "more"}},
    "tune.how: \"bayes\" is neither \"grid\" nor \"halving\"": {"study": {}, "tune": {"how": "bayes"}},
    "tune.steps: nothing to choose from": {"study": {}, "tune": {}},
    "tune.steps.alpha: 0.1 is not a list of choices": {"study": {}, "tune": {"steps": {"alpha": 0.1}}},
    "tune.budget: 5 iterations are not enough for one trial of 1000": {"study": {}, "tune": {"budget": 5, "steps": {"alpha": [0.1]}}},
    "tune.stepps: unknown key; did you mean steps?": {"study": {}, "tune": {"stepps": {}}},
    "has no section [study]": {},
}


@pytest.mark.parametrize("sentence", MISTAKES)
def test_a_mistake_gets_a_sentence(sentence, tmp_path, capsys):
    path = written(tmp_path, {**BASE, **MISTAKES[sentence]})
    compare(path, tmp_path / "out", code=2)
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_mistakes_of_the_command(tmp_path, capsys):
    path = written(tmp_path, {**BASE, "study": STUDY})
    compare(path, tmp_path / "out", "--report", code=2)
    assert "no run of this study has finished yet" in capsys.readouterr().err
    compare(path, tmp_path / "out", "--part", "4/4", code=2)
    assert "--part 4/4: not of the form I/N" in capsys.readouterr().err
    compare(path, tmp_path / "out", "--set", "study.metric=distanc", code=2)
    assert "has no metric distanc; did you mean distance?" in capsys.readouterr().err
    compare(path, tmp_path / "other", "--set", "study.seeds=1")
    compare(path, tmp_path / "other", "--set", "study.seeds=1", "--set", "steps.alpha=0.5", code=2)
    assert "steps.alpha" in capsys.readouterr().err


def test_another_tuning_is_refused(tmp_path, capsys):
    tables = {**BASE, "study": {**STUDY, "seeds": 1, "topologies": ["ring"], "methods": ["d-soba"]}, "tune": TUNE}
    path = written(tmp_path, tables)
    compare(path, tmp_path / "out")
    compare(path, tmp_path / "out", "--set", "tune.seed=7", code=2)
    assert "was tuned for another [tune] or configuration" in capsys.readouterr().err


@pytest.mark.slow
def test_ranks_make_the_same_study(mpi, tmp_path):
    tune = {"how": "grid", "budget": 54, "iterations": 27, "steps": {"alpha": [1e-3, 1e-2, 3e-2]}}
    path = written(tmp_path, {**BASE, "study": {**STUDY, "seeds": 1, "topologies": ["ring"]}, "tune": tune})
    compare(path, tmp_path / "one")
    done = mpi(3, ["-m", "mpidbo", "compare", path, "--out", tmp_path / "three"], timeout=100)
    assert done.returncode == 0, done.stderr
    for name in ("table.csv", "table.md"):
        assert (tmp_path / "one" / name).read_text() == (tmp_path / "three" / name).read_text()
    for folder in {path.parent for path in (tmp_path / "one").rglob("done")}:
        assert same(folder, tmp_path / "three" / folder.relative_to(tmp_path / "one"))


def test_checked_raises():
    with pytest.raises(UserError):
        checked({"study": {}}, "s")
