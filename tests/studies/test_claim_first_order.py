"""The claim on first-order D-SOBA, on planted accuracies."""

import numpy as np
import pytest

from mpidbo.reports import FigureFolder
from mpidbo.studies.claims.finding import FAILS, HOLDS, findings
from mpidbo.studies.claims.first_order import FirstOrder

ERRORS = {
    "first order, printed steps": 0.2,
    "dsgda, printed steps": 0.205,
    "dsgda-gt, printed steps": 0.16,
    "first order, steps that clean": 0.1,
    "dsgda, steps that clean": 0.12,
    "dsgda-gt, steps that clean": 0.1,
    "delta 0.1": 0.3,
}
EARLY = {"delta 0.001": 0.4, "delta 0.01": 0.4, "delta 0.02": 0.36}


class Ended:
    def end(self, method, topology):
        assert topology == "exponential"
        return 1 - ERRORS.get(method, 0.25) * np.linspace(0.99, 1.01, 5)

    def curve(self, method, topology):
        """The first two of eight evaluations after the start are the early ones."""
        early = 1 - EARLY.get(method, 0.5) * np.linspace(0.99, 1.01, 5)
        start, end = np.zeros((5, 1)), np.repeat(self.end(method, topology)[:, None], 6, axis=1)
        return np.arange(9.0), np.hstack([start, early[:, None], early[:, None], end])


def test_about_equal_is_neither_better_nor_worse(tmp_path):
    claim = FirstOrder()
    found = {name: Ended() for name in claim.studies("quick")}
    judged = findings(claim.judge(found))
    ends, early = judged[:8], judged[8:]
    assert [f.verdict for f in ends] == [HOLDS, FAILS, FAILS, HOLDS, *3 * [HOLDS], FAILS]
    assert judged[1].comparison.what == "dsgda-gt, printed steps"
    assert ends[-1].comparison.what == "delta 0.1"
    assert [f.verdict for f in early] == [HOLDS, FAILS, FAILS, HOLDS]
    assert early[1].comparison.what == "early, delta 0.001 < 0.01"
    assert early[0].middle == pytest.approx(np.log10(0.5 / 0.4))
    (path,) = claim.draw(found, FigureFolder(tmp_path))
    assert path.is_file()


def test_the_settings_are_the_papers():
    studies = FirstOrder().studies("full")
    labelled = {m["label"]: m for s in studies.values() for m in s["study"]["methods"]}
    printed = labelled["first order, printed steps"]["steps"]
    assert {printed[key] for key in ("alpha", "beta", "gamma")} == {0.03}
    assert labelled["dsgda-gt, printed steps"]["mu"] == 1
    for tables in studies.values():
        problem, run = tables["problem"], tables["run"]
        assert problem["batch"] == 50 and run["iterations"] == 3000 and run["agents"] == 10
        assert problem["data"] == "fashion-mnist" and problem["corruption"] == 0.3
