"""Checkpoints and restart: a run that was cut is, to the bit, the run that was not; damage, full
disks and other runs are named."""

import errno
import json
import os
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from mpidbo import config, solve
from mpidbo._pytree import leaves, rebuilt
from mpidbo.algorithms import METHODS
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.errors import UserError
from mpidbo.parallel.agents import Agents
from mpidbo.problems.quadratic import Quadratic
from mpidbo.storage import checkpoint as checkpoints
from mpidbo.storage import files, read_arrays
from mpidbo.storage.checkpoint import MANIFEST, Checkpoints, Snapshot
from support import launch
from support.runs import (
    QUADRATIC,
    Killed,
    contents,
    cutting,
    kept,
    run,
    same,
    toml,
    with_method,
)


@pytest.fixture
def cut(monkeypatch):
    return partial(cutting, monkeypatch)


def write(checkpoints, snapshot):
    checkpoints.begin(snapshot)
    checkpoints.writing.advance(wait=True)


# a state as paths


class Inner(NamedTuple):
    s: np.ndarray
    u: np.ndarray


class Outer(NamedTuple):
    x: np.ndarray
    m: object


def test_state_as_paths():
    a, b, c, d = np.arange(8.0).reshape(4, 2)
    state = Outer(a, (Inner(b, c), (), d))
    assert [path for path, _ in leaves(state)] == ["x", "m/0/s", "m/0/u", "m/2"]
    back = rebuilt(state, dict(leaves(state)))
    assert type(back) is Outer and type(back.m[0]) is Inner and back.m[1] == ()
    assert all(
        one is other for (_, one), (_, other) in zip(leaves(back), leaves(state), strict=True)
    )


# cut and gone on with


"""What dsgd does not refuse."""
REFUSED = {
    ("sldbo", "ed"),
    ("sldbo", "extra"),
    *product(("ma-dsbo", "dsbo"), ("choco", "beer", "lead")),
}


def cases():
    """All; every day each strategy for one method, and one of them, in turn, for the others."""
    for turn, (name, (rule, fixed)) in enumerate(METHODS.items()):
        orders = (
            ["jacobi", "gauss-seidel"]
            if "schedule" in {f.name for f in fields(rule)} - fixed.keys()
            else [None]
        )
        strategies = [*STRATEGIES] if config.strategy_keys(name) else [None]
        strategies = [strategy for strategy in strategies if (name, strategy) not in REFUSED]
        everyday = {
            *((strategy, orders[0]) for strategy in strategies if name == "sparkle"),
            (strategies[turn % len(strategies)], orders[-1]),
        }
        for case in product(strategies, orders):
            marks = [] if case in everyday else [pytest.mark.slow]
            yield pytest.param(name, *case, marks=marks)


@pytest.mark.parametrize(("name", "strategy", "order"), [*cases()])
def test_every_method_goes_on_to_the_bit(name, strategy, order, tmp_path, cut):
    path = toml(tmp_path, {**with_method(name, strategy, order), "checkpoint.every": 14})
    run(path, tmp_path / "whole", checkpoint__every=0)
    left = cut(14, 28)
    for out in ("cut", "cut"):
        with pytest.raises(Killed):
            run(path, tmp_path / out)
    run(path, tmp_path / "cut")
    assert not left and same(tmp_path / "whole", tmp_path / "cut")
    assert read_arrays(tmp_path / "cut" / files.HISTORY)[0]["iteration"].tolist() == [
        0,
        5,
        10,
        15,
        20,
        25,
        30,
        31,
    ]


