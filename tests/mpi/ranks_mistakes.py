"""Commands one after the other on all ranks: `python ranks_mistakes.py cases.json`, a list of
arguments of `mpidbo`.

Rank 0 writes answers.json: for each the exit codes and what was printed on stderr, of every rank.
With "limit" in place of the first argument, no file may grow beyond so many bytes meanwhile.
"""

import contextlib
import io
import json
import resource
import sys
from pathlib import Path

from mpi4py import MPI

from mpidbo import cli
from mpidbo.parallel import allgather_text


def answer(args):
    printed = io.StringIO()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if args[0] == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(args[1]), hard))
        args = args[2:]
    if MPI.COMM_WORLD.rank == 0:
        print(*args, file=sys.stderr, flush=True)  # what a test that ran out of time will show
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
        code = cli.main(args)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    return {
        "codes": [int(c) for c in allgather_text(MPI.COMM_WORLD, str(code))],
        "printed": allgather_text(MPI.COMM_WORLD, printed.getvalue()),
    }


answers = [answer(args) for args in json.loads(Path(sys.argv[1]).read_text())]
if MPI.COMM_WORLD.rank == 0:
    Path("answers.json").write_text(json.dumps(answers))
