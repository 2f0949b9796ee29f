
launch "$@"
if goes_on; then say "submit the same again to go on"; fi
exit "$code"
