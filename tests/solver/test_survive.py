"""`run.survive`: a run continues when ranks die, with the bits of a run in which none does."""

import json
import re
import sys

import pytest

from mpi.ranks_solve import DIGRAPHS
from mpidbo import cli
from mpidbo.storage import files
from support import MPI, SUPPORT, launch, runs, standin

pytestmark = [pytest.mark.survive, pytest.mark.timeout(240)]
FAULT_TOLERANT = ("--with-ft", "ulfm")
NOTE = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: (rank \d+ \(process \d+ on [^)]+\)(?: and rank .*)?) died; "
    r"(\d+) of (\d+ ranks?) resume from iteration (\d+)(?: of \d+)?, after \d+\.\d{3} s$",
    re.MULTILINE,
)
BASE = {
    **runs.QUADRATIC,
    "run.agents": 6,
    "run.iterations": 40,
    "run.survive": 4,
    "run.stall_timeout": 60,
    "checkpoint.every": 15,
    "method.name": "sparkle-ed-gt",
}
WIDE = {
    **{key: value for key, value in BASE.items() if not key.startswith("problem.")},
    "problem.name": f"{MPI / 'ranks_overlap.py'}:Noisy",
    "problem.d": 20_000,
}
AUTO = {f"steps.{key}": "auto" for key in ("alpha", "beta", "gamma")}
CASES = {
    "an iteration": (2, "1:iteration:13", {}),
    "a call": (2, "1:call:300", {}),
    "rank 0": (3, "0:iteration:19", {}),
    "two at once": (5, "1:iteration:17 3:iteration:17", {}),
    "one after the other": (4, "3:iteration:10 0:iteration:25", {}),
    "an evaluation": (3, "2:evaluation:4", {}),
    "an evaluation of rank 0": (2, "0:evaluation:3", {}),
    "a checkpoint": (3, "1:checkpoint:1", {}),
    "a manifest": (3, "0:manifest:1", {}),
    "a copy": (3, "1:copy:3", {}),
    "a copy under way": (3, "0:copied:4", {}),
    "a recovery": (4, "1:iteration:12 3:recovery:1", {}),
    "a new setup": (4, "1:iteration:16 3:setup:2", {}),
    "a communicator being made": (4, "1:iteration:13 3:settling:3", {}),
    "a communicator just made": (4, "1:iteration:13 3:settling:3+", {}),
    "a graph being made": (4, "1:iteration:13 3:settling:4", {}),
    "the dealing": (4, "2:iteration:30 0:dealing:2", {}),
    "the result": (3, "0:result:1", {}),
    "two neighbours, with two buddies": (
        4,
        "1:iteration:20 2:iteration:20",
        {"run.buddies": 2, "checkpoint.every": 0},
    ),
    "failing links": (3, "1:iteration:22", {"topology": {"name": "ring", "drop": 0.3}}),
    "changing graphs": (
        3,
        "0:iteration:19",
        {
            "method.name": "sparkle-gt",
            "topology": {"upper": {"name": "matching"}, "lower": {"name": "ring", "every": 3}},
        },
    ),
    "directed graphs": (
        3,
        "2:iteration:21",
        {"method.name": "sparkle-push-pull", "topology": DIGRAPHS},
    ),
    "compressed": (
        3,
        "1:iteration:22",
        {
            "method.name": "sparkle",
            "method.upper": {"name": "choco", "compress": "top-k", "k": 2},
            "method.lower": {"name": "beer", "compress": "random-k", "k": 3},
        },
    ),
    "personal": (3, "1:iteration:13", {"method.name": "lopa-gt"}),
    "the best": (3, "0:iteration:27", {"run.best": {"metric": "upper_loss", "mode": "min"}}),
    "long rows": (3, "1:iteration:13", WIDE),
    "overlapping": (3, "2:iteration:9", {**WIDE, "run.overlap": True}),
    "found step sizes": (3, "0:iteration:170", AUTO),
    "the search for step sizes": (3, "1:iteration:100", AUTO),
    "a GPU": (3, "1:iteration:17", {"run.device": "cuda"}),
}