@pytest.mark.parametrize(
    "tables",
    [
        {
            "problem.name": "logistic-tuning",
            "problem.batch": 5,
            "problem.features": 4,
            "problem.n_train": 100,
            "problem.n_validation": 40,
        },
        {"problem.name": "hyper-cleaning", "problem.batch": 5},
        {
            "problem.name": "nonconvex-toy",
            "problem.noise": 0.1,
            "run.dtype": "float32",
            "method.name": "sparkle-gt",
        },
        {
            **QUADRATIC,
            "steps.alpha": {"kind": "inverse-sqrt", "start": 0.01, "offset": 3, "warmup": 20},
            "run.metrics": ["hypergradient_norm"],
            "run.stop": {"metric": "consensus_y", "above": 1e3},
        },
    ],
    ids=["logistic-tuning", "hyper-cleaning", "toy-float32", "schedules"],
)
def test_stochastic_problems_go_on_to_the_bit(tables, tmp_path, cut):
    path = toml(
        tmp_path,
        {
            "run.agents": 4,
            "run.iterations": 31,
            "run.evaluate_every": 5,
            "checkpoint.every": 7,
            **tables,
        },
    )
    run(path, tmp_path / "whole")
    cut(21)
    with pytest.raises(Killed):
        run(path, tmp_path / "cut")
    run(path, tmp_path / "cut")
    assert same(tmp_path / "whole", tmp_path / "cut")


@pytest.fixture
def path(tmp_path):
    return toml(tmp_path, QUADRATIC)


@pytest.fixture
def whole(path, tmp_path):
    """The folder of the run that nothing interrupts."""
    run(path, tmp_path / "whole")
    return tmp_path / "whole"


def test_a_finished_run_goes_on_when_extended(path, whole, tmp_path, capsys):
    out = tmp_path / "out"
    for iterations in (8, 22, 31):
        run(path, out, run__iterations=iterations)
    assert "resuming from iteration 22" in capsys.readouterr().out and same(whole, out)
    run(path, out)
    assert "already finished, nothing to do" in capsys.readouterr().out
    run(path, out, "--resume", "must")
    assert (out / files.DONE).read_text().startswith("31\n")


def test_a_stop_rule_that_had_spoken_is_heard_after_a_restart(tmp_path, cut):
    path = toml(tmp_path, {**QUADRATIC, "run.stop": {"metric": "consensus_y", "above": 1e-6}})
    run(path, tmp_path / "whole")
    cut(5)
    with pytest.raises(Killed):
        run(path, tmp_path / "cut")
    run(path, tmp_path / "cut")
    assert same(tmp_path / "whole", tmp_path / "cut") and (
        tmp_path / "cut" / files.DONE
    ).read_text().startswith("5\n")


def test_never_sets_aside(path, tmp_path):
    run(path, tmp_path / "out")
    run(path, tmp_path / "out", "--resume", "never", steps__alpha=0.001)
    assert (tmp_path / "out.1" / "checkpoints" / "31").is_dir() and (
        tmp_path / "out" / files.DONE
    ).exists()
    assert contents(tmp_path / "out" / files.RESULT) != contents(tmp_path / "out.1" / files.RESULT)


@pytest.mark.parametrize(
    "metrics", [["hypergradient_norm"], ["hypergradient_norm", "curvature"], ["curvature"], []]
)
def test_what_is_measured_may_change(metrics, path, tmp_path):
    run(path, tmp_path / "out", run__iterations=10, run__metrics=["hypergradient_norm"])
    run(path, tmp_path / "out", run__metrics=metrics, run__evaluate_every=10)
    history, _ = read_arrays(tmp_path / "out" / files.HISTORY)
    assert {len(column) for column in history.values()} == {6} and history[
        "iteration"
    ].tolist() == [0, 5, 10, 20, 30, 31]
    measured = np.isfinite(history["hypergradient_norm"])
    assert measured[:3].all() and (measured[3:] == ("hypergradient_norm" in metrics)).all()


# what may change and what may not


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("run.seed", 1),
        ("steps.alpha", 0.003),
        ("problem.noise", 0.1),
        ("topology.name", "star"),
        ("method.name", "soba"),
        ("run.dtype", "float32"),
        ("run.agents", 5),
    ],
)
def test_another_run_is_refused_with_its_keys(key, value, path, tmp_path, capsys):
    run(path, tmp_path / "out", run__iterations=10)
    run(path, tmp_path / "out", code=2, **{key.replace(".", "__"): value})
    printed = capsys.readouterr().err
    assert key in printed and "holds another run" in printed and "Traceback" not in printed
    run(path, tmp_path / "out")


