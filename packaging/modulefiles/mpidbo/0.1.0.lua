-- A module (Lmod) for an installation in a virtual environment: set `root`, and put this folder on MODULEPATH.
--
--     python3 -m venv /apps/mpidbo/0.1.0 && /apps/mpidbo/0.1.0/bin/pip install 'mpidbo[plot,data]'
--     module use /apps/modulefiles && module load mpidbo/0.1.0
help([[mpidbo: decentralized stochastic bilevel optimization over MPI.]])
whatis("Name: mpidbo")
whatis("Version: 0.1.0")
whatis("Description: Decentralized stochastic bilevel optimization over MPI")

local root = "/apps/mpidbo/0.1.0"

-- The MPI library for which mpi4py was tested here: its launcher and its srun protocol are those of the job.
depends_on("openmpi")
prepend_path("PATH", pathJoin(root, "bin"))
setenv("VIRTUAL_ENV", root)
setenv("OMP_NUM_THREADS", "1")
-- setenv("SRUN_MPI", "pmix")
