"""LIBSVM and IDX files as they are found: index bases, packed files, names in use, damage; named
by line where refused."""

import bz2
import gzip
import lzma

import numpy as np
import pytest

from mpidbo.errors import UserError
from mpidbo.problems.data import fetch as sets
from mpidbo.problems.data.readers import labelled, libsvm, mnist
from support.images import idx

PACKS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
LINES = "+1 1:0.5 3:1\n-1 2:0.25\n+1 1:1 2:1\n"
FROM_ZERO = "+1 0:0.5 2:1\n-1 1:0.25\n+1 0:1 1:1\n"
TABLE = [[0.5, 0, 1], [0, 0.25, 0], [1, 1, 0]]


@pytest.fixture(autouse=True)
def fresh():
    pytest.importorskip("sklearn")
    libsvm.cache_clear()
    mnist.cache_clear()


@pytest.mark.parametrize("ending", PACKS)
@pytest.mark.parametrize(
    "text",
    [
        LINES,
        "\ufeff" + LINES,
        LINES.replace("\n", "\r\n"),
        LINES.replace(" ", "\t"),
        "# set\n\n" + LINES + "\n",
        LINES.replace("\n", " # one\n"),
        LINES.replace("1 1:", "1 qid:7 1:"),
        LINES[:-1],
        FROM_ZERO,
        LINES.replace("\n", "\r"),
    ],
    ids=range(10),
)
def test_libsvm_files_in_use(tmp_path, ending, text):
    (tmp_path / f"set{ending}").write_bytes(PACKS[ending](text.encode()))
    train, test = labelled(str(tmp_path / f"set{ending}"))
    assert (
        train.features().tolist() == TABLE and train.labels.tolist() == [1, 0, 1] and test is train
    )


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        (FROM_ZERO, "-1 1:2\n", [[0, 2, 0]]),
        (LINES, "-1 1:2\n", [[2, 0, 0]]),
        (LINES, "-1 0:2\n", [[2, 0, 0, 0]]),
        (FROM_ZERO, "-1 4:2\n", [[0, 0, 0, 0, 2]]),
        (LINES, "-1\n", [[0, 0, 0]]),
    ],
    ids=range(5),
)
def test_one_index_base_for_a_set(tmp_path, train, test, expected):
    (tmp_path / "set.bz2").write_bytes(bz2.compress(train.encode()))
    (tmp_path / "set.t.xz").write_bytes(lzma.compress(test.encode()))
    found = labelled(str(tmp_path / "set.bz2"))
    assert found[1].features().tolist() == expected and found[0].features().shape[1] == len(
        expected[0]
    )


NAMED = [
    (
        "2:0.25",
        "2:nan",
        "line 2: the value of index 2 is nan; leave the sample out, or fill the value in",
    ),
    ("2:0.25", "2:-inf", "line 2: the value of index 2 is -inf"),
    ("2:0.25", "2:1e999", "line 2: the value of index 2 is 1e999"),
    ("2:0.25", "2:", "line 2: the value of index 2, '', is not a number"),
    ("2:0.25", "2:x", "line 2: .* 'x', is not a number"),
    ("2:0.25", "2:1_0", "line 2: .* '1_0', is not a number"),
    ("2:0.25", "2", "line 2: '2' is not index:value"),
    ("2:0.25", "a:1", "line 2: 'a:1' is not index:value"),
    ("2:0.25", "-2:1", "line 2: '-2:1' is not"),
    ("2:0.25", "2.0:1", r"line 2: '2\.0:1' is not"),
    ("2:0.25", "3000000000:1", "line 2: '3000000000:1' is not"),
    ("2:0.25", "2:1 1:1", "line 2: index 1 after 2; write indices in ascending order"),
    ("2:0.25", "2:1 2:1", "line 2: index 2 after 2"),
    ("2:0.25", "2:1 end", "line 2: 'end' is not index:value"),
    ("2:0.25", "2 : 1", "line 2: '2' is not"),
    ("-1 ", "cat ", "line 2: the label 'cat' is not a number; number the classes"),
    ("-1 ", "nan ", "line 2: the label is nan; leave"),
    ("-1 ", "1,3 ", "line 2: '1,3' are several labels"),
    ("-1 ", "", "line 2: the label '2:0.25' is not a number"),
    ("-1 ", "x" * 500 + " ", r"line 2: the label 'x{60}\.\.\.'"),
    ("2:0.25", "2:0.25\0", "zero bytes"),
]


@pytest.mark.parametrize(("old", "new", "words"), NAMED, ids=range(len(NAMED)))
@pytest.mark.parametrize("name", ["set", "set.t"])
def test_a_line_that_is_none(tmp_path, old, new, words, name):
    (tmp_path / "set").write_text(LINES)
    (tmp_path / name).write_text(LINES.replace(old, new, 1))
    with pytest.raises(
        UserError, match=f"/{name}: cannot be read as a LIBSVM file.*{words}"
    ) as refused:
        labelled(str(tmp_path / "set"))
    assert "fetch it again" not in str(refused.value) and len(str(refused.value)) < 300 + len(
        str(tmp_path)
    )


@pytest.mark.parametrize("ending", PACKS)
def test_a_cut_file_is_named_as_one(tmp_path, ending):
    packed = PACKS[ending]((LINES * 50).encode())
    (tmp_path / f"set{ending}").write_bytes(packed[:-2] if ending == "" else packed[:-8])
    with pytest.raises(UserError, match="truncated, fetch it again"):
        labelled(str(tmp_path / f"set{ending}"))


