"""What users give as data, as arrays: by position, in types that losses can use, or a sentence."""

import array
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import mpidbo
from mpidbo.problems.autodiff.arrays import brief, native, rows, signed, whole_number
from mpidbo.problems.autodiff.batches import Source, accept_entries, entry_of
from mpidbo.problems.autodiff.nested import kind

VALUES = np.arange(6.0).reshape(3, 2)
SHUFFLED = [2, 0, 1]


class Numpy:
    """Numpy in the place of a framework."""

    def opened(self, entry):
        return entry

    def array(self, leaf, where):
        return native(leaf, where)

    def rows(self, found, indices):
        return found[indices]

    def collate(self, samples, where):
        return np.stack([native(sample, where) for sample in samples])

    def batch(self, tree):
        return tree


def source(entry, batch=0):
    return Source(entry, Numpy(), agent=1, name="data", batch=batch, key="batch")


LIKE = {
    "numpy": VALUES,
    "big-endian": VALUES.astype(">f8"),
    "negative strides": np.ascontiguousarray(VALUES[::-1, ::-1])[::-1, ::-1],
    "unaligned": np.frombuffer(b"0" + VALUES.tobytes(), np.uint8)[1:]
    .view(np.float64)
    .reshape(3, 2),
    "field of records": np.zeros(3, [("x", "f8", 2), ("n", "u1")]),
    "read-only": np.frombuffer(VALUES.tobytes()).reshape(3, 2),
    "long double": VALUES.astype(np.longdouble),
    "matrix": np.matrix(VALUES),
    "masked, nothing masked": np.ma.masked_array(VALUES, mask=False),
    "memory view": memoryview(VALUES),
    "shuffled table": pd.DataFrame(VALUES[[1, 2, 0]], index=[1, 2, 0]).loc[[0, 1, 2]],
    "table of two types": pd.DataFrame(
        {"a": VALUES[:, 0].astype(int), "b": VALUES[:, 1]}, index=[5, 3, 4]
    ),
    "nullable table": pd.DataFrame(VALUES).astype("Float64"),
    "two kinds of columns": pd.DataFrame({"a": pd.array([0, 2, 4], "Int64"), "b": VALUES[:, 1]}),
}
LIKE["field of records"]["x"] = VALUES
LIKE["field of records"] = LIKE["field of records"]["x"]


@pytest.mark.parametrize("name", LIKE)
def test_numbers_of_any_kind_are_the_same_array(name):
    found = native(LIKE[name], "data")
    assert type(found) is np.ndarray and found.dtype == np.float64 and found.dtype.isnative
    assert found.flags.aligned and min(found.strides) > 0 and found.tolist() == VALUES.tolist()


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (np.array([1, 2], ">i4"), "int32"),
        (np.array([1, 2], "<u2"), "uint16"),
        (np.array([True, False]), "bool"),
        (np.float32(3), "float32"),
        (np.array([1, 2], np.float16), "float16"),
        (np.array([1j], ">c8"), "complex64"),
        (array.array("i", [1, 2]), "int32"),
        (bytearray(b"ab"), "uint8"),
        (pd.Series([1, 2], index=["b", "a"]), "int64"),
        (pd.Series([1, 2], dtype="Int8"), "int8"),
        (pd.Series([True, False], dtype="boolean"), "bool"),
        (pd.Index([3, 4]), "int64"),
        (pd.array([1.5], "Float32"), "float32"),
    ],
)
def test_types_stay_in_native_byte_order(given, dtype):
    found = native(given, "data")
    assert found.dtype == dtype and found.dtype.isnative


def test_what_needs_no_change_is_not_copied():
    for given in (VALUES, VALUES[:, :1], VALUES.T):
        assert native(given, "data") is given or np.shares_memory(native(given, "data"), given)
        assert native(given, "data").strides == given.strides


