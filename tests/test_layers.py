"""Imports inside the package go down only, and mpi4py is imported in two places."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# From the top; a module or a folder of the package per word. A new one takes its place here.
LAYERS = [
    "__init__ __main__ cli commands",
    "config plots api loading plan ranks paths reading record archive saved show studies claims catalogue describe pictures doctor "
    "machine jobscript batch starter identity runfolder",
    "runner metrics averaged checkpoint lock stopping stall curvature files trees progress traffic",
    "algorithms",
    "problems losses contract oracles strategies schedules check bad_data start_checks data",
    "failing gossip networks exchange staging topologies topology_table matrices matrix_market graphs",
    "agents background collectives memory threads job signals backend fused state errors layout contents _version",
]
HEIGHT = {name: len(LAYERS) - i for i, layer in enumerate(LAYERS) for name in layer.split()}
USES_MPI4PY = {"gossip", "cli"}

PACKAGE = Path(__file__).resolve().parent.parent / "mpidbo"
FILES = sorted(PACKAGE.rglob("*.py"))


def names(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of everything that a file imports at any depth."""
    package = ("mpidbo", *path.relative_to(PACKAGE).parent.parts)
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            source = ".".join(filter(None, [base, node.module]))
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def top(dotted: str) -> str | None:
    """The module or folder of the package that a dotted name belongs to; None for another package's."""
    first, _, rest = dotted.partition(".")
    if first != "mpidbo":
        return None
    name = rest.partition(".")[0]
    known = name in HEIGHT or (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()
    return name if name and known else "__init__"


def module(path: Path) -> str:
    """The module or folder of the package that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def typing_only(path: Path) -> set[int]:
    """The lines under `if TYPE_CHECKING:`, which no run executes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    return {line for block in blocks for child in block.body for line in range(child.lineno, child.end_lineno + 1)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    here = module(path)
    assert here in HEIGHT, f"{here} has no layer yet: give it one in LAYERS of {Path(__file__).name}"
    for line, name in names(path):
        there = top(name)
        if there is None or there == here:
            continue
        assert there in HEIGHT, f"{there} has no layer yet: give it one in LAYERS of {Path(__file__).name}"
        assert HEIGHT[there] <= HEIGHT[here], f"{path.name}:{line}: {here} imports {name}, which lies above it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_mpi4py_is_imported_in_two_places(path):
    typing = typing_only(path)
    lines = [line for line, name in names(path) if name.partition(".")[0] == "mpi4py" and line not in typing]
    assert not lines or module(path) in USES_MPI4PY, (
        f"{path.name}:{lines[0]} imports mpi4py: take a communicator as an argument (types: under TYPE_CHECKING)")


def test_names_are_resolved(tmp_path, monkeypatch):
    """The reading of import statements itself, on a package of three files."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "mpidbo")
    folder = tmp_path / "mpidbo" / "algorithms"
    folder.mkdir(parents=True)
    file = folder / "one.py"
    file.write_text("import mpidbo.gossip as g\nfrom . import two\nfrom .two import a\nfrom .. import errors, solve\n"
                    "from ..state import S\nfrom mpidbo import Problem\ndef f():\n    from mpi4py import MPI\n")
    for name in ("gossip", "errors", "solve", "state"):
        (tmp_path / "mpidbo" / f"{name}.py").touch()
    assert [top(name) for _, name in names(file)] == [
        "gossip", "algorithms", "algorithms", "errors", "solve", "state", "__init__", None]
    assert module(file) == "algorithms"
