"""Compare the speed of two checkouts: python benchmarks/versions.py OTHER [REPETITIONS [CASE]].

Each command runs in turn on OTHER and on this checkout, with the same Python and libraries, so that
both meet the same load of the machine. CASE selects the cases whose name begins with it. Printed
are the medians of processor time, of all ranks, and the median of the ratios of pairs, this
checkout over OTHER. Ranks that wait sleep (under MPICH), so that their waiting does not count;
those of W @ x do not sleep, as the wait for a message is a part of it. Byte code is cached, as it
is in an installed package: a first run of each case, which fills the cache, is not counted. The
demo is that of OTHER for both, as an older version may not know every key of a newer one.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent.parent
GOSSIP = HERE / "benchmarks" / "versions_gossip.py"
QUADRATIC = ["problem.name=quadratic", "run.agents=8", "run.evaluate_every=1000"]
CASES: dict[str, tuple[int, list[str]]] = {
    "mpidbo --help": (1, ["--help"]),
    "one iteration": (1, [*QUADRATIC, "run.iterations=1"]),
    "one iteration, 4 ranks": (4, [*QUADRATIC, "run.iterations=1"]),
    "3000 iterations, 8 agents, p = q = 10": (1, [*QUADRATIC, "run.iterations=3000"]),
    "3000 iterations, 8 agents, 2 ranks": (2, [*QUADRATIC, "run.iterations=3000"]),
    "demo, 300 iterations, 1 process": (1, ["examples/demo/demo.toml", "run.iterations=300"]),
    "demo, 300 iterations, 2 ranks": (2, ["examples/demo/demo.toml", "run.iterations=300"]),
    "W @ x, 1e3 floats, 2 ranks": (2, [str(GOSSIP), "1000"]),
    "W @ x, 1e5 floats, 2 ranks": (2, [str(GOSSIP), "100000"]),
    "W @ x, 1e6 floats, 2 ranks": (2, [str(GOSSIP), "1000000"]),
}
"""What is timed -> ranks, and a command, a script or the values of a configuration."""


def command(ranks: int, words: list[str], other: Path, folder: Path) -> list[str]:
    """The command line of a case; files of a checkout are those of `other`."""
    mpiexec = Path(sys.executable).with_name("mpiexec")
    launcher = [str(mpiexec), "-n", str(ranks)] if ranks > 1 else []
    if words[0].endswith(".py"):
        return [*launcher, sys.executable, *words]
    python = [sys.executable, "-m", "mpidbo"]
    if words[0].startswith("-"):
        return [*python, *words]
    config = folder / "empty.toml"
    config.write_text("")
    if words[0].endswith(".toml"):
        config, words = other / words[0], words[1:]
    options = [word for value in words for word in ("--set", value)]
    run = [*python, "run", str(config), *options, "--out", str(folder / "out")]
    return [*launcher, *run, "--resume", "never"]


def processor_time(checkout: Path, line: list[str], cache: str) -> float:
    """Seconds of user and system time of a command and all that it starts."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": cache}
    if str(GOSSIP) not in line:
        environment["MPIR_CVAR_ENABLE_HEAVY_YIELD"] = "1"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # in a folder of its own: `python -m` would import the package of the working folder
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(line, env=environment, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{checkout}: {' '.join(line)}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Time every case on both checkouts, and print a row for each."""
    other = Path(sys.argv[1]).resolve()
    repetitions = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    wanted = sys.argv[3] if len(sys.argv) > 3 else ""
    print(f"{'':40}{'other, s':>10}{'this, s':>10}{'ratio':>8}")
    for name, (ranks, words) in CASES.items():
        if not name.startswith(wanted):
            continue
        pairs = []
        with tempfile.TemporaryDirectory() as folder:
            line, cache = command(ranks, words, other, Path(folder)), f"{folder}/cache"
            for _ in range(repetitions + 1):
                pairs.append([processor_time(tree, line, cache) for tree in (other, HERE)])
        del pairs[0]
        theirs, ours = (median(times) for times in zip(*pairs, strict=True))
        ratio = median(new / old for old, new in pairs)
        print(f"{name:40}{theirs:10.2f}{ours:10.2f}{ratio:8.2f}", flush=True)


if __name__ == "__main__":
    main()