@pytest.fixture
def mortal(mpi, tmp_path):
    """mortal(ranks, deaths, tables) -> the folder of a run in which ranks die, and its output."""
    if not launch.is_openmpi():
        pytest.skip("MPICH ends a job in which a process has died")

    def start(ranks, deaths, tables, code=0, failures=10):
        out = tmp_path / "died"
        words = [SUPPORT / "dying.py", "run", runs.toml(tmp_path, tables), "--out", out]
        env = {
            "MPIDBO_TEST_DEATHS": deaths,
            "MPIDBO_TEST_LIMIT": "100",
            "MPIDBO_TEST_FAILURES": str(failures),
            "PYTHONPATH": ":".join([str(standin.folder(tmp_path / "cupy")), *sys.path]),
            "PYTHONWARNINGS": "ignore",
            "OMPI_MCA_mpi_yield_when_idle": "1",
        }
        done = mpi(ranks, words, env=env, timeout=120, options=FAULT_TOLERANT)
        assert done.returncode == code, done.stdout + done.stderr
        return out, done

    return start


@pytest.mark.parametrize("case", CASES)
def test_the_same_bits(case, mortal, tmp_path):
    ranks, deaths, more = CASES[case]
    tables = more if more.get("problem.d") else {**BASE, **more}
    runs.run(runs.toml(tmp_path, tables), tmp_path / "whole", run__device="cpu")
    out, done = mortal(ranks, deaths, tables)
    assert runs.same(tmp_path / "whole", out)
    notes = NOTE.findall((out / files.SURVIVED).read_text())
    gone = {f"rank {death.split(':')[0]}" for death in deaths.split()}
    assert {*re.findall(r"rank \d+", " ".join(note[0] for note in notes))} == gone
    assert int(notes[-1][1]) == ranks - len(gone)
    if case != "the search for step sizes":
        assert all(int(note[3]) > 0 for note in notes)  # not the start, since there were copies
    assert len(NOTE.findall(done.stdout)) == len(notes)
    assert not (out / ".lock").exists()


def test_without_copies_it_goes_on_from_the_newest_checkpoint(mortal, tmp_path):
    tables = {**BASE, "checkpoint.every": 6, "run.survive": 30}
    runs.run(runs.toml(tmp_path, tables), tmp_path / "whole")
    out, _ = mortal(4, "1:iteration:25 2:iteration:25", tables)  # 2 has the copy of 1
    assert runs.same(tmp_path / "whole", out)
    (note,) = NOTE.findall((out / files.SURVIVED).read_text())
    assert int(note[3]) in (12, 18, 24)


def test_without_copies_and_checkpoint_the_same_command_starts_again(mortal, tmp_path):
    tables = {**BASE, "checkpoint.every": 0}
    runs.run(runs.toml(tmp_path, tables), tmp_path / "whole")
    out, done = mortal(4, "1:iteration:25 2:iteration:25", tables, code=85)
    assert re.search(
        r"mpidbo: run.survive: rank 1 \(.*\) and rank 2 \(.*\) died, and with them all copies of "
        r"some agents' rows since iteration 2[04]; there is no checkpoint; the same command",
        done.stderr,
    )
    runs.run(runs.toml(tmp_path, tables), out)
    assert runs.same(tmp_path / "whole", out)


def test_after_too_many_recoveries_it_goes_on_from_the_newest_checkpoint(mortal, tmp_path):
    tables = {**BASE, "checkpoint.every": 10}
    runs.run(runs.toml(tmp_path, tables), tmp_path / "whole")
    out, _ = mortal(3, "1:checkpoint:2", tables, failures=0)  # only once the first is complete
    assert runs.same(tmp_path / "whole", out)
    (note,) = NOTE.findall((out / files.SURVIVED).read_text())
    assert int(note[3]) == 10


def test_after_one_more_the_batch_system_is_to_start_it_again(mortal, tmp_path):
    tables = {**BASE, "checkpoint.every": 10}
    runs.run(runs.toml(tmp_path, tables), tmp_path / "whole")
    out, done = mortal(4, "1:checkpoint:2 3:settling:4", tables, code=85, failures=0)
    assert "mpidbo: run.survive: 2 recoveries in a row have failed; the same" in done.stderr
    runs.run(runs.toml(tmp_path, tables), out)
    assert runs.same(tmp_path / "whole", out)


def test_a_death_that_some_ranks_notice_before_the_run_has_begun(mortal, tmp_path):
    runs.run(runs.toml(tmp_path, BASE), tmp_path / "whole")
    out, _ = mortal(4, "1:observing:1+ 2:observing:1!", BASE)
    assert runs.same(tmp_path / "whole", out)


def test_where_mpi_fails_for_those_that_are_left_the_job_ends(mortal):
    _, done = mortal(4, "1:iteration:15 3:shrinking:1!", BASE, code=85)
    assert "mpidbo: run.survive: MPI fails for the ranks that are left (" in done.stderr


