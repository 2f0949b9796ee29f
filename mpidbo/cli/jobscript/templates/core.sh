
# ---- the run: nothing below needs a change -------------------------------------
code=2
@verb
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
