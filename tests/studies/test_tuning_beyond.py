"""Tuning beyond the choices: rounds of trials past a winner at an edge."""

from math import log

import pytest

from mpidbo.studies import study_of
from mpidbo.studies.tuning import stored_tuning, tune_group

TABLES = {
    "study": {"methods": ["sparkle-ed"], "topologies": ["ring"], "seeds": 1, "metric": "distance"},
    "problem": {"name": "quadratic"},
    "run": {"agents": 4, "iterations": 90},
}


def tuned(tmp_path, tune, best):
    """The numbers of the trials, and the winner, where the score is the distance to `best`."""
    tune = {"budget": 10**6, "iterations": 90, **tune}
    study = study_of({**TABLES, "tune": tune}, "s", out=tmp_path)
    (group,) = study.groups
    group.folder.mkdir(parents=True)
    tried = []

    def trial(tables, number):
        tried.append((number, tables["run"]["iterations"]))
        return sum(abs(log(tables["steps"][key] / value)) for key, value in best.items())

    found = tune_group(study, group, trial, None)
    winner = {key: found.tables["steps"][key] for key in best}
    assert len(stored_tuning(group)["trials"]) == len({number for number, _ in tried})
    assert tune_group(study, group, trial, None) == found
    return tried, winner, found.warnings


ALPHA = {"alpha": [0.01, 0.03, 0.1]}


@pytest.mark.parametrize(
    ("extend", "best", "winner", "trials", "warnings"),
    [
        (0, 3.0, 0.1, 3, 1),
        (2, 0.03, 0.03, 3, 0),  # not at an edge
        (2, 0.3, 1 / 3, 5, 0),  # beyond once, and once more to see that it is enough
        (2, 5.0, 1 / 0.9, 5, 1),  # still at an edge
        (3, 0.001, 0.01 / 9, 6, 0),
    ],
)
def test_a_winner_at_an_edge_is_followed(extend, best, winner, trials, warnings, tmp_path):
    tune = {"how": "grid", "steps": ALPHA, "extend": extend}
    tried, found, printed = tuned(tmp_path, tune, {"alpha": best})
    assert found["alpha"] == pytest.approx(winner)
    assert (len(tried), len(printed)) == (trials, warnings)


def test_edges_of_several_keys_one_by_one_and_together(tmp_path):
    choices = {"alpha": [0.01, 0.1], "beta": [0.1, 0.2]}
    tune = {"how": "grid", "steps": choices, "extend": 1}
    tried, found, printed = tuned(tmp_path, tune, {"alpha": 1.0, "beta": 0.05})
    assert found == pytest.approx({"alpha": 1.0, "beta": 0.05})
    assert len(tried) == 4 + 3 and len(printed) == 2


def test_after_halving_trials_beyond_are_full_ones(tmp_path):
    tune = {"how": "halving", "steps": ALPHA, "extend": 1}
    tried, found, _ = tuned(tmp_path, tune, {"alpha": 0.3})
    assert [length for _, length in tried] == [10, 10, 10, 30, 90, 90]
    assert found["alpha"] == pytest.approx(1 / 3)


def test_no_configuration_is_tried_that_is_refused(tmp_path):
    """tau is at most 1."""
    tune = {"budget": 900, "iterations": 90, "method": {"tau": [0.5, 1.0]}, "extend": 2}
    lopa = {**TABLES["study"], "methods": ["lopa"]}
    study = study_of({**TABLES, "study": lopa, "tune": tune}, "s", out=tmp_path)
    study.groups[0].folder.mkdir(parents=True)
    tried = []

    def trial(tables, number):
        tried.append(tables["method"]["tau"])
        return -tried[-1]

    found = tune_group(study, study.groups[0], trial, None)
    assert tried == [0.5, 1.0] and found.tables["method"]["tau"] == 1.0 and len(found.warnings) == 1


def test_a_choice_of_zero_has_nothing_beyond(tmp_path):
    tune = {"how": "grid", "steps": {"alpha": [0.0, 0.1]}, "extend": 2}
    study = study_of(
        {**TABLES, "tune": {"budget": 900, "iterations": 90, **tune}}, "s", out=tmp_path
    )
    study.groups[0].folder.mkdir(parents=True)
    found = tune_group(study, study.groups[0], lambda tables, _: tables["steps"]["alpha"], None)
    assert found.tables["steps"]["alpha"] == 0.0
