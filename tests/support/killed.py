"""A run that is restarted from its checkpoint and killed within a second, again and again:
python killed.py CONFIG OUT KEEP KILLS SEED.

Each start is a fork of this process, which has imported everything. Half of the kills wait for the
first file of a new checkpoint. After each the newest checkpoint must be verified, and no older than
before. Prints how many kills fell into the writing of a checkpoint.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.modules["mpi4py"] = None  # killed, MPICH would leave its shared memory behind

from mpidbo import cli  # noqa: E402
from mpidbo.storage import manifest  # noqa: E402


def unfinished(out):
    return [
        path for path in (out / "checkpoints").iterdir() if not (path / manifest.MANIFEST).exists()
    ]


def start(words, log):
    """The process of a run."""
    pid = os.fork()
    if pid == 0:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os._exit(cli.main(words))
    return pid


def attempt(words, out, keep, dice):
    """Restart and kill; whether that fell into the writing of a checkpoint."""
    before = manifest.newest_complete(out)
    left, log = unfinished(out), out.parent / f"{out.name}.log"
    log.write_text("")  # the process may be killed before it has opened it
    pid, began = start(words, log), time.monotonic()
    if dice.random() < 0.5:
        while time.monotonic() < began + 1 and unfinished(out) == left:
            time.sleep(0.0005)
        time.sleep(dice.uniform(0, 0.01))
    else:
        time.sleep(dice.uniform(0, 1))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    printed = log.read_text()
    assert os.WIFSIGNALED(status), f"ended before it was killed: {printed}"
    assert "resuming" not in printed or f"resuming from iteration {before}\n" in printed, printed
    assert "STARTING" not in printed and "damaged" not in printed, printed
    complete, _ = manifest.listed(out / manifest.FOLDER)
    newest, _ = manifest.newest_rows(out, "x")
    assert newest == int(complete[0].name) >= before and len(complete) >= keep, (
        f"{before}, then {complete}"
    )
    return unfinished(out) not in ([], left)


def main(config, out, keep, kills, seed):
    dice, out = random.Random(int(seed)), Path(out)
    words = ["run", config, "--out", str(out), "--set", f"checkpoint.keep={keep}"]
    assert cli.main([*words, "--set", "run.iterations=4"]) == 0
    within = sum(attempt(words, out, int(keep), dice) for _ in range(int(kills)))
    print(
        f"{within} of {kills} kills while a checkpoint was written, the newest is of iteration "
        f"{manifest.newest_complete(out)}"
    )
    os.environ["MPIDBO_TEST_DRAW"] = "0"
    assert cli.main([*words, "--set", "checkpoint.every=0"]) == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
