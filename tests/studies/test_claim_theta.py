"""The claim on D-SOBA's theta, on planted accuracies."""

import numpy as np

from mpidbo.reports import FigureFolder
from mpidbo.studies.claims.finding import FAILS, HOLDS, findings
from mpidbo.studies.claims.theta import Theta

ERRORS = {
    "theta 0.6, steps that clean": 0.3,
    "theta 0.7, steps that clean": 0.1,
    "theta 0.8, steps that clean": 0.1,
    "theta 1, steps that clean": 0.1,
}


class Ended:
    def end(self, method, topology):
        assert topology == "adjusted-ring"
        return 1 - ERRORS.get(method, 0.2) * np.linspace(0.99, 1.01, 5)

    def curve(self, method, topology):
        ends = self.end(method, topology)
        return np.arange(3.0), np.repeat(ends[:, None], 3, axis=1)


def test_the_middle_thetas_are_compared_with_the_least_and_the_largest(tmp_path):
    claim, found = Theta(), {"theta": Ended()}
    judged = findings(claim.judge(found))
    assert [f.verdict for f in judged] == [*4 * [FAILS], HOLDS, FAILS, HOLDS, FAILS]
    assert judged[4].comparison.what == "steps that clean, theta 0.7 < 0.6"
    (path,) = claim.draw(found, FigureFolder(tmp_path))
    assert path.is_file()


def test_the_settings_are_the_papers():
    for size in ("standard", "full"):
        (tables,) = Theta().studies(size).values()
        study, problem, run = tables["study"], tables["problem"], tables["run"]
        assert problem["data"] == "fashion-mnist" and problem["corruption"] == 0.2
        assert problem["batch"] == 100 and run["agents"] == 10 and run["iterations"] * 5 == 2000
        assert study["topologies"] == [{"name": "adjusted-ring", "lazy": False, "self_weight": 0.2}]
        printed = [m["steps"] for m in study["methods"] if "printed" in m["label"]]
        assert [steps.pop("theta") for steps in printed] == [1.0, 0.8, 0.7, 0.6]
        assert all(set(steps.values()) == {0.1} for steps in printed)
