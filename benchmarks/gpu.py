"""All of mpidbo that wants a GPU, on one GPU: tests, agreement with the CPU, speed. Needs no network, and takes 8 minutes at most.

    python benchmarks/gpu.py [tests agree copy mlp many buffers gaps | all] [--out FILE.md]

with CuPy, mpi4py, an MPI and what mpidbo imports; the checkout on PYTHONPATH will do. Each part is a process of its own with a bound
on its time; a part that lacks a package says so, and the others go on. Without a GPU: one sentence and exit code 2; 1 means that a test
failed, that CPU and GPU disagree, or that a part met an error. gpu_parts.py has the parts, gpu_ranks.py what runs under mpiexec.
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
    "copy": "updates and mixing sums against a copy on the device: bytes that must move by time; the aim is 85 % at 1e7 floats",
    "mlp": "an iteration of sparkle-ed-gt on hyper-cleaning with perceptrons, 784-HIDDEN-10; its oracles against plain matrix products of "
           "the same shapes",
    "many": "ranks and agents that share one GPU, milliseconds an iteration of sparkle-ed-gt",
    "buffers": "W @ s between two ranks on one GPU, and what extra hides of the exchange behind the oracle",
    "gaps": "an iteration's wall time against the time of its kernels, queued without a gap",
}
MEANINGLESS = "computed on a stand-in for CuPy: the numbers mean nothing, they only show that the script runs"


def lines_of(name: str, stand_in: bool, limit: float) -> tuple[int, list[Any]]:
    """(exit code, what a part tells): dictionaries are rows of its table, texts are sentences below it."""
    command = [sys.executable, str(HERE / "gpu_parts.py"), name, *["--stand-in"] * stand_in]
    path = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH", ""))))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=os.environ | {"PYTHONPATH": path})
    late = []

    def end() -> None:
        late.append(True)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = Timer(limit, end)
    timer.start()
    told = []
    with process:
        for line in process.stdout or ():
            with suppress(ValueError):
                told.append(json.loads(line))
    timer.cancel()
    if late:
        told.append(f"ended after {limit:g} s: what is missing here was not measured")
    elif process.returncode not in (0, 1, 2):
        told.append(f"ended early, with exit code {process.returncode}: what is missing here was not measured; see standard error")
    return process.returncode, told


def table(rows: list[dict[str, Any]], *, markdown: bool) -> str:
    """Rows of the same keys under one head; a new head where the keys change."""
    text, keys = [], None
    for row in rows:
        if list(row) != keys:
            keys = list(row)
            text += [*([""] if text else []), keys, *([["---"] * len(keys)] if markdown else [])]
        text.append([f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row.values()])
    if markdown:
        return "\n".join("| " + " | ".join(line) + " |" if line else "" for line in text)
    widths = [max(len(line[i]) for line in text if i < len(line)) for i in range(max(map(len, text), default=0))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=False)) for line in text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*SECONDS, "all"], default="all")
    parser.add_argument("--out", type=Path, help="a Markdown file for the tables")
    parser.add_argument("--stand-in", action="store_true", help="for tests: tiny sizes on tests/standin in place of CuPy")
    given = parser.parse_args()
    code, told = lines_of("device", given.stand_in, 60)
    if code or not told:
        print(f"no GPU: {told[0] if told else 'the part that looks for one said nothing'}")
        return 2
    facts = {"date": date.today().isoformat(), **told[0]}
    pages = ["# Measured on a GPU", table([facts], markdown=True), *[MEANINGLESS] * given.stand_in]
    print("\n".join(f"{key}: {value}" for key, value in facts.items()), *[MEANINGLESS] * given.stand_in, sep="\n", flush=True)
    worst = 0
    for name in SECONDS if "all" in given.parts else dict.fromkeys(given.parts):
        code, told = lines_of(name, given.stand_in, SECONDS[name] * (4 if given.stand_in else 1))
        rows, notes = ([line for line in told if isinstance(line, kind)] for kind in (dict, str))
        print(f"\n{name}: {ABOUT[name]}", table(rows, markdown=False), *notes, sep="\n", flush=True)
        pages += [f"## {name}", ABOUT[name].capitalize() + ".", table(rows, markdown=True), *notes]
        if given.out:
            given.out.write_text("\n\n".join(filter(None, pages)) + "\n", encoding="utf-8")
        worst = max(worst, int(code > 0))
    return worst


if __name__ == "__main__":
    sys.exit(main())
