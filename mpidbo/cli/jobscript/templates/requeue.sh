
launch "$@"
if unfinished; then
    restarts=${SLURM_RESTART_COUNT:-0} this=$SLURM_JOB_ID
    # The last task of an array has the array's own id: by it all of them would be requeued.
    [ -z "${SLURM_ARRAY_JOB_ID:-}" ] || this=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    if state=$(scontrol show job "$this") && [[ $state != *JobState=RUNNING* ]]; then
        say "Slurm is ending this job (cancelled or preempted), so it is not requeued from here"
    elif ((restarts >= MAX_RESTARTS)); then
        say "not finished after $restarts restarts, and MAX_RESTARTS is $MAX_RESTARTS; submit the same again to resume"
    else
        say "requeue $((restarts + 1)) of at most $MAX_RESTARTS"
        trap '' USR1 TERM                      # no signal may interrupt this
        if scontrol requeue "$this"; then
            trap - TERM
            sleep 60                           # Slurm ends this script
        else
            say "scontrol does not requeue the job; where a site forbids it use chain.sh"
        fi
    fi
fi
exit "$code"
