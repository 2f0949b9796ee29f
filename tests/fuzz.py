"""Random configurations, right ones and such with odd values: each ends, or is refused in a sentence.

python tests/fuzz.py --seed 0 --cases 2000      # in this process; under mpiexec on all ranks
"""

import argparse
import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w

import fuzz_problems
import mpidbo
from fuzz_cases import Case, case, prepared
from mpidbo import cli
from mpidbo.errors import Diverged, MpidboError

LIMIT = 60
"""Seconds for a case."""
LETTERS = 600
"""The longest sentence."""
MEMORY = 6 << 30
"""Bytes of address space: sizes that no machine has fail at once."""


def short(text: str) -> str:
    """The text without what is repeated."""
    return re.sub(r"(..?)\1{40,}", r"\1...", text)


class Failure(Exception):
    """What must not be."""


def outcome(made: Case, comm: Any = None) -> str:
    """How the case ends, in the working folder, with its files in `out` and `runs`. Raises Failure."""
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *where, **more: said.append(
            f"{category.__name__}: {message}"
        )
        ends = [attempt(made, comm) for _ in range(2 if made.again else 1)]
    for text in said:
        if not text.startswith("UserWarning: ") or len(text) > LETTERS:
            raise Failure(f"warns: {text}")
    return ends[0]


def attempt(made: Case, comm: Any) -> str:
    try:
        return command(made) if made.by_command else in_python(made, comm)
    except Failure:
        raise
    except BaseException as error:
        if traceback.extract_tb(error.__traceback__)[-1].filename == fuzz_problems.__file__:
            return "user's own"
        raise Failure("".join(traceback.format_exception(error))) from error


def command(made: Case) -> str:
    Path("config.toml").write_text(tomli_w.dumps(made.tables))
    with (
        contextlib.redirect_stderr(io.StringIO()) as err,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        code = cli.main(
            ["run", "config.toml", *(part for one in made.overrides for part in ("--set", one))]
        )
    lines = [
        line for line in err.getvalue().splitlines() if not line.startswith("mpidbo: warning: ")
    ]
    if code in (0, 85):
        return "ended"
    if code not in (2, 3) or len(lines) != 1:
        raise Failure(f"code {code}: {err.getvalue()}")
    judged(lines[0].removeprefix("mpidbo: "))
    return f"{'refused' if code == 2 else 'diverged'}: {lines[0]}"


def in_python(made: Case, comm: Any) -> str:
    tables = dict(made.tables)
    tables.pop("checkpoint", None)
    run = tables.pop("run", {})
    sections = {
        key: value
        for key, value in tables.items()
        if key in ("problem", "method", "topology", "steps")
    }
    if isinstance(run, dict) and all(
        isinstance(key, str) and key not in ("comm", "self") for key in run
    ):
        sections = run | sections
    try:
        mpidbo.solve(**{"problem": {}, **sections}, comm=comm)
        return "ended"
    except MpidboError as error:
        judged(str(error))
        return f"{'diverged' if isinstance(error, Diverged) else 'refused'}: {error}"


def judged(sentence: str) -> None:
    """Failure unless it is one line of bounded length with a place and a remedy."""
    if len(sentence) > LETTERS:
        raise Failure(f"{len(sentence)} letters: {sentence[:LETTERS]}...")
    placed = ": " in sentence or sentence.startswith("out of memory (")
    if "\n" in sentence or not placed or not any(mark in sentence for mark in (";", ",", "?")):
        raise Failure(f"no sentence: {sentence!a}")
    if any(word in sentence for word in ("Traceback", " object at 0x", "<class ", "<function ")):
        raise Failure(f"Python's words: {sentence!a}")


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Failure, or on several ranks the end of the job, after so many seconds."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"a hang: not over after {seconds} s")

    usual = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="the number of the first case")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--verbose", action="store_true", help="print how each case ends")
    parser.add_argument(
        "--keep-going", action="store_true", help="do not stop at the first failure"
    )
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    comm = None
    cli.world = lambda: comm
    counted: Counter[str] = Counter()
    failures = 0
    sys.stdout.reconfigure(errors="backslashreplace")
    with tempfile.TemporaryDirectory() as place:
        os.environ["HOME"] = place  # for run.out = "~"
        files = Path(place, "files")
        files.mkdir()
        prepared(files)
        for seed in range(args.seed, args.seed + args.cases):
            made, folder = case(seed), Path(place, "work", str(seed))
            shutil.copytree(files, folder, copy_function=os.link)
            os.chdir(folder)
            try:
                with limited(LIMIT):
                    found = outcome(made, comm)
            except Failure as failure:
                failures += 1
                found = "failed"
                print(
                    f"--- seed {seed}, {'command' if made.by_command else 'solve'}\n{short(str(made))}\n{short(str(failure))}",
                    flush=True,
                )
                if not args.keep_going:
                    return 1
            counted[found.partition(":")[0]] += 1
            if args.verbose:
                print(seed, short(found)[:300], flush=True)
            os.chdir(place)
            shutil.rmtree("work", ignore_errors=True)
    print(json.dumps(counted))
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
