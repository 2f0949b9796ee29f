"""Problems and oracles keep the shapes of their signatures, in a process that checks calls."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

MISSING = [name for name in ("jaxtyping", "beartype", "sklearn") if not find_spec(name)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)}")

CHECKED = """
from jaxtyping import TypeCheckError, install_import_hook

install_import_hook("mpidbo.problems", "beartype.beartype")

import numpy as np

import mpidbo
from mpidbo.problems import PROBLEMS, problem_class
from mpidbo.problems.checks import check
from mpidbo.problems.projections import simplex

for name in PROBLEMS:
    if name == "australian":  # its data must be fetched
        continue
    cls = problem_class(name)
    agents = [cls(i, 3, xp=np, seed=0) for i in range(3)]
    agent, rng = agents[0], np.random.default_rng(0)
    assert all(finding.ok for finding in check(agent, rng=rng)), name
    agent.metrics(*agent.start())
    agent.solution()
    cls.stacked(agents)
for name in ("quadratic", "compositional", "policy-evaluation", "meta-learning"):
    mpidbo.solve(name, "sparkle-ed", agents=3, iterations=2)

try:
    simplex(np.zeros((2, 2)))
except TypeCheckError:
    print("a wrong shape is refused")
"""


@pytest.mark.slow
def test_problems_have_the_shapes_of_their_signatures():
    done = subprocess.run(
        [sys.executable, "-c", CHECKED],
        env={**os.environ, "MPIDBO_CHECK_SHAPES": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a wrong shape is refused\n"