LOCAL = """
import os
from mpidbo.problems.quadratic import Quadratic

class Local(Quadratic):
    def __init__(self, agent, n_agents, **more):
        super().__init__(agent, n_agents, **more)
        own = os.environ["OMPI_COMM_WORLD_RANK"]  # each rank has the data of its first two agents
        if agent // 2 != int(own):
            open(f"/local/data-{agent}.csv")
"""


def test_what_only_a_dead_rank_could_read_ends_the_run_with_its_name(mortal, tmp_path):
    (tmp_path / "local.py").write_text(LOCAL)
    tables = {key: value for key, value in BASE.items() if not key.startswith("problem.")}
    out, done = mortal(3, "1:iteration:25", {**tables, "problem.name": "local.py:Local"}, code=2)
    message = "which another rank had, cannot be made on this one (FileNotFoundError: "
    assert done.stderr.count("mpidbo: ") == 1 and message in done.stderr, done.stderr
    assert "/local/data-" in done.stderr
    assert (out / "checkpoints" / "15").is_dir()


LOSSES = """
import numpy as np
import {module} as framework
import mpidbo

def data(agent):
    rng = np.random.default_rng([7, agent])
    return rng.standard_normal((12, 3)), rng.standard_normal(12)

def f(x, y, batch):
    return ((batch[0] @ y["w"] - batch[1]) ** 2).mean()

def g(x, y, batch):
    return f(x, y, batch) + (framework.exp(x) * y["w"] ** 2).sum()

zero = framework.zeros(3)
problem = mpidbo.from_{name}(f, g, x0=zero, y0={{"w": zero}}, data=data, val_data=data, batch=4)
"""


@pytest.mark.parametrize("module", ["torch", "jax.numpy"])
def test_losses_whose_data_are_a_function(module, mortal, tmp_path):
    pytest.importorskip(module)
    name, _, _ = module.partition(".")
    (tmp_path / "losses.py").write_text(LOSSES.format(module=module, name=name))
    tables = {key: value for key, value in BASE.items() if not key.startswith("problem.")}
    tables["problem.name"] = "losses.py:problem"
    runs.run(runs.toml(tmp_path, tables), tmp_path / "whole")
    out, _ = mortal(3, "0:iteration:13 2:iteration:29", tables)
    assert runs.same(tmp_path / "whole", out)


def test_shown(mortal, tmp_path, capsys):
    out, _ = mortal(2, "1:iteration:10", BASE)
    assert cli.main(["show", str(out)]) == 0
    assert NOTE.search(capsys.readouterr().out)


def test_an_error_of_all_ranks_is_printed_once_after_rank_0_has_died(mortal, tmp_path):
    _, done = mortal(3, "0:iteration:5", {**BASE, "steps.alpha": 1e200}, code=3)
    assert done.stderr.count("mpidbo: diverged") == 1, done.stderr


def test_the_doctor_tries(mpi):
    done = mpi(2, ["-m", "mpidbo", "doctor"], options=FAULT_TOLERANT)
    assert "ok       survive" in done.stdout or "ok  survive" in done.stdout, done.stdout


LOGGER = """
class Calls:
    def __init__(self, about):
        self.path = about.folder / "calls"
        self.note("start", *(row["iteration"] for row in about.rows))

    def note(self, *words):
        with self.path.open("a") as file:
            print(*words, file=file)

    def log(self, row):
        self.note(row["iteration"])

    def close(self, status, reason):
        self.note(status)
"""


@pytest.mark.parametrize("dead", [0, 1])
def test_one_history_for_loggers_and_one_timeline(dead, mortal, tmp_path):
    (tmp_path / "mine.py").write_text(LOGGER)
    more = {"run.log": ["jsonl", "mine:Calls"], "run.trace": True, "run.evaluate_every": 5}
    out, _ = mortal(3, f"{dead}:iteration:23", {**BASE, **more})
    rows = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [*range(0, 41, 5)]
    starts = (out / "calls").read_text().replace("\n", " ").split("start")[1:]
    assert starts[-1].split() == [*map(str, range(0, 41, 5)), "finished"]
    assert len(starts) == (2 if dead == 0 else 1)  # rank 0 continues with the loggers that it has
    events = json.loads((out / "trace.json").read_text())["traceEvents"]
    for rank in (0, 1):
        spans = [event for event in events if event["ph"] == "X" and event["pid"] == rank]
        assert [event["cat"] for event in spans].count("recovery") == 1
        done = [event["args"]["k"] for event in spans if event["name"] == "iteration"]
        assert done.count(21) == 2 and done.count(5) == 1  # those since the copy are repeated
