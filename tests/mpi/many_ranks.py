"""Run under mpiexec by test_many.py: `mpidbo ARGUMENTS`, after which each rank writes what it
opened and imported to FOLDER/RANK."""

import os
import sys
from pathlib import Path

import h5py

from mpidbo import cli

OPENED = []


def noting(call, place):
    """The same call, which notes the file at this place of its arguments."""

    def noted(*args, **options):
        OPENED.append(str(args[place]))
        return call(*args, **options)

    return noted


h5py.File.__init__ = noting(h5py.File.__init__, 1)  # HDF5 opens files without Python
sys.addaudithook(lambda event, args: OPENED.append(str(args[0])) if event == "open" else None)
folder, rank = Path(sys.argv[1]), cli.comm_world().rank
code = cli.main(sys.argv[2:])
found = [os.path.relpath(path, folder) for path in OPENED if path.startswith(str(folder))]
FOR_RANK_0 = ("networkx", "scipy.optimize", "scipy.sparse.linalg", "mpidbo.network.build")
found += [name for name in FOR_RANK_0 if name in sys.modules]
(folder / str(rank)).write_text("\n".join(dict.fromkeys(found)))
sys.exit(code)
