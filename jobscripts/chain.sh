#!/usr/bin/env bash
# One run as a chain of Slurm jobs, for sites where jobs cannot be requeued: JOBS jobs of one name, each of which starts when the
# one before has ended (--dependency=singleton) and resumes from its checkpoint. The job that finishes or fails cancels the rest.
#
#     JOBS=5 bash chain.sh --nodes=4 --time=12:00:00 config.toml --set steps.alpha=0.1
#
# Change the resources here or on the command line, which takes precedence. `mpidbo jobscript` fills in this file.
#SBATCH --job-name=mpidbo
#SBATCH --output=%x-%j.out
#SBATCH --open-mode=append
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00
#SBATCH --signal=B:USR1@120
##SBATCH --partition=NAME
##SBATCH --account=NAME

# ---- outside of a job: submit the chain -------------------------------
if [ -z "${SLURM_JOB_ID:-}" ]; then
    options=(--job-name="${CHAIN:-mpidbo-$(date +%m%d-%H%M%S)}" --dependency=singleton)   # a name that no other job of yours has
    while [[ ${1:-} == -* ]]; do               # options of sbatch before the configuration, such as --nodes=4
        options+=("$1")
        shift
    done
    (($#)) || { echo "which configuration? bash chain.sh config.toml" >&2; exit 2; }
    for ((i = 1; i <= ${JOBS:-5}; i++)); do
        sbatch "${options[@]}" "$0" "$@" || exit
    done
    exit
fi

# ---- the environment of the ranks: adapt these lines to your site ----------------
# module purge
# module load python/3.12 openmpi/5.0
# source "$HOME/venvs/mpidbo/bin/activate"
mpidbo=(mpidbo)
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}   # of libraries; BLAS takes run.threads of the configuration
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}   # srun does not take it from the job
export SLURM_WAIT=${SLURM_WAIT:-60}                # a minute after its first rank the step ends: MPICH would wait for a killed one
export SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}   # with pmix: by default ranks of Open MPI may leave MPI_Init too early, and crash
export SLURM_EXPORT_ENV=ALL                        # ranks see the modules of this script also after sbatch --export=NONE
# The launcher. srun uses the default of the site; otherwise SRUN_MPI=pmix (Open MPI) or SRUN_MPI=pmi2 (MPICH); see srun --mpi=list.
[ -n "${LAUNCH:-}" ] || LAUNCH="srun${SRUN_MPI:+ --mpi=$SRUN_MPI}"
job="Slurm job ${SLURM_JOB_ID:-?} (${SLURM_JOB_NAME:-?}), restart ${SLURM_RESTART_COUNT:-0}: ${SLURM_NTASKS:-?} tasks on"
job+=" ${SLURM_JOB_NUM_NODES:-?} nodes, ${SLURM_JOB_NODELIST:-?}"
(($#)) || { echo "which configuration? bash chain.sh config.toml" >&2; exit 2; }

# The last job of the chain: the run has finished, or failed.
# shellcheck disable=SC2317,SC2329
ended() {
    unfinished && return
    say "the rest of the chain is cancelled"
    scancel --user="$(id -un)" --name="$SLURM_JOB_NAME" --state=PENDING
}
trap ended EXIT

# ---- the run: nothing below needs a change -------------------------------------
code=2
verb=run
say() { echo "$(date '+%F %T') $*"; }
# shellcheck disable=SC2317,SC2329
unfinished() { ((code == 85 || code == 4)); }     # stopped or stalled: the same command resumes from the last checkpoint

# A signal to this shell is passed to the launcher as USR1: all ranks write a checkpoint and end with exit code 85.
# At most one a second: more of them would break MPICH's mpiexec.
asked='' woken='' heard='' pid='' sent=''
# shellcheck disable=SC2317,SC2329
forward() {
    local known=$heard
    asked=$1 woken=$1 heard=${heard//$1}$1
    [[ $known == *$1* ]] || say "SIG$1: the run is asked to stop"
    [ -z "$pid" ] || [ "$sent" = "$SECONDS" ] || { sent=$SECONDS && ask; }
}
# shellcheck disable=SC2317,SC2329
ask() { kill -USR1 "$pid" 2>/dev/null; }
trap 'forward USR1' USR1
trap 'forward TERM' TERM

command -v "${mpidbo[0]}" >/dev/null || {
    say "${mpidbo[0]}: not found; load the modules and activate the environment, where this script says so"
    exit 2
}
if [[ " ${*/=/ } " == *" --resume never "* ]]; then
    say "--resume never: every restart would start from iteration 0; rename the old folder, or choose another --out"
    exit 2
fi
out=$("${mpidbo[@]}" where "$@") || exit       # the folder of the run; a mistake in the configuration ends the script here
read -ra launcher <<<"$LAUNCH"
say "$job"
# One substitution in each command: bash 5.2 loses a signal that comes in the first of two.
version=$("${mpidbo[@]}" --version)
library=$("${launcher[0]}" --version 2>&1 | grep -m 1 '[0-9]\.[0-9]')
say "$version; $library; $(uname -sr); results in $out"

# Start the ranks, wait for them, and set `code` to the exit code of the run.
launch() {
    code=85
    [ -z "$asked" ] || return
    say "$LAUNCH ${mpidbo[*]} $verb $*"
    "${launcher[@]}" "${mpidbo[@]}" "$verb" "$@" </dev/null &
    pid=$!
    [ -z "$asked" ] || ask                     # since the look above
    while true; do                             # wait returns early when a signal comes
        woken=''
        wait "$pid"
        code=$?
        if ((code <= 128)) || [ -z "$woken" ]; then break; fi
    done
    pid=''
    case $code in
        0)
            if [ "$verb" = run ] && [ ! -e "$out/done" ]; then
                say "the launcher returned 0, but there is no $out/done: the run was cut off"
                code=85
            fi
            ;;
        2 | 3 | 85) ;;
        *)                                     # a launcher that had to kill ranks may return another code than theirs
            if [ -d "$out/stall" ]; then
                code=4
            elif [ -n "$asked" ]; then         # while ranks or launcher started or ended
                say "the launcher returned $code: it did not wait for the checkpoint"
                code=85
            fi
            ;;
    esac
    case $code in
        0) say "finished: $out" ;;
        85) say "stopped before its end; the same command resumes from the last checkpoint" ;;
        4) say "stalled, see above; the same command resumes from the last checkpoint" ;;
        *) say "failed with exit code $code, see above; another start would not help" ;;
    esac
}

launch "$@"
exit "$code"
