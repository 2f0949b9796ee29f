"""`mpidbo.load`: finished runs, runs that were stopped, and damaged ones."""

import dataclasses
import errno
import os
import shutil
import sys

import numpy as np
import pytest

import mpidbo
from mpidbo import config
from mpidbo.storage import files, hdf5, manifest, trees
from support import SUPPORT
from support.nested import Nested, same
from support.runs import QUADRATIC, run, toml

ROWS = ("x", "y", "z", "t")


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """A finished run with trees of its own, and its result."""
    folder = tmp_path_factory.mktemp("solved") / "run"
    return folder, mpidbo.solve(
        Nested, "sun-dsbo", agents=3, iterations=20, evaluate_every=5, out=folder
    )


@pytest.fixture
def folder(solved, tmp_path):
    """A copy of its folder."""
    return shutil.copytree(solved[0], tmp_path / "run")


def bits(array):
    return None if array is None else (array.dtype, array.shape, array.tobytes())


def test_a_finished_run(solved):
    place, result = solved
    found = mpidbo.load(place)
    assert (
        all(bits(getattr(found, name)) == bits(getattr(result, name)) for name in ROWS)
        and found.z is None
    )
    assert same(found.x_tree, result.x_tree) and same(found.y_tree, result.y_tree)
    assert (
        (found.iteration, found.reason, found.finished)
        == (20, "all iterations done", True)
        == (result.iteration, result.reason, True)
    )
    assert {*found.history} == {*result.history} and found.history["iteration"].tolist() == [
        0,
        5,
        10,
        15,
        20,
    ]
    assert [*found.history][:3] == [
        "iteration",
        "consensus_t",
        "consensus_x",
    ] and found.history.columns[-1] == "seconds_update"
    assert all(
        found.history[name].to_numpy().tobytes() == column.tobytes()
        for name, column in result.history.items()
    )
    assert found.config.tables() == result.config.tables() and isinstance(
        found.config, config.Config
    )
    assert found.config.run.agents == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.x = None


def test_by_the_result_alone(solved, tmp_path, monkeypatch):
    place, result = solved
    assert bits(mpidbo.load(str(place / files.RESULT)).x) == bits(result.x)
    shutil.copy(place / files.RESULT, tmp_path / "kept.h5")
    monkeypatch.chdir(tmp_path)
    found = mpidbo.load("kept.h5")
    assert (
        bits(found.t) == bits(result.t)
        and found.config.tables() == result.config.tables()
        and len(found.history) == 0
    )
    monkeypatch.chdir("/")  # what is read later is found from anywhere
    with pytest.raises(mpidbo.UserError, match=r"/trees\.h5: cannot be read \(No such file"):
        _ = found.x_tree


def test_vectors_where_there_is_no_other_form(tmp_path):
    quadratic, lopa = (
        mpidbo.solve("quadratic", method, agents=3, iterations=4, out=tmp_path / method)
        for method in ("sparkle", "lopa")
    )
    found, apart = (mpidbo.load(tmp_path / method) for method in ("sparkle", "lopa"))
    assert same(found.x_tree, quadratic.x_tree) and same(found.y_tree, quadratic.y_tree)
    assert same(apart.x_tree, lopa.x_tree) and apart.y_tree is None


def test_a_run_that_was_stopped(tmp_path):
    """The rows of its newest checkpoint, as one that ended there has them; a damaged one is
    passed over."""
    path = toml(tmp_path, QUADRATIC | {"method.name": "sparkle"})
    run(
        path,
        tmp_path / "cut",
        run__max_seconds=1e-6,
        run__iterations=10**6,
        run__evaluate_every=1,
        code=85,
    )
    found = mpidbo.load(tmp_path / "cut")
    assert found.iteration == found.history["iteration"].iloc[-1] > 0
    run(path, tmp_path / "whole", run__iterations=found.iteration)
    whole = mpidbo.load(tmp_path / "whole")
    assert whole.iteration == found.iteration and all(
        bits(getattr(found, name)) == bits(getattr(whole, name)) for name in ROWS
    )
    assert found.reason == "stopped on request: run.max_seconds = 1e-06"
    assert (found.finished, found.x_tree, found.y_tree) == (False, None, None)

    run(path, tmp_path / "two")
    for name in (files.RESULT, files.DONE):
        (tmp_path / "two" / name).unlink()
    assert mpidbo.load(tmp_path / "two").iteration == 31
    places = sorted(
        (tmp_path / "two" / "checkpoints").iterdir(), key=lambda place: -int(place.name)
    )
    damage(places[0] / "agents-0-3.h5")
    run(path, tmp_path / "short", run__iterations=int(places[1].name))
    found, whole = mpidbo.load(tmp_path / "two"), mpidbo.load(tmp_path / "short")
    assert found.iteration == 28 and bits(found.x) == bits(whole.x)
    damage(places[1] / manifest.MANIFEST)
    with pytest.raises(
        mpidbo.UserError,
        match=(
            r"31: agents-0-3.h5 is damaged; no checkpoint of this run can be verified, mpidbo show"
        ),
    ):
        mpidbo.load(tmp_path / "two")


def test_a_running_run_removes_checkpoints_meanwhile(tmp_path, monkeypatch):
    """One that was listed and is gone was replaced by a newer one."""
    path = toml(tmp_path, QUADRATIC)
    run(path, tmp_path / "out", run__iterations=14, checkpoint__keep=1)
    for name in (files.RESULT, files.DONE):
        (tmp_path / "out" / name).unlink()
    usual, last = manifest.read_manifest, {"14": True}

    def read_manifest(place):
        if last.pop(place.name, None):
            run(path, tmp_path / "out", run__iterations=21, checkpoint__keep=1)
        return usual(place)

    monkeypatch.setattr(manifest, "read_manifest", read_manifest)
    assert manifest.newest_rows(tmp_path / "out", "x")[0] == 21


