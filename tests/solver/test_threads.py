"""`run.threads`: the threads of BLAS decide the bits, those of the process around a run do not."""

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import mpidbo
from mpidbo import Problem

LONG = 170
"""Rows of a square matrix whose products OpenBLAS divides among threads."""


def blas_threads():
    """The threads of each BLAS of the process."""
    return {
        library.num_threads
        for library in ThreadpoolController().lib_controllers
        if library.user_api == "blas"
    }


class Seen(Problem):
    """f = |x|^2 / 2 and g = |y|^2 / 2, which note the threads with which they are called."""

    dims = (2, 2)

    def __init__(self, agent, n_agents, *, xp=np, seed=0):
        SEEN["made"] = blas_threads()

    def start(self):
        SEEN["start"] = blas_threads()
        return np.ones(2), np.ones(2)

    def f(self, x, y, sample=None):
        SEEN["f"] = blas_threads()
        return 0.5 * x @ x

    def g(self, x, y, sample=None):
        return 0.5 * y @ y

    def f_x(self, x, y, sample=None):
        SEEN.setdefault("f_x", blas_threads())  # at the first call, of a check or a trial
        return 1 * x

    def f_y(self, x, y, sample=None):
        return 0 * y

    def g_x(self, x, y, sample=None):
        return 0 * x

    def g_y(self, x, y, sample=None):
        return 1 * y

    def g_yy(self, x, y, v, sample=None):
        return 1 * v

    def g_xy(self, x, y, v, sample=None):
        return 0 * v


SEEN: dict[str, set[int]] = {}


@pytest.mark.parametrize("threads", [1, 2])
def test_all_of_a_problem_has_the_threads_of_the_run(threads):
    SEEN.clear()
    with threadpool_limits(3 - threads):
        mpidbo.solve(Seen, agents=2, iterations=2, threads=threads, progress=False)
    assert SEEN == {key: {threads} for key in ("made", "start", "f", "f_x")}


def test_bits_do_not_depend_on_the_threads_of_the_process():
    def x():
        problem = {"name": "quadratic", "p": 20, "q": LONG, "noise": 0.1}
        given = {"agents": 3, "iterations": 6, "progress": False}
        return mpidbo.solve(problem, "sparkle-extra", **given).x.tobytes()

    with threadpool_limits(1):
        one = x()
    with threadpool_limits(2):
        assert x() == one
