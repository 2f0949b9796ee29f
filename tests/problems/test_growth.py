"""Set-up takes time in proportion to the number of agents."""

import numpy as np
import pytest

import mpidbo
from mpidbo.problems import PROBLEMS

WITHOUT_FILES = [
    name
    for name in PROBLEMS
    if name not in ("australian", "hyper-cleaning", "hyper-representation", "domain-reweighting")
]


def generators(monkeypatch, name, n):
    """How many generators a run of n agents makes until its first evaluation is over."""
    made = []
    usual = np.random.default_rng

    def counted(*args):
        made.append(args)
        return usual(*args)

    with monkeypatch.context() as patch:
        patch.setattr(np.random, "default_rng", counted)
        mpidbo.solve(name, "d-soba", topology="ring", agents=n, iterations=1, evaluate_every=1)
    return len(made)


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_data_of_all_agents_are_made_once(name, monkeypatch):
    few, many = (generators(monkeypatch, name, n) for n in (11, 22))
    assert 0 < few <= many <= 2 * few