def test_history_so_far(folder):
    for name in (files.RESULT, files.DONE, files.TREES):
        (folder / name).unlink()
    shutil.rmtree(folder / "checkpoints")
    found = mpidbo.load(folder)
    assert len(found.history) == 5 and found.config.method["name"] == "sun-dsbo"
    assert (found.iteration, found.finished, *(getattr(found, name) for name in ROWS)) == (
        -1,
        False,
        None,
        None,
        None,
        None,
    )
    (folder / files.HISTORY).unlink()
    assert len(mpidbo.load(folder).history) == 0  # started, nothing written yet


def damage(file):
    """Other bytes in the middle of a file."""
    data = bytearray(file.read_bytes())
    half = len(data) // 2
    data[half - 100 : half + 100] = bytes(byte ^ 0xFF for byte in data[half - 100 : half + 100])
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "text", "printed"),
    [
        (
            files.RESULT,
            b"no HDF5",
            "result.h5: cannot be read (it is not an HDF5 file or it is damaged)",
        ),
        (
            files.HISTORY,
            b"",
            "history.h5: cannot be read (it is not an HDF5 file or it is damaged)",
        ),
        (files.CONFIG, b"[method", "config.toml: not valid TOML"),
    ],
)
def test_a_damaged_file(folder, name, text, printed):
    (folder / name).write_bytes(text)
    with pytest.raises(mpidbo.UserError) as caught:
        mpidbo.load(folder)
    assert printed in str(caught.value)


def test_a_configuration_of_another_version(solved, folder):
    """The rest of the run is there."""
    (folder / files.CONFIG).write_text("problem.name = 'a'\nmethod.name = 'lopa'\nsteps.alpa = 1")
    found = mpidbo.load(folder)
    assert bits(found.x) == bits(solved[1].x) and found.tables["steps"] == {"alpa": 1}
    with pytest.raises(
        mpidbo.UserError,
        match=(
            r"/run: the configuration of this run: steps\.alpa: unknown key; did you mean alpha\?"
        ),
    ):
        _ = found.config


def test_damaged_rows(solved, folder):
    """A single byte of x is not what it was."""
    data, row = (folder / files.RESULT).read_bytes(), solved[1].x.tobytes()
    assert data.count(row) == 1
    (folder / files.RESULT).write_bytes(data.replace(row, bytes([row[0] ^ 1]) + row[1:]))
    with pytest.raises(mpidbo.UserError, match=r"result\.h5: cannot be read"):
        mpidbo.load(folder)


def test_damaged_trees_are_written_anew(solved, tmp_path):
    """By the way that the sentence tells; the rest of the run is there."""
    table = {
        "problem.name": f"{SUPPORT / 'nested.py'}:Nested",
        "run.agents": 3,
        "run.iterations": 6,
    }
    path, out = toml(tmp_path, table), tmp_path / "out"
    run(path, out)
    before = mpidbo.load(out)
    kept = before.x_tree
    for text, why in (
        (b"no HDF5", "it is not an HDF5 file or it is damaged"),
        (None, "No such file or directory"),
    ):
        (out / files.TREES).unlink() if text is None else (out / files.TREES).write_bytes(text)
        found = mpidbo.load(out)
        assert bits(found.x) == bits(before.x)
        with pytest.raises(mpidbo.UserError) as caught:
            _ = found.y_tree
        assert (
            f"trees.h5: cannot be read ({why}); remove done beside it, and the command that ran "
            f"it writes it again"
        ) in str(caught.value)
        (out / files.DONE).unlink()
        run(path, out)
        assert same(mpidbo.load(out).x_tree, kept)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_trees_that_cannot_be_read_are_not_damaged(number, folder, monkeypatch):
    """They must not be removed."""

    def refuse(path, *mode, **options):
        raise OSError(number, os.strerror(number), str(path))

    found = mpidbo.load(folder)
    monkeypatch.setattr(hdf5, "open", refuse, raising=False)
    with pytest.raises(mpidbo.UserError) as caught:
        _ = found.x_tree
    assert (
        str(caught.value)
        == f"{folder}/trees.h5: cannot be read ({os.strerror(number)}); {files.LATER}"
    )


def test_trees_of_another_iteration(folder):
    trees.write(folder / files.TREES, {"x": np.zeros(6)}, 10)
    with pytest.raises(
        mpidbo.UserError, match=r"trees\.h5: of iteration 10, but the result of 20; remove done"
    ):
        _ = mpidbo.load(folder).x_tree


def test_no_run(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("text")
    for given, printed in (
        (tmp_path / "none", "no such file or folder"),
        (tmp_path / "empty", "holds no run"),
        (tmp_path / "a.txt", "a.txt: cannot be read"),
        (None, "load: null is not a path; give the folder of a run"),
    ):
        with pytest.raises(mpidbo.UserError) as caught:
            mpidbo.load(given)
        assert printed in str(caught.value)


def test_without_pandas(solved, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    found = mpidbo.load(solved[0])
    with pytest.raises(
        mpidbo.UserError,
        match=r"pip install 'mpidbo\[pandas\]', or take the same arrays from columns",
    ):
        _ = found.history
    assert found.columns["iteration"].tolist() == [0, 5, 10, 15, 20]
