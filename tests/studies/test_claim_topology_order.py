"""The claim on D-SOBA's error on four graphs, on planted errors."""

from types import SimpleNamespace

import numpy as np
import pytest

from mpidbo.network import make
from mpidbo.reports import FigureFolder
from mpidbo.studies.claims.finding import FAILS, HOLDS, findings
from mpidbo.studies.claims.topology_order import ORDER, TopologyOrder

SPREAD = np.linspace(0.99, 1.01, 5)


class Ended:
    """Errors that increase along the graphs, but not with the printed steps."""

    def __init__(self, metric):
        self.study = SimpleNamespace(metric=metric)

    def end(self, method, topology):
        k = ORDER.index(topology)
        if self.study.metric == "distance":
            return (1 + k) * SPREAD
        return 1 - (0.2 if "printed" in method else 0.1 * (1 + k)) * SPREAD

    def curve(self, method, topology):
        ends = self.end(method, topology)
        return np.arange(3.0), np.repeat(ends[:, None], 3, axis=1)


def test_each_graph_is_compared_with_the_next(tmp_path):
    claim = TopologyOrder()
    found = {"quadratic": Ended("distance"), "hyper-cleaning": Ended("test_accuracy")}
    judged = findings(claim.judge(found))
    assert [f.verdict for f in judged] == [*3 * [HOLDS], *3 * [FAILS], *3 * [HOLDS]]
    assert judged[-1].comparison.what == ("hyper-cleaning, steps that clean, torus < adjusted-ring")
    paths = claim.draw(found, FigureFolder(tmp_path))
    assert [path.name for path in paths] == ["quadratic.png", "hyper-cleaning.png"]
    quick = {"quadratic": Ended("distance")}
    assert len(findings(claim.judge(quick))) == len(ORDER) - 1
    assert len(claim.draw(quick, FigureFolder(tmp_path))) == 1


def test_the_settings_of_hyper_cleaning_are_the_papers():
    claim = TopologyOrder()
    assert set(claim.studies("quick")) == {"quadratic"}
    for size in ("standard", "full"):
        tables = claim.studies(size)["hyper-cleaning"]
        study, problem, run = tables["study"], tables["problem"], tables["run"]
        assert problem["data"] == "fashion-mnist" and problem["corruption"] == 0.2
        assert problem["batch"] == 200 and run["agents"] == 10
        assert study["topologies"][-1]["self_weight"] == 0.2
        printed = study["methods"][0]["steps"]
        assert printed == {"alpha": 0.1, "beta": 0.1, "gamma": 0.1, "theta": 0.8}


@pytest.mark.parametrize(
    ("study", "rho"),
    [("quadratic", [0, 0.5, 0.6, 0.96]), ("hyper-cleaning", [0, 0.43, 0.72, 0.85])],
)
def test_the_graphs_are_in_the_order_of_rho(study, rho):
    tables = TopologyOrder().studies("standard")[study]
    n = tables["run"]["agents"]
    found = [make(table, n).rho for table in tables["study"]["topologies"]]
    assert found == pytest.approx(rho, abs=0.005)
