"""Pages that one follows at a terminal: every command runs as it stands, and prints what stands
below it."""

import contextlib
import importlib.util
import io
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from support import ROOT, launch
from support.pages import alike, blocks

PAGES = {"docs/tutorial.md": True, "docs/choosing.md": True, "docs/troubleshooting.md": False}
"""Whether every command must end well."""


def printed(found, expected):
    """Whether the words of `expected` stand in `found`, in this order; "..." is anything."""
    words, at = found.split(), 0
    for piece in (part.split() for part in re.split(r"(?<!\S)\.\.\.(?!\S)", expected)):
        fits = (
            i
            for i in range(at, len(words) - len(piece) + 1)
            if alike(" ".join(words[i : i + len(piece)]), " ".join(piece))
        )
        start = next(fits, None)
        if start is None:
            return False
        at = start + len(piece)
    return True


def typed(text, where, strict):
    """A shell that types this, ended: what it prints, on both streams, and its exit code;
    `strict`: the first failure ends it."""
    bash = "import os, sys; os.execvp('bash', ['bash', sys.argv[1], 'exec 2>&1\\n' + sys.argv[2]])"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return launch.mpirun(
        None,
        ["-c", bash, "-ec" if strict else "-c", text],
        cwd=where,
        env={"PATH": path},
        timeout=100,
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_so(page, tmp_path, monkeypatch):
    if launch.mpiexec() is None or launch.is_openmpi():
        pytest.skip("written for MPICH's mpiexec: pip install mpich")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for language, body, below in blocks(ROOT / page):
        output = ""
        if named := re.match(r"# ([\w.]+)\n", body):
            (tmp_path / named[1]).write_text(body, encoding="utf-8")
        elif "torch" in body and importlib.util.find_spec("torch") is None:
            continue
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(body, f"{page}: {body[:40]!r}", "exec"), module.__dict__)
            output = out.getvalue()
        elif language == "sh":
            ended = typed(body, tmp_path, PAGES[page])
            output = ended.stdout
            assert ended.returncode == 0 or not PAGES[page], f"{page}:\n{body}\n{output}"
        assert below is None or printed(output, below), f"{page}, below\n{body}\nprints\n{output}"
