"""The git tag gives the version, of which distributions keep the value where there is no git."""

import os
import shutil
import subprocess
import sys
import tomllib

import pytest
from packaging.version import Version

import mpidbo
from support import ROOT
from support.archives import unpack

pytest.importorskip("setuptools_scm")
GIT = shutil.which("git")
NAMES = "pyproject.toml setup.cfg MANIFEST.in README.md LICENSE .gitignore .gitattributes"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FALLBACK = PYPROJECT["tool"]["setuptools_scm"]["fallback_version"]
needs_git = pytest.mark.skipif(GIT is None, reason="needs git")


def git(tree, *words):
    own = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run([GIT, *own, *words], cwd=tree, capture_output=True, check=True)
    return done.stdout


def run(code, tree, **variables):
    """What Python prints in a folder, with only the variables that matter to it."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tree, env=env | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def build(kind, tree, **variables):
    """Build a "wheel" or "sdist" of a folder."""
    (tree / "dist").mkdir(exist_ok=True)
    code = f"from setuptools import build_meta as backend; print(backend.build_{kind}('dist'))"
    return tree / "dist" / run(code, tree, **variables).splitlines()[-1]


def version_of(wheel):
    """The version of a wheel, which the package reports too once it is installed."""
    folder = wheel.parent / "installed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.unpack_archive(wheel, folder, "zip")
    (metadata,) = folder.glob("*.dist-info/METADATA")
    lines = metadata.read_text(encoding="utf-8").splitlines()
    (version,) = (line.split()[1] for line in lines if line.startswith("Version: "))
    assert reported(folder) == version
    return version


def reported(folder):
    """What the package of a folder says."""
    return run("import mpidbo; print(mpidbo.__version__)", folder)


@pytest.fixture
def tree(tmp_path):
    """The source code in a repository of one commit without a tag."""
    for name in [*NAMES.split(), ".git_archival.txt"]:
        shutil.copy(ROOT / name, tmp_path)
    unwanted = shutil.ignore_patterns("__pycache__", "_version.txt")
    shutil.copytree(ROOT / "mpidbo", tmp_path / "mpidbo", ignore=unwanted)
    if GIT:
        git(tmp_path, "init", "--quiet")
        git(tmp_path, "add", "--all")
        git(tmp_path, "commit", "--quiet", "--message", "all")
    return tmp_path


def test_source_code_that_was_never_built(tree):
    assert reported(tree) == FALLBACK
    assert Version(FALLBACK).is_devrelease
    assert Version(mpidbo.__version__) >= Version(FALLBACK)


@needs_git
def test_the_tag_gives_the_version(tree):
    git(tree, "tag", "v0.2.0")
    assert version_of(build("wheel", tree)) == "0.2.0"
    assert reported(tree) == "0.2.0"  # as an editable installation does
    assert not git(tree, "status", "--porcelain")


@needs_git
@pytest.mark.slow
def test_other_commits_have_development_versions(tree):
    assert Version(version_of(build("wheel", tree))) > Version(FALLBACK)  # no tag yet
    git(tree, "tag", "v0.2.0")
    git(tree, "commit", "--quiet", "--allow-empty", "--message", "one more")
    version = version_of(build("wheel", tree))
    assert version.startswith("0.2.1.dev1+g")
    assert Version("0.2.0") < Version(version) < Version("0.2.1")


@needs_git
@pytest.mark.slow
def test_a_source_distribution_keeps_the_version(tree, tmp_path_factory):
    """Also where there is no git, and its wheel too."""
    git(tree, "tag", "v0.2.0")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    sdist = build("sdist", tree)
    assert sdist.name == "mpidbo-0.2.0.tar.gz"
    unpack(sdist, elsewhere)
    (unpacked,) = elsewhere.iterdir()
    assert reported(unpacked) == "0.2.0"
    (unpacked / "mpidbo" / "_version.txt").unlink()
    assert version_of(build("wheel", unpacked, PATH="")) == "0.2.0"


@needs_git
@pytest.mark.slow
@pytest.mark.parametrize("tag, expected", [("v0.2.0", "0.2.0"), ("", FALLBACK)])
def test_an_archive_of_git_keeps_the_version(tag, expected, tree, tmp_path_factory):
    if tag:
        git(tree, "tag", tag)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    git(tree, "archive", "--output", elsewhere / "archive.tar", "HEAD")
    unpack(elsewhere / "archive.tar", elsewhere / "tree")
    assert version_of(build("wheel", elsewhere / "tree")) == expected


@needs_git
@pytest.mark.slow
def test_a_shallow_clone_has_a_version(tree, tmp_path_factory):
    git(tree, "commit", "--quiet", "--allow-empty", "--message", "one more")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    git(elsewhere, "clone", "--quiet", "--depth=1", tree.as_uri(), "clone")
    assert Version(version_of(build("wheel", elsewhere / "clone"))) > Version(FALLBACK)
    git(tree, "tag", "v0.2.0")
    git(elsewhere, "clone", "--quiet", "--depth=1", "--branch=v0.2.0", tree.as_uri(), "tagged")
    assert version_of(build("wheel", elsewhere / "tagged")) == "0.2.0"


@pytest.mark.slow
def test_without_git_a_checkout_has_the_fallback(tree):
    assert version_of(build("wheel", tree, PATH="")) == FALLBACK
