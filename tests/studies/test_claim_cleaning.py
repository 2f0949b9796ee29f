"""The claim on D-SOBA's hyper-cleaning, on planted accuracies."""

import numpy as np

from mpidbo.studies.claims.d_soba_cleaning import DSobaCleaning
from mpidbo.studies.claims.finding import FAILS, HOLDS, findings

ERRORS = {
    "d-soba, printed steps": 0.2,
    "d-soba, printed steps, alpha = 0": 0.2,
    "d-soba, steps that clean": 0.1,
    "d-soba, steps that clean, alpha = 0": 0.2,
    "ma-dsbo, printed steps": 0.25,
    "ma-dsbo, steps that clean": 0.1,
}


class Ended:
    def end(self, method, topology):
        assert topology == "exponential"
        return 1 - ERRORS[method] * np.linspace(0.99, 1.01, 5)


def test_each_steps_are_compared_with_their_own_without_cleaning():
    claim = DSobaCleaning()
    judged = findings(claim.judge({name: Ended() for name in claim.studies("quick")}))
    assert [f.verdict for f in judged] == 2 * [HOLDS, FAILS, FAILS, HOLDS]
    assert judged[3].comparison.what == "corruption 0.1, steps that clean, alpha = 0"


def test_the_methods_have_equal_oracle_calls_and_steps():
    studies = DSobaCleaning().studies("full")
    calls = {"d-soba": 5, "ma-dsbo": 17}
    for key, tables in studies.items():
        name, _ = key.split(", ")
        assert abs(tables["run"]["iterations"] * calls[name] - 15000) < calls[name]
        printed = tables["study"]["methods"][0]["steps"]
        assert printed == {"alpha": 0.1, "beta": 0.1, "gamma": 0.1, "theta": 0.8}
