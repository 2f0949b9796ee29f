"""Every run has the numbers that an earlier version gave it, bit for bit, and runs that it left
half done are resumed."""

import h5py
import numpy as np
import pytest

from mpidbo import cli
from support import DATA, trajectories
from support.archives import unpack

ARCHIVE = DATA / "trajectories_0.1.0.tar.xz"
"""Written by `python tests/support/trajectories.py`."""


@pytest.fixture(autouse=True)
def without_mpi(monkeypatch):
    monkeypatch.setattr(cli, "comm_world", lambda: None)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """The folder of what the earlier version wrote."""
    folder = tmp_path_factory.mktemp("earlier")
    unpack(ARCHIVE, folder)
    return folder


@pytest.fixture(scope="module")
def kept(earlier):
    with h5py.File(earlier / trajectories.ARRAYS) as file:
        yield file


def agree(out, kept, name):
    """Compare a run's arrays with the kept ones: bits, or to rounding where this processor adds
    in another order."""
    alike = kept.attrs["arithmetic"] == trajectories.arithmetic()
    found = dict(trajectories.arrays(out))
    expected = {}
    kept[name].visititems(
        lambda key, item: expected.update({key: item[()]}) if hasattr(item, "shape") else None
    )
    assert expected.keys() <= found.keys()
    for key, rows in expected.items():
        assert found[key].dtype == rows.dtype and found[key].shape == rows.shape, key
        if alike:
            assert found[key].tobytes() == rows.tobytes(), key
        else:
            tolerance = 1e-4 if rows.dtype == np.float32 or name == "float32" else 1e-9
            np.testing.assert_allclose(found[key], rows, tolerance, tolerance, err_msg=key)


def test_all_cases_are_kept(kept):
    assert set(kept) == set(trajectories.CASES)


@pytest.mark.parametrize("name", trajectories.CASES)
def test_a_run_has_its_earlier_numbers(name, kept, tmp_path):
    trajectories.run(name, tmp_path / "out")
    agree(tmp_path / "out", kept, name)


@pytest.mark.parametrize("name", trajectories.HALF_DONE)
def test_a_run_half_done_by_an_earlier_version_is_resumed(name, earlier, kept, tmp_path):
    out = (earlier / name).rename(tmp_path / "out")
    trajectories.run(name, out)
    agree(out, kept, name)
