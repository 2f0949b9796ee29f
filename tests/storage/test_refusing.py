"""File systems that refuse: no permission, I/O errors, no locks, no room.

What cannot be read is not damaged, and nothing is removed.

A preloaded library (refusing.c), compiled here, makes the calls fail: the tests may run as root,
whom no permission stops.
"""

import errno
import json
import shutil
import subprocess
import sys

import pytest

from mpidbo.storage import files
from support import SUPPORT, launch
from support.runs import QUADRATIC, kept, run, same, toml

RANK = "agents-0-3.h5"


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The path of the compiled library."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip(
            "needs Linux and a C compiler (cc): a preloaded library stands for a file system "
            "that refuses"
        )
    path = tmp_path_factory.mktemp("library") / "refusing.so"
    made = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", path, SUPPORT / "refusing.c", "-ldl"],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(
            f"{compiler} cannot compile the library that stands for a file system that "
            f"refuses: {made.stderr}"
        )
    return path


def refuse(calls, number, path):
    return f"{calls}:{number}:{path}"


# name: (what is refused, the command, what it says). Every command has a copy of the folder of its
# own.
MUST = ("--resume", "must")
REFUSED = {
    "a rank file": (
        ("open", errno.EACCES, f"checkpoints/17/{RANK}"),
        "run",
        f"checkpoints/17/{RANK}: cannot be read (Permission denied)",
    ),
    "must": (
        ("open", errno.EACCES, f"checkpoints/17/{RANK}"),
        "run must",
        f"checkpoints/17/{RANK}: cannot be read (Permission denied)",
    ),
    "its content": (
        ("read", errno.EIO, f"checkpoints/17/{RANK}"),
        "run",
        f"checkpoints/17/{RANK}: cannot be read (Input/output error)",
    ),
    "no locks for it": (
        ("open", errno.ENOLCK, f"17/{RANK}"),
        "run",
        f"checkpoints/17/{RANK}: cannot be read (No locks available)",
    ),
    "a stale handle": (
        ("open,stat,read", errno.ESTALE, f"17/{RANK}"),
        "run",
        f"17/{RANK}: cannot be read (Stale file handle)",
    ),
    "a manifest": (
        ("open", errno.EACCES, "17/manifest.json"),
        "run",
        "17/manifest.json: cannot be read (Permission denied)",
    ),
    "a manifest's content": (
        ("read", errno.EIO, "17/manifest.json"),
        "run",
        "17/manifest.json: cannot be read (Input/output error)",
    ),
    "a checkpoint's folder": (
        ("stat,open", errno.EACCES, "17/manifest.json"),
        "run",
        "17/manifest.json: cannot be read (Permission",
    ),
    "a checkpoint's history": (
        ("read", errno.ESTALE, "17/history.h5"),
        "run",
        "17/history.h5: cannot be read (Stale file handle)",
    ),
    "all checkpoints": (
        ("list", errno.EACCES, "/checkpoints$"),
        "run",
        "/checkpoints: cannot be read (Permission denied)",
    ),
    "all rank files": (
        ("read", errno.EIO, RANK),
        "run",
        f"17/{RANK}: cannot be read (Input/output error)",
    ),
    "the older, where the newer is damaged": (
        ("open", errno.EACCES, f"14/{RANK}"),
        "run damaged",
        f"14/{RANK}: cannot be read (Perm",
    ),
    "an earlier result": (
        ("read", errno.EIO, "/result.h5"),
        "start",
        "run.start: {}/result.h5: cannot be read (Input/output error)",
    ),
    "a run's configuration": (
        ("open", errno.EACCES, "/config.toml"),
        "run",
        "/out/config.toml: cannot be read (Permission denied)",
    ),
    "a run's configuration, must": (
        ("read", errno.EIO, "/config.toml"),
        "run must",
        "/out/config.toml: cannot be read (Input/output",
    ),
    "the marker of a finished run": (
        ("read", errno.ESTALE, "/done"),
        "again",
        "/out/done: cannot be read (Stale file handle)",
    ),
    "the configuration of a finished run": (
        ("open", errno.ENOLCK, "/config.toml"),
        "again",
        "/out/config.toml: cannot be read (No locks",
    ),
    "the result of a finished run": (
        ("read", errno.EIO, "/result.h5"),
        "again",
        "/out/result.h5: cannot be read (Input/output error)",
    ),
    "a run's folder": (
        ("list", errno.EACCES, "/out$"),
        "run",
        "/out cannot be used (Permission denied)",
    ),
    "the result": (
        ("open", errno.EACCES, "/result.h5"),
        "show",
        "/result.h5: cannot be read (Permission denied)",
    ),
    "the result's content": (
        ("read", errno.EIO, "/result.h5"),
        "load",
        "/result.h5: cannot be read (Input/output error)",
    ),
    "the history": (
        ("open,stat", errno.EACCES, "/history.h5"),
        "plot",
        "/history.h5: cannot be read (Permission denied)",
    ),
    "the history's content": (
        ("read", errno.EIO, "/history.h5"),
        "show",
        "/history.h5: cannot be read (Input/output error)",
    ),
    "the configuration": (
        ("open", errno.EACCES, "/config.toml"),
        "show",
        "/config.toml: cannot be read (Permission denied)",
    ),
    "its text": (
        ("read", errno.EIO, "/config.toml"),
        "load",
        "/config.toml: cannot be read (Input/output error)",
    ),
    "the marker": (
        ("stat", errno.EIO, "/done"),
        "show",
        "/done: cannot be read (Input/output error)",
    ),
    "the folder": (
        ("stat", errno.EACCES, "/out$"),
        "show",
        "/out: cannot be read (Permission denied)",
    ),
    "a checkpoint to load": (
        ("open", errno.EACCES, f"17/{RANK}"),
        "load no result",
        f"17/{RANK}: cannot be read (Permission denied)",
    ),
    "checkpoints to load": (
        ("list", errno.EIO, "/checkpoints$"),
        "load no result",
        "/checkpoints: cannot be read (Input/output error)",
    ),
    "room for a checkpoint": (
        ("write", errno.ENOSPC, f"20/.{RANK}.part"),
        "run",
        f"20/{RANK}: cannot be written (No space left on",
    ),
    "room for a manifest": (
        ("write", errno.EDQUOT, "20/.manifest"),
        "run",
        "20/manifest.json: cannot be written (Disk quota exceeded)",
    ),
    "room for its history": (
        ("write", errno.ENOSPC, "20/.hist"),
        "run",
        "20/history.h5: cannot be written (No space left on device)",
    ),
    "to read what was written": (
        ("read", errno.EIO, f"20/{RANK}"),
        "run",
        f"20/{RANK}: cannot be read (Input/output error)",
    ),
    "a new folder": (
        ("mkdir", errno.EROFS, "checkpoints/20"),
        "run",
        "checkpoints/20: cannot be made (Read-only file system)",
    ),
    "the new manifest's name": (
        ("rename", errno.EIO, "20/manifest.json"),
        "run",
        "20/manifest.json: cannot be written (Input/output err",
    ),
    "the disk's word": (
        ("fsync", errno.EIO, "20/.manifest"),
        "run",
        "20/manifest.json: cannot be written (Input/output error)",
    ),
}
ALLOWED = {
    "locks, resumed": (("flock", errno.ENOLCK, "/"), "run", "resuming from iteration 17"),
    "locks, finished": (("flock", errno.ENOLCK, "/"), "again", "already finished, nothing to do"),
    "locks, shown": (("flock", errno.ENOLCK, "/"), "show", "finished, 17 iterations"),
    "locks, drawn": (("flock", errno.ENOLCK, "/"), "plot", "curves.png"),
    "locks, loaded": (("flock", errno.ENOLCK, "/"), "load", "17"),
    "locks, loaded from a checkpoint": (("flock", errno.ENOLCK, "/"), "load no result", "17"),
    "locks, started from": (
        ("flock", errno.ENOSYS, "/"),
        "start",
        "20 iterations (all iterations done)",
    ),
    "an older checkpoint": (
        ("open,read", errno.EIO, f"14/{RANK}"),
        "run",
        "resuming from iteration 17",
    ),
    "the checkpoints of a finished run": (
        ("open,read,list,stat", errno.EIO, "/checkpoints"),
        "load",
        "17",
    ),
}


