"""Metrics of the source code: python benchmarks/source_metrics.py [FOLDER OF A PACKAGE].

Names at the top, layers of imports, imports within packages, tokens and comments of code lines,
long lines, annotations that are Any, public objects with a complete docstring. To compare with
another package, give its folder.
"""

import ast
import io
import sys
import tokenize
from collections import defaultdict
from pathlib import Path
from statistics import median


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file, of every module of a package."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = (root.name, *path.relative_to(root).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that one of them imports, but for those under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for part in node.body
        for child in ast.walk(part)
    }
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom):
            base = (
                package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            )
            source = ".".join([*base, *([node.module] if node.module else [])])
            found |= {
                full if (full := f"{source}.{alias.name}") in known else source
                for alias in node.names
            }
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {other for other in found if other in known and other != name}


def box(name: str) -> str:
    """The module or package directly below the top that a module belongs to."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def floors(edges: dict[str, set[str]]) -> int:
    """The length of the longest chain of boxes that import each other; circles count once."""
    height: dict[str, int] = {}

    def of(node: str, above: tuple[str, ...]) -> int:
        if node in above:
            return 0
        if node not in height:
            height[node] = 1 + max((of(other, (*above, node)) for other in edges[node]), default=0)
        return height[node]

    return max(of(node, ()) for node in list(edges))


def lines(path: Path) -> tuple[int, int, int, int, int]:
    """(code lines without docstrings, tokens, comments, all lines, those over 100 columns)."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    doc = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    skip = {
        tokenize.NEWLINE,
        tokenize.NL,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
        tokenize.ENCODING,
    }
    code, tokens, comments = set(), 0, 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments += 1
        elif token.type not in skip and token.start[0] not in doc:
            code.add(token.start[0])
            tokens += 1
    rows = text.splitlines()
    return len(code), tokens, comments, len(rows), sum(len(row) > 100 for row in rows)


def annotations(path: Path) -> tuple[int, int]:
    """(annotations of parameters and results, those that are Any or a name for it)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {"Any"} | {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Any"
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            arguments = node.args
            parts = [
                *arguments.posonlyargs,
                *arguments.args,
                *arguments.kwonlyargs,
                arguments.vararg,
                arguments.kwarg,
            ]
            found += [part.annotation for part in parts if part is not None and part.annotation]
            found += [node.returns] if node.returns else []
    return len(found), sum(
        any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(what))
        for what in found
    )


def docstrings(path: Path) -> tuple[int, int, int]:
    """(public objects, those with a docstring, those with numpydoc's Parameters or Returns)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]
    docs = [ast.get_docstring(node) or "" for node in public]
    return len(public), sum(bool(doc) for doc in docs), sum("\n-----" in doc for doc in docs)


def main(root: Path) -> None:
    known = modules(root)
    edges, inside, total = defaultdict(set), 0, 0
    for name, path in known.items():
        for other in imports(name, path, known):
            total += 1
            inside += box(name) == box(other)
            if box(name) and box(other) and box(name) != box(other):
                edges[box(name)].add(box(other))
    for one in {box(name) for name in known} - {""}:
        edges.setdefault(one, set())
    top = [name for name in edges if not name.startswith("_")]
    counts = [lines(path) for path in known.values()]
    code, tokens, comments, rows, long = (sum(column) for column in zip(*counts, strict=True))
    hints, anys = (sum(column) for column in zip(*map(annotations, known.values()), strict=True))
    public, documented, full = (
        sum(column) for column in zip(*map(docstrings, known.values()), strict=True)
    )
    sizes = [row[3] for row in counts]
    for label, value in (
        ("files, lines", f"{len(known)}, {rows}"),
        ("lines of a file, median and most", f"{median(sizes):.0f}, {max(sizes)}"),
        ("names at the top", str(len(top))),
        ("import floors of them", str(floors(edges))),
        (
            "imports that stay in their package",
            f"{inside} of {total} ({100 * inside / total:.0f} %)",
        ),
        ("tokens a code line", f"{tokens / code:.1f}"),
        ("comments on 100 code lines", f"{100 * comments / code:.1f}"),
        ("lines over 100 columns", f"{100 * long / rows:.1f} %"),
        ("annotations with Any", f"{100 * anys / hints:.0f} %"),
        (
            "public objects, with a docstring, with sections",
            f"{public}, {100 * documented / public:.0f} %, {full}",
        ),
    ):
        print(f"{label:48} {value}")


if __name__ == "__main__":
    main(
        Path(sys.argv[1])
        if len(sys.argv) > 1
        else Path(__file__).resolve().parent.parent / "mpidbo"
    )
