
# ---- outside of a job: submit the chain -------------------------------
if [ -z "${SLURM_JOB_ID:-}" ]; then
    options=(--job-name="${CHAIN:-mpidbo-$(date +%m%d-%H%M%S)}" --dependency=singleton)   # a name that no other job of yours has
    while [[ ${1:-} == -* ]]; do               # options of sbatch before the configuration, such as --nodes=4
        options+=("$1")
        shift
    done
@bare     (($#)) || { echo "which configuration? bash chain.sh config.toml" >&2; exit 2; }
    for ((i = 1; i <= ${JOBS:-5}; i++)); do
        sbatch "${options[@]}" "$0" "$@" || exit
    done
    exit
fi
