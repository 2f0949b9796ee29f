"""A problem that goes wrong in every way asked for: `mistaken.py:Mistaken` in the configurations
of test_mistakes.py."""

import os
import signal
import time
from pathlib import Path

import numpy as np

import mpidbo


class Mistaken(mpidbo.Problem):
    """g_i = |y - (x_1, x_2)|^2 / 2, f_i = |x|^2 + |y|^2; agent `who` makes the mistake `mode`.

    The modes that begin with "late" strike after five calls of g_y; just before, the time is
    written to the file `stamp`.
    """

    def __init__(
        self,
        agent,
        n_agents,
        *,
        xp,
        seed,
        mode="",
        who=1,
        stamp="",
        scale=1.0,
        flag=False,
        data=None,
    ):
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.mode, self.stamp = mode if agent == who else "", stamp
        self.calls = self.evaluations = 0
        self.dims = {
            "dims": (3, 4),
            "no dims": None,
            "half dims": (3.5, 2),
            "zero dims": (0, 2),
        }.get(self.mode, (3, 2))
        if self.mode == "raise in init":
            self.now()
            raise ZeroDivisionError("in the constructor")
        if self.mode == "refuse in init":
            raise mpidbo.UserError("problem.who: this agent has no data; give it some")

    def now(self):
        if self.stamp:
            Path(self.stamp).write_text(str(time.time()))

    def f(self, x, y, sample):
        return y if self.mode == "f" else float(x @ x + y @ y)

    def g(self, x, y, sample):
        return float((y - x[:2]) @ (y - x[:2])) / 2

    def f_x(self, x, y, sample):
        return 2 * x

    def f_y(self, x, y, sample):
        return 2 * y

    def g_y(self, x, y, sample):
        self.calls += 1
        if self.mode.startswith("late") and self.calls > 5:
            self.now()
            self.late(self.mode.removeprefix("late "))
        return {"shape": np.zeros(3), "number": 1.0, "nothing": None, "text": "zero"}.get(
            self.mode, y - x[:2]
        )

    def late(self, mode):
        if mode == "raise":
            raise ZeroDivisionError("in g_y")
        if mode == "refuse":
            raise mpidbo.UserError("data of this agent: exhausted; give more")
        if mode == "exit":
            os._exit(7)
        if mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "shape":
            self.mode = "shape"

    def g_yy(self, x, y, v, sample):
        return v

    def g_xy(self, x, y, v, sample):
        return np.array([-v[0], -v[1], 0.0])

    def start(self):
        return {
            "start": (np.zeros(2), np.zeros(2)),
            "no start": None,
            "words": ("a", "b"),
            "other start": (np.ones(3), np.ones(2)),
            "start at nan": (np.full(3, np.nan), np.zeros(2)),
        }.get(self.mode, (np.zeros(3), np.zeros(2)))

    def metrics(self, x, y):
        self.evaluations += 1
        return {
            "no metrics": None,
            "word": {"score": "high"},
            "slash": {"a/b": 1.0},
            "taken": {"upper_loss": 0.0},
            "distance": {"distance": 0.0},
            "curvature": {"curvature": 1.0},
            "late": {"score": 1.0} if self.evaluations > 3 else {},
        }.get(self.mode, {})


class WithoutHessian(Mistaken):
    g_yy = None


class NotMade:
    pass


class Marching(mpidbo.Problem):
    """x is k after k iterations with steps alpha = theta = 1; from x = 6 on an oracle of agent 3
    returns NaN."""

    dims = (1, 1)

    def __init__(self, agent, n_agents, *, xp, seed, oracle="f_x"):
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.oracle = oracle if agent == 3 else ""

    def answer(self, oracle, x, value):
        return np.full(1, np.nan if self.oracle == oracle and x[0] > 5.5 else value)

    def f_x(self, x, y, sample):
        return self.answer("f_x", x, -1.0)

    def f_y(self, x, y, sample):
        return np.zeros(1)

    def g_y(self, x, y, sample):
        return self.answer("g_y", x, 0.0)

    def g_yy(self, x, y, v, sample):
        return v

    def g_xy(self, x, y, v, sample):
        return np.zeros(1)
