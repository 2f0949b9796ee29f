"""Random configurations, right ones and such with odd values: each ends, or is refused in a
sentence.

python tests/fuzzing/fuzz.py --seed 0 --cases 2000      # in this process; under mpiexec on all
ranks
"""

import argparse
import contextlib
import faulthandler
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

import fuzz_problems
import tomli_w
from fuzz_cases import Case, case, prepared

import mpidbo
from mpidbo import cli
from mpidbo.cli import program
from mpidbo.errors import Diverged, MpidboError
from mpidbo.parallel.launcher import launched

LIMIT = 60
"""Seconds for a case."""
FEW = 5
"""Iterations where a case says none: the default may take minutes."""
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
    """How the case ends, in the working folder, with its files in `out` and `runs`."""
    printed: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *where, **more: printed.append(
            f"{category.__name__}: {message}"
        )
        ends = [attempt(made, comm) for _ in range(2 if made.again else 1)]
    odd = (t for t in printed if not t.startswith("UserWarning: ") or len(t) > LETTERS)
    warned = [f"failed: warns: {text}" for text in odd]
    return next((end for end in (*ends, *warned) if end.startswith("failed")), ends[0])


def attempt(made: Case, comm: Any) -> str:
    try:
        return command(made, comm) if made.by_command else in_python(made, comm)
    except Failure as failure:
        return f"failed: {failure}"
    except BaseException as error:
        if traceback.extract_tb(error.__traceback__)[-1].filename == fuzz_problems.__file__:
            return "user's own"
        return f"failed: {''.join(traceback.format_exception(error))}"


def command(made: Case, comm: Any) -> str:
    if isinstance(run := made.tables.get("run"), dict):
        run.setdefault("iterations", FEW)
    if comm is None or comm.rank == 0:
        Path("config.toml").write_text(tomli_w.dumps(made.tables))
    together(comm, "")
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
    if comm is not None and comm.rank > 0 and code in (2, 3):  # rank 0 speaks for all
        return "refused" if code == 2 else "diverged"
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
    sections["iterations"] = FEW
    if isinstance(run, dict) and all(
        isinstance(key, str) and key not in ("comm", "self") for key in run
    ):
        sections |= run
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
def limited(seconds: int, comm: Any) -> Iterator[None]:
    """TimeoutError after so many seconds; on several ranks, which may wait inside MPI, the end
    of the job."""
    if comm is not None:
        faulthandler.dump_traceback_later(seconds, exit=True)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
        return

    def late(*_: Any) -> None:
        raise TimeoutError(f"a hang: not over after {seconds} s")

    usual = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)


def tried(seed: int, place: Path, comm: Any) -> str:
    """How the case of that number ends, the same on all ranks, in a folder of its own."""
    made, folder = case(seed, 1 if comm is None else comm.size), place / "work" / str(seed)
    if comm is None or comm.rank == 0:
        shutil.copytree(place / "files", folder, copy_function=os.link)
    together(comm, "")
    os.chdir(folder)
    with limited(LIMIT, comm):
        found = outcome(made, comm)
    if found.startswith("failed: "):
        how = "command" if made.by_command else "solve"
        found = f"failed: seed {seed}, {how}\n{short(str(made))}\n{short(found[8:])}"
    os.chdir(place)
    everyone = together(comm, found)
    if len({text.partition(":")[0] for text in everyone}) > 1:
        return "failed: ranks differ: " + " | ".join(everyone)
    return found


def together(comm: Any, text: str) -> list[str]:
    """Every rank's text, when all are here."""
    return [text] if comm is None else comm.allgather(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="the number of the first case")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--verbose", action="store_true", help="print how each case ends")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at a failure")
    args = parser.parse_args()
    comm = cli.comm_world() if launched()[0] > 1 else None
    program.comm_world = lambda: comm
    root = comm is None or comm.rank == 0
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.stdout.reconfigure(errors="backslashreplace")
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as own:
        place = Path(together(comm, own)[0])
        os.environ["HOME"] = str(place)  # for run.out = "~"
        if root:
            (place / "files").mkdir()
            prepared(place / "files")
        for seed in range(args.seed, args.seed + args.cases):
            if root and args.verbose:
                print(seed, end=" ", flush=True)
            found = tried(seed, place, comm)
            counted[found.partition(":")[0]] += 1
            if root and found.startswith("failed"):
                print(f"--- {found}", flush=True)
            elif root and args.verbose:
                print(short(found)[:300], flush=True)
            if root:
                shutil.rmtree(place / "work", ignore_errors=True)
            if found.startswith("failed") and not args.keep_going:
                break
        together(comm, "")
    if root:
        print(json.dumps(counted))
    return int(counted["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
