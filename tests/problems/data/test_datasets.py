"""Reading image files, splitting samples over agents, and each agent's share."""

import gzip

import numpy as np
import pytest

from mpidbo.errors import UserError
from mpidbo.problems.data.readers import digits, mnist, read_idx
from mpidbo.problems.data.shares import share_of
from mpidbo.problems.data.splits import MIN_SAMPLES, SPLITS, split
from support.images import idx

OPTIONS = {
    "seed": 1,
    "split": "dirichlet",
    "concentration": 1.0,
    "n_train": 0,
    "n_validation": 0,
    "xp": np,
    "dtype": np.float64,
}


def write_folder(folder, rng, sizes=(40, 12)):
    for part, size, pack in zip(("train", "t10k"), sizes, (gzip.compress, bytes), strict=True):
        end = ".gz" if pack is gzip.compress else ""
        images = rng.integers(256, size=(size, 3, 2)).astype(np.uint8)
        labels = (np.arange(size) % 4).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte{end}").write_bytes(pack(idx(images)))
        (folder / f"{part}-labels-idx1-ubyte{end}").write_bytes(pack(idx(labels)))


def test_idx_plain_and_gzipped(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
    for name, data in (("plain", idx(array)), ("packed.gz", gzip.compress(idx(array)))):
        (tmp_path / name).write_bytes(data)
        found = read_idx(tmp_path / name, 3)
        assert (found == array).all() and found.dtype == np.uint8 and not found.flags.writeable


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (idx(np.zeros((4, 3, 2), np.uint8))[:-1], "truncated"),
        (idx(np.zeros((4, 3, 2), np.uint8))[:9], "truncated"),
        (idx(np.zeros((4, 3, 2), np.uint8)) + b"x", "damaged"),
        (idx(np.zeros(4, np.uint8)), "starts with 00000801 instead of 00000803"),
        (b"<html>", "not an IDX file"),
        (b"", "not an IDX file"),
        (gzip.compress(idx(np.zeros((4, 3, 2), np.uint8)))[:-6], "cannot be read"),
    ],
    ids=["short", "short header", "long", "other dimensions", "html", "empty", "short gzip"],
)
def test_damaged_idx_is_named(tmp_path, data, words):
    path = tmp_path / "images"
    path.write_bytes(data)
    with pytest.raises(UserError, match=words) as error:
        read_idx(path, 3)
    assert str(path) in str(error.value)


def test_folder(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        mnist(tmp_path / "none")
    with pytest.raises(UserError, match="train-images-idx3-ubyte: no such file"):
        mnist(tmp_path)
    write_folder(tmp_path, np.random.default_rng(0))
    train, test = mnist(tmp_path)
    assert (len(train), len(test)) == (40, 12) and mnist(tmp_path)[0] is train
    assert (
        train.features().shape == (40, 6)
        and 0 <= train.features().min() <= train.features().max() <= 1
    )
    assert (train.features([3, 5], np.float32) == train.features()[[3, 5]].astype(np.float32)).all()
    with pytest.raises(ValueError, match="read-only"):
        train.labels[0] = 1
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(5, np.uint8)))
    mnist.cache_clear()
    with pytest.raises(UserError, match=r"12 images but .* 5 labels"):
        mnist(tmp_path)


def test_mnist(shared_data):
    train, test = mnist(shared_data("mnist"))
    assert train.pixels.shape == (60_000, 784) and test.pixels.shape == (10_000, 784)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9] and np.bincount(test.labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert train.features([0]).max() == 1


def test_digits():
    pytest.importorskip("sklearn")
    images = digits()
    assert images.pixels.shape == (1797, 64) and images.features().max() == 1
    assert not images.pixels.flags.writeable and images is digits()


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("concentration", [1e-3, 0.3, 100.0])
def test_splits_cover_everything_once(name, concentration):
    labels = np.random.default_rng(0).integers(10, size=500)
    parts = split(name, labels, 7, np.random.default_rng(5), concentration)
    assert (np.sort(np.concatenate(parts)) == np.arange(500)).all()
    assert min(map(len, parts)) >= MIN_SAMPLES
    again = split(name, labels, 7, np.random.default_rng(5), concentration)
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))


def test_heterogeneity_of_splits():
    labels = np.arange(2000) % 10

    def classes(name, concentration=1.0):
        parts = split(name, labels, 10, np.random.default_rng(0), concentration)
        return np.array([np.bincount(labels[part], minlength=10) for part in parts])

    assert {table.sum() for table in classes("iid")} == {200}
    assert (classes("class") > 0).sum(axis=1).max() <= 4
    spread = [classes("dirichlet", c).std() for c in (100.0, 1.0, 0.1)]
    assert spread == sorted(spread)
    assert classes("iid").std() < spread[1]


def test_split_errors():
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="did you mean dirichlet"):
        split("dirichlett", np.zeros(9), 3, rng)
    with pytest.raises(UserError, match="positive"):
        split("dirichlet", np.zeros(9), 3, rng, 0.0)
    with pytest.raises(UserError, match="3 samples cannot be split over 4 agents"):
        split("iid", np.zeros(3), 4, rng)


def test_shares_are_disjoint_and_alike_in_both_levels(tmp_path):
    pytest.importorskip("sklearn")
    shares = [share_of("digits", agent, 4, **OPTIONS) for agent in range(4)]
    assert [share.first for share in shares] == np.cumsum(
        [0, *(len(share.train) for share in shares[:-1])]
    ).tolist()
    assert {share.total for share in shares} == {1000} and {
        len(share.test) for share in shares
    } == {99}
    assert sum(len(share.validation) for share in shares) == 400
    for share in shares:
        mixtures = [
            np.bincount(part.labels, minlength=10) / len(part)
            for part in (share.train, share.validation)
        ]
        assert abs(mixtures[0] - mixtures[1]).sum() < 0.3
    other = share_of("digits", 0, 4, **OPTIONS | {"seed": 2})
    assert len(other.train) != len(shares[0].train) or (other.train.X != shares[0].train.X).any()


def test_sizes_of_shares(tmp_path):
    write_folder(tmp_path, np.random.default_rng(0))
    options = OPTIONS | {"n_train": 25, "n_validation": 15}
    share = share_of(str(tmp_path), 0, 3, **options)
    assert (share.total, share.classes, len(share.test)) == (25, 4, 4)
    with pytest.raises(UserError, match="50000 and 15 do not fit the 40 samples"):
        share_of(str(tmp_path), 0, 3, **options | {"n_train": 0})
    with pytest.raises(UserError, match="12 test samples"):
        share_of(str(tmp_path), 0, 13, **options)
