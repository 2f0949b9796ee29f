#!/usr/bin/env bash
# One run on a cluster with Flux. Two minutes before its time limit it writes a checkpoint, and this file is submitted again, at most
# MAX_RESTARTS times. Change resources in this file: options of flux batch apply to the first job only.
#
@bare #     flux batch run.flux config.toml --set steps.alpha=0.1
@written
@directives
@environment
@restarts
RESTARTS=${RESTARTS:-0}                            # how often this file was submitted again
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}       # of libraries; BLAS takes run.threads of the configuration
@shape
@launch
job="Flux job $(flux getattr jobid), restart $RESTARTS: $ranks ranks on $nodes nodes"
@bare (($#)) || { echo "which configuration? flux batch run.flux config.toml" >&2; exit 2; }
words=("$@")
@arguments
# Flux may send a warning, but flux run does not pass it on: the run stops by the clock.
left=$(flux job timeleft)
if [[ $left =~ ^[0-9]+$ ]] && ((left < 1 << 31)); then
    set -- "$1" --set "run.max_seconds=$((left > 480 ? left - 120 : left * 3 / 4))" "${@:2}"
fi
@core
# shellcheck disable=SC2317,SC2329
ask() { flux job killall --force --signal=USR1 2>/dev/null; }
@rank_logs

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