def test_what_decides_no_trajectory_may_change(path, whole, tmp_path):
    run(path, tmp_path / "out", run__iterations=12, run__evaluate_every=4, checkpoint__every=3)
    run(
        path,
        tmp_path / "out",
        run__iterations=31,
        run__evaluate_every=2,
        checkpoint__every=0,
        checkpoint__keep=1,
        run__max_seconds=1000,
    )
    assert contents(whole / files.RESULT) == contents(tmp_path / "out" / files.RESULT) and kept(
        tmp_path / "out"
    ) == [31]
    history, _ = read_arrays(tmp_path / "out" / files.HISTORY)
    assert history["iteration"].tolist() == [0, 4, 8, 12, *range(14, 31, 2), 31]


def test_other_matrices_are_refused(tmp_path, capsys):
    W = np.full((4, 4), 0.25)
    np.save(tmp_path / "W.npy", W)
    path = toml(tmp_path, {**QUADRATIC, "topology.file": str(tmp_path / "W.npy")})
    run(path, tmp_path / "out", run__iterations=10)
    np.save(tmp_path / "W.npy", 0.5 * W + 0.5 * np.eye(4))
    run(path, tmp_path / "out", code=2)
    assert "written with other mixing matrices" in capsys.readouterr().err and kept(
        tmp_path / "out"
    ) == [7, 10]
    np.save(tmp_path / "W.npy", W)
    run(path, tmp_path / "out")


@pytest.mark.parametrize("where", ["steps.beta", "method.mu"])
@pytest.mark.parametrize(
    "schedule", [{"kind": "sqrt-n-over-t", "scale": 0.05}, {"kind": "cosine", "start": 0.05}]
)
def test_the_horizon_is_that_of_the_first_start(schedule, where, tmp_path):
    tables = {**QUADRATIC, "method.name": "sun-dsbo", where: schedule}
    path, fixed = (
        toml(tmp_path, tables),
        toml(tmp_path, {**tables, where: {**tables[where], "horizon": 12}}, "fixed.toml"),
    )
    run(fixed, tmp_path / "whole")
    run(path, tmp_path / "out", run__iterations=12)
    run(path, tmp_path / "out")
    assert same(tmp_path / "whole", tmp_path / "out")
    run(
        toml(tmp_path, {**tables, where: {**tables[where], "horizon": 31}}),
        tmp_path / "out",
        code=2,
    )


@pytest.mark.parametrize(
    "schedule",
    [
        {"kind": "staircase", "start": 0.01, "factor": 0.5, "every": 5},
        {"kind": "piecewise", "values": [0.01, 0.001, 0.02], "boundaries": [4, 20], "warmup": 3},
    ],
    ids=lambda schedule: schedule["kind"],
)
def test_a_schedule_goes_on_where_it_was(schedule, tmp_path):
    path = toml(tmp_path, {**QUADRATIC, "steps.alpha": schedule})
    run(path, tmp_path / "whole")
    run(path, tmp_path / "out", run__iterations=12)
    run(path, tmp_path / "out")
    assert same(tmp_path / "whole", tmp_path / "out")


def test_agents_are_adopted(path, whole, tmp_path, capsys):
    run(path, tmp_path / "out", run__iterations=10)
    path = toml(
        tmp_path,
        {key: value for key, value in QUADRATIC.items() if key != "run.agents"},
        "none.toml",
    )
    run(path, tmp_path / "out")
    assert same(whole, tmp_path / "out")
    run(path, tmp_path / "new", "--dry-run")
    assert "already finished" not in capsys.readouterr().out and not (tmp_path / "new").exists()


@pytest.mark.parametrize("text", ["run = 3\n", "run.agents = 'four'\n", "run =\n", ""])
def test_a_config_that_is_none(text, path, tmp_path, capsys):
    run(path, tmp_path / "out", run__iterations=10)
    (tmp_path / "out" / files.CONFIG).write_text(text)
    for tables in (
        QUADRATIC,
        {key: value for key, value in QUADRATIC.items() if key != "run.agents"},
    ):
        run(toml(tmp_path, tables), tmp_path / "out", code=2)
        assert "Traceback" not in capsys.readouterr().err


