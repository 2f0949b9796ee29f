#!/usr/bin/env bash
# One run on a cluster with Flux. Two minutes before its time limit it writes a checkpoint, and this file is submitted again, at most
# MAX_RESTARTS times. Change resources in this file: options of flux batch apply to the first job only.
#
#     flux batch run.flux config.toml --set steps.alpha=0.1
#
# Change the resources here or on the command line, which takes precedence. `mpidbo jobscript` fills in this file.
# flux: --job-name=mpidbo
# flux: --output={{name}}-{{id}}.out
# flux: --nodes=1
# flux: --nslots=4
# flux: --cores-per-slot=1
# flux: --time-limit=3600s
# flux: # --queue=NAME
# flux: # --bank=NAME

# ---- the environment of the ranks: adapt these lines to your site ----------------
# module purge
# module load python/3.12 openmpi/5.0
# source "$HOME/venvs/mpidbo/bin/activate"
mpidbo=(mpidbo)
MAX_RESTARTS=${MAX_RESTARTS:-10}
RESTARTS=${RESTARTS:-0}                            # how often this file was submitted again
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}       # of libraries; BLAS takes run.threads of the configuration
nodes=$(flux getattr size) ranks=$((nodes * 4)) cores=1
# The launcher. A rank on each slot of the job.
[ -n "${LAUNCH:-}" ] || LAUNCH="flux run -N $nodes -n $ranks -c $cores"
job="Flux job $(flux getattr jobid), restart $RESTARTS: $ranks ranks on $nodes nodes"
(($#)) || { echo "which configuration? flux batch run.flux config.toml" >&2; exit 2; }
words=("$@")
# Flux may send a warning, but flux run does not pass it on: the run stops by the clock.
left=$(flux job timeleft)
if [[ $left =~ ^[0-9]+$ ]] && ((left < 1 << 31)); then
    set -- "$1" --set "run.max_seconds=$((left > 480 ? left - 120 : left * 3 / 4))" "${@:2}"
fi

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
# shellcheck disable=SC2317,SC2329
ask() { flux job killall --force --signal=USR1 2>/dev/null; }

launch "$@"
if unfinished && [ "$asked" != TERM ]; then           # TERM: flux cancel
    if ((RESTARTS >= MAX_RESTARTS)); then
        say "not finished after $RESTARTS restarts, and MAX_RESTARTS is $MAX_RESTARTS; submit the same again to resume"
    else
        say "restart $((RESTARTS + 1)) of at most $MAX_RESTARTS"
        export RESTARTS=$((RESTARTS + 1)) MAX_RESTARTS
        flux --parent batch "$0" "${words[@]}" || say "flux batch failed, see above; submit the same again to resume"
    fi
fi
exit "$code"
