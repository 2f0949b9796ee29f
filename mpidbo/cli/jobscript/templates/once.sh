
launch "$@"
if unfinished; then say "submit the same again to resume"; fi
exit "$code"
