"""Pass a fence of PMIx, for which the last process is a second late, and say how many had come
to it: python pmix_fence.py FOLDER"""

import ctypes
import os
import sys
import time
from pathlib import Path

there, rank, size = (
    Path(sys.argv[1]),
    int(os.environ["SLURM_PROCID"]),
    int(os.environ["SLURM_NTASKS"]),
)
pmix, none = ctypes.CDLL("libpmix.so.2"), ctypes.c_size_t(0)
me = ctypes.create_string_buffer(512)  # a pmix_proc_t: the name of the job and the rank
assert pmix.PMIx_Init(me, None, none) == 0
if rank == size - 1:
    time.sleep(1)
(there / str(rank)).touch()
assert pmix.PMIx_Fence(None, none, None, none) == 0
sys.stdout.write(f"passed with {len(list(there.iterdir()))} of {size}\n")
pmix.PMIx_Finalize(None, none)