def prepared(folder, what, path):
    """The words of a command on a copy of the run in `folder`."""
    out, damaged = folder / "out", "damaged" in what
    command, *more = what.split()
    if command == "run" or "result" in more:
        for name in (files.DONE, files.RESULT):
            (out / name).unlink()
    if damaged:
        (out / "checkpoints" / "17" / RANK).write_bytes(b"")
    words = {
        "run": [
            "run",
            path,
            "--out",
            out,
            "--set",
            "run.iterations=20",
            *(MUST if "must" in more else ()),
        ],
        "again": ["run", path, "--out", out, "--set", "run.iterations=17"],
        "start": [
            "run",
            path,
            "--out",
            folder / "new",
            "--set",
            "run.iterations=20",
            "--set",
            f'run.start="{out}/result.h5"',
        ],
        "show": ["show", out],
        "load": ["load", out],
        "plot": ["plot", out, "--out", folder / "curves.png"],
    }[command]
    return [*map(str, words)]


@pytest.fixture(scope="module")
def answers(library, tmp_path_factory):
    """{name: (its folder, exit code, stdout, stderr)} of all cases, in one process."""
    folder = tmp_path_factory.mktemp("refused")
    path = toml(folder, QUADRATIC)
    run(path, folder / "out", run__iterations=17)
    cases, places = [], {}
    for name, (refused, what, _) in {**REFUSED, **ALLOWED}.items():
        places[name] = folder / name.replace(" ", "-")
        shutil.copytree(folder / "out", places[name] / "out")
        cases.append((refuse(*refused), prepared(places[name], what, path)))
    env = launch.environment({"LD_PRELOAD": str(library)})
    done = subprocess.run(
        [sys.executable, SUPPORT / "refused.py"],
        input=json.dumps(cases),
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return {
        name: (place, *found)
        for (name, place), found in zip(places.items(), json.loads(done.stdout), strict=True)
    }


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_no_damage(name, answers):
    """Exit code 2 with file and error; every checkpoint is there."""
    place, code, out, err = answers[name]
    assert code == 2 and REFUSED[name][2].format(place / "out") in err and "Traceback" not in err, (
        out + err
    )
    assert "STARTING" not in out and (name.startswith("the older") or "damaged" not in out + err)
    assert kept(place / "out") == [14, 17]
    assert all(
        (place / "out" / "checkpoints" / str(at) / "manifest.json").exists() for at in (14, 17)
    )


@pytest.mark.parametrize("name", ALLOWED)
def test_what_a_command_needs_not(name, answers):
    """No locks to read or to write, and no file beyond its own."""
    _, code, out, err = answers[name]
    assert code == 0 and ALLOWED[name][2] in out, out + err


def test_resumed_after_refusals(answers, tmp_path):
    """Once the file system answers, the run is the one that nothing interrupted."""
    path = toml(tmp_path, {**QUADRATIC, "run.iterations": 20})
    run(path, tmp_path / "whole")
    for name in (
        "its content",
        "a manifest",
        "all checkpoints",
        "room for a manifest",
        "to read what was written",
        "locks, resumed",
    ):
        run(path, answers[name][0] / "out")
        assert same(tmp_path / "whole", answers[name][0] / "out")


@pytest.mark.parametrize(
    ("rank", "refused", "says"),
    [
        (
            1,
            ("read", errno.EIO, "agents-2-3.h5"),
            "17/agents-2-3.h5: cannot be read (Input/output error)",
        ),
        pytest.param(
            0,
            ("open", errno.EACCES, "17/manifest.json"),
            "17/manifest.json: cannot be read (Perm",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            1,
            ("open", errno.ESTALE, "20/.agents-2-3.h5"),
            "agents-2-3.h5: cannot be written (Stale",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_one_rank_alone(rank, refused, says, mpi, library, tmp_path):
    """Every rank ends; the other checkpoints are there."""
    path, out = toml(tmp_path, QUADRATIC), tmp_path / "out"
    words = ["-m", "mpidbo", "run", path, "--out", out, "--set", "run.iterations=17"]
    assert mpi(2, words).returncode == 0
    done = mpi(
        2,
        [*words, "--set", "run.iterations=20"],
        env={
            "LD_PRELOAD": str(library),
            "MPIDBO_TEST_REFUSE": refuse(*refused),
            "MPIDBO_TEST_REFUSE_RANK": str(rank),
        },
    )
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr, (
        done.stdout + done.stderr
    )
    assert kept(out) == [14, 17]
