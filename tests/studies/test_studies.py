"""Studies: what is compared runs once, is tuned on one budget, continues where it was cut, and is
told in a table and a figure."""

import csv
import signal
import struct
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import mpidbo
from mpidbo import cli
from mpidbo.errors import UserError
from mpidbo.storage import files, read_run
from mpidbo.studies import figure, load_study, run_study, study_of
from mpidbo.studies.curves import curves, reached
from mpidbo.studies.report import table
from mpidbo.studies.tuning import candidates, lengths, max_points
from support.runs import same

execution = import_module("mpidbo.solver.execute")

BASE = {
    "problem": {"name": "quadratic", "noise": 0.1, "p": 2, "q": 3},
    "run": {"agents": 4, "iterations": 40, "evaluate_every": 5},
}
STUDY = {
    "methods": ["sparkle-ed", "d-soba"],
    "topologies": ["ring", "complete"],
    "seeds": 2,
    "metric": "distance",
}
TUNE = {
    "how": "halving",
    "budget": 81,
    "iterations": 27,
    "steps": {"alpha": [1e-3, 1e-2, 3e-2, 50.0], "gamma": [0.1, 0.2]},
}


def written(folder, tables):
    import tomli_w

    (folder / "study.toml").write_text(tomli_w.dumps(tables))
    return folder / "study.toml"


def compare(path, out, *words, code=0):
    line = ["compare", str(path), "--out", str(out), *map(str, words)]
    assert cli.main(line) == code


