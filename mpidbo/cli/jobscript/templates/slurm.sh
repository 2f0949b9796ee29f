export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}   # of libraries; BLAS takes run.threads of the configuration
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}   # srun does not take it from the job
@wait
export SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}   # with pmix: by default ranks of Open MPI may leave MPI_Init too early, and crash
export SLURM_EXPORT_ENV=ALL                        # ranks see the modules of this script also after sbatch --export=NONE
@launch
job="Slurm job ${SLURM_JOB_ID:-?} (${SLURM_JOB_NAME:-?}), restart ${SLURM_RESTART_COUNT:-0}: ${SLURM_NTASKS:-?} tasks on"
job+=" ${SLURM_JOB_NUM_NODES:-?} nodes, ${SLURM_JOB_NODELIST:-?}"
