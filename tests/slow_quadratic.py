"""A quadratic whose draws take `MPIDBO_TEST_DRAW` seconds, and whose processes tell their ids in the folder `MPIDBO_TEST_PIDS`."""

import os
import time
from pathlib import Path

from mpidbo.problems.quadratic import Quadratic


class Slow(Quadratic):
    drawn = 0

    def draw(self, rng):
        Slow.drawn += 1
        if Slow.drawn == 20 and "MPIDBO_TEST_PIDS" in os.environ:
            Path(os.environ["MPIDBO_TEST_PIDS"], str(os.getpid())).touch()
        time.sleep(float(os.environ.get("MPIDBO_TEST_DRAW", "0")))
        return super().draw(rng)
