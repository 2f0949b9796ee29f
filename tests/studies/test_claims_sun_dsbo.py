"""The claims about SUN-DSBO: what they measure, on planted numbers."""

import numpy as np
import pytest

from mpidbo.reports import FigureFolder
from mpidbo.studies.claims import sun_dsbo_nonconvex
from mpidbo.studies.claims.finding import FAILS, HOLDS, findings
from mpidbo.studies.claims.sun_dsbo_messages import SunDsboMessages
from mpidbo.studies.claims.sun_dsbo_speed_up import SunDsboSpeedUp, late_error, squared_error
from mpidbo.studies.claims.sun_dsbo_variants import floats_until

SIZES, SEEDS, ROWS = (1, 2, 4), 5, 40


class Planted:
    """Columns of a study, the same for every method."""

    def __init__(self, **columns):
        self.columns = columns

    def column(self, method, topology, name="distance"):
        return np.asarray(self.columns[name], float)


def planted(average, spread=0.0):
    """A run whose average is at that mean-square distance, in an even spread of the agents."""
    values = average * np.random.default_rng(0).uniform(0.9, 1.1, (SEEDS, ROWS))
    return Planted(
        distance=np.sqrt(values + spread), consensus_x=np.full((SEEDS, ROWS), np.sqrt(spread))
    )


@pytest.mark.parametrize(
    ("power", "verdict"), [(-1, HOLDS), (-0.5, FAILS), (0, FAILS), (-2, FAILS)]
)
def test_the_slope_of_the_noise_in_the_average(power, verdict):
    found = {
        f"{key} {n}": planted(value, spread=n)
        for n in SIZES
        for key, value in (("same", 0.1 + n**power), ("calm", 0.1), ("scaled", 1.0))
    }
    slope, *same = findings(SunDsboSpeedUp().judge(found))
    assert slope.verdict == verdict and [finding.verdict for finding in same] == [HOLDS, HOLDS]


def test_no_speed_up_with_larger_steps():
    found = {
        f"{key} {n}": planted(value)
        for n in SIZES
        for key, value in (("same", 0.1 + 1 / n), ("calm", 0.1), ("scaled", float(n)))
    }
    assert [finding.verdict for finding in findings(SunDsboSpeedUp().judge(found))] == [
        HOLDS,
        FAILS,
        FAILS,
    ]


def test_the_average_is_what_the_spread_leaves():
    outcome = Planted(distance=[[5.0, 13.0, 13.0, 5.0]], consensus_x=[[4.0, 5.0, 12.0, 3.0]])
    assert squared_error(outcome).tolist() == [[9.0, 144.0, 25.0, 16.0]] and late_error(
        outcome
    ).tolist() == [20.5]


def test_floats_until_each_seeds_own_target():
    outcome = Planted(
        distance=[[9, 2, 4, 3, 2], [9, 8, 7, 6, 5], [1, 1, 1, 1, 1]],
        floats=[[0, 10, 20, 30, 40]] * 3,
    )
    assert floats_until(outcome, "", np.array([3, 4, 1])).tolist() == [30, np.inf, 0]


def test_the_share_of_the_steps_that_arrive(tmp_path):
    """From the second start only alpha = 0.3 arrives, from the first one all do."""

    class Start:
        def __init__(self, arrives):
            self.arrives = arrives

        def end(self, method, topology):
            alpha = method.split()[1]
            return np.array([0.02 if self.arrives or alpha == "0.3" else 6.28])

    found = {"residual": None, "from -6": Start(True), "from 2": Start(False)}
    assert sun_dsbo_nonconvex.shares(found, "any").tolist() == [1.0, 0.25]
    of_starts = sun_dsbo_nonconvex.arrivals(found, "any").mean(axis=0).reshape(4, 4)
    assert (of_starts == np.array([0.5, 0.5, 1.0, 0.5])[:, None]).all()
    assert sun_dsbo_nonconvex.draw_steps(FigureFolder(tmp_path), found).is_file()


def test_messages_until_each_accuracy():
    """SUN-DSBO-GT needs a tenth of SPARKLE-GT's, and MA-DSBO-GT never comes to 0.1."""

    class Sent:
        def __init__(self, until):
            self.until = until

        def reached(self, method, topology, target, cost):
            assert cost == "messages"
            return np.linspace(0.9, 1.1, SEEDS) * self.until[target]

    found = {
        "sun-dsbo-gt": Sent({0.3: 10, 0.1: 20}),
        "sparkle-gt": Sent({0.3: 100, 0.1: 200}),
        "ma-dsbo-gt": Sent({0.3: 9, 0.1: np.inf}),
    }
    judged = findings(SunDsboMessages().judge(found))
    assert [f.verdict for f in judged[:3]] == [HOLDS, FAILS, HOLDS]
    assert judged[3].middle == np.inf and judged[3].comparison.what == "ma-dsbo-gt, until 0.1"
