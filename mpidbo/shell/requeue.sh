
launch "$@"
if goes_on; then
    restarts=${SLURM_RESTART_COUNT:-0}
    if state=$(scontrol show job "$SLURM_JOB_ID") && [[ $state != *JobState=RUNNING* ]]; then
        say "Slurm is ending this job (cancelled or preempted), so it is not requeued from here"
    elif ((restarts >= MAX_RESTARTS)); then
        say "not finished after $restarts restarts, and MAX_RESTARTS is $MAX_RESTARTS; submit the same again to go on"
    else
        say "requeue $((restarts + 1)) of at most $MAX_RESTARTS"
        trap - USR1 TERM
        if scontrol requeue "$SLURM_JOB_ID"; then
            sleep 60                           # Slurm ends this script
        else
            say "scontrol does not requeue the job; where a site forbids it take chain.sh"
        fi
    fi
fi
exit "$code"
