"""(s) Ranks that outnumber the cores: the README's first configuration on 1 and on 8 ranks.

    python benchmarks/crowded.py [OTHER]

Whole commands are timed in turn, with the processor time of all their processes; with OTHER also
those of another checkout.
"""

import os
import resource
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from run import HERE, mpiexec

ROUNDS, RANKS = 3, (1, 8)


def first_configuration() -> str:
    """The text of first.toml in the README."""
    blocks = (HERE.parent / "README.md").read_text().split("```toml\n")[1:]
    return next(block.split("```")[0] for block in blocks if block.startswith("# first.toml"))


def seconds(ranks: int, config: Path, checkout: Path) -> tuple[float, float]:
    """Seconds of a run, and of the processors."""

    def processors() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    os.environ["PYTHONPATH"] = str(checkout)
    began, before = perf_counter(), processors()
    with TemporaryDirectory() as out:
        words = "-m", "mpidbo", "run", str(config), "--out", f"{out}/run"
        # Elsewhere than in a checkout, of which Python would take the package.
        how = {"timeout": 300, "cwd": out, "capture_output": True, "text": True}
        done = mpiexec(ranks if ranks > 1 else 0, *words, **how)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return perf_counter() - began, processors() - before


def main() -> None:
    checkouts = dict(zip(("this", "other"), [HERE.parent, *map(Path, sys.argv[1:2])], strict=False))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start", flush=True)
    taken: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with TemporaryDirectory() as folder:
        config = Path(folder) / "first.toml"
        config.write_text(first_configuration())
        for _ in range(ROUNDS):
            for name, checkout in checkouts.items():
                for ranks in RANKS:
                    found = seconds(ranks, config, checkout)
                    taken.setdefault((name, ranks), []).append(found)
    for (name, ranks), times in taken.items():
        wall, processor = (median(part) for part in zip(*times, strict=True))
        alone = taken[name, 1]
        ratio = median(a[0] / b[0] for a, b in zip(times, alone, strict=True))
        print(
            f"(s) {name}, {ranks} ranks: {wall:.2f} s, {processor:.2f} s of the processors, "
            f"{ratio:.1f} times one process",
            flush=True,
        )


if __name__ == "__main__":
    main()