REFUSED = {
    "objects": (
        np.array([1, "a", None], object),
        "dtype object (the first entry is int) is not an array of numbers",
    ),
    "texts": (
        np.array(["1", "2"]),
        "dtype <U1 is not an array of numbers; make it numbers: .astype(float)",
    ),
    "bytes": (np.array([b"1"]), "dtype |S1 is not an array of numbers"),
    "dates": (
        np.array(["2020-01-01"], "M8[D]"),
        "dtype datetime64[D] is not an array of numbers; make it numbers, such as (t - t[0])",
    ),
    "durations": (np.array([3], "m8[s]"), "np.timedelta64(1, 's')"),
    "records": (np.zeros(2, [("a", "f8"), ("b", "i4")]), "give each field as an array"),
    "masked": (
        np.ma.masked_array(VALUES, mask=VALUES > 4),
        "1 of 6 entries are masked; fill them (.filled(...))",
    ),
    "sparse": (
        scipy.sparse.csr_matrix(VALUES),
        "csr_matrix of shape (3, 2) is sparse; make it dense by .toarray()",
    ),
    "sparse array": (scipy.sparse.coo_array(VALUES), "coo_array of shape (3, 2) is sparse"),
    "large sparse": (scipy.sparse.csr_array((10**7, 10**7)), "(7.45e+05 GiB in float64)"),
    "categories": (
        pd.Series(["a", "b"], dtype="category"),
        "dtype category is not an array of numbers; give its codes, .cat.codes",
    ),
    "column of texts": (pd.DataFrame({"a": [1.0], "town": ["Ulm"]}), ', column "town": dtype str'),
    "column of objects": (
        pd.DataFrame({"a": [1.0], "b": [object()]}),
        ', column "b": dtype object (the first entry is object)',
    ),
    "column of dates": (
        pd.DataFrame({"t": pd.to_datetime(["2020-01-01"]), "a": [1]}),
        ', column "t": dtype datetime64',
    ),
    "time zones": (
        pd.Series(pd.to_datetime(["2020-01-01"], utc=True)),
        "dtype datetime64[us, UTC] is not",
    ),
    "missing": (
        pd.Series([1, None, 3], dtype="Int64"),
        "1 of 3 values are missing, the first in row 1; fill them (.fillna)",
    ),
    "sparse column": (
        pd.Series([0.0, 1.0], dtype="Sparse[float64]"),
        "make it dense by .sparse.to_dense()",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_numbers_are_refused_by_their_agent_argument_and_type(name):
    given, sentence = REFUSED[name]
    with pytest.raises(mpidbo.UserError, match=re.escape(sentence)) as caught:
        source({"X": given})
    assert str(caught.value).startswith('data of agent 1, "X"') and len(str(caught.value)) < 400


def test_rows_are_taken_by_position():
    """Of a shuffled table, too, whose labels are other numbers than the positions."""
    table = pd.DataFrame({"x": [10.0, 11, 12], "label": [0, 1, 2]}).loc[SHUFFLED]
    for part in ([0, 2], np.array([0, 2]), pd.Series([0, 2], index=[7, 9]), [True, False, True]):
        first = mpidbo.subsets((table[["x"]], table["label"]), [part, [1]])[0]
        assert native(first[0], "").tolist() == [[12], [11]] and native(first[1], "").tolist() == [
            2,
            1,
        ]
    assert source(mpidbo.subsets(table["label"], [[0], [1]])[0]).full_batch.tolist() == [2]


@pytest.mark.parametrize(
    "given",
    [
        VALUES,
        pd.DataFrame(VALUES),
        pd.Index([1.0, 2, 3]),
        memoryview(VALUES),
        pd.array([1.0, 2, 3]),
    ],
)
def test_rows_of_any_kind(given):
    whole_array = native(given, "")
    assert native(rows(given, np.array([2, 0])), "").tolist() == whole_array[[2, 0]].tolist()


def test_rows_of_a_file(tmp_path):
    """Of which h5py takes ascending indices alone."""
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["X"] = VALUES
        part = mpidbo.subsets(file["X"], [[2, 0, 2]])[0]
        assert (
            part.tolist() == VALUES[[2, 0, 2]].tolist()
            and native(file["X"], "").tolist() == VALUES.tolist()
        )


LABELS = np.repeat([3, 1, 2], 20)
NAMES = np.array(["", "one", "two", "three"])


@pytest.mark.parametrize("rule", ["iid", "dirichlet", "class"])
@pytest.mark.parametrize(
    "labels",
    [
        pd.Series(LABELS, index=np.random.default_rng(0).permutation(60)),
        pd.Series(LABELS, dtype="category"),
        LABELS.astype(">i2"),
        LABELS.astype(np.uint64),
        LABELS.astype(float),
        LABELS.tolist(),
        tuple(LABELS),
        pd.Categorical(LABELS),
        pd.Series(LABELS, dtype="Int64"),
        [f"class {i}" for i in LABELS],
        pd.Series([f"class {i}" for i in LABELS]),
        np.array([f"class {i}" for i in LABELS], object),
    ],
)
def test_labels_of_any_kind_give_the_same_split(rule, labels):
    parts = mpidbo.split(labels, np.int64(4), rule, concentration=0.5, seed=np.uint8(3))
    expected = mpidbo.split(LABELS, 4, rule, concentration=0.5, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(parts, expected, strict=True))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: mpidbo.split([1.0, np.nan, 2], 2),
            "split: 1 of 3 values are missing, the first in row 1",
        ),
        (
            lambda: mpidbo.split(["a", pd.NA, "b"], 2),
            "split: 1 of 3 values are missing, the first in row 1",
        ),
        (
            lambda: mpidbo.split(["a", None], 2),
            "split: 1 of 2 values are missing, the first in row 1",
        ),
        (
            lambda: mpidbo.split(pd.Series([None, "b"], dtype="category"), 2),
            "split: 1 of 2 values are missing, the first in row 0",
        ),
        (lambda: mpidbo.split(["a", 1, (2,)], 2), "split: "),
        (
            lambda: mpidbo.split(np.array(["a", 1], object), 2),
            "split: dtype object (the first entry is str) cannot be put in order",
        ),
        (lambda: mpidbo.split(np.eye(4), 2), "one-hot rows are labels by .argmax(axis=1)"),
        (lambda: mpidbo.split(True, 2), "split: labels: true is neither labels nor their number"),
        (lambda: mpidbo.split(10.0, 2), "split: labels: 10.0 is neither labels nor their number"),
        (lambda: mpidbo.split(iter([1, 2]), 2), "list_iterator is not labels"),
        (lambda: mpidbo.split({"a": 1}, 2), "dict is not labels"),
        (lambda: mpidbo.split("abc", 2), "str is not labels"),
        (
            lambda: mpidbo.split(scipy.sparse.csr_array(np.eye(3)), 2),
            "split: csr_array of shape (3, 3) is sparse",
        ),
        (lambda: mpidbo.split(10, 0), "split: agents: 0 is not a number of agents"),
        (lambda: mpidbo.split(10, 2.0), "split: agents: 2.0 is not a number of agents"),
        (lambda: mpidbo.split(10, True), "split: agents: true is not a number of agents"),
        (lambda: mpidbo.split(10, 2, seed=-1), "split: seed: -1 is not a seed"),
        (lambda: mpidbo.subsets(VALUES, [[0.5]]), "subsets: the part of agent 0 has dtype float64"),
        (
            lambda: mpidbo.subsets(VALUES, [[0], [-1]]),
            "subsets: sample -1 is asked for, but there are 3 (the part of agent 1)",
        ),
        (
            lambda: mpidbo.subsets(VALUES, [[True, False]]),
            "subsets: the part of agent 0 is a mask of 2 booleans, but there are 3 samples",
        ),
        (
            lambda: mpidbo.subsets(VALUES, {0: [1], 1: [2]}),
            "is not a list with the indices of each agent",
        ),
        (
            lambda: mpidbo.subsets(VALUES, [0, 1]),
            "subsets: the part of agent 0 is int; give a list of indices",
        ),
        (lambda: mpidbo.subsets(VALUES, [[[0], [1, 2]]]), "subsets: the part of agent 0 has"),
        (
            lambda: mpidbo.subsets(scipy.sparse.csr_array(VALUES), [[0]]),
            "subsets: csr_array of shape (3, 2) is sparse",
        ),
        (lambda: mpidbo.subsets({"a": 3}, [[0]]), "subsets: int holds no arrays of samples"),
        (lambda: mpidbo.subsets(3, [[0]]), "subsets: int holds no samples"),
        (
            lambda: mpidbo.subsets(iter([1, 2]), [[0]]),
            "subsets: list_iterator can be read in one order alone, or once",
        ),
        (
            lambda: mpidbo.subsets([[1.0, 2.0]] * 10**5, [[0]]),
            "subsets: float and float and float and float and 199,996 more",
        ),
    ],
)
def test_mistakes_of_labels_and_parts(call, sentence):
    with pytest.raises(mpidbo.UserError, match=re.escape(sentence)) as caught:
        call()
    assert len(str(caught.value)) < 400