def rows(out):
    with (out / "table.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_combination_runs_and_is_told(tmp_path, capsys):
    path, out = written(tmp_path, {**BASE, "study": {**STUDY, "target": 1.0}}), tmp_path / "out"
    compare(path, out)
    assert capsys.readouterr().out.count(", seed ") == 8
    found = rows(out)
    assert {(row["method"], row["topology"]) for row in found} == {
        (m, t) for m in STUDY["methods"] for t in STUDY["topologies"]
    }
    for row in found:
        folders = [out / row["method"] / row["topology"] / f"seed-{seed}" for seed in (0, 1)]
        ends = [read_run(folder).columns["distance"][-1] for folder in folders]
        assert (
            float(row["distance"]) == pytest.approx(np.mean(ends), rel=1e-12)
            and row["seeds"] == "2"
            and float(row["iterations"]) == 40
        )
        assert read_run(folders[1]).tables["run"]["seed"] == 1
    assert (out / "curves.png").stat().st_size > 10000 and (
        out / "table.md"
    ).read_text().startswith("| topology | method | distance |")
    figures_of_the_report(path, out)


def figures_of_the_report(path, out):
    """Of two costs as wide as a column, their panels below each other, and as a PDF."""
    for words in (["--column"], []):
        figure = out / "figure.png"
        compare(path, out, "--report", "--figure", figure, "--against", "bytes", "calls", *words)
        width, height = struct.unpack(">II", figure.read_bytes()[16:24])
        assert (width == 510 < height) if words else (width > 900)
    compare(path, out, "--report", "--figure", out / "figure.pdf")
    assert (out / "figure.pdf").read_bytes().startswith(b"%PDF")
    compare(path, out, "--report", "--figure", out / "figure.jpg", code=2)


def test_bytes_of_compressed_messages(tmp_path):
    """To the target, from the history, where they are not in proportion to floats."""
    study = {"methods": ["sparkle-non-gt", "sparkle-beer"], "metric": "distance", "target": 1e6}
    path, out = written(tmp_path, {**BASE, "study": study}), tmp_path / "out"
    compare(path, out)
    share = {}
    for row in rows(out):
        columns = read_run(out / row["method"] / "ring" / "seed-0").columns
        assert float(row["bytes"]) == columns["bytes"][-1] > 0
        assert float(row["bytes to 1e+06"]) == columns["bytes"][0]
        share[row["method"]] = float(row["bytes"]) / float(row["floats"])
    assert share["sparkle-non-gt"] == 8 != share["sparkle-beer"]


@pytest.mark.parametrize(
    ("where", "at"),
    [pytest.param("d-soba/ring/seed-1", 13, marks=pytest.mark.slow), ("d-soba/ring/tune/005", 4)],
)
def test_it_goes_on_where_it_was_cut(where, at, tmp_path, capsys, monkeypatch):
    """Nothing that has finished runs again, and the result is that of the study in one go."""
    study = {**STUDY, "methods": ["d-soba"], "topologies": ["ring"]}
    path = written(tmp_path, {**BASE, "study": study, "tune": TUNE, "checkpoint": {"every": 3}})
    compare(path, tmp_path / "whole")
    usual, calls, cuts = execution.under_way, [], [where]

    class Stop:
        def next(self, k):
            return k + 1

        def look(self, k, state, last):
            if k == at and cuts:
                cuts.clear()
                signal.raise_signal(signal.SIGUSR1)

    def cut(setup, **how):
        calls.append(how["folder"].path)
        stopping = [Stop()] if str(calls[-1]).endswith(where) else []
        return usual(setup, **{**how, "observers": stopping})

    monkeypatch.setattr(execution, "under_way", cut)
    compare(path, tmp_path / "cut", code=85)
    before = len(calls)
    assert not cuts and str(calls[-1]).endswith(where) and not (calls[-1] / files.DONE).exists()
    compare(path, tmp_path / "cut")
    if "seed" in where:
        assert calls[before] == calls[before - 1] and not set(calls[: before - 1]) & set(
            calls[before:]
        )
    folders = sorted({path.parent for path in (tmp_path / "whole").rglob("done")})
    assert len(folders) == 2 + 8 and all(
        same(folder, tmp_path / "cut" / folder.relative_to(tmp_path / "whole"))
        for folder in folders
    )
    assert (tmp_path / "whole" / "table.csv").read_text() == (
        tmp_path / "cut" / "table.csv"
    ).read_text()
    done = len(calls)
    compare(path, tmp_path / "cut")
    assert len(calls) == done


@pytest.mark.parametrize("when", ["between", "late"])
def test_a_signal_between_two_runs_is_not_lost(when, tmp_path, monkeypatch):
    """Nor is one that comes when a run has no step left to stop before."""
    study = study_of({**BASE, "study": STUDY}, "s", out=tmp_path)
    usual, before = execution.under_way, signal.getsignal(signal.SIGUSR1)

    class Late:
        def next(self, k):
            return 40

        def look(self, k, state, last):
            if last:
                signal.raise_signal(signal.SIGUSR1)

    if when == "late":
        monkeypatch.setattr(
            execution,
            "under_way",
            lambda setup, **how: usual(setup, **{**how, "observers": [Late()]}),
        )
    message = [] if when == "late" else Signalling()
    assert not run_study(study, study.work, None, message.append)
    assert message[-1] == "stopped on request: SIGUSR1; the same command resumes it"
    assert (
        len(message) - 1 == len(list(tmp_path.rglob("done"))) == 1
        and signal.getsignal(signal.SIGUSR1) == before
    )


class Signalling(list):
    def append(self, line):
        super().append(line)
        signal.raise_signal(signal.SIGUSR1)


def test_parts_make_the_whole(tmp_path):
    path = written(tmp_path, {**BASE, "study": STUDY})
    compare(path, tmp_path / "parts", "--part", "1/3")
    assert (
        not (tmp_path / "parts" / "table.csv").exists()
        and len(list((tmp_path / "parts").rglob("done"))) == 3
    )
    compare(path, tmp_path / "parts", "--report")
    assert sorted(row["missing"] for row in rows(tmp_path / "parts")) == ["1", "1", "1", "2"]
    for part in ("0/3", "2/3"):
        compare(path, tmp_path / "parts", "--part", part)
    compare(path, tmp_path / "parts", "--report")
    assert {row["missing"] for row in rows(tmp_path / "parts")} == {"0"}


@pytest.mark.parametrize("how", ["grid", "halving"])
def test_tuning_keeps_its_budget_and_finds_the_best(how, tmp_path):
    tables = {
        **BASE,
        "study": {**STUDY, "seeds": 1, "topologies": ["ring"]},
        "tune": {**TUNE, "how": how},
    }
    study = load_study(written(tmp_path, tables), [])
    for group in study.groups:
        points = candidates(study.tune, group)
        assert (
            len(points) == min(8, max_points(study.tune))
            and len(points) * lengths(study.tune)[0] <= study.tune.budget
        )
        assert len({str(point) for point in points}) == len(points)
    compare(tmp_path / "study.toml", tmp_path / "out")
    for group in study.groups:
        import tomllib

        found = tomllib.loads((tmp_path / "out" / group.method / "ring" / "tuned.toml").read_text())
        best = min(found["trials"], key=lambda trial: trial["score"])
        assert found["winner"]["steps"] == best["steps"] and best["steps"]["alpha"] < 50
        done = sum(
            read_run(path.parent).iteration
            for path in (tmp_path / "out" / group.method / "ring" / "tune").rglob("done")
        )
        assert 0 < done <= study.tune.budget
        used = read_run(tmp_path / "out" / group.method / "ring" / "seed-0").tables["steps"]
        assert all(used[key] == value for key, value in best["steps"].items())


def test_a_choice_is_the_size_of_a_schedule(tmp_path):
    tables = {
        **BASE,
        "study": STUDY,
        "tune": {**TUNE, "how": "grid", "budget": 10**6},
        "steps": {
            "alpha": {"kind": "inverse-sqrt", "start": 1.0, "offset": 7},
            "gamma": {"kind": "sqrt-n-over-t", "scale": 1.0},
        },
    }
    study = load_study(written(tmp_path, tables), [])
    point = candidates(study.tune, study.groups[0])[0]["steps"]
    assert point == {
        "alpha": {"kind": "inverse-sqrt", "start": 1e-3, "offset": 7},
        "gamma": {"kind": "sqrt-n-over-t", "scale": 0.1},
    }


def test_a_diverged_run_is_part_of_the_result(tmp_path, capsys):
    wild = {"name": "sparkle-ed", "label": "wild", "steps": {"alpha": 30.0}}
    study = {**STUDY, "methods": ["d-soba", wild], "topologies": ["ring"]}
    path = written(tmp_path, {**BASE, "study": study, "run": {**BASE["run"], "iterations": 400}})
    compare(path, tmp_path / "out")
    assert [(row["method"], row["diverged"], row["seeds"]) for row in rows(tmp_path / "out")] == [
        ("d-soba", "0", "2"),
        ("wild", "2", "0"),
    ]
    before = capsys.readouterr().out
    assert "wild on ring, seed 1: diverged" in before
    compare(path, tmp_path / "out")
    assert capsys.readouterr().out == before
    compare(
        written(
            tmp_path,
            {
                **BASE,
                "study": {**study, "methods": [wild]},
                "run": {**BASE["run"], "iterations": 400},
            },
        ),
        tmp_path / "all",
    )
    assert (
        rows(tmp_path / "all")[0]["diverged"] == "2" and (tmp_path / "all" / "curves.png").exists()
    )


def test_reached():
    values = np.array([3.0, 0.5, 2.0, 0.9, 0.8])
    assert reached(values, 1.0, higher=False) == 3 and reached(values, 0.1, higher=False) is None
    assert reached(values, 0.6, higher=True) == 2 and reached(values, 0.0, higher=True) == 0


def test_strategies_multiply_the_methods():
    study = study_of(
        {
            **BASE,
            "study": {"methods": ["sparkle", "d-soba"], "strategies": ["ed", "gt"], "seeds": [4]},
        },
        "s",
    )
    assert [group.method for group in study.groups] == [
        "sparkle-ed",
        "sparkle-gt",
        "d-soba-ed",
        "d-soba-gt",
    ]
    assert (
        study.groups[1].tables["method"]["name"] == "sparkle-gt"
        and study.out == Path("runs/s").resolve()
        and not study.higher
    )
    assert study_of({**BASE, "study": {"metric": "test_accuracy"}}, "s").higher


MISTAKES = {
    "study.method: unknown key; did you mean methods?": {"study": {"method": ["d-soba"]}},
    "study: sparkle-ee on ring: method.name": {"study": {"methods": ["sparkle-ee"]}},
    "study.seeds: [1, 1] is neither a number of seeds nor a list of different ones": {
        "study": {"seeds": [1, 1]}
    },
    "study.seeds: 0 is neither": {"study": {"seeds": 0}},
    "study: d-soba on ring is listed twice; give one of them a label": {
        "study": {"methods": ["d-soba", "d-soba"]}
    },
    'study.topologies: "ring" does not fit; give a list of names': {
        "study": {"topologies": "ring"}
    },
    'study.target: "low" is not a number': {"study": {"target": "low"}},
    'study.better: "more" is none of lower, higher': {"study": {"better": "more"}},
    'tune.how: "bayes" is none of grid, halving': {"study": {}, "tune": {"how": "bayes"}},
    "tune.steps: nothing to choose from": {"study": {}, "tune": {}},
    "tune.steps.alpha: 0.1 is not a list of choices": {
        "study": {},
        "tune": {"steps": {"alpha": 0.1}},
    },
    "tune.budget: 5 iterations are not enough for one trial of 1000": {
        "study": {},
        "tune": {"budget": 5, "steps": {"alpha": [0.1]}},
    },
    "tune.stepps: unknown key; did you mean steps?": {"study": {}, "tune": {"stepps": {}}},
    "needs a section [study]": {},
}


@pytest.mark.parametrize("sentence", MISTAKES)
def test_a_mistake_gets_a_sentence(sentence, tmp_path, capsys):
    path = written(tmp_path, {**BASE, **MISTAKES[sentence]})
    compare(path, tmp_path / "out", code=2)
    printed = capsys.readouterr().err
    assert sentence in printed and printed.count("\n") == 1


def test_mistakes_of_the_command(tmp_path, capsys):
    path = written(tmp_path, {**BASE, "study": STUDY})
    compare(path, tmp_path / "out", "--report", code=2)
    assert "no run of this study has finished yet" in capsys.readouterr().err
    compare(path, tmp_path / "out", "--part", "4/4", code=2)
    assert '--part "4/4": not of the form I/N' in capsys.readouterr().err
    compare(path, tmp_path / "out", "--set", "study.metric=distanc", code=2)
    assert "has no metric distanc; did you mean distance?" in capsys.readouterr().err
    compare(path, tmp_path / "other", "--set", "study.seeds=1")
    compare(path, tmp_path / "other", "--set", "study.seeds=1", "--set", "steps.alpha=0.5", code=2)
    assert "steps.alpha" in capsys.readouterr().err


def test_another_tuning_is_refused(tmp_path, capsys):
    tables = {
        **BASE,
        "study": {**STUDY, "seeds": 1, "topologies": ["ring"], "methods": ["d-soba"]},
        "tune": TUNE,
    }
    path = written(tmp_path, tables)
    compare(path, tmp_path / "out")
    compare(path, tmp_path / "out", "--set", "tune.seed=7", code=2)
    assert "was tuned for another [tune] or configuration" in capsys.readouterr().err


@pytest.mark.slow
def test_ranks_make_the_same_study(mpi, tmp_path):
    tune = {"how": "grid", "budget": 54, "iterations": 27, "steps": {"alpha": [1e-3, 1e-2, 3e-2]}}
    path = written(
        tmp_path, {**BASE, "study": {**STUDY, "seeds": 1, "topologies": ["ring"]}, "tune": tune}
    )
    compare(path, tmp_path / "one")
    done = mpi(3, ["-m", "mpidbo", "compare", path, "--out", tmp_path / "three"], timeout=100)
    assert done.returncode == 0, done.stderr
    for name in ("table.csv", "table.md"):
        assert (tmp_path / "one" / name).read_text() == (tmp_path / "three" / name).read_text()
    for folder in {path.parent for path in (tmp_path / "one").rglob("done")}:
        assert same(folder, tmp_path / "three" / folder.relative_to(tmp_path / "one"))


def test_checked_raises():
    with pytest.raises(UserError):
        study_of({"study": {}}, "s")


class Sudden(mpidbo.Problem):
    """A quadratic of one variable whose gradient is not finite from iteration 10 on for odd
    seeds."""

    dims = (1, 1)

    def __init__(self, agent, n_agents, *, xp, seed):
        self.seed = seed

    def draw(self, rng):
        return int(rng.bit_generator.state["state"]["counter"][3])

    def f(self, x, y, sample):
        return float((y - 1) @ (y - 1))

    def g(self, x, y, sample):
        return float((y - x) @ (y - x))

    def f_x(self, x, y, sample):
        return 0 * x

    def f_y(self, x, y, sample):
        return (
            2 * (y - 1) * (np.nan if self.seed % 2 and sample is not None and sample >= 10 else 1)
        )

    def g_y(self, x, y, sample):
        return 2 * (y - x)

    def g_yy(self, x, y, v, sample):
        return 2 * v

    def g_xy(self, x, y, v, sample):
        return -2 * v


@pytest.fixture
def half_diverged(tmp_path):
    """A study of two methods over two seeds, of which the second diverges; its folder."""
    (tmp_path / "sudden.py").write_text("from test_studies import Sudden  # noqa: F401\n")
    tables = {
        **BASE,
        "problem": {"name": "sudden.py:Sudden"},
        "study": {**STUDY, "metric": "upper_loss", "topologies": ["ring"]},
    }
    compare(written(tmp_path, tables), tmp_path / "out")
    return tmp_path


def test_a_diverged_seed_is_drawn_and_counted_as_diverged(half_diverged):
    study = load_study(half_diverged / "study.toml", [], half_diverged / "out")
    found = [curves(study, group) for group in study.groups]
    for part in found:
        assert part.values.shape == (2, 9) and part.diverged == 1 and len(part.ends) == 1
        assert (
            np.isfinite(part.values[0]).all()
            and np.isnan(part.values[1, -1])
            and np.isfinite(part.values[1, 0])
        )
        assert np.isinf(part.worst_filled(higher=False)[1, -1])
    drawn = []
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(figure, "save", lambda made, path: drawn.append(made))
        figure.draw(study, found, half_diverged / "x.png")
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert legend == [f"{name} (1 of 2 runs diverged)" for name in STUDY["methods"]]
    ax = drawn[0].axes[0]
    medians = [line for line in ax.lines if line.get_linewidth() > 1 and len(line.get_xdata()) > 1]
    assert all(np.isnan(line.get_ydata()[-1]) for line in medians), (
        "half of the seeds have diverged: no median"
    )
    assert sum(line.get_marker() == "x" for line in ax.lines) == 2


def test_a_group_with_a_diverged_seed_never_wins(half_diverged):
    study = load_study(half_diverged / "study.toml", [], half_diverged / "out")
    safe, other = (curves(study, group) for group in study.groups)
    worse = replace(safe, ends=np.array([1e9, 1e9]), diverged=0, values=np.full((2, 9), 1e9))
    assert [row[1] for row in table(study, [worse, other])[1:]] == [
        worse.group.method,
        other.group.method,
    ]


def test_a_stop_rule_shortens_no_other_seed(tmp_path):
    stop = {"metric": "distance", "below": 0.5}
    tables = {
        **BASE,
        "run": {**BASE["run"], "iterations": 200, "stop": stop},
        "steps": {"alpha": 0.05},
        "study": {**STUDY, "methods": ["sparkle-ed"], "topologies": ["ring"], "seeds": 4},
    }
    compare(written(tmp_path, tables), tmp_path / "out")
    study = load_study(tmp_path / "study.toml", [], tmp_path / "out")
    part = curves(study, study.groups[0])
    lengths = [
        len(read_run(study.groups[0].folder / f"seed-{seed}").columns["iteration"])
        for seed in range(4)
    ]
    assert len(set(lengths)) > 1, "the test needs seeds that stop at different iterations"
    assert part.values.shape == (4, max(lengths)) and np.array_equal(part.values[:, -1], part.ends)
    assert float(rows(tmp_path / "out")[0]["iterations"]) == np.mean([5 * (n - 1) for n in lengths])


def test_a_table_for_programs_holds_numbers(tmp_path):
    compare(
        written(tmp_path, {**BASE, "study": {**STUDY, "target": 1.0, "seeds": 1}}), tmp_path / "out"
    )
    for row in rows(tmp_path / "out"):
        for key, value in row.items():
            if key not in ("topology", "method", "tuned"):
                float(value or 0)
        assert float(row["floats"]) == int(float(row["floats"])) > 999


@pytest.mark.parametrize(
    ("alphas", "edge"),
    [
        ([1e-3, 1e-2], "largest"),
        pytest.param([1e-2, 50.0], "smallest", marks=pytest.mark.slow),
        pytest.param([1e-4, 1e-2, 50.0], None, marks=pytest.mark.slow),
    ],
)
def test_a_winner_at_the_edge_of_its_choices_is_reported(alphas, edge, tmp_path, capsys):
    tune = {"how": "grid", "budget": 10**6, "iterations": 40, "steps": {"alpha": alphas}}
    path = written(
        tmp_path,
        {
            **BASE,
            "study": {**STUDY, "seeds": 1, "topologies": ["ring"], "methods": ["sparkle-ed"]},
            "tune": tune,
        },
    )
    for _ in range(2):  # also when the tuning is only read
        compare(path, tmp_path / "out")
        printed = capsys.readouterr().out
        assert (f"alpha = 0.01 is the {edge} of its choices" in printed) == (edge is not None)
    assert ("(edge)" in rows(tmp_path / "out")[0]["tuned"]) == (edge is not None)


@pytest.mark.slow
def test_parts_that_share_a_tuned_group_agree(tmp_path):
    tables = {
        **BASE,
        "study": {**STUDY, "methods": ["sparkle-ed"], "topologies": ["ring"], "seeds": 3},
        "tune": TUNE,
    }
    path = written(tmp_path, tables)
    compare(path, tmp_path / "whole")
    for part in ("2/3", "0/3", "1/3"):
        compare(path, tmp_path / "parts", "--part", part)
    compare(path, tmp_path / "parts", "--report")
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    tuned = [
        (folder / "sparkle-ed" / "ring" / "tuned.toml").read_bytes()
        for folder in (tmp_path / "whole", tmp_path / "parts")
    ]
    assert tuned[0] == tuned[1]


def test_a_run_whose_checkpoints_are_damaged_is_named(tmp_path, capsys):
    path, out = (
        written(
            tmp_path,
            {**BASE, "study": {**STUDY, "methods": ["d-soba"], "topologies": ["ring"], "seeds": 1}},
        ),
        tmp_path / "out",
    )
    compare(path, out)
    (seed,) = out.glob("*/*/seed-0")
    (seed / "done").unlink()
    (seed / "checkpoints" / "40" / "manifest.json").write_text("{")
    compare(path, out)
    assert f"{seed}: STARTING FROM ITERATION 0: NO CHECKPOINT IN {seed}" in capsys.readouterr().err
