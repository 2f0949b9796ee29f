"""`mpidbo` on ranks of which some die: python dying.py ARGUMENTS.

`MPIDBO_TEST_DEATHS` is a list of RANK:CALL, such as "1:150 3:700": a process kills itself as it
begins that call of its own among those that may wait for other ranks.
"""

import faulthandler
import os
import signal
import sys

from mpidbo import cli
from mpidbo.parallel.collectives import MARK, Mark

RANK = int(os.environ.get("OMPI_COMM_WORLD_RANK", 0))
DEATHS = dict(map(int, word.split(":")) for word in os.environ["MPIDBO_TEST_DEATHS"].split())


class Mortal(Mark):
    __slots__ = ()

    @property
    def entered(self):
        return Mark.entered.__get__(self)

    @entered.setter
    def entered(self, calls):
        Mark.entered.__set__(self, calls)
        if calls == DEATHS.get(RANK):
            os.kill(os.getpid(), signal.SIGKILL)


if "MPIDBO_TEST_DUMP" in os.environ:
    faulthandler.dump_traceback_later(float(os.environ["MPIDBO_TEST_DUMP"]))
MARK.__class__ = Mortal
code = cli.main(sys.argv[1:])
if "MPIDBO_TEST_CALLS" in os.environ:
    print(f"{RANK}: {MARK.entered} calls")
sys.exit(code)
