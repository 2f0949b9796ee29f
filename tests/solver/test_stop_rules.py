"""Rules decide by the history alone: as a plain reading of their definition does, on random
histories, and after restarts as without."""

import math
import random
import tomllib

import numpy as np
import pytest
import tomli_w

import mpidbo
from mpidbo.solver.stop_rules import StopRule
from mpidbo.storage import column, files
from support.runs import QUADRATIC, Killed, cutting, run, same, toml


def plain(values, below=-math.inf, above=math.inf, patience=None, min_delta=0.0, mode="min"):
    """Whether a rule applies after the last of these values, by the definition."""
    if values[-1] < below or values[-1] > above:
        return True
    best, waited = None, 0
    for value in values:
        if math.isnan(value):
            better = False
        elif best is None:
            better = True
        else:
            better = (best - value if mode == "min" else value - best) > min_delta
        if better:
            best, waited = value, 0
        elif best is not None:
            waited += 1
    return patience is not None and waited >= patience


def histories(dice):
    """Falling, wandering and constant columns, with ties, holes and infinity."""
    for _ in range(60):
        kind, length = (
            dice.choice(["falling", "wandering", "ties", "constant"]),
            dice.randint(1, 40),
        )
        level, values = 1.0, []
        for _ in range(length):
            level += {"falling": -0.1, "constant": 0.0}.get(kind, dice.gauss(0, 1))
            noise = dice.gauss(0, 0.3) if kind == "falling" else 0.0
            value = float(round(level)) if kind == "ties" else level + noise
            values.append(
                dice.choice([math.nan, math.inf, -math.inf]) if dice.random() < 0.05 else value
            )
        if dice.random() < 0.3:
            values[: dice.randint(0, length)] = [math.nan] * dice.randint(0, length)
        yield values


def rules(dice):
    for _ in range(30):
        keys = dice.sample(["below", "above", "patience"], dice.randint(1, 3))
        rule = {key: dice.choice([-2.0, 0.0, 1.0, 3.0]) for key in keys}
        if "patience" in rule:
            rule["patience"] = dice.randint(1, 8)
            rule["mode"] = dice.choice(["min", "max"])
            if dice.random() < 0.5:
                rule["min_delta"] = dice.choice([0.0, 0.1, 0.5, 1.0])
        yield rule


def test_as_a_plain_reading():
    dice, applied = random.Random(3), 0
    for values in histories(dice):
        rows = {"iteration": [*range(0, 5 * len(values), 5)], "m": values}
        for keys in rules(dice):
            along = StopRule("m", **keys)
            for end in range(1, len(values) + 1):
                seen = {name: column[:end] for name, column in rows.items()}
                expected = plain(values[:end], **keys)
                applied += expected
                # Row by row, and at once, as where a run resumes.
                assert bool(along(seen)) == bool(StopRule("m", **keys)(seen)) == expected, (
                    values[:end],
                    keys,
                )
    assert applied > 1000


def test_what_a_rule_says():
    rows = {"iteration": [0, 5, 10, 15], "auc": [0.5, 0.75, 0.75, 0.7]}
    assert StopRule("auc", above=0.9, patience=3)(rows) is None
    printed = "auc has not improved for 2 evaluations, since 0.75 at iteration 5"
    assert StopRule("auc", patience=2)(rows) == printed
    printed = "auc has not improved by more than 0.3 for 3 evaluations, since 0.5 at iteration 0"
    assert StopRule("auc", patience=3, min_delta=0.3)(rows) == printed
    assert StopRule("auc", below=0.72, patience=2)(rows) == "auc = 0.7 is below 0.72"
    assert StopRule("other", patience=1)(rows) is None


@pytest.mark.parametrize(
    ("name", "mode"),
    {
        "upper_loss": "min",
        "consensus_x": "min",
        "hypergradient_norm": "min",
        "curvature": "",
        "test_accuracy": "max",
        "holdout_auc": "max",
        "Top5 Accuracy": "max",
        "validation_loss": "min",
        "word error": "min",
        "accuracy_loss": "",
        "gloss": "",
        "score": "",
        "floats": "",
    }.items(),
)
def test_the_mode_of_a_name(name, mode):
    assert column(name).mode == mode == StopRule(name, patience=1).mode


LIST = [
    {"metric": "consensus_y", "above": 1e9},
    {"metric": "lower_loss", "patience": 2, "mode": "max", "min_delta": 0.01},
]
"""Of which the second stops the run at iteration 10."""


@pytest.mark.parametrize("at", [5, 10])
def test_a_killed_run_stops_where_the_whole_run_does(at, tmp_path, monkeypatch):
    """Also killed right after the checkpoint at the stopping evaluation."""
    path = toml(tmp_path, {**QUADRATIC, "checkpoint.every": 5, "run.stop": LIST})
    run(path, tmp_path / "whole")
    cutting(monkeypatch, at)
    with pytest.raises(Killed):
        run(path, tmp_path / "cut")
    run(path, tmp_path / "cut")
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert (tmp_path / "cut" / files.DONE).read_text().startswith("10\n")


def test_a_finished_run_goes_on_with_other_rules(tmp_path, capsys):
    path = toml(tmp_path, {**QUADRATIC, "run.stop": LIST})
    run(path, tmp_path / "out")
    run(path, tmp_path / "out")
    assert "already finished" in capsys.readouterr().out
    # Too little patience for the rows that are there: it stops where it is.
    run(path, tmp_path / "out", run__stop={**LIST[1], "patience": 1})
    assert "10 iterations (lower_loss has not improved" in capsys.readouterr().out
    run(path, tmp_path / "out", run__stop=[])
    run(path, tmp_path / "whole", run__stop=[])
    assert same(tmp_path / "out", tmp_path / "whole")


def test_a_single_rule_of_an_earlier_version_is_the_same_end(tmp_path, capsys):
    path = toml(tmp_path, {**QUADRATIC, "run.stop": {"metric": "consensus_y", "above": 1e-6}})
    run(path, tmp_path / "out")
    config = tmp_path / "out" / "config.toml"
    tables = tomllib.loads(config.read_text())
    (tables["run"]["stop"],) = tables["run"]["stop"]
    config.write_text(tomli_w.dumps(tables))
    capsys.readouterr()
    run(path, tmp_path / "out")
    assert "already finished" in capsys.readouterr().out


def test_a_metric_that_begins_late():
    """Rows before a metric on request was measured do not count."""
    rows = {"iteration": [0, 5, 10], "curvature": [np.nan, np.nan, 2.0]}
    assert StopRule("curvature", patience=1, mode="min")(rows) is None


def test_from_python():
    result = mpidbo.solve(
        "quadratic",
        agents=3,
        iterations=60,
        evaluate_every=1,
        seed=1,
        stop={"metric": "distance", "patience": 3, "min_delta": 1e9},
    )
    assert result.iteration == 3 and result.reason.startswith("distance has not improved by more")
