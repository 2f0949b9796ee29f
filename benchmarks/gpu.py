"""Tests, agreement with the CPU and speed on one GPU, without a network, in at most 8 minutes.

    python benchmarks/gpu.py [tests agree copy mlp many buffers gaps | all] [--out FILE.md]

It needs CuPy, mpi4py, an MPI library and the dependencies of mpidbo; PYTHONPATH may name the
checkout. Each part is a process with a time limit; a part that lacks a package reports it, and the
others continue. Without a GPU the script prints one sentence and returns 2; it returns 1 if a test
fails, CPU and GPU disagree, or a part has an error. gpu_parts.py contains the parts, gpu_ranks.py
those that run under mpiexec.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import date
from pathlib import Path
from threading import Timer
from typing import Any

HERE = Path(__file__).resolve().parent
SECONDS = {"tests": 100, "agree": 50, "copy": 60, "mlp": 100, "many": 90, "buffers": 50, "gaps": 25}
ABOUT = {
    "tests": "the tests marked gpu",
    "agree": "the largest relative difference of x, y between a run on the CPU and one on the GPU",
    "copy": "updates and mixing sums against a copy on the device: bytes that must be moved per "
    "second; the goal is 85 % at 1e7 floats",
    "mlp": "an iteration of sparkle-ed-gt on hyper-cleaning with perceptrons, 784-HIDDEN-10; its "
    "oracles against plain matrix products of the same shapes",
    "many": "ranks and agents that share one GPU, milliseconds per iteration of sparkle-ed-gt",
    "buffers": "W @ s between two ranks on one GPU, and how much of the exchange extra overlaps "
    "with the oracle",
    "gaps": "an iteration's wall time against the time of its kernels, queued without a gap",
}
MEANINGLESS = "computed on a stand-in for CuPy: the numbers only show that the script runs"


def lines_of(name: str, stand_in: bool, limit: float) -> tuple[int, list[Any]]:
    """(exit code, output of a part): dictionaries are rows of its table, strings are notes."""
    command = [sys.executable, str(HERE / "gpu_parts.py"), name, *["--stand-in"] * stand_in]
    path = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH", ""))))
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    late = []

    def end() -> None:
        late.append(True)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = Timer(limit, end)
    timer.start()
    found = []
    with process:
        for line in process.stdout or ():
            with suppress(ValueError):
                found.append(json.loads(line))
    timer.cancel()
    if late:
        found.append(f"ended after {limit:g} s: what is missing here was not measured")
    elif process.returncode not in (0, 1, 2):
        found.append(
            f"ended early, with exit code {process.returncode}: what is missing here was not "
            "measured; see standard error"
        )
    return process.returncode, found


def table(rows: list[dict[str, Any]], *, markdown: bool) -> str:
    """Format rows with the same keys under one header; a new header where the keys change."""
    text, keys = [], None
    for row in rows:
        if list(row) != keys:
            keys = list(row)
            text += [*([""] if text else []), keys, *([["---"] * len(keys)] if markdown else [])]
        text.append(
            [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row.values()]
        )
    if markdown:
        return "\n".join("| " + " | ".join(line) + " |" if line else "" for line in text)
    widths = [
        max(len(line[i]) for line in text if i < len(line))
        for i in range(max(map(len, text), default=0))
    ]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=False))
        for line in text
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*SECONDS, "all"], default="all")
    parser.add_argument("--out", type=Path, help="a Markdown file for the tables")
    parser.add_argument(
        "--stand-in",
        action="store_true",
        help="for tests: tiny sizes on tests/support/standin in place of CuPy",
    )
    given = parser.parse_args()
    code, found = lines_of("device", given.stand_in, 60)
    if code or not found:
        print(f"no GPU: {found[0] if found else 'the part that looks for one printed nothing'}")
        return 2
    facts = {"date": date.today().isoformat(), **found[0]}
    pages = ["# Measured on a GPU", table([facts], markdown=True), *[MEANINGLESS] * given.stand_in]
    print(
        "\n".join(f"{key}: {value}" for key, value in facts.items()),
        *[MEANINGLESS] * given.stand_in,
        sep="\n",
        flush=True,
    )
    worst = 0
    for name in SECONDS if "all" in given.parts else dict.fromkeys(given.parts):
        code, found = lines_of(name, given.stand_in, SECONDS[name] * (4 if given.stand_in else 1))
        rows, notes = ([line for line in found if isinstance(line, kind)] for kind in (dict, str))
        print(f"\n{name}: {ABOUT[name]}", table(rows, markdown=False), *notes, sep="\n", flush=True)
        pages += [f"## {name}", ABOUT[name].capitalize() + ".", table(rows, markdown=True), *notes]
        if given.out:
            given.out.write_text("\n\n".join(filter(None, pages)) + "\n", encoding="utf-8")
        worst = max(worst, int(code > 0))
    return worst


if __name__ == "__main__":
    sys.exit(main())
