#!/usr/bin/env bash
# One run on this machine, on RANKS processes. When it stops before its end (run.max_seconds, a stall) it is started again, at most
# MAX_RESTARTS times. Ctrl-C, SIGTERM or SIGUSR1 to this script: it writes a checkpoint and ends.
#
@bare #     RANKS=4 bash local.sh config.toml --set steps.alpha=0.1
@written
@environment
@restarts
@ranks
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}       # of libraries; BLAS takes run.threads of the configuration
@launch
job="$(hostname), cores: $(nproc)"
@bare (($#)) || { echo "which configuration? bash local.sh config.toml" >&2; exit 2; }
@arguments
@core
@rank_logs
trap 'forward INT' INT
trap 'forward HUP' HUP
launcher=(setsid "${launcher[@]}")                 # Ctrl-C reaches this script only

for ((restarts = 0; ; restarts++)); do
    launch "$@"
    if ! unfinished || [ -n "$asked" ]; then
        break
    elif ((restarts >= MAX_RESTARTS)); then
        say "not finished after $restarts restarts, and MAX_RESTARTS is $MAX_RESTARTS; the same command resumes"
        break
    fi
    say "restart $((restarts + 1)) of at most $MAX_RESTARTS"
done
exit "$code"