def test_unsigned_numbers_as_signed_ones():
    for name, wider in (
        ("uint16", "int32"),
        ("uint32", "int64"),
        ("uint64", "int64"),
        ("uint8", "uint8"),
        ("int16", "int16"),
    ):
        given = np.array([0, np.iinfo(name).max if name != "uint64" else 2**62], name)
        found = signed(given, "data")
        assert found.dtype == wider and found.tolist() == given.tolist()
    with pytest.raises(
        mpidbo.UserError, match=re.escape("data: uint64 up to 9223372036854775808, but PyTorch")
    ):
        signed(np.array([2**63], np.uint64), "data")


def test_whole_numbers():
    for given in (3, np.int64(3), np.uint8(3)):
        assert type(whole_number(given, "n", "")) is int and source(VALUES, given).batch == 0
    for given in (True, np.True_, 3.0, "3", None, -1, [3], np.array([3, 4])):
        with pytest.raises(mpidbo.UserError, match=re.escape("problem.batch: ")) as caught:
            source(VALUES, given)
        assert "is not a number of samples" in str(caught.value)
    with pytest.raises(mpidbo.UserError) as caught:
        source(VALUES, "9" * 10**6)
    assert len(str(caught.value)) < 300


class Loader:
    """What a DataLoader has."""

    dataset, batch_size = (), 32

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0


