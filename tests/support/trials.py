"""Trials of methods against dense recursions: problems, graphs, schedules and the comparison."""

from functools import cache
from math import sqrt
from types import SimpleNamespace

import numpy as np

from mpidbo import config
from mpidbo import network as topologies
from mpidbo.algorithms import METHODS
from mpidbo.problems.nonconvex_toy import NonconvexToy
from mpidbo.problems.quadratic import Quadratic
from mpidbo.solver.setup import set_up
from support.dense import PrimalDual, Rows, Twisted, deviation, mixing_matrix

ITERATIONS, SEED = 60, 3
QUADRATIC = {"name": "quadratic", "p": 3, "q": 4, "condition": 2.0, "noise": 0.3}
TWISTED = {"name": Twisted, "p": 3, "q": 4, "noise": 0.3}
TOY = {"name": NonconvexToy, "dim": 2, "heterogeneity": 0.1, "noise": 0.1, "x0": 1.0}

RANDOM = {"name": "erdos-renyi", "p": 0.5, "seed": 3}
GRAPHS = {
    "ring": "ring",
    "random": RANDOM,
    "file": {"file": "W.npy"},
    "two": {"upper": {"name": "star"}, "lower": {"name": "ring", "lazy": True}},
}

# As a configuration has them, and what they are.
STEPS = {
    "alpha": (
        {"kind": "inverse-sqrt", "start": 0.03, "offset": 40},
        lambda k: 0.03 / sqrt(1 + k / 40),
    ),
    "beta": (
        {"kind": "power", "start": 0.2, "exponent": -0.3, "offset": 30, "warmup": 5},
        lambda k: 0.2 * (1 + k / 30) ** -0.3 * min(1, (k + 1) / 5),
    ),
    "gamma": (
        {"kind": "inverse-time", "start": 0.25, "offset": 100},
        lambda k: 0.25 / (1 + k / 100),
    ),
    "theta": (
        {"kind": "inverse-sqrt", "start": 0.9, "offset": 50},
        lambda k: 0.9 / sqrt(1 + k / 50),
    ),
}
MU = ({"kind": "inverse-sqrt", "start": 0.5, "offset": 10}, lambda k: 0.5 / sqrt(1 + k / 10))


@cache
def rows(n, *, name, **options):
    kind = Quadratic if name == "quadratic" else name
    return Rows([kind(i, n, xp=np, seed=SEED, **options) for i in range(n)], SEED)


class Trial:
    """A method of the package on n agents, and what a dense recursion of it needs."""

    def __init__(self, problem, method, n, topology, folder, without=()):
        """`without` names the keys of STEPS that the method does not get."""
        rule, _ = METHODS[config.split_name(method["name"])[0]]
        keys = [key for key in STEPS if hasattr(rule, key) and key not in without]
        steps = {key: STEPS[key][0] for key in keys}
        np.save(folder / "W.npy", mixing_matrix(n))
        placed = {"file": str(folder / "W.npy")} if topology == GRAPHS["file"] else topology
        tables = {
            "problem": problem,
            "method": method,
            "steps": steps,
            "topology": placed if isinstance(placed, dict) else {"name": placed},
            "run": {"agents": n, "seed": SEED},
        }
        self.plan = set_up(config.check(tables))
        self.o = rows(n, **problem)
        x, y = self.o.team[0].start()
        self.x, self.y = np.tile(x, (n, 1)), np.tile(y, (n, 1))
        self.upper, self.lower = (
            topologies.make(placed[side] if "upper" in placed else placed, n).W.toarray()
            for side in ("upper", "lower")
        )
        self.steps = [
            SimpleNamespace(**{key: formula(k) for key, (_, formula) in STEPS.items()})
            for k in range(ITERATIONS)
        ]

    def levels(self, lower, upper):
        """The dense levels, in the order x, y, z or t."""
        return (
            PrimalDual(upper, self.upper),
            PrimalDual(lower, self.lower),
            PrimalDual(lower, self.lower),
        )

    def deviation(self, dense, names=None):
        """The largest deviation of the levels, or of `names`, from the dense recursion."""
        plan, state, worst = self.plan, self.plan.method.start(*self.plan.rows()), 0.0
        names = names or list(plan.method.levels)
        found, expected = {name: [] for name in names}, {name: [] for name in names}
        for k, point in enumerate(dense):
            state = plan.method.step(k, plan.oracle, plan.W, state)
            for name, rows in zip(names, point, strict=True):
                found[name].append(getattr(state, name))
                expected[name].append(rows)
        assert k == ITERATIONS - 1
        for name in names:
            assert (
                np.ptp(expected[name][-1], axis=0).max() > 1e-6
                or self.plan.agents.n == 1
                or "centralized" in str(plan.levels).lower()
            )
            assert np.abs(np.diff(expected[name][-2:], axis=0)).max() > 1e-9
            worst = max(worst, deviation(found[name], expected[name]))
        return worst
