"""The claims on SPARKLE's pairs of strategies and its policy evaluation, on planted ends."""

import numpy as np
import pytest

from mpidbo.reports import FigureFolder
from mpidbo.studies.claims import SIZES, make_claim
from mpidbo.studies.claims.finding import FAILS, HOLDS, findings
from mpidbo.studies.claims.policy_evaluation import METHODS
from mpidbo.studies.claims.strategy_pairs import STRATEGIES, pair


class Ended:
    """Runs whose metric is the same at each evaluation."""

    def __init__(self, ends):
        self.ends = ends

    @property
    def methods(self):
        return list(self.ends)

    def end(self, method, topology):
        assert topology == "ring"
        return self.ends[method] * np.linspace(0.999, 1.001, 5)

    def curve(self, method, topology):
        return np.arange(3.0), np.repeat(self.end(method, topology)[:, None], 3, axis=1)


def test_all_nine_pairs_are_compared(tmp_path):
    """EXTRA for y and z has twice the error of the others, but with GT for x."""
    claim = make_claim("strategy-pairs")
    accuracies = {pair(lower, upper): 0.8 for lower in STRATEGIES for upper in STRATEGIES}
    accuracies |= {"extra-ed": 0.6, "extra-extra": 0.6}
    found = {key: Ended(accuracies) for key in claim.studies("quick")}
    judged = findings(claim.judge(found))
    expected = [HOLDS, HOLDS, HOLDS, FAILS, FAILS, HOLDS, HOLDS, HOLDS]
    assert [f.verdict for f in judged] == 3 * expected
    compared = {name for f in judged for name in f.comparison.what.split(", ")[1].split(" and ")}
    assert compared == set(accuracies)
    paths = claim.draw(found, FigureFolder(tmp_path))
    assert len(paths) == 3 and all(path.is_file() for path in paths)


@pytest.mark.parametrize("size", SIZES)
def test_all_pairs_have_the_same_steps(size):
    for tables in make_claim("strategy-pairs").studies(size).values():
        methods = tables["study"]["methods"]
        assert {(m["lower"], m["upper"]) for m in methods} == {
            (lower, upper) for lower in STRATEGIES for upper in STRATEGIES
        }
        assert "tune" not in tables and all("steps" not in method for method in methods)


def test_the_worst_of_the_three_is_compared(tmp_path):
    """MDBO is better than GT, the worst of the three, and worse than the others."""
    claim = make_claim("policy-evaluation")
    ends = {
        "sparkle-ed": 0.1,
        "sparkle-extra": 0.1,
        "sparkle-gt": 0.2,
        "d-soba": 0.3,
        "ma-dsbo-gt": 0.4,
        "mdbo": 0.15,
    }
    found = {}
    for key, tables in claim.studies("quick").items():
        names = [m if isinstance(m, str) else m["name"] for m in tables["study"]["methods"]]
        found[key] = Ended({name: ends[name] for name in names})
    judged = findings(claim.judge(found))
    assert [f.verdict for f in judged] == 2 * [HOLDS, HOLDS, FAILS]
    assert judged[-1].comparison.what == "n = 20, mdbo"
    (path,) = claim.draw(found, FigureFolder(tmp_path))
    assert path.is_file()


@pytest.mark.parametrize("size", SIZES)
def test_methods_have_equal_calls_and_trials(size):
    studies = make_claim("policy-evaluation").studies(size)
    totals = set()
    for key, tables in studies.items():
        each, iterations = METHODS[key.split(",")[0]][0], tables["run"]["iterations"]
        totals.add(each * iterations)
        trials = np.prod([len(values) for values in tables["tune"]["steps"].values()])
        assert trials * iterations == tables["tune"]["budget"]
    assert max(totals) - min(totals) <= 17