class IterableDataset:
    """A data set without a length, whose base has items that only raise."""

    def __getitem__(self, i):
        raise NotImplementedError

    def __iter__(self):
        return iter(())


class Empty:
    def __len__(self):
        return 0

    def __getitem__(self, i):
        raise IndexError(i)


class Failing(Empty):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        raise ValueError("no such\nfile" * 10**4)


class Endless(Failing):
    def __len__(self):
        raise TypeError("unknown")


@pytest.mark.parametrize(
    ("entry", "batch", "sentence"),
    [
        (
            Loader(),
            0,
            "data of agent 1: Loader draws samples by itself, but draws are mpidbo's; give its "
            ".dataset and batch=32",
        ),
        ({"a": Loader()}, 0, 'data of agent 1, "a": Loader draws'),
        (IterableDataset(), 2, "data of agent 1: IterableDataset is an iterable data set"),
        (
            iter([VALUES]),
            0,
            "data of agent 1: list_iterator can be read in one order alone, or once",
        ),
        (
            (VALUES, (i for i in range(3))),
            0,
            "data of agent 1, part 1: generator can be read in one order alone",
        ),
        (Empty(), 0, "data of agent 1: no samples, Empty; give every agent at least one"),
        ((VALUES[:0], VALUES[:0, 0]), 0, "data of agent 1: no samples, (0, 2) and (0,)"),
        (Endless(), 0, "test_arrays.py, line "),
        (
            VALUES.tolist() * 10**4,
            2,
            "data of agent 1: float and float and float and float and 59,996 more holds no "
            "samples to draw",
        ),
        ({"x" * 10**5: [VALUES, "text", scipy.sparse.eye(3)]}, 0, "is sparse"),
        (
            [VALUES, VALUES[:2]] * 1000,
            2,
            "arrays of different length, (3, 2) and (2, 2) and (3, 2) and (2, 2) and 1,996 more",
        ),
    ],
)
def test_mistakes_of_an_entry(entry, batch, sentence):
    with pytest.raises(mpidbo.UserError, match=re.escape(sentence)) as caught:
        source(entry, batch)
    assert len(str(caught.value)) < 500


def test_a_data_set_that_fails_is_named_with_its_line():
    with pytest.raises(
        mpidbo.UserError,
        match=r"data of agent 1: .*test_arrays.py, line \d+: ValueError: no such file",
    ) as caught:
        _ = source(Failing()).full_batch
    assert len(str(caught.value)) < 700


def test_samples_of_any_kind():
    samples = [
        np.ascontiguousarray(VALUES)[::-1],
        pd.DataFrame(VALUES[::-1], index=[3, 1, 2]),
        VALUES[::-1].astype(">f4"),
    ]

    class Samples(Empty):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return samples[i]

    assert source(Samples()).full_batch.tolist() == [VALUES[::-1].tolist()] * 3


@pytest.mark.parametrize(
    "given",
    [
        (VALUES, VALUES[:, 0]),
        (pd.DataFrame(VALUES), pd.Series([1, 2, 3])),
        (VALUES, VALUES, VALUES[:1]),
    ],
)
def test_a_tuple_of_arrays_is_one_data_set(given):
    with pytest.raises(
        mpidbo.UserError,
        match=re.escape(
            f"data: a tuple of arrays, {kind(given)}, is one data set, not the entries of "
        ),
    ):
        accept_entries(given, "data")


def test_a_list_that_looks_like_one_data_set():
    with pytest.warns(
        UserWarning,
        match=re.escape(
            "data: the entries of 2 agents, (3, 2) and (3,), look like the features and labels"
        ),
    ):
        accept_entries([VALUES, VALUES[:, 0]], "data")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (
            [VALUES, VALUES],
            [VALUES, VALUES[:2, 0]],
            [VALUES],
            (VALUES,),
            [(VALUES, VALUES[:, 0])] * 2,
            ((VALUES, VALUES[:, 0]), (VALUES, VALUES[:, 0])),
            None,
            len,
        ):
            accept_entries(given, "data")


def test_a_loader_in_place_of_entries():
    with pytest.raises(
        mpidbo.UserError,
        match=re.escape("val_data: Loader draws samples by itself, but draws are mpidbo's"),
    ):
        accept_entries(Loader(), "val_data")


def test_a_function_of_entries_that_fails():
    with pytest.raises(
        mpidbo.UserError, match=r"data of agent 3: .*test_arrays.py, line \d+: ZeroDivisionError: "
    ):
        entry_of(lambda agent: 1 / (agent - agent), 3, 4, "data")


def test_kinds_are_short():
    assert kind([[1.0] * 10**5] * 3) == "float and float and float and float and 299,996 more"
    assert (
        kind(type("A" * 10**5, (), {})()) == "A" * 60 + "..." and len(brief("a \n" * 10**5)) < 500
    )
