"""Commands in one process, each with calls of the operating system that fail (refusing.c): cases
as JSON from stdin, answers to stdout."""

import io
import json
import os
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout

import mpidbo
from mpidbo import cli


def answer(refuse, words):
    out, err = io.StringIO(), io.StringIO()
    os.environ["MPIDBO_TEST_REFUSE"] = refuse
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = (
                cli.main(words)
                if words[0] != "load"
                else (print(mpidbo.load(words[1]).iteration) or 0)
            )
        except mpidbo.UserError as error:
            code = 2
            print(error, file=err)
        except Exception:
            code = 1
            traceback.print_exc(file=err)
    os.environ["MPIDBO_TEST_REFUSE"] = ""
    return [code, out.getvalue(), err.getvalue()]


json.dump([answer(*case) for case in json.load(sys.stdin)], sys.stdout)
