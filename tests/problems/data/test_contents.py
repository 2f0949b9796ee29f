"""Users' files and values of other programs: texts with marks, packed files, splits."""

import bz2
import gzip
import lzma

import numpy as np
import pytest

import mpidbo
from mpidbo import _contents as contents
from mpidbo import cli
from mpidbo.config.toml import load, parse_overrides
from mpidbo.errors import UserError
from mpidbo.problems.data.splits import SPLITS, split

CONFIG = '[problem]\nname = "quadratic"\n[run]\nagents = 2\niterations = 3\n'
LABELS = np.arange(400) % 10


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_toml_with_and_without_a_mark(tmp_path, encoding, end):
    (tmp_path / "one.toml").write_bytes(CONFIG.replace("\n", end).encode(encoding))
    assert load(tmp_path / "one.toml", ["\ufeffrun.seed=3"])["run"] == {
        "agents": 2,
        "iterations": 3,
        "seed": 3,
    }
    assert parse_overrides(["\ufeffrun.seed=3"]) == {"run": {"seed": 3}}


def test_a_study_with_a_mark(tmp_path):
    from mpidbo import studies

    (tmp_path / "s.toml").write_bytes(
        ('[study]\nmethods = ["dsgd"]\n' + CONFIG.replace("quadratic", "minimax")).encode(
            "utf-8-sig"
        )
    )
    assert len(studies.load_study(tmp_path / "s.toml", []).groups) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CONFIG.encode("utf-16"), "UTF-16; save it as UTF-8"),
        (CONFIG.encode("utf-16-be"), "UTF-16; save it as UTF-8"),
        (CONFIG.encode("utf-16-le"), "UTF-16; save it as UTF-8"),
        (CONFIG.encode("utf-32"), "UTF-32; save it as UTF-8"),
        (CONFIG.encode() + "# \u00fc".encode("latin-1"), "not text in UTF-8, see line 6"),
        (b"\0" * 20, "zero bytes"),
        (gzip.compress(CONFIG.encode(), mtime=0), "not text in UTF-8"),
    ],
    ids=["utf-16", "utf-16-be", "utf-16-le", "utf-32", "latin-1", "zeros", "packed"],
)
def test_other_texts_are_named(tmp_path, content, words, capsys):
    (tmp_path / "one.toml").write_bytes(content)
    with pytest.raises(UserError, match=words):
        load(tmp_path / "one.toml")
    assert cli.main(["where", str(tmp_path / "one.toml")]) == 2
    assert "one.toml: " in capsys.readouterr().err


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_packed_files_are_known_by_their_content(tmp_path, pack):
    (tmp_path / "indices").write_bytes(pack("\ufeff0, 2,3 # own\r\n\r\n5\t7\n".encode()))
    assert mpidbo.split_files([tmp_path / "indices"])[0].tolist() == [0, 2, 3, 5, 7]
    (tmp_path / "cut").write_bytes(pack(b"1\n" * 9000)[:-6] if pack is not bytes else b"1 x")
    with pytest.raises(UserError, match="cut cannot be read as indices"):
        mpidbo.split_files([tmp_path / "cut"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 1\n2 -3\n", "line 2: '-3' is not an index"),
        ("0\n\n1.0\n", "line 3: '1.0'"),
        ("0 1_0\n", "'1_0'"),
        ("1,,2\n", "''"),
        ("0 " + "9" * 5000, r"line 1: '9{60}\.\.\.'"),
        ("# nothing\n", "no indices, but nothing"),
        ("\u0663", "is not an index"),
    ],
)
def test_a_split_is_read_by_line(tmp_path, text, words):
    (tmp_path / "own.txt").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=words) as refused:
        mpidbo.split_files([tmp_path / "own.txt"])
    assert len(str(refused.value)) < 400 + len(str(tmp_path))


def test_splits_in_files_of_numpy(tmp_path):
    np.savez(tmp_path / "one.npz", own=np.array([3, 1], np.uint16))
    assert mpidbo.split_files([tmp_path / "one.npz"])[0].tolist() == [3, 1]
    np.savez(tmp_path / "two.npz", own=np.arange(3), others=np.arange(3))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "floats.npy", np.arange(3.0))
    np.save(tmp_path / "large.npy", np.array([2**64 - 1], np.uint64))
    (tmp_path / "zip.npy").write_bytes((tmp_path / "one.npz").read_bytes()[:50])
    (tmp_path / "text.npy").write_text("0 1\n")
    (tmp_path / "short.npy").write_bytes((tmp_path / "floats.npy").read_bytes()[:-8])
    (tmp_path / "header.npy").write_bytes(
        (tmp_path / "floats.npy").read_bytes().replace(b"'shape': (3,)", b"'shape': ((((")
    )
    for name, words in {
        "header.npy": "damaged|cannot be read",
        "two.npz": "2 arrays: own, others",
        "objects.npy": "Python objects",
        "floats.npy": r"float64 of shape \(3,\)",
        "large.npy": "18446744073709551615",
        "zip.npy": "damaged",
        "text.npy": "not a file of numpy",
        "short.npy": "cannot be read",
        "none.npy": "No such file",
    }.items():
        with pytest.raises(UserError, match=words):
            mpidbo.split_files([tmp_path / name])


@pytest.mark.parametrize("concentration", [np.inf, 1e308, 1e100, 10**400])
def test_an_endless_concentration_is_iid(concentration):
    parts = split("dirichlet", LABELS, 8, np.random.default_rng(5), concentration)
    counts = np.array([np.bincount(LABELS[part], minlength=10) for part in parts])
    assert counts.sum(axis=1).min() >= 40 and counts.sum(axis=1).max() <= 60
    if concentration == np.inf:
        same = SPLITS["iid"](LABELS, 8, np.random.default_rng(5), 1.0)
        assert all(
            (part == np.flatnonzero(same == agent)).all() for agent, part in enumerate(parts)
        )


@pytest.mark.parametrize("value", [np.nan, 0, -1.0, -np.inf, "a", None, True, [1.0]])
def test_other_concentrations_are_refused(value):
    with pytest.raises(UserError, match=r"^concentration: .* must be positive"):
        mpidbo.split(LABELS, 4, "dirichlet", concentration=value)
    if value is None:  # as if it were left out
        return
    with pytest.raises(UserError, match=r"^problem\.concentration: "):
        mpidbo.solve({"name": "hyper-cleaning", "concentration": value}, agents=2, iterations=1)


def test_an_infinite_concentration_of_a_problem():
    pytest.importorskip("sklearn")
    from mpidbo.problems.data.shares import share_of

    sizes = [
        len(
            share_of(
                "digits",
                agent,
                8,
                seed=1,
                split="dirichlet",
                concentration=np.inf,
                n_train=0,
                n_validation=0,
                xp=np,
                dtype=np.float64,
            ).train
        )
        for agent in range(8)
    ]
    assert sizes == [125] * 8


def test_the_beginning_of_a_text():
    assert (
        contents.excerpt("a" * 61) == repr("a" * 60 + "...") and contents.excerpt("a\n") == r"'a\n'"
    )
