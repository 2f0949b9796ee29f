"""Data sets split over agents by the user: mpidbo.split, split_files, subsets."""

import re
import sys

import numpy as np
import pytest

import mpidbo

LABELS = np.repeat(np.arange(5), 40)


@pytest.mark.parametrize("rule", ["iid", "dirichlet", "class"])
@pytest.mark.parametrize("agents", [1, 3, 8])
def test_each_sample_has_one_agent(rule, agents):
    parts = mpidbo.split(LABELS, agents, rule, concentration=0.5, seed=2)
    assert len(parts) == agents and all((np.diff(part) > 0).all() for part in parts)
    assert sorted(np.concatenate(parts)) == list(range(len(LABELS)))


def test_of_the_seed_alone():
    same, again, other = (
        mpidbo.split(LABELS.tolist(), 4, "dirichlet", seed=seed) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(same, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(same, other, strict=True))


def test_heterogeneity():
    """How many classes an agent has, on average."""

    def classes(rule, **more):
        return np.mean(
            [len(np.unique(LABELS[part])) for part in mpidbo.split(LABELS, 5, rule, **more)]
        )

    assert (
        classes("iid") == 5
        and classes("class") <= 3
        and classes("dirichlet", concentration=0.05) < 4.5
    )
    train, validation = (
        mpidbo.split(labels, 5, "dirichlet", concentration=0.05) for labels in (LABELS, LABELS[::2])
    )
    for a, b in zip(train, validation, strict=True):  # the same mixture in both
        shares = [
            np.bincount(labels, minlength=5) / len(labels) for labels in (LABELS[a], LABELS[::2][b])
        ]
        assert abs(shares[0] - shares[1]).max() < 0.3


def test_of_a_number():
    assert sorted(map(len, mpidbo.split(10, 3))) == [3, 3, 4]


def test_files(tmp_path):
    np.save(tmp_path / "0.npy", np.array([4, 1]))
    (tmp_path / "1.txt").write_text("0 2\n3\n")
    parts = mpidbo.split_files([tmp_path / "0.npy", str(tmp_path / "1.txt")])
    assert [part.tolist() for part in parts] == [[4, 1], [0, 2, 3]]


class Squares:
    """A map-style data set."""

    def __len__(self):
        return 6

    def __getitem__(self, i):
        return i**2


def test_subsets():
    parts = [np.array([5, 0]), np.array([2])]
    arrays = mpidbo.subsets({"X": np.arange(12).reshape(6, 2), "labels": np.arange(6)}, parts)
    assert (
        len(arrays) == 2
        and arrays[0]["X"].tolist() == [[10, 11], [0, 1]]
        and arrays[1]["labels"].tolist() == [2]
    )
    first, second = mpidbo.subsets(Squares(), parts)
    assert len(first) == 2 and [first[0], first[1]] == [25, 0] and second[0] == 4


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda folder: mpidbo.split(LABELS, 3, "dirchlet"), "did you mean dirichlet?"),
        (
            lambda folder: mpidbo.split(100, 3, "class"),
            "split: class goes by the labels, not by their number 100",
        ),
        (lambda folder: mpidbo.split(LABELS[:2], 3), "2 samples cannot be split over 3 agents"),
        (lambda folder: mpidbo.split(LABELS, 3, "dirichlet", concentration=0), "must be positive"),
        (
            lambda folder: mpidbo.split(LABELS[:, None], 3),
            "split: labels of shape (200, 1), expected one for each sample",
        ),
        (
            lambda folder: mpidbo.split_files([folder / "none.npy"]),
            "none.npy cannot be read as indices",
        ),
        (
            lambda folder: mpidbo.split_files([folder / "words.txt"]),
            "words.txt cannot be read as indices",
        ),
        (lambda folder: mpidbo.split_files([folder / "empty.txt"]), "empty.txt holds no indices"),
        (
            lambda folder: mpidbo.split_files([folder / "a.txt", folder / "a.txt"]),
            "sample 3 is given twice",
        ),
        (
            lambda folder: mpidbo.subsets((np.zeros(3), np.zeros(4)), []),
            "subsets: arrays of different length, (3,) and (4,)",
        ),
        (
            lambda folder: mpidbo.subsets(np.zeros(3), [np.array([3])]),
            "subsets: sample 3 is asked for, but there are 3",
        ),
    ],
)
def test_mistakes(tmp_path, call, sentence):
    for name, text in (("words", "one two"), ("empty", ""), ("a", "3 4")):
        (tmp_path / f"{name}.txt").write_text(text)
    with pytest.raises(mpidbo.UserError, match=re.escape(sentence)):
        call(tmp_path)


@pytest.mark.parametrize(("module", "name"), [("torch", "PyTorch"), ("jax", "JAX")])
def test_a_framework_that_is_not_installed(module, name, monkeypatch):
    monkeypatch.delitem(sys.modules, f"mpidbo.problems.autodiff.{module}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        mpidbo.UserError,
        match=re.escape(f"from_{module}: {name} is not installed; pip install 'mpidbo[{module}]'"),
    ):
        getattr(mpidbo, f"from_{module}")(print, print, 0.0, 0.0, [None])
