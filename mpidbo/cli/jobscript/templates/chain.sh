#!/usr/bin/env bash
# One run as a chain of Slurm jobs, for sites where jobs cannot be requeued: JOBS jobs of one name, each of which starts when the
# one before has ended (--dependency=singleton) and resumes from its checkpoint. The job that finishes or fails cancels the rest.
#
@bare #     JOBS=5 bash chain.sh --nodes=4 --time=12:00:00 config.toml --set steps.alpha=0.1
@written
@directives
@submit
@environment
@slurm
@bare (($#)) || { echo "which configuration? bash chain.sh config.toml" >&2; exit 2; }
@arguments

# The last job of the chain: the run has finished, or failed.
# shellcheck disable=SC2317,SC2329
ended() {
    unfinished && return
    say "the rest of the chain is cancelled"
    scancel --user="$(id -un)" --name="$SLURM_JOB_NAME" --state=PENDING
}
trap ended EXIT
@core
@rank_logs

launch "$@"
exit "$code"
