"""Kill runs at random moments and resume them on a random number of ranks: `make soak`.

    python benchmarks/soak.py [RUNS] [SEED]

Every result must be bitwise that of the run without interruption; no complete checkpoint may be
lost, damaged or skipped, whether one or two are kept. Kills that leave an incomplete checkpoint
happened while one was written, and are counted.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))

from support import SLOW, launch  # noqa: E402
from support.runs import kept, same, toml  # noqa: E402

TABLES = {
    "problem.name": f"{SLOW}:Slow",
    "problem.noise": 0.3,
    "problem.p": 30,
    "problem.q": 40,
    "method.name": "sparkle-ed-gt",
    "steps.alpha": 0.002,
    "run.agents": 8,
    "run.iterations": 150,
    "run.evaluate_every": 10,
    "checkpoint.every": 3,
}
RANKS = (None, 2, 3, 4)
WITHIN = "+"


class Fault(AssertionError):
    """A wrong behaviour of a restart."""


def newest(out: Path) -> int:
    """The iteration of the newest complete checkpoint, or -1."""
    with suppress(FileNotFoundError):
        return max(
            (at for at in kept(out) if (out / "checkpoints" / str(at) / "manifest.json").exists()),
            default=-1,
        )
    return -1


def unfinished(out: Path) -> set[tuple[int, int]]:
    """The incomplete checkpoints, each with the time of its last change."""
    with suppress(FileNotFoundError):
        places = [out / "checkpoints" / str(at) for at in kept(out)]
        return {
            (int(place.name), place.stat().st_mtime_ns)
            for place in places
            if not (place / "manifest.json").exists()
        }
    return set()


def processes(mark: str) -> list[int]:
    """The ids of the ranks, without those of the launcher."""
    found = []
    for pid in launch.marked(mark):
        with suppress(OSError, IndexError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if Path(words[0].decode()).name.startswith("python") and b"mpidbo" in words:
                found.append(pid)
    return found


def attempt(path: Path, out: Path, dice: random.Random, kill: bool) -> tuple[bool, str]:
    """(whether the run has finished, what was done to it)."""
    ranks, mark, before, left = dice.choice(RANKS), uuid.uuid4().hex, newest(out), unfinished(out)
    env = launch.environment(
        {
            launch.MARK: mark,
            "MPIDBO_TEST_DRAW": "0.0005" if kill else "0",
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        }
    )
    words = launch.command(
        ranks,
        [
            "-m",
            "mpidbo",
            "run",
            path,
            "--out",
            out,
            "--set",
            f"checkpoint.keep={dice.choice((1, 2))}",
        ],
    )
    segments: set[Path] = set()
    early, whom, limit = dice.random() < 0.1, dice.choice(("one", "all")), time.monotonic() + 120
    with subprocess.Popen(
        words,
        env=env,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            if kill:
                while (
                    not early
                    and process.poll() is None
                    and newest(out) <= before
                    and time.monotonic() < limit
                ):
                    time.sleep(0.005)
                time.sleep(dice.uniform(0, 1.5 if early else 0.4))
                pids = processes(mark)
                segments = {segment for pid in pids for segment in launch.shared_memory(pid)}
                for pid in pids if whom == "all" else dice.sample(pids, min(1, len(pids))):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            printed, err = process.communicate(timeout=120)
        finally:
            launch.end(process, mark)
            for segment in segments:  # killed ranks cannot remove them
                segment.unlink(missing_ok=True)
    if (
        "damaged" in printed
        or "missing" in printed
        or (before >= 0 and "STARTING FROM ITERATION 0" in printed)
    ):
        raise Fault(f"a complete checkpoint was skipped: {printed}")
    if (
        before >= 0
        and "resuming" in printed
        and f"resuming from iteration {before}\n" not in printed
    ):
        raise Fault(f"not from the newest checkpoint, {before}: {printed}")
    if newest(out) < before:
        raise Fault(
            f"the checkpoint of iteration {before} is lost, the newest is {newest(out)}: {printed}"
        )
    if process.returncode != 0 and not kill:
        raise Fault(f"exit code {process.returncode}: {printed}{err}")
    if process.returncode == 0:
        return True, "finished"
    all_ranks = "*" if whom == "all" else ""
    within = WITHIN if unfinished(out) - left else ""
    return False, f"{ranks or 1}{all_ranks}@{max(newest(out), 0)}{within}"


def soak(folder: Path, runs: int, seed: int, most: int = 3) -> tuple[int, int]:
    """(kills that hit, those of them while a checkpoint was written); raises Fault."""
    dice, kills, within = random.Random(seed), 0, 0
    path = toml(folder, TABLES)
    whole = launch.mpirun(
        None, ["-m", "mpidbo", "run", path, "--out", folder / "whole"], timeout=120
    )
    if whole.returncode:
        raise Fault(whole.stderr)
    for number in range(runs):
        out, finished, hits = folder / f"run{number}", False, []
        for _ in range(dice.randint(1, most)):
            if not finished:
                finished, what = attempt(path, out, dice, kill=True)
                hits += [] if finished else [what]
        if not finished:
            attempt(path, out, dice, kill=False)
        equal = same(folder / "whole", out)
        kills += len(hits)
        within += sum(hit.endswith(WITHIN) for hit in hits)
        result = "equal" if equal else "DIFFERENT"
        print(f"run {number}: killed {' '.join(hits) or 'never'}; {result}", flush=True)
    return kills, within


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(10**6)
    print(
        f"{runs} runs, seed {seed}; RANKS@ITERATION of each kill, * for all ranks at once, "
        f"{WITHIN} while a checkpoint was written",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        kills, within = soak(Path(folder), runs, seed)
    print(
        f"{runs} runs, {kills} kills, {within} of them while a checkpoint was written: "
        "every result equals that of the run without interruption"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