def test_texts_of_other_kinds(tmp_path):
    for content, words in (
        (LINES.encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"PK\3\4" + bytes(range(256)), "not text"),
        (b"<!DOCTYPE html>\n<p>404\n", "line 1: the label '<!DOCTYPE' is not a number"),
        (b"", "are not classes"),
        (b"# nothing\n", "are not classes"),
    ):
        (tmp_path / "set").write_bytes(content)
        libsvm.cache_clear()
        with pytest.raises(UserError, match=words):
            labelled(str(tmp_path / "set"))


# IDX


def four(
    folder,
    train="train-{}-idx{}-ubyte",
    test="t10k-{}-idx{}-ubyte",
    pack="",
    sizes=(40, 12),
    shape=(3, 2),
):
    rng = np.random.default_rng(sum(sizes))
    for name, size in ((train, sizes[0]), (test, sizes[1])):
        for what, dims, array in (
            ("images", 3, rng.integers(256, size=(size, *shape))),
            ("labels", 1, np.arange(size) % 4),
        ):
            path = folder / (name.format(what, dims) + pack)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(PACKS[pack](idx(array.astype(np.uint8))))


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-{}-idx{}-ubyte", "t10k-{}-idx{}-ubyte"),
        ("train-{}.idx{}-ubyte", "t10k-{}.idx{}-ubyte"),
        ("emnist-letters-train-{}-idx{}-ubyte", "emnist-letters-test-{}-idx{}-ubyte"),
        ("raw/train-{}-idx{}-ubyte", "raw/t10k-{}-idx{}-ubyte"),
        ("MNIST/raw/train-{}-idx{}-ubyte", "MNIST/raw/t10k-{}-idx{}-ubyte"),
        ("Train-{}.IDX{}-ubyte", "Test-{}.IDX{}-ubyte"),
    ],
    ids=range(6),
)
def test_names_in_use(tmp_path, train, test, pack):
    four(tmp_path, train, test, pack)
    found = labelled(str(tmp_path))
    assert [len(part) for part in found] == [40, 12]
    for name in (
        train.format("images", 3),
        test.format("labels", 1),
    ):  # a file in place of the folder
        mnist.cache_clear()
        again = labelled(str(tmp_path / (name + pack)))
        assert (again[0].pixels == found[0].pixels).all() and (
            again[1].labels == found[1].labels
        ).all()


def test_files_within_folders_of_their_names(tmp_path):
    four(
        tmp_path,
        *(f"{part}-{{0}}-idx{{1}}-ubyte/{part}-{{0}}-idx{{1}}-ubyte" for part in ("train", "t10k")),
    )
    assert [len(part) for part in labelled(str(tmp_path))] == [40, 12]


def test_several_sets_in_a_folder(tmp_path):
    for name, sizes in (("letters", (40, 12)), ("digits", (20, 8))):
        four(
            tmp_path,
            f"emnist-{name}-train-{{}}-idx{{}}-ubyte",
            f"emnist-{name}-test-{{}}-idx{{}}-ubyte",
            ".gz",
            sizes,
        )
    with pytest.raises(
        UserError,
        match="several data sets, emnist-digits-, emnist-letters-; give a file of the one you mean",
    ):
        labelled(str(tmp_path))
    assert [
        len(part) for part in labelled(str(tmp_path / "emnist-digits-train-images-idx3-ubyte.gz"))
    ] == [20, 8]
    four(tmp_path)
    assert [len(part) for part in labelled(str(tmp_path))] == [40, 12]


def test_a_fetched_set_under_other_names(tmp_path, monkeypatch):
    monkeypatch.setenv("MPIDBO_DATA", str(tmp_path))
    four(tmp_path / "mnist", "train-{}.idx{}-ubyte", "t10k-{}.idx{}-ubyte")
    assert sets.located("mnist") == tmp_path / "mnist" and len(labelled("mnist")[0]) == 40


def test_mistakes_of_folders(tmp_path):
    with pytest.raises(UserError, match=r"no such folder; .* did you mean mnist"):
        labelled(str(tmp_path / "mnsit"))
    (tmp_path / "images").write_bytes(idx(np.zeros((4, 3, 2), np.uint8)))
    with pytest.raises(UserError, match="one IDX file of four; give the folder"):
        labelled(str(tmp_path / "images"))
    with pytest.raises(UserError, match="train-images-idx3-ubyte: no such file"):
        labelled(str(tmp_path))
    four(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        UserError,
        match=r"t10k-labels-idx1-ubyte: no such file, nor packed, nor as t10k-labels\.idx1-ubyte",
    ):
        labelled(str(tmp_path))
    four(tmp_path, sizes=(40, 0))
    with pytest.raises(UserError, match="t10k-images-idx3-ubyte: holds no images"):
        labelled(str(tmp_path))
    four(tmp_path / "other", shape=(2, 2))
    four(tmp_path)
    for what, dims in (("images", 3), ("labels", 1)):
        (tmp_path / "other" / f"t10k-{what}-idx{dims}-ubyte").write_bytes(
            (tmp_path / f"t10k-{what}-idx{dims}-ubyte").read_bytes()
        )
    with pytest.raises(UserError, match="images of 4 and 6 pixels"):
        labelled(str(tmp_path / "other"))
