"""A quadratic whose draws take `MPIDBO_TEST_DRAW` seconds, a number or a file that holds it.

The agents in `MPIDBO_TEST_SILENT` stop their process at the first draw of iteration 33, agent
`MPIDBO_TEST_BUSY` never ends it, and the agents in `MPIDBO_TEST_ASK` ask there for the end of the
run, by the signal `MPIDBO_TEST_SIGNAL`. The processes tell their ids in the folder
`MPIDBO_TEST_PIDS`, in files that hold the number of their first agent.
"""

import os
import signal
import time
from pathlib import Path

from mpidbo.problems.quadratic import Quadratic


class Slow(Quadratic):
    drawn = 0

    def __init__(self, agent, n_agents, **options):
        super().__init__(agent, n_agents, **options)
        self.agent = agent

    def draw(self, rng):
        Slow.drawn += 1
        if Slow.drawn == 40 and "MPIDBO_TEST_PIDS" in os.environ:
            Path(os.environ["MPIDBO_TEST_PIDS"], str(os.getpid())).write_text(str(self.agent))
        if Slow.drawn == 105:  # five before the start, three in an iteration
            if str(self.agent) in os.environ.get("MPIDBO_TEST_SILENT", ""):
                os.kill(os.getpid(), signal.SIGSTOP)
            if str(self.agent) in os.environ.get("MPIDBO_TEST_ASK", ""):
                os.kill(os.getpid(), int(os.environ["MPIDBO_TEST_SIGNAL"]))
            while str(self.agent) == os.environ.get("MPIDBO_TEST_BUSY"):
                time.sleep(1)
        time.sleep(seconds())
        return super().draw(rng)


def seconds():
    """The seconds of a draw; a test may write another number to the file while a run continues."""
    text = os.environ.get("MPIDBO_TEST_DRAW", "0")
    return float(Path(text).read_text() if "/" in text else text)
