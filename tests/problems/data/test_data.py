"""Data sets by name: fetched from a server on loopback, checked, found, read; nothing here
leaves this machine."""

import bz2
import dataclasses
import functools
import gzip
import hashlib
import http.server
import subprocess
import sys
import threading

import numpy as np
import pytest

from mpidbo import cli
from mpidbo.errors import UserError
from mpidbo.problems.data import fetch as data
from mpidbo.problems.data.readers import labelled, libsvm
from mpidbo.problems.data.shares import share_of
from support import ROOT

CONTENT = b"+1 1:0.5 3:1\n-1 2:0.25\n+1 1:1 2:1\n"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    """(folder, url): a server of the files in that folder."""
    folder = tmp_path / "server"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=folder)
    ) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        yield folder, f"http://127.0.0.1:{serving.server_address[1]}/"
        serving.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty folder of data sets."""
    monkeypatch.setenv("MPIDBO_DATA", str(tmp_path / "home"))
    libsvm.cache_clear()
    return tmp_path / "home"


@pytest.fixture
def small(monkeypatch):
    """small(**keys) registers the set `small`: a file `set` with these keys."""
    pytest.importorskip("pooch")
    made = dict(data.datasets())

    def register(urls=(), **keys):
        made["small"] = dataclasses.replace(
            made["a9a"],
            name="small",
            urls=tuple(urls),
            files=(data.File(**{"name": "set", "source": "set.gz"} | keys),),
        )

    register()
    monkeypatch.setattr(data, "datasets", lambda: made)
    return register


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_fetch_checks_the_uncompressed_content(server, small, home, pack, capsys):
    folder, url = server
    (folder / "set.gz").write_bytes(pack(CONTENT))
    small(sha256=sha256(CONTENT))
    assert cli.main(["data", "fetch", "small", "--url", url]) == 0
    assert (home / "small" / "set").read_bytes() == CONTENT and [
        path.name for path in (home / "small").iterdir()
    ] == ["set"]
    (folder / "set.gz").unlink()
    assert (
        cli.main(["data", "fetch", "small", "--url", url]) == 0
        and "here already, and intact" in capsys.readouterr().out
    )
    assert cli.main(["data", "path", "small"]) == 0 and capsys.readouterr().out.strip() == str(
        home / "small"
    )


def test_a_wrong_content_is_refused(server, small, home, capsys):
    folder, url = server
    (folder / "set.gz").write_bytes(gzip.compress(CONTENT + b"x"))
    small(sha256=sha256(CONTENT))
    assert cli.main(["data", "fetch", "small", "--url", url]) == 2
    assert (
        f"{sha256(CONTENT + b'x')[:16]}... where {sha256(CONTENT)[:16]}... is expected"
        in capsys.readouterr().err
    )
    assert list((home / "small").iterdir()) == []
    (home / "small" / "set").write_bytes(b"other")
    with pytest.raises(UserError, match="remove it and fetch again"):
        data.fetch_dataset("small", url)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(CONTENT)[:-6], "EOFError"),
        (gzip.compress(CONTENT)[:12] + b"\0\0", "Error"),
        (None, "HTTPError"),
    ],
    ids=["truncated", "damaged", "missing"],
)
def test_damaged_and_missing_files(server, small, content, words):
    folder, url = server
    if content is not None:
        (folder / "set.gz").write_bytes(content)
    with pytest.raises(UserError, match=words):
        data.fetch_dataset("small", url)


def test_published_md5_and_the_next_server(server, small, home, capsys):
    folder, url = server
    good, bad = gzip.compress(CONTENT), gzip.compress(b"another")
    for name, packed in (("good", good), ("bad", bad)):
        (folder / name).mkdir()
        (folder / name / "set.gz").write_bytes(packed)
    md5 = hashlib.md5(good, usedforsecurity=False).hexdigest()
    small((f"{url}bad/",), md5=md5)
    with pytest.raises(UserError, match="is published"):
        data.fetch_dataset("small")
    small((f"{url}bad/", f"{url}none", f"{url}good"), md5=md5)
    assert cli.main(["data", "fetch", "small"]) == 0
    assert "its md5 is the published one" in capsys.readouterr().out


def test_an_unknown_sum_is_noted_at_the_first_fetch(server, small, home, capsys):
    folder, url = server
    (folder / "set.gz").write_bytes(gzip.compress(CONTENT))
    assert cli.main(["data", "fetch", "small", "--url", url]) == 0
    assert "nobody has verified it" in capsys.readouterr().out
    assert (home / "small" / data.SUMS).read_text() == f"{sha256(CONTENT)}  set\n"
    (home / "small" / "set").unlink()
    (folder / "set.gz").write_bytes(gzip.compress(CONTENT + b"y"))
    with pytest.raises(UserError, match="is expected"):
        data.fetch_dataset("small", url)


def test_sums_of_lines_know_no_line_ends(small, home):
    small(sha256=sha256(CONTENT), lines=True)
    (home / "small").mkdir(parents=True)
    (home / "small" / "set").write_bytes(CONTENT.replace(b"\n", b" \r\n\r\n"))
    assert data.fetch_dataset("small", log=lambda text: None) == home / "small"
    assert (home / "small" / "set").read_bytes() == CONTENT.replace(b"\n", b" \r\n\r\n")
    (home / "small" / "set").write_bytes(CONTENT.replace(b"\n", b"0\n"))
    with pytest.raises(UserError):
        data.fetch_dataset("small", log=lambda text: None)


def test_sentences(small, home, monkeypatch, capsys):
    small(("http://127.0.0.1:9/",))
    for words, printed in (
        (["fetch", "smal"], "did you mean small?"),
        (["fetch"], "which one? Known: mnist"),
        (["fetch", "small"], "ConnectionError); try where there is a network"),
        (["path", "small"], "fetch it first: mpidbo data fetch small"),
    ):
        assert cli.main(["data", *words]) == 2
        assert printed in capsys.readouterr().err
    assert cli.main(["data", "list"]) == 0
    assert "a9a" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert cli.main(["data", "fetch", "small"]) == 2
    assert "pip install 'mpidbo[data]'" in capsys.readouterr().err
    (home.parent / "file").touch()
    monkeypatch.setenv("MPIDBO_DATA", str(home.parent / "file"))
    assert cli.main(["data", "fetch", "small"]) == 2
    assert "set MPIDBO_DATA to another one" in capsys.readouterr().err


def test_a_run_says_what_to_fetch(capsys, tmp_path):
    (tmp_path / "a.toml").write_text('[problem]\nname = "hyper-cleaning"\ndata = "mnist"\n')
    assert cli.main(["run", str(tmp_path / "a.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "mpidbo data fetch mnist" in capsys.readouterr().err


def test_the_registry_is_one_file_and_complete():
    # a link in a checkout, a copy in a source distribution
    assert (ROOT / "data" / "registry.toml").read_bytes() == (
        ROOT / "mpidbo" / "problems" / "data" / "registry.toml"
    ).read_bytes()
    page = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for name, known in data.datasets().items():
        assert f"| `{name}` |" in page and known.urls and known.format in ("idx", "libsvm")
        assert all(len(file.sha256) in (0, 64) and len(file.md5) in (0, 32) for file in known.files)
        assert all(file.samples > 0 for file in known.files) == (known.format == "libsvm")


@pytest.mark.parametrize("name", ["mnist", "australian", "a9a"])
def test_sums_and_reading_of_real_data(shared_data, name, home, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setenv("MPIDBO_DATA", str(shared_data(name).parent))
    data.fetch_dataset(name, "http://127.0.0.1:9/", log=lambda text: None)
    train, test = labelled(name)
    sizes = {
        "mnist": (60_000, 10_000, 784),
        "australian": (690, 690, 14),
        "a9a": (32_561, 16_281, 123),
    }[name]
    assert (len(train), len(test), train.features([0, 1]).shape[1]) == sizes and (
        train is test
    ) == (name == "australian")
    if name != "mnist":
        assert (
            np.bincount(train.labels).tolist()
            == {"australian": [383, 307], "a9a": [24720, 7841]}[name]
        )


def test_libsvm_files(tmp_path):
    pytest.importorskip("sklearn")
    (tmp_path / "set.bz2").write_bytes(bz2.compress(CONTENT))
    (tmp_path / "set.t").write_bytes(b"-1 5:2\n")
    train, test = labelled(str(tmp_path / "set.bz2"))
    assert train.labels.tolist() == [1, 0, 1] and test.labels.tolist() == [0]
    assert train.features().tolist() == [[0.5, 0, 1, 0, 0], [0, 0.25, 0, 0, 0], [1, 1, 0, 0, 0]]
    assert test.features([0], np.float32).dtype == np.float32 and test.features()[0, 4] == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CONTENT[:-2], "cannot be read as a LIBSVM file"),
        (b"<html>", "cannot be read as"),
        (b"+1 1:1\n+1 2:1\n", r"1 different label\(s\)"),
        (b"", "not classes|cannot be read"),
        (gzip.compress(CONTENT)[:-5], "cannot be read as"),
    ],
    ids=["short", "html", "one", "empty", "gzip"],
)
def test_mistakes_of_libsvm_files(tmp_path, content, words):
    pytest.importorskip("sklearn")
    path = tmp_path / ("set.gz" if content.startswith(b"\x1f") else "set")
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        libsvm(path)
    assert str(path) in str(error.value)


def test_truncated_and_foreign_libsvm_files(tmp_path):
    pytest.importorskip("sklearn")
    (tmp_path / "australian_scale").write_bytes(CONTENT)
    with pytest.raises(UserError, match="holds 3 samples instead of 690"):
        labelled("australian", str(tmp_path))
    with pytest.raises(UserError, match=r"neither the file a9a nor a folder"):
        labelled("a9a", str(tmp_path))
    (tmp_path / "set").write_bytes(CONTENT)
    (tmp_path / "set.t").write_bytes(b"3 1:1\n")
    with pytest.raises(UserError, match="labels that set lacks"):
        labelled(str(tmp_path / "set"))


def test_synthetic_sets(tmp_path):
    pytest.importorskip("sklearn")
    for words in (
        ["records", "set", "--samples", "80", "--features", "5"],
        ["images", "folder", "--samples", "60", "--test", "20"],
    ):
        subprocess.run(
            [sys.executable, ROOT / "data" / "synthetic.py", *words],
            cwd=tmp_path,
            check=True,
            timeout=60,
        )
    options = {"seed": 0, "split": "iid", "concentration": 1.0, "xp": np, "dtype": np.float64}
    share = share_of(str(tmp_path / "set"), 0, 2, n_train=0, n_validation=0, **options)
    assert (share.total, len(share.validation), len(share.test), share.classes) == (40, 10, 10, 2)
    share = share_of(str(tmp_path / "folder"), 0, 2, n_train=40, n_validation=20, **options)
    assert share.train.X.shape == (20, 784) and len(share.test) == 10
    nearest = [((share.train.X - image) ** 2).sum(axis=1).argmin() for image in share.test.X]
    assert (share.train.labels[nearest] == share.test.labels).mean() > 0.8
