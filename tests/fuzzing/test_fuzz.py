"""Random configurations end, or are refused in a sentence: no traceback, no hang, on one process
and on three."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fuzz
import fuzz_cases
import pytest

from support import launch

FUZZ = Path(fuzz.__file__)


def shared_out(output: str, cases: int) -> None:
    """How the cases ended: at least a third to their end, so that more than refusals is tried."""
    counted = json.loads(output.splitlines()[-1])
    assert sum(counted.values()) == cases and not counted.get("failed")
    assert counted["ended"] >= cases / 3, counted


def run(*args: str, timeout: float) -> str:
    done = subprocess.run(
        [sys.executable, FUZZ, *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=launch.environment({}),
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-3000:]
    return done.stdout


def test_some_configurations():
    shared_out(run("--cases", "30", timeout=110), 30)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_thousand_configurations():
    shared_out(run("--cases", "2000", "--keep-going", timeout=1400), 2000)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_sixty_on_three_ranks(mpi):
    """In one job, each solved over all ranks."""
    done = mpi(
        3,
        [os.fspath(FUZZ), "--seed", "5000", "--cases", "60", "--keep-going", "--verbose"],
        timeout=360,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-3000:]
    shared_out(done.stdout, 60)


def test_a_case_is_its_number():
    """The same configuration whoever makes it, and printed so that it can be run."""
    for seed in range(40):
        assert str(fuzz_cases.case(seed)) == str(fuzz_cases.case(seed))
    assert len({str(fuzz_cases.case(seed)) for seed in range(40)}) == 40


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        ("x" * 601, "letters"),
        ("no place; nor anything", "no sentence"),
        ("run.seed: no remedy", "no sentence"),
        ("run.seed: two\nlines; give one", "no sentence"),
        ("run.seed: <object object at 0x7f>; give one", "Python's words"),
        ("run.seed: <class 'int'>; give one", "Python's words"),
    ],
)
def test_what_is_no_sentence_fails(sentence, why):
    with pytest.raises(fuzz.Failure, match=why):
        fuzz.judged(sentence)


def test_a_traceback_fails(monkeypatch, tmp_path):
    """And what a command says beside its sentence."""
    monkeypatch.chdir(tmp_path)
    made = fuzz_cases.Case(0, {"problem": {"name": "quadratic"}}, by_command=False, again=False)
    monkeypatch.setattr(fuzz.mpidbo, "solve", lambda *_, **__: 1 / 0)
    assert fuzz.outcome(made).startswith(
        "failed: Traceback"
    ) and "ZeroDivisionError" in fuzz.outcome(made)
    made.by_command = True
    monkeypatch.setattr(fuzz.cli, "main", lambda argv: 1)
    assert fuzz.outcome(made).startswith("failed: code 1")
