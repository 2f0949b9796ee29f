"""Methods and strategies keep the shapes of their signatures, in a process that checks calls."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(
    not (find_spec("jaxtyping") and find_spec("beartype")), reason="needs jaxtyping and beartype"
)

BEGIN = """
from jaxtyping import install_import_hook, jaxtyped

install_import_hook(["mpidbo.algorithms", "mpidbo._linalg"], "beartype.beartype")

from typing import get_type_hints

import numpy as np

from mpidbo import config
from mpidbo.algorithms import METHODS, STRATEGIES
from mpidbo.solver import Plan

AGENTS = 4


def plan(name, strategy=None):
    policy = {"name": "policy-evaluation", "states": 5, "p": 3}  # dsgd needs g_yy = 2I
    quadratic = {"name": "quadratic", "p": 3, "q": 5}
    saddle = {**quadratic, "name": "minimax"}
    method = {"name": name} if strategy is None else {"name": name, "strategy": strategy}
    tables = {
        "problem": {"dsgd": policy, "gda": saddle, "dm-hsgd": saddle}.get(name, quadratic),
        "method": method,
        "run": {"agents": AGENTS, "checks": "never"},
    }
    return Plan(config.check(tables))


def check(state):
    \"\"\"Assert the shapes of a state's fields, and of what its strategies keep.\"\"\"
    hints = get_type_hints(type(state))
    with jaxtyped("context"):
        for field, hint in hints.items():
            value = getattr(state, field)
            if isinstance(value, tuple):
                if hasattr(value, "_fields"):
                    check(value)
            elif hasattr(value, "shape"):
                assert isinstance(value, hint), (type(state), field, value.shape, hint)
"""

STEPS = """
for name in METHODS:
    for strategy in (None, *STRATEGIES) if config.strategy_keys(name) else (None,):
        if name == "sldbo" and strategy in ("ed", "extra"):
            continue
        if name in ("ma-dsbo", "dsbo") and strategy in ("choco", "beer", "lead"):
            continue
        with plan(name, strategy) as made:
            state = made.method.start(*made.rows())
            check(state)
            for k in range(2):
                state = made.method.step(k, made.oracle, made.W, state)
                check(state)
"""

WRONG = """
def refused(call):
    try:
        call()
    except Exception as error:
        return "did not match" in str(error) or "Type-check error" in str(error)
    return False


s, u = np.ones((AGENTS, 3)), np.ones((AGENTS, 2))
assert refused(lambda: STRATEGIES["sgd"](s, u, ()))
assert refused(lambda: STRATEGIES["gt"].start(s[0]))
with plan("sparkle") as made:
    x, y = made.rows()
    assert refused(lambda: made.method.start(x[:-1], y))  # agents differ
    state = made.method.start(x, y)
    try:
        check(state._replace(r=y))
    except AssertionError:
        pass
    else:
        raise SystemExit("a state with r in R^q passed")
"""


def run(code):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BEGIN + code],
        env=os.environ | {"MPIDBO_CHECK_SHAPES": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_steps_have_the_shapes_of_their_signatures():
    run(STEPS)


def test_a_wrong_shape_is_refused():
    run(WRONG)
