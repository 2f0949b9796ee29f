"""Imports go down only and through the faces of packages, without circles; mpi4py is imported in
one place."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

from support import ROOT

# From the top; a file or a package per word. A new one takes its place here.
LAYERS = [
    "__init__ __main__ cli",
    "studies",
    "reports",
    "solver",
    "storage",
    "config",
    "algorithms",
    "problems",
    "network",
    "parallel",
    "errors _contents _fields _linalg _pytree _signals _text _types _version _warning",
]
HEIGHT = {name: len(LAYERS) - i for i, layer in enumerate(LAYERS) for name in layer.split()}
APART = {"problems", "network"}
"""Packages that do not know each other."""
MODULES = {
    "parallel": {"agents", "agreement", "background", "collectives"},
    "network": {"exchange"},
    "problems": {"checks"},
    "algorithms": {"schedules", "strategies"},
    "storage": {"files", "identity", "trees"},
    "reports": {"catalogue"},
    "studies": {"claims"},
}
"""Faces that export whole modules, whose names are used with a prefix."""
USES_MPI4PY = "cli/world.py"

PACKAGE = ROOT / "mpidbo"
FACES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.pyi"))
FILES = sorted(PACKAGE.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def of_every_file(check: Callable[[Path], None]) -> Callable[[], None]:
    """A test of all files of the package, by a check of one."""

    def test() -> None:
        for path in FILES:
            check(path)

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    return test


def names(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of everything that a file imports at any depth."""
    package = ("mpidbo", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            source = ".".join(filter(None, [base, node.module]))
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def exported(package: str) -> dict[str, str]:
    """name -> the module of the package that it comes from, "" for a module itself; what the
    face lists."""
    stub = PACKAGE / package / "__init__.pyi"
    return {
        alias.asname or alias.name: node.module or ""
        for node in parsed(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def top(dotted: str) -> str | None:
    """The module or folder of the package that a dotted name belongs to; None for another
    package's."""
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
    blocks = [
        node
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    return {
        line
        for block in blocks
        for child in block.body
        for line in range(child.lineno, child.end_lineno + 1)
    }


@of_every_file
def test_imports_go_down(path):
    here = module(path)
    assert here in HEIGHT, (
        f"{here} has no layer yet: give it one in LAYERS of {Path(__file__).name}"
    )
    for line, name in names(path):
        there = top(name)
        if there is None or there == here:
            continue
        assert there in HEIGHT, (
            f"{there} has no layer yet: give it one in LAYERS of {Path(__file__).name}"
        )
        assert HEIGHT[there] <= HEIGHT[here], (
            f"{path.name}:{line}: {here} imports {name}, which lies above it"
        )
        assert {here, there} != APART, (
            f"{path.name}:{line}: {here} imports {name}, of which it should not know"
        )


@pytest.mark.parametrize(
    "package", sorted({module(path) for path in FILES if path.parent != PACKAGE})
)
def test_no_circle_inside_a_package(package):
    """Between its files, also where an import is inside a function; `from . import name` of a
    face counts for the file of that name."""
    own = {
        ".".join(("mpidbo", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in FILES
        if module(path) == package
    }
    graph = {}
    for dotted, path in own.items():
        typing = typing_only(path)
        found = {
            other
            for line, name in names(path)
            if line not in typing
            for other in (name, name.rpartition(".")[0])
            if other in own
        }
        # a face imports its files; what they take from it by the name of a file is that file
        graph[dotted] = {
            max((other for other in found if name.startswith(other)), key=len)
            for line, name in names(path)
            if line not in typing and any(name.startswith(other) for other in found)
        } - {dotted}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}", pytrace=False)


@of_every_file
def test_packages_are_imported_through_their_faces(path):
    here = module(path)
    for line, name in names(path):
        there = top(name)
        if there not in FACES or there == here or name == f"mpidbo.{there}":
            continue
        inside = name.removeprefix(f"mpidbo.{there}.")
        assert inside in exported(there), (
            f"{path.name}:{line}: {name} is not a name of mpidbo/{there}/__init__.pyi: "
            "export it there, and import it from the package"
        )


@pytest.mark.parametrize("package", FACES)
def test_faces_export_no_name_of_a_module(package):
    """`from ..package import name` would be the module once that is loaded, and the object
    before."""
    found = exported(package)
    assert {name for name, source in found.items() if not source} == MODULES.get(package, set())
    modules = {path.stem for path in (PACKAGE / package).iterdir()}
    assert not {name for name, source in found.items() if source} & modules


@pytest.mark.parametrize("package", FACES)
def test_what_faces_export_exists(package):
    face = import_module(f"mpidbo.{package}")
    for name in exported(package):
        assert getattr(face, name) is not None


@of_every_file
def test_mpi4py_is_imported_in_one_place(path):
    typing = typing_only(path)
    lines = [
        line
        for line, name in names(path)
        if name.partition(".")[0] == "mpi4py" and line not in typing
    ]
    assert not lines or path.relative_to(PACKAGE).as_posix() == USES_MPI4PY, (
        f"{path.name}:{lines[0]} imports mpi4py: take a communicator as an argument (types: under "
        f"TYPE_CHECKING)"
    )


def test_names_are_resolved(tmp_path, monkeypatch):
    """The reading of import statements itself, on a package of three files."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "mpidbo")
    folder = tmp_path / "mpidbo" / "algorithms"
    folder.mkdir(parents=True)
    file = folder / "one.py"
    file.write_text(
        "import mpidbo.network.gossip as g\nfrom . import two\nfrom .two import a\nfrom .. import "
        "errors, solve\n"
        "from ..state import S\nfrom mpidbo import Problem\ndef f():\n    from mpi4py import MPI\n"
    )
    for name in ("gossip", "errors", "solve", "state"):
        (tmp_path / "mpidbo" / f"{name}.py").touch()
    assert [top(name) for _, name in names(file)] == [
        "network",
        "algorithms",
        "algorithms",
        "errors",
        "solve",
        "state",
        "__init__",
        None,
    ]
    assert module(file) == "algorithms"


def test_layers_of_the_design():
    """The table below "Layers" is the list that tests/package/py checks, as far as it exists."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## Layers")[2]
    printed = [
        row.split()
        for row in re.findall(r"^\| `([^`]*)` \|", text.partition("\n## ")[0], re.MULTILINE)
    ]
    there = {module(path) for path in FILES}
    assert [set(row) for row in printed] == [set(layer.split()) & there for layer in LAYERS]
