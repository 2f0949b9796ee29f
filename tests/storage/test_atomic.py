"""Files that are complete or as they were, and the commit that results name."""

import subprocess

import pytest

from mpidbo.storage.atomic import atomic_write, write_text
from mpidbo.storage.provenance import commit_of

IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@example.org"]


def git(folder, *words):
    done = subprocess.run(
        ["git", *IDENTITY, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_two_writers_of_a_shared_file_do_not_meet(tmp_path):
    path = tmp_path / "tuned.toml"
    with atomic_write(path, shared=True) as temporary:
        temporary.write_text("first")
        write_text(path, "second", shared=True)
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("packed", [False, True])
def test_the_commit_of_a_checkout_and_of_its_worktree(packed, tmp_path):
    main, tree = tmp_path / "main", tmp_path / "tree"
    main.mkdir()
    git(main, "init", "--quiet")
    git(main, "commit", "--quiet", "--allow-empty", "--message", "one")
    git(main, "worktree", "add", "--quiet", "-b", "other", str(tree))
    git(tree, "commit", "--quiet", "--allow-empty", "--message", "two")
    if packed:
        git(main, "pack-refs", "--all")
    found = [commit_of(folder) for folder in (main, tree)]
    assert found == [git(folder, "rev-parse", "HEAD") for folder in (main, tree)]
    assert len({*found, ""}) == 3


def test_no_commit_elsewhere(tmp_path):
    assert commit_of(tmp_path) == ""
