"""The claims on SUN-DSBO's classifiers, on planted accuracies."""

import numpy as np
import pytest

from mpidbo.reports import FigureFolder
from mpidbo.studies.claims import SIZES, make_claim
from mpidbo.studies.claims.finding import FAILS, HOLDS, findings
from mpidbo.studies.claims.sun_dsbo_classifiers import METHODS

NAMES = ("sun-dsbo-cleaning", "sun-dsbo-representation")
ERRORS = {
    "sun-dsbo-se": 0.3,
    "sun-dsbo-gt": 0.21,
    "d-soba": 0.2,
    "sparkle-gt": 0.1,
    "ma-dsbo-gt": 0.4,
}


class Ended:
    def end(self, method, topology):
        assert topology == "ring"
        return 1 - ERRORS[method] * np.linspace(0.99, 1.01, 5)

    def curve(self, method, topology):
        ends = self.end(method, topology)
        return np.arange(3.0), np.repeat(ends[:, None], 3, axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_each_of_ours_is_compared_with_each_of_theirs(name, tmp_path):
    claim = make_claim(name)
    found = {key: Ended() for key in claim.studies("quick")}
    judged = findings(claim.judge(found))
    assert judged[1].comparison.what == "sun-dsbo-se, sparkle-gt"
    assert [f.verdict for f in judged] == [FAILS, FAILS, HOLDS, HOLDS, FAILS, HOLDS]
    (path,) = claim.draw(found, FigureFolder(tmp_path))
    assert path.is_file()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SIZES)
def test_calls_and_trials_are_equal(name, size):
    studies = make_claim(name).studies(size)
    calls = {key: METHODS[key][0] * tables["run"]["iterations"] for key, tables in studies.items()}
    assert max(calls.values()) - min(calls.values()) <= 17
    for key, tables in studies.items():
        choices = tables["tune"]["steps"]
        trials = np.prod([len(values) for values in choices.values()])
        assert trials == 4 and tables["tune"]["budget"] == 4 * tables["run"]["iterations"]
        if key in ("sun-dsbo-se", "sun-dsbo-gt"):
            assert min(choices["gamma"]) >= max(choices["beta"])