# damage


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def other_count(file):
    file.write_text(file.read_text().replace('"floats": ', '"floats": 1'))


RANK = "agents-0-3.h5"
DAMAGE = {
    "a bit": (RANK, flip),
    "truncated": (RANK, lambda file: os.truncate(file, file.stat().st_size // 2)),
    "empty": (RANK, lambda file: file.write_bytes(b"")),
    "rank file missing": (RANK, lambda file: file.unlink()),
    "garbage": ("manifest.json", lambda file: file.write_text("{")),
    "a list": ("manifest.json", lambda file: file.write_text("[]")),
    "no text": ("manifest.json", lambda file: file.write_bytes(b"\xff\xfe\xfd")),
    "another number": ("manifest.json", other_count),
    "history": ("history.h5", flip),
    "no history": ("history.h5", lambda file: file.unlink()),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named_and_the_one_before_used(what, path, whole, tmp_path, capsys):
    out = tmp_path / "out"
    run(path, out, run__iterations=17)
    capsys.readouterr()
    assert kept(out) == [14, 17]
    name, damage = DAMAGE[what]
    damage(out / "checkpoints" / "17" / name)
    run(path, out)
    printed = capsys.readouterr().out
    assert (
        str(out / "checkpoints" / "17") in printed
        and ("damaged" in printed or "missing" in printed)
        and "resuming from iteration 14" in printed
    )
    assert same(whole, out) and kept(out) == [28, 31]


def test_a_checkpoint_without_manifest_is_none(path, whole, tmp_path, capsys):
    out = tmp_path / "out"
    run(path, out, run__iterations=17)
    (out / "checkpoints" / "17" / "manifest.json").unlink()
    (out / "checkpoints" / "999").mkdir()
    (out / "checkpoints" / "999" / ".agents-0-3.h5.part").write_bytes(b"half")
    run(path, out, run__iterations=18)
    assert "resuming from iteration 14" in capsys.readouterr().out and kept(out) == [14, 18]
    run(path, out)
    assert same(whole, out)


def test_a_damaged_one_that_is_newer_does_not_displace(path, tmp_path, cut, capsys):
    """With keep = 1 the checkpoint just written stays, not a damaged one of a higher iteration."""
    out = tmp_path / "out"
    run(path, out, run__iterations=17)
    flip(out / "checkpoints" / "17" / RANK)
    cut(16)
    with pytest.raises(Killed):
        run(path, out, checkpoint__keep=1, checkpoint__every=4)
    assert kept(out) == [16]


def test_all_damaged(path, whole, tmp_path, capsys):
    out = tmp_path / "out"
    run(path, out, run__iterations=17)
    for place in (out / "checkpoints").iterdir():
        flip(place / RANK)
    capsys.readouterr()
    run(path, out, "--resume", "must", code=2)
    assert "holds no verified checkpoint" in capsys.readouterr().err
    run(path, out)
    printed = capsys.readouterr().out
    assert (
        printed.count(f"{RANK} is damaged") == 2
        and "STARTING FROM ITERATION 0: NO CHECKPOINT IN" in printed
        and same(whole, out)
    )


def test_must_insists(path, tmp_path, capsys):
    run(path, tmp_path / "out", "--resume", "must", code=2)
    assert "holds no checkpoint" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_keep(keep, path, tmp_path):
    run(path, tmp_path / "out", checkpoint__keep=keep)
    assert kept(tmp_path / "out") == [7, 14, 21, 28, 31][-keep:]


def test_older_ones_go_only_after_the_new_one_is_verified(path, tmp_path, monkeypatch):
    out, seen, usual = tmp_path / "out", [], checkpoints.write_text

    def write_text(file, text):
        if file.name == "manifest.json":
            seen.append(
                [
                    int(place.name)
                    for place in (out / "checkpoints").iterdir()
                    if (place / "manifest.json").exists()
                ]
            )
        usual(file, text)

    monkeypatch.setattr(checkpoints, "write_text", write_text)
    run(path, out, checkpoint__keep=1)
    assert seen == [[], [7], [14], [21], [28]]


# nothing good goes before its successor is there


def complete(out):
    """The iterations of the checkpoints that have a manifest."""
    return [at for at in kept(out) if (out / "checkpoints" / str(at) / MANIFEST).exists()]


def marks(out, at):
    """What changes when a checkpoint is written again."""
    return {
        file.name: (file.stat().st_ino, file.stat().st_mtime_ns)
        for file in (out / "checkpoints" / str(at)).iterdir()
    }


@pytest.fixture
def killed_at_a_manifest(monkeypatch):
    """As a context: the run ends without a word when it is about to write its next manifest."""
    usual = checkpoints.write_text

    def write_text(file, text):
        if file.name == MANIFEST:
            raise Killed
        usual(file, text)

    @contextmanager
    def armed():
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(checkpoints, "write_text", write_text)
            yield

    return armed


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("every", [2, 7, 5])
def test_a_kill_in_the_first_checkpoint_of_a_restart_loses_none(
    keep, every, path, whole, tmp_path, killed_at_a_manifest, capsys
):
    """Also where the checkpoint that it starts from is due at once."""
    out = tmp_path / "out"
    run(path, out, run__iterations=14, checkpoint__keep=keep)
    before = complete(out)
    assert before == [7, 14][-keep:]
    for _ in range(2):
        with killed_at_a_manifest():
            run(path, out, checkpoint__keep=keep, checkpoint__every=every)
        assert complete(out) == before and "resuming from iteration 14" in capsys.readouterr().out
    run(path, out, checkpoint__keep=keep)
    assert same(whole, out)


@pytest.mark.parametrize(
    "given",
    [
        {"run__iterations": 17},
        {"run__iterations": 17, "checkpoint__every": 17},
        {"run__max_seconds": 1e-9},
    ],
    ids=["at the end", "when due", "on request"],
)
def test_a_verified_checkpoint_is_not_written_again(given, path, tmp_path, capsys):
    out = tmp_path / "out"
    run(path, out, run__iterations=17)
    (out / files.DONE).unlink()
    before = marks(out, 17)
    run(path, out, **given, code=85 if "run__max_seconds" in given else 0)
    assert "resuming from iteration 17" in capsys.readouterr().out and marks(out, 17) == before


def test_one_object_writes_a_checkpoint_once(tmp_path):
    """Another one too, which has to verify it first; a damaged one is written again."""

    def write_5():
        made = Checkpoints(tmp_path, Agents(2), keep=1, topologies={}, tables={})
        for _ in range(2):
            write(made, Snapshot(5, Outer(np.ones((2, 3)), ()), {}, {"iteration": [0]}))

    write_5()
    before = marks(tmp_path, 5)
    write_5()
    assert marks(tmp_path, 5) == before
    flip(tmp_path / "checkpoints" / "5" / "agents-0-1.h5")
    write_5()
    assert marks(tmp_path, 5) != before
    assert (
        Checkpoints(tmp_path, Agents(2), keep=1, topologies={}, tables={})
        .newest(Outer(np.empty((2, 3)), ()))[0]
        .iteration
        == 5
    )


@pytest.mark.parametrize("keep", [1, 2])
def test_damaged_ones_do_not_count_and_go_last(keep, path, tmp_path, killed_at_a_manifest, capsys):
    """7 is good; 14 and 17 are damaged, and go once a newer one is committed; with two to keep,
    7 stays beside it."""
    out = tmp_path / "out"
    run(path, out, run__iterations=17, checkpoint__keep=3)
    for at in (14, 17):
        flip(out / "checkpoints" / str(at) / RANK)
    damaged = marks(out, 17)
    with killed_at_a_manifest():
        run(path, out, checkpoint__keep=keep, checkpoint__every=9)
    assert complete(out) == [7, 14, 17] and marks(out, 17) == damaged
    run(path, out, checkpoint__keep=keep, checkpoint__every=9, run__iterations=9)
    assert (
        capsys.readouterr().out.count("resuming from iteration 7") == 2
        and complete(out) == [7, 9][-keep:]
    )


def test_a_newer_one_of_unknown_origin_stays(tmp_path):
    """It is not this object that found it damaged."""
    made = Checkpoints(tmp_path, Agents(2), keep=1, topologies={}, tables={})
    for at in (9, 5):
        write(made, Snapshot(at, Outer(np.ones((2, 3)), ()), {}, {"iteration": [0]}))
    assert complete(tmp_path) == [5, 9]


def test_a_manifest_that_cannot_be_removed_keeps_its_files(path, tmp_path, monkeypatch):
    usual = Path.unlink

    def unlink(self, **options):
        if self.name == MANIFEST and self.parent.name == "7":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        usual(self, **options)

    monkeypatch.setattr(Path, "unlink", unlink)
    run(path, tmp_path / "out", run__iterations=17, checkpoint__keep=1)
    assert (
        complete(tmp_path / "out") == [7, 17]
        and (tmp_path / "out" / "checkpoints" / "7" / RANK).exists()
    )


def test_only_unfinished_ones_are_said_to_be_none(path, whole, tmp_path, capsys):
    out = tmp_path / "out"
    run(path, out, run__iterations=7)
    (out / "checkpoints" / "7" / MANIFEST).unlink()
    (out / files.DONE).unlink()
    capsys.readouterr()
    run(path, out)
    printed = capsys.readouterr().out
    assert (
        f"{out}/checkpoints/7: not complete, it has no manifest.json\nSTARTING FROM ITERATION 0: "
        f"NO CHECKPOINT IN {out}"
    ) in printed
    assert same(whole, out)


def test_a_full_disk_is_a_sentence_and_the_older_checkpoint_stays(tmp_path):
    path, out = (
        toml(tmp_path, {**QUADRATIC, "problem.p": 150, "problem.q": 150, "problem.noise": 0.0}),
        tmp_path / "out",
    )
    run(path, tmp_path / "whole")
    run(path, out, run__iterations=10)
    code = (
        "import resource, sys; from mpidbo import cli; cli.comm_world(); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM));"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    size = (out / "checkpoints" / "10" / RANK).stat().st_size
    for room in (9000, size - 1):  # a dataset, or the end of the file, finds no room
        done = launch.mpirun(
            None, ["-c", code.replace("ROOM", str(room)), "run", path, "--out", out]
        )
        assert done.returncode == 2, done.stdout + done.stderr
        assert (
            done.stderr.startswith("mpidbo: ")
            and "cannot be written (File too large); make room" in done.stderr
        )
        assert "Traceback" not in done.stderr and kept(out) == [7, 10]
    run(path, out)
    assert same(tmp_path / "whole", out)


def test_no_checkpoint_of_what_is_not_finite(path, tmp_path, capsys):
    out = tmp_path / "out"
    run(
        path,
        out,
        code=3,
        steps__beta=1e50,
        checkpoint__every=1,
        run__evaluate_every=100,
        run__iterations=50,
    )
    assert "diverged" in capsys.readouterr().err
    places = [*(out / "checkpoints").iterdir()]
    assert places
    for place in places:
        with h5py.File(place / RANK) as file:
            assert all(np.isfinite(file[level]).all() for level in "xyz")


# the files


def test_files_are_plain_hdf5_with_checksums(path, tmp_path):
    run(path, tmp_path / "out", "--set", "method.name=sparkle-ed-gt")
    place = tmp_path / "out" / "checkpoints" / "31"
    assert sorted(file.name for file in place.iterdir()) == [RANK, "history.h5", "manifest.json"]
    paths = []
    with h5py.File(place / RANK) as file:
        assert dict(file.attrs) == {"iteration": 31, "first": 0, "last": 3}
        file.visititems(
            lambda name, item: paths.append(name) if isinstance(item, h5py.Dataset) else None
        )
        assert all(file[name].fletcher32 and file[name].shape[0] == 4 for name in paths)
        assert np.array_equal(file["x"][()], read_arrays(tmp_path / "out" / files.RESULT)[0]["x"])
    assert {"x", "y", "z", "r", "m/x/h", "m/y/s", "m/z/u"} <= set(paths)
    manifest = json.loads((place / "manifest.json").read_text())
    assert (
        manifest["iteration"] == 31
        and manifest["config"]["run"]["agents"] == 4
        and manifest["agents"][0]["name"] == RANK
    )
    history, _ = read_arrays(place / "history.h5")
    assert list(history["iteration"])[-1] == 31


def test_wide_rows_are_read_in_parts(tmp_path):
    state = Outer(np.arange(1_500_000.0).reshape(2, -1), ())
    checkpoints = Checkpoints(tmp_path, Agents(2), keep=1, topologies={}, tables={})
    write(checkpoints, Snapshot(5, state, {}, {"iteration": [0]}))
    snapshot, wrong = checkpoints.newest(Outer(np.empty((2, 750_000)), ()))
    assert not wrong and snapshot.iteration == 5 and np.array_equal(snapshot.state.x, state.x)


@pytest.mark.parametrize(
    "like",
    [
        Outer(np.empty((2, 4)), ()),
        Outer(np.empty((2, 3), np.float32), ()),
        Outer(np.empty((2, 3)), np.empty((2, 3))),
    ],
    ids=["shape", "type", "field"],
)
def test_a_state_of_another_form_is_refused(like, tmp_path):
    """It is no damage: the older checkpoints would be passed over, and then removed."""
    checkpoints = Checkpoints(tmp_path, Agents(2), keep=1, topologies={}, tables={})
    write(checkpoints, Snapshot(5, Outer(np.zeros((2, 3)), ()), {}, {"iteration": [0]}))
    with pytest.raises(UserError, match="of this run's shape and type"):
        checkpoints.newest(like)


def test_in_python(tmp_path):
    result = solve(Quadratic, agents=2, iterations=3, out=tmp_path / "out", max_seconds=1000)
    assert not result.stopped and kept(tmp_path / "out") == [3]


# ranks


@pytest.mark.long
def test_any_number_of_ranks_goes_on(mpi, tmp_path):
    best = {"metric": "consensus_x", "mode": "max"}
    tables = {"run.agents": 8, "method.name": "sparkle-ed-gt", "run.best": best}
    path = toml(tmp_path, {**QUADRATIC, **tables})
    run(path, tmp_path / "whole")
    for ranks, iterations in ((8, 8), (3, 17), (None, 18), (8, 31)):
        done = mpi(
            ranks,
            [
                "-m",
                "mpidbo",
                "run",
                path,
                "--out",
                tmp_path / "out",
                "--set",
                f"run.iterations={iterations}",
            ],
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert same(tmp_path / "whole", tmp_path / "out")
    whole, found = (contents(tmp_path / out / files.BEST) for out in ("whole", "out"))
    assert whole == found and found[""] == 15
    assert len(list((tmp_path / "out" / "checkpoints" / "31").glob("agents-*.h5"))) == 8


@pytest.mark.long
def test_a_damaged_rank_file_is_named_on_other_ranks(mpi, tmp_path):
    path, out = toml(tmp_path, {**QUADRATIC, "topology.name": "ring"}), tmp_path / "out"
    run(path, tmp_path / "whole")
    words = ["-m", "mpidbo", "run", path, "--out", out]
    assert mpi(4, [*words, "--set", "run.iterations=17"]).returncode == 0
    flip(out / "checkpoints" / "17" / "agents-2-2.h5")
    (out / "checkpoints" / "14" / "agents-3-3.h5").unlink()
    assert mpi(2, [*words, "--resume", "must"]).returncode == 2
    done = mpi(2, words)
    assert (
        done.returncode == 0
        and "agents-2-2.h5 is damaged" in done.stdout
        and "agents-3-3.h5 is missing" in done.stdout
    )
    assert "STARTING FROM ITERATION 0" in done.stdout and same(tmp_path / "whole", out)
